package shipper

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/config"
)

// What comes too late for its trace is an event of its own.
func TestATraceThatPausesIsSentAfterATime(t *testing.T) {
	s := newSite(t).plain()
	s.cfg.Shipper.Multiline.Timeout = config.Duration(100 * time.Millisecond)
	d := s.docker()
	id := fakeID(1)
	d.add(fakeContainer{ID: id, Name: "web"}, true)
	log := func(lines ...string) {
		t.Helper()
		for _, l := range lines {
			s.append("web.log", l+"\n")
			d.write(id, "stderr", l)
			time.Sleep(2 * time.Millisecond)
		}
	}
	s.start()
	log("INFO before")
	s.wait(2)
	log("ERROR failed", "java.lang.Exception: x", "\tat a.B.c(B.java:1)")
	s.wait(4)
	log("\tat d.E.f(E.java:2)", "\tat g.H.i(H.java:3)")
	s.wait(6)
	log("INFO after")
	s.wait(8)
	trace := "ERROR failed\njava.lang.Exception: x\n\tat a.B.c(B.java:1)"
	want := []string{"INFO before", trace, "\tat d.E.f(E.java:2)\n\tat g.H.i(H.java:3)", "INFO after"}
	s.want(append(slices.Clone(want), want...)...)
	if e := s.only(trace); !slices.Equal(e.Log.Flags, []string{"multiline"}) {
		t.Errorf("flags %q", e.Log.Flags)
	}
	s.positionsDone()
	s.stop()
	s.start()
	s.settle()
	if len(s.order) != 8 {
		t.Errorf("%d records, want 8", len(s.order))
	}
}

// Killed at any moment, a trace that grows is one event or the same two.
func TestTracesAreNotDoubledByKill9(t *testing.T) {
	s := newSite(t).plain()
	s.cfg.Shipper.Multiline.Timeout = config.Duration(20 * time.Millisecond)
	var lines int
	for round := range 6 {
		p := s.victim()
		for i := range 40 {
			at := time.Now()
			text := "ERROR failed\njava.lang.Exception: " + strings.Repeat("x", i) + "\n\tat a.B.c(B.java:1)\n\tat d.E.f(E.java:2)\nINFO ok\n"
			lines += strings.Count(text, "\n")
			for j, l := range strings.SplitAfter(text, "\n") {
				if l != "" {
					s.append("a.log", l)
					s.append("b.json", dockerJSON([]string{"stdout", "stderr"}[i%2], l, at.Add(time.Duration(j))))
				}
				if i%10 == 9 {
					time.Sleep(time.Duration(round*7) * time.Millisecond)
				}
			}
		}
		p()
	}
	s.cfg.Shipper.Files = append(s.cfg.Shipper.Files, config.Files{Paths: []string{s.path("*.json")}, Codec: "docker"})
	s.start()
	size := func() int64 {
		var n int64
		for _, name := range []string{"a.log", "b.json"} {
			st, err := os.Stat(s.path(name))
			if err != nil {
				t.Fatal(err)
			}
			n += st.Size()
		}
		return n
	}
	s.until("all bytes", func() bool { return s.sizes() >= size() })
	s.settle()
	if got, want := s.sizes(), size(); got != want {
		t.Errorf("sizes of events add up to %d, of files to %d: lines are doubled or lost", got, want)
	}
	n := 0
	for _, e := range s.events {
		n += strings.Count(e.Message, "\n") + 1
	}
	if n != 2*lines {
		t.Errorf("%d lines in events, want %d", n, 2*lines)
	}
	t.Logf("%d events in %d records for %d lines", len(s.events), len(s.order), 2*lines)
}
