package line

import (
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/shipper/internal/shiptest"
)

// dockerd writes U+FFFD for what is not UTF-8; it is counted by its cause.
func TestWhatDockerdReplacedIsCountedByItsCause(t *testing.T) {
	at := time.Date(2026, 11, 21, 8, 0, 0, 1, time.UTC)
	full := strings.Repeat("x", 16384)
	f := func(name, raw string, want Lost, flags string) {
		t.Helper()
		p, l := newPage(t), NewLog[string]("0123456789abcdef")
		l.Decoder = JSONFile
		m := &Maker[string]{Limit: 2 << 20}
		m.Feed(p, &l, &Text[string]{Window: "w", Generation: "g"}, []byte(raw))
		if l.Lost != want || strings.Join(p.events[0].Log.Flags, ",") != flags {
			t.Errorf("%s: %+v, want %+v; flags %q", name, l.Lost, want, p.events[0].Log.Flags)
		}
	}
	line := func(log string) string { return shiptest.DockerJSON(Stdout, log, at) }
	f("UTF-8", line("上海 \uFFFD <>&\n"), Lost{}, "")
	f("GBK", line("\xc9\xcf\xd6\xd0 ok\n"), Lost{Encoding: 4}, "cleaned")
	f("its text only", line(`\ufffd`+"\n"), Lost{}, "")
	f("cut in a character", line(full[:16382]+"\xe4\xb8")+line("\x8a end\n"), Lost{Cut: 3}, "cleaned")
	f("cut, in GBK", line("\xc9"+full[:16381]+"\xe4\xb8")+line("\x8a\xff\xff\xff end\n"), Lost{Encoding: 2, Cut: 5}, "cleaned")
	f("short piece", line("\xe4")+line("end\n"), Lost{Encoding: 1}, "cleaned")
	f("other spacing", `{ "log": "\ufffd\n", "stream": "stdout", "time": "2026-11-21T08:57:47Z" }`+"\n", Lost{Encoding: 1}, "cleaned")
}
