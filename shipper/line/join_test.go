package line

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/shipper/internal/shiptest"
)

// A container that starts again and again and prints a line without newline each time
// says that line each time. Pieces of one line have one time.
func TestWhatRunsPrintWithoutNewlineIsNotJoined(t *testing.T) {
	at := time.Date(2026, 11, 21, 8, 0, 0, 1, time.UTC)
	later := func(i int) time.Time { return at.Add(time.Duration(i) * time.Second) }
	piece := func(log string, i int) string { return shiptest.DockerJSON(Stdout, log, later(i)) }
	full := strings.Repeat("x", 16384)
	f := func(name string, raw []string, want ...string) {
		t.Helper()
		text := strings.Join(raw, "")
		var ids []string
		for _, step := range []int{len(text), 5, 1000} {
			p := feed(t, JSONFile, false, text, 40_000, step)
			var got, id []string
			var size int64
			for _, e := range p.events {
				message := e.Message
				if n := len(message); n >= 16384 {
					message = strings.ReplaceAll(message, full, "<16384>")
				}
				got, id, size = append(got, message+" "+strings.Join(e.Log.Flags, ",")), append(id, e.Meta.ID), size+e.Log.Size
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: got %.300q, want %q", name, got, want)
			}
			if size != p.safe["w"] {
				t.Errorf("%s: sizes add up to %d, the position is %d", name, size, p.safe["w"])
			}
			if ids != nil && !slices.Equal(id, ids) {
				t.Errorf("%s: ids hang on how it was read", name)
			}
			ids = id
			// Read again from a position that was stored, its lines are the same.
			for k, at := range p.stored {
				for _, e := range feedAt(t, JSONFile, text, at, 40_000).events {
					if !slices.Contains(id, e.Meta.ID) {
						t.Errorf("%s: read again from %d, stored after event %d, %.50q at %d has another id", name, at, k, e.Message, e.Log.Offset)
					}
				}
			}
		}
	}
	fatal := make([]string, 8)
	for i := range fatal {
		fatal[i] = piece("fatal: no config", i)
	}
	f("seven runs", fatal, slices.Repeat([]string{"fatal: no config partial"}, 7)...)
	f("then a whole line", []string{piece("no end", 0), piece("a line\n", 1)}, "no end partial", "a line ")
	f("then an empty line", []string{piece("no end", 0), piece("\n", 1)}, "no end partial", " ")
	f("the same time", []string{piece("be", 0), piece("gin ", 0), piece("end\n", 0)}, "begin end ")
	f("full pieces of old daemons", []string{piece(full, 0), piece(full, 1), piece("end\n", 2)}, "<16384><16384>end ")
	f("full, then the newline alone", []string{piece(full, 0), piece("\n", 1)}, "<16384> ")
	f("full, but not its last", []string{piece(full, 0), piece("rest", 1), piece("line\n", 2)}, "<16384>rest partial", "line ")
	f("full pieces of one time, then a run", []string{piece(full, 0), piece(full, 0), piece("fatal\n", 2)}, "<16384><16384> partial", "fatal ")
	escapes := strings.Repeat("\"\n\x01é<\u2028", 500) + full[9*500:]
	f("a full piece with escapes", []string{piece(escapes, 0), piece("end\n", 1)}, escapes+"end ")
	f("a full piece cut in a rune", []string{piece(full[:16382]+"\xe4\xb8", 0), piece("\xad end\n", 1)}, full[:16382]+"\uFFFD\uFFFD\uFFFD end cleaned")
	f("one byte less than full", []string{piece(full[:16383], 0), piece("end\n", 1)}, full[:16383]+" partial", "end ")
	f("over the limit, then a run", []string{piece(full, 0), piece(full, 0), piece(full, 0), piece("tail", 0), piece("fatal\n", 2), piece("a\n", 3)},
		"<16384><16384> split", "<16384>tail partial,split", "fatal ", "a ")
	f("over the limit at its end, then a run", []string{piece(full, 0), piece(full, 0), piece(full, 1), piece("fatal\n", 2)},
		"<16384><16384> partial", "<16384>fatal ")
	f("streams apart", []string{piece("out", 0), shiptest.DockerJSON(Stderr, "err", later(0)), shiptest.DockerJSON(Stderr, "err2\n", later(1)), piece("out2\n", 1)},
		"err partial", "err2 ", "out partial", "out2 ")
}
