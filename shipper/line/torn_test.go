package line

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/shipper/internal/shiptest"
)

// texts is what events say, with their flags.
func texts(events []shiptest.Event) (out []string) {
	for _, e := range events {
		text := e.Message
		if f := strings.Join(e.Log.Flags, ","); f != "" {
			text += " [" + f + "]"
		}
		out = append(out, text)
	}
	return out
}

// checkReading reads text in steps, and from each position that could have been stored:
// events are the same, and their sizes add up to what is behind them.
func checkReading(t *testing.T, d Decoder, text string, limit int, steps ...int) []shiptest.Event {
	t.Helper()
	whole := feed(t, d, false, text, limit, max(1, len(text)))
	byOffset := map[int64]shiptest.Event{}
	at := int64(0)
	for _, e := range whole.events {
		byOffset[e.Log.Offset] = e
		at += e.Log.Size
	}
	if d == nil {
		at = 0
		for _, e := range whole.events {
			if e.Log.Offset != at {
				t.Errorf("%.200q: an event at %d, the one before ends at %d", text, e.Log.Offset, at)
			}
			at += e.Log.Size
		}
	}
	if unfinished := len(whole.events) > 0 && whole.safe["w"] != at; d == nil && unfinished {
		t.Errorf("%.200q: sizes add up to %d, the position is %d", text, at, whole.safe["w"])
	}
	for _, step := range steps {
		if step <= 0 {
			continue
		}
		p := feed(t, d, false, text, limit, step)
		if got, want := describe(p.events), describe(whole.events); !slices.Equal(got, want) {
			t.Errorf("%.200q: read by %d bytes it is\n%.400q\nand as a whole\n%.400q", text, step, got, want)
		}
	}
	for k, from := range whole.stored {
		if d != nil && k < len(whole.events)-1 && from <= whole.events[k].Log.Offset {
			continue // an unfinished line is before it, which is read again with what is after
		}
		for _, e := range feedAt(t, d, text, from, limit).events {
			if w, ok := byOffset[e.Log.Offset]; ok && w.Meta.ID != e.Meta.ID && w.Stream == e.Stream {
				t.Errorf("%.200q: read again from %d, %.50q at %d has another id than %.50q", text, from, e.Message, e.Log.Offset, w.Message)
			}
		}
	}
	return whole.events
}

func describe(events []shiptest.Event) (out []string) {
	for _, e := range events {
		out = append(out, fmt.Sprintf("%s %d+%d %v %.60q", e.Meta.ID, e.Log.Offset, e.Log.Size, e.Log.Flags, e.Message))
	}
	return out
}

// What a crash of the host leaves of a line swallows none of the lines after it.
func TestLinesAfterATornOneAreRead(t *testing.T) {
	at := time.Date(2026, 11, 21, 8, 0, 0, 1, time.UTC)
	a, b := shiptest.DockerJSON(Stdout, "a\n", at), shiptest.DockerJSON(Stderr, "b\n", at)
	c := shiptest.DockerJSON(Stdout, `c {"log":"in text"}`+"\n", at)
	nuls := func(n int) string { return strings.Repeat("\x00", n) }
	f := func(name, text string, want ...string) {
		t.Helper()
		got := texts(checkReading(t, JSONFile, text, 40_000, 1, 7, 100))
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %.300q, want %q", name, got, want)
		}
	}
	f("cut in the text", `{"log":"GET /`+a+b, `{"log":"GET / [torn]`, "a", "b")
	f("cut in the head", a+`{"lo`+b, "a", `{"lo [torn]`, "b")
	f("cut at the first byte", a+`{`+b, "a", "{ [torn]", "b")
	f("cut in the time", a[:len(a)-10]+b+c, a[:len(a)-10]+" [torn]", "b", `c {"log":"in text"}`)
	f("its newline is missing", strings.TrimSuffix(a, "\n")+b, "a", "b")
	f("twice", `{"log":"1`+`{"log":"2`+a, `{"log":"1{"log":"2 [torn]`, "a")
	f("two lines torn", `{"log":"1`+strings.TrimSuffix(a, "\n")+`{"log":"2`+b, `{"log":"1 [torn]`, "a", `{"log":"2 [torn]`, "b")
	f("NULs before a line", nuls(3)+a+b, "a [hole]", "b")
	f("many NULs before a line", nuls(5000)+a+b, "a [hole]", "b")
	f("NULs in place of a line's end", `{"log":"GET /`+nuls(9)+a, `{"log":"GET / [torn]`, "a")
	f("many NULs in place of a line's end", `{"log":"GET /`+nuls(90)+a, `{"log":"GET / [partial,torn]`, "a [hole]")
	f("NULs, then a torn line", nuls(40)+`GET /"}`+"\n"+a, `GET /"} [torn,hole]`, "a")
	f("NULs and a newline", nuls(40)+"\n"+a, " [torn,hole]", "a")
	f("more than a line can be", `{"log":"`+strings.Repeat("x", 300_000)+a, `{"log":"`+strings.Repeat("x", 262136)+" [split,torn]", strings.Repeat("x", 300_000-262136)+" [split,torn]", "a")
	f("pieces go on", shiptest.DockerJSON(Stdout, "be", at)+`{"log":"GET /`+shiptest.DockerJSON(Stdout, "gin\n", at), `{"log":"GET / [torn]`, "begin")
	f("pieces go on after a hole", shiptest.DockerJSON(Stdout, "be", at)+nuls(300)+shiptest.DockerJSON(Stdout, "gin\n", at), "begin [hole]")
}

