package line

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/shipper/internal/shiptest"
)

func severalTraces() *Several { return &Several{Rule: NewTraces(), MaxLines: 1000, MaxBytes: 1 << 20} }

// several reads text with rules for lines that belong together, from an offset on, in
// steps, to its end, after which nothing follows.
func several(t *testing.T, d Decoder, text string, from int64, step int, s *Several) *page {
	p, l := newPage(t), NewLog[string]("0123456789abcdef")
	l.Decoder, l.Several = d, s
	file := &Text[string]{Window: "w", Generation: "g"}
	file.Resume(from, from > 0 && text[from-1] != '\n')
	m := &Maker[string]{Limit: 1 << 20}
	for data := []byte(text)[from:]; len(data) > 0; {
		buf := slices.Clone(data[:min(step, len(data))]) // what was read before is gone
		n := m.Feed(p, &l, file, buf)
		clear(buf)
		data = data[n:]
	}
	m.Flush(p, &l, file)
	m.End(&l)
	if m.Drop(file); m.Memory != 0 {
		t.Errorf("%d bytes are held at the end", m.Memory)
	}
	return p
}

// checkSeveral reads text as a whole, in steps, and from each position that could have been
// stored: there are the same events.
func checkSeveral(t *testing.T, d Decoder, text string, s *Several, steps ...int) []shiptest.Event {
	t.Helper()
	whole := several(t, d, text, 0, max(1, len(text)), s)
	var size int64
	ids := map[string]bool{}
	for _, e := range whole.events {
		size += e.Log.Size
		if ids[e.Meta.ID] {
			t.Errorf("two events have the id of %.50q", e.Message)
		}
		ids[e.Meta.ID] = true
	}
	if size != int64(len(text)) || len(text) > 0 && whole.safe["w"] != size {
		t.Errorf("%.300q: sizes add up to %d of %d, position %d", text, size, len(text), whole.safe["w"])
	}
	for _, step := range steps {
		if got, want := describe(several(t, d, text, 0, step, s).events), describe(whole.events); !slices.Equal(sorted(got), sorted(want)) {
			t.Errorf("%.300q: read by %d bytes it is\n%.600q\nand as a whole\n%.600q", text, step, got, want)
		}
	}
	for k, from := range whole.stored {
		again := map[string]bool{}
		for _, e := range several(t, d, text, from, len(text), s).events {
			again[e.Meta.ID] = true
			if !ids[e.Meta.ID] {
				t.Errorf("%.300q: read again from %d, %.80q at %d is new", text, from, e.Message, e.Log.Offset)
			}
		}
		for _, e := range whole.events[k+1:] {
			if !again[e.Meta.ID] {
				t.Errorf("%.300q: read again from %d, %.80q at %d is missing", text, from, e.Message, e.Log.Offset)
			}
		}
	}
	return whole.events
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

var stackTraces = map[string]string{
	"java": "2026-11-21 08:57:47.123 ERROR [main] com.shop.OrderService - order failed\njava.lang.IllegalStateException: no stock\n\tat com.shop.Order.take(Order.java:31)\n\tat com.shop.Main.main(Main.java:7) ~[app.jar:1.2]\n" +
		"\tSuppressed: java.io.IOException: close\n\t\tat com.shop.Order.close(Order.java:40)\n\t\t... 2 more\nCaused by: java.net.ConnectException: refused\n\tat java.net.Socket.connect(Socket.java:1)\n\t... 12 common frames omitted\n",
	"java, uncaught":    "Exception in thread \"main\" java.lang.NullPointerException\n\tat Main.main(Main.java:3)\n",
	"java, class alone": "java.lang.OutOfMemoryError\n\tat Main.main(Main.java:3)\n",
	"python":            "Traceback (most recent call last):\n  File \"/app/x.py\", line 7, in <module>\n    main()\n    ~~~~^^\nValueError: no <b>stock</b>\n",
	"python, logged":    "ERROR:root:order failed\nTraceback (most recent call last):\n  File \"x.py\", line 7, in f\n    g()\nshop.errors.StockError: no stock\n",
	"python, chained":   "Traceback (most recent call last):\n  File \"x.py\", line 2, in f\n    g()\nKeyError: 'a'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"x.py\", line 5, in <module>\n    f()\nRuntimeError: b\n",
	"go":                "panic: runtime error: invalid memory address or nil pointer dereference\n[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x1]\n\ngoroutine 1 [running]:\nmain.(*order).take(0x0)\n\t/app/main.go:12 +0x1d\nmain.main()\n\t/app/main.go:7 +0x20\ncreated by main.start in goroutine 7\n\t/app/main.go:3 +0x1\n\ngoroutine 18 [chan receive]:\nmain.wait(...)\n\t/app/wait.go:3\nexit status 2\n",
	"go, fatal":         "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [chan receive]:\nmain.main()\n\t/app/main.go:7 +0x20\n",
	"dotnet":            "Unhandled exception. System.InvalidOperationException: failed\n ---> System.Exception: inner\n   at Shop.Order.Take() in /app/Order.cs:line 31\n   --- End of inner exception stack trace ---\n   at Shop.Program.Main()\n",
	"node":              "TypeError: Cannot read properties of undefined (reading 'x')\n    at take (/app/order.js:3:7)\n    at Object.<anonymous> (/app/index.js:9:1)\n    ... 4 lines matching cause stack trace ...\n  [cause]: Error: inner\n      at f (/app/x.js:1:1)\n",
	"ruby":              "app.rb:5:in `take': no stock (RuntimeError)\n\tfrom app.rb:9:in `block in main'\n\tfrom app.rb:12:in `<main>'\n",
	"php":               "PHP Fatal error:  Uncaught Exception: no stock in /app/order.php:3\nStack trace:\n#0 /app/index.php(7): take()\n#1 {main}\n  thrown in /app/order.php on line 3\n",
}

// A stack trace is one event, in whatever language, and the lines around it are theirs.
func TestAStackTraceIsOneEvent(t *testing.T) {
	at := time.Date(2026, 11, 21, 8, 0, 0, 1, time.UTC)
	const before, after = "2026-11-21 08:57:46.000 INFO  [main] before\n", "2026-11-21 08:57:48.000 INFO  [main] after\n"
	for name, trace := range stackTraces {
		want := []string{strings.TrimSuffix(before, "\n"), strings.TrimSuffix(trace, "\n") + " [multiline]", strings.TrimSuffix(after, "\n")}
		language, _, _ := strings.Cut(name, ",")
		for _, rule := range []*Traces{NewTraces(), NewTraces(language)} {
			s := &Several{Rule: rule, MaxLines: 1000, MaxBytes: 1 << 20}
			if got := texts(checkSeveral(t, nil, before+trace+after, s, 1, 7, 40)); !slices.Equal(got, want) {
				t.Errorf("%s: got %q", name, got)
			}
			docker := ""
			for i, l := range strings.SplitAfter(before+trace+after, "\n") {
				if l != "" {
					docker += shiptest.DockerJSON(Stdout, l, at.Add(time.Duration(i)))
				}
			}
			if got := texts(checkSeveral(t, JSONFile, docker, s, 1, 50, 333)); !slices.Equal(got, want) {
				t.Errorf("%s of a container: got %q", name, got)
			}
		}
	}
}

// Lines that look a little like a trace are none.
func TestLinesThatAreNoStackTraceStayByThemselves(t *testing.T) {
	f := func(text string) {
		t.Helper()
		if got := texts(checkSeveral(t, nil, text, severalTraces(), 1, 9)); !slices.Equal(got, strings.Split(strings.TrimSuffix(text, "\n"), "\n")) {
			t.Errorf("%q: got %q", text, got)
		}
	}
	f("INFO a\n  at ease, soldiers\nINFO b\n")
	f("ERROR a\n  some detail\n\tother\nINFO b\n")
	f("ERROR a\nERROR b\nERROR c\n")
	f("Error: a\nTypeError: b\n")
	f("INFO ok\nCaused by: nothing\n")
	f("INFO ok\njava.lang.Exception is a class\n")
	f("# a comment\n## another\nERROR x\n#tag\n")
	f("ERROR x\n\n\nERROR y\n")
	f("goroutine 7 said hello\nmain.main()\n")
	f("panics are bad\n\nso is this\n")
	f("\n\n\n")
}

func TestLinesByPattern(t *testing.T) {
	f := func(pattern string, negate, before bool, text string, want ...string) {
		t.Helper()
		s := &Several{Rule: &Pattern{Match: regexp.MustCompile(pattern), Negate: negate, Before: before}, MaxLines: 4, MaxBytes: 1000}
		got := texts(checkSeveral(t, nil, text, s, 1, 3, 10))
		for i := range got {
			got[i] = strings.TrimSuffix(got[i], " [multiline]")
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", pattern, got, want)
		}
	}
	f(`^\s`, false, false, "a\n\tb\n c\nd\n", "a\n\tb\n c", "d")
	f(`^\[`, true, false, "[1] a\nb\n\n[2] \"c\"\nd\n", "[1] a\nb\n", "[2] \"c\"\nd")
	f(`\\$`, false, true, "a \\\nb \\\nc\nd\n", "a \\\nb \\\nc", "d")
	f(`;$`, true, true, "select\n1;\nselect 2;\n", "select\n1;", "select 2;")
	f(`^x`, false, false, "a\nx1\nx2\nx3\nx4\nx5\nb\n", "a\nx1\nx2\nx3", "x4\nx5", "b")
	f(`"quoted"`, false, false, "a\nis \"quoted\"\n", "a\nis \"quoted\"")
}

// Streams of a container are apart, and no position is in the midst of an event: what is
// read again from one is what was there.
func TestEventsOfSeveralLinesAreTheSameWhenReadAgain(t *testing.T) {
	at := time.Date(2026, 11, 21, 8, 0, 0, 1, time.UTC)
	pool := []string{"ERROR x\n", "java.lang.Exception: y\n", "\tat a.b(C.java:1)\n", "\tat d.e(F.java:2)\n", "Caused by: z\n", "INFO n\n", "\n", "Traceback (most recent call last):\n", "  File \"x.py\", line 2\n", "    g()\n",
		"panic: p\n", "goroutine 1 [running]:\n", "main.main()\n", "begin ", "end\n", "Stack trace:\n", "#0 f()\n", "\xff\n"}
	rnd := rand.New(rand.NewPCG(5, 6))
	for round := range 80 {
		var docker, plain strings.Builder
		times := map[string]time.Time{}
		for i := range 1 + rnd.IntN(25) {
			stream, log := []string{Stdout, Stderr}[rnd.IntN(2)], pool[rnd.IntN(len(pool))]
			when, goesOn := times[stream]
			if !goesOn {
				when = at.Add(time.Duration(i))
			}
			delete(times, stream)
			if !strings.HasSuffix(log, "\n") {
				times[stream] = when
			}
			docker.WriteString(shiptest.DockerJSON(stream, log, when))
			plain.WriteString(log)
		}
		s := &Several{Rule: NewTraces(), MaxLines: 2 + rnd.IntN(10), MaxBytes: 20 + rnd.IntN(200)}
		checkSeveral(t, JSONFile, docker.String(), s, 1, 97, 300)
		checkSeveral(t, nil, plain.String(), s, 1, 5)
		s.Rule = &Pattern{Match: regexp.MustCompile(`^\s`)}
		checkSeveral(t, JSONFile, docker.String(), s, 1, 97)
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
}

func FuzzSeveral(f *testing.F) {
	for _, text := range stackTraces {
		f.Add(text, byte(9), byte(5))
	}
	f.Fuzz(func(t *testing.T, text string, step, lines byte) {
		if len(text) > 2000 {
			return
		}
		s := &Several{Rule: NewTraces(), MaxLines: 2 + int(lines)%50, MaxBytes: 1000}
		checkSeveral(t, nil, text, s, 1+int(step))
		docker, at := "", time.Date(2026, 11, 21, 8, 0, 0, 1, time.UTC)
		for i, l := range strings.SplitAfter(text, "\n") {
			docker += shiptest.DockerJSON([]string{Stdout, Stderr}[len(l)%2], l, at.Add(time.Duration(i)))
		}
		checkSeveral(t, JSONFile, docker, s, 1+int(step))
	})
}