// A hole is what nobody wrote: no message has it, and the sizes of events add up all the
// same.
func TestHolesAreSkippedAndCounted(t *testing.T) {
	nuls := func(n int) string { return strings.Repeat("\x00", n) }
	f := func(name, text string, holes int, want ...string) {
		t.Helper()
		got := texts(checkReading(t, nil, text, 64, 1, 7, 15, 16, 17, 1000))
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %.300q, want %q", name, got, want)
		}
		p, l := newPage(t), NewLog[string]("0123456789abcdef")
		file, m := &Text[string]{Window: "w", Generation: "g"}, &Maker[string]{Limit: 64}
		m.Feed(p, &l, file, []byte(text))
		if m.Flush(p, &l, file); m.Holes != int64(holes) || p.safe["w"] != int64(len(text)) || m.Memory != 0 && len(file.carry) == 0 && cap(file.carry) == 0 {
			t.Errorf("%s: %d bytes of holes, want %d; position %d of %d", name, m.Holes, holes, p.safe["w"], len(text))
		}
	}
	f("before a line", nuls(5000)+"a\nb\n", 5000, "a [hole]", "b")
	f("in a line", "GET /"+nuls(16)+"started\n", 16, "GET / [partial]", "started [hole]")
	f("at a line's end", "GET /"+nuls(100)+"\nb\n", 100, "GET / [partial]", " [hole]", "b")
	f("after a newline", "a\n"+nuls(33)+"b\n", 33, "a", "b [hole]")
	f("two in a line", "a"+nuls(20)+"b"+nuls(30)+"c\n", 50, "a [partial]", "b [partial,hole]", "c [hole]")
	f("a line over the limit", strings.Repeat("x", 70)+nuls(20)+strings.Repeat("y", 70)+"\n", 20,
		strings.Repeat("x", 64)+" [split]", "xxxxxx [partial,split]", strings.Repeat("y", 64)+" [split,hole]", "yyyyyy [split]")
	f("at the limit", strings.Repeat("x", 60)+nuls(20)+"y\n", 20, strings.Repeat("x", 60)+" [partial]", "y [hole]")
	f("a few are text", "a"+nuls(15)+"b\n", 0, "a"+nuls(15)+"b")
	f("a few at the limit are text", strings.Repeat("x", 60)+nuls(15)+"y\n", 0, strings.Repeat("x", 60)+nuls(4)+" [split]", nuls(11)+"y [split]")
	f("none after it yet", "a\n"+nuls(300), 300, "a")
}

// A byte order mark is no text, wherever a line begins with it, and it counts as bytes.
func TestByteOrderMarkIsNoText(t *testing.T) {
	at := time.Date(2026, 11, 21, 8, 0, 0, 1, time.UTC)
	const mark = "\uFEFF"
	f := func(d Decoder, text string, want ...string) {
		t.Helper()
		if got := texts(checkReading(t, d, text, 64, 1, 2, 5)); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	f(nil, mark+"first\nsecond\n", "first", "second")
	f(nil, mark+"first\n"+mark+"of another file\n", "first", "of another file")
	f(nil, "a"+mark+"b\n", "a"+mark+"b")
	f(nil, mark+"\n", "")
	f(nil, strings.Repeat("x", 64)+mark+"y\n", strings.Repeat("x", 64)+" [split]", mark+"y [split]")
	f(JSONFile, shiptest.DockerJSON(Stdout, mark+"first\n", at), "first")
	f(JSONFile, shiptest.DockerJSON(Stdout, mark+"fi", at)+shiptest.DockerJSON(Stdout, mark+"rst\n", at), "fi"+mark+"rst")
	f(JSONFile, mark+shiptest.DockerJSON(Stdout, "first\n", at), " [torn]", "first")
}

// feedAt is feed from an offset on, as after a start.
func feedAt(t *testing.T, d Decoder, text string, offset int64, limit int) *page {
	t.Helper()
	p, l := newPage(t), NewLog[string]("0123456789abcdef")
	l.Decoder = d
	file := &Text[string]{Window: "w", Generation: "g"}
	file.Resume(offset, offset > 0 && text[offset-1] != '\n')
	m := &Maker[string]{Limit: limit}
	m.Feed(p, &l, file, []byte(text)[offset:])
	return p
}

func FuzzReading(f *testing.F) {
	at := time.Date(2026, 11, 21, 8, 0, 0, 1, time.UTC)
	a, b := shiptest.DockerJSON(Stdout, "a\n", at), shiptest.DockerJSON(Stderr, "b", at)
	for _, text := range []string{
		"a\nb\n", "a" + strings.Repeat("\x00", 16) + "b\n" + strings.Repeat("\x00", 40), strings.Repeat("x", 100) + "\n", "\uFEFFa\n",
		a + b + a, `{"log":"x` + a + b, "\x00\x00" + a, a + strings.Repeat("\x00", 20) + a, strings.TrimSuffix(a, "\n") + a, `{"log":"` + b + `{"lo` + a,
	} {
		f.Add(text, byte(3), true)
		f.Add(text, byte(20), false)
	}
	f.Fuzz(func(t *testing.T, text string, step byte, docker bool) {
		if len(text) > 4096 {
			return
		}
		var d Decoder
		if docker {
			d = JSONFile
		}
		checkReading(t, d, text, 64, int(step), 1)
	})
}
