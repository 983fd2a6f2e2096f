package line

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/schemas"
	"github.com/sluicelog/sluice/shipper/internal/shiptest"
	"github.com/sluicelog/sluice/test/e2e/workload"
)

// page collects what is made, and how far positions may move.
type page struct {
	t      *testing.T
	tail   *schemas.Tail
	events []shiptest.Event
	safe   map[string]int64 // by window
	stored []int64          // positions of the window w, after each event
}

func newPage(t *testing.T) *page {
	return &page{t: t, tail: schemas.NewTail(&schemas.Source{ID: "0123456789abcdef"}), safe: map[string]int64{}}
}

func (p *page) Full() bool { return false }

func (p *page) Emit(e *Event[string]) {
	p.t.Helper()
	e.Flags = e.Set.Texts()
	v := schemas.AppendEvent(nil, &e.Line, p.tail)
	var got shiptest.Event
	if err := json.Unmarshal(v, &got); err != nil {
		p.t.Fatalf("%v: %s", err, v)
	}
	if got.Log.Source != "0123456789abcdef" || got.Log.Generation != "g" {
		p.t.Errorf("source %q, generation %q", got.Log.Source, got.Log.Generation)
	}
	p.events = append(p.events, got)
	for _, h := range e.Holds {
		if h.Next < p.safe[h.Window] {
			p.t.Errorf("the position falls from %d to %d", p.safe[h.Window], h.Next)
		}
		p.safe[h.Window] = h.Next
	}
	p.stored = append(p.stored, p.safe["w"])
}

// feed makes events of text in reads of the given size.
func feed(t *testing.T, d Decoder, prefix bool, text string, limit, step int) *page {
	t.Helper()
	p, l := newPage(t), NewLog[string]("0123456789abcdef")
	l.Decoder, l.Prefix = d, prefix
	file := &Text[string]{Window: "w", Generation: "g"}
	m := &Maker[string]{Limit: limit}
	for data := []byte(text); len(data) > 0; {
		n := m.Feed(p, &l, file, data[:min(step, len(data))])
		data = data[n:]
	}
	return p
}

func TestPartialLinesAreJoinedPerStream(t *testing.T) {
	at := time.Date(2026, 11, 21, 8, 0, 0, 1, time.UTC)
	long := func(n int) string { return strings.Repeat("ab\"\\上é ", n/10+1)[:n] }
	f := func(name, raw string, safeAt int, want ...string) {
		t.Helper()
		var first []shiptest.Event
		for _, step := range []int{len(raw), 7, 16384, 100_000} {
			p := feed(t, JSONFile, false, raw, 2<<20, step)
			got, safe := p.events, p.safe["w"]
			var messages []string
			var size int64
			for _, e := range got {
				messages = append(messages, e.Stream+" "+e.Message)
				size += e.Log.Size
			}
			if !slices.Equal(messages, want) {
				t.Errorf("%s: got %d events %.300q, want %d %.300q", name, len(messages), messages, len(want), want)
			}
			if safeAt < 0 {
				safeAt = len(raw)
			}
			if safe != int64(safeAt) {
				t.Errorf("%s: position %d, want %d", name, safe, safeAt)
			}
			if safeAt == len(raw) && size != int64(len(raw)) {
				t.Errorf("%s: sizes add up to %d of %d", name, size, len(raw))
			}
			if first == nil {
				first = got
			}
			for i := range got {
				if i < len(first) && got[i].Meta.ID != first[i].Meta.ID {
					t.Errorf("%s: id of event %d hangs on how the file was read", name, i)
				}
			}
		}
	}
	ascii := func(n int) string { return strings.Repeat("x", n) }
	for _, n := range []int{16383, 16384, 16385, 32767, 32768, 32769, 1 << 20} {
		f(fmt.Sprint(n), shiptest.Pieces16("stdout", ascii(n)+"\n", at), -1, "stdout "+ascii(n))
	}
	f("16384 and the newline alone", shiptest.DockerJSON("stdout", ascii(16384), at)+shiptest.DockerJSON("stdout", "\n", at), -1, "stdout "+ascii(16384))
	f("escapes", shiptest.DockerJSON("stdout", long(10)[:10], at)+shiptest.DockerJSON("stdout", "\x1b\"\\\n", at), -1, "stdout "+strings.ToValidUTF8(long(10)[:10], "\uFFFD")+"\x1b\"\\")
	f("interleaved", shiptest.DockerJSON("stdout", "out 1 ", at)+shiptest.DockerJSON("stderr", "err 1 ", at)+shiptest.DockerJSON("stdout", "out 2\n", at)+shiptest.DockerJSON("stderr", "err 2\n", at), -1, "stdout out 1 out 2", "stderr err 1 err 2")
	whole := shiptest.DockerJSON("stderr", "whole\n", at)
	f("held back", whole+shiptest.DockerJSON("stdout", "no end", at)+whole, len(whole), "stderr whole", "stderr whole")
	f("torn in between", shiptest.DockerJSON("stdout", "a", at)+"{\"log\":\"to\n"+shiptest.DockerJSON("stdout", "b\n", at), -1, " {\"log\":\"to", "stdout ab")
	f("hole", "\x00\x00\x00\n"+whole, -1, " ", "stderr whole")
	f("empty raw line", "\n"+whole, -1, " ", "stderr whole")
}

func TestLinesOverTheLimitAreSplitAndAddUp(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	at := time.Date(2026, 11, 21, 8, 0, 0, 1, time.UTC)
	for round := range 200 {
		limit := 20 + rnd.IntN(100)
		var raw strings.Builder
		texts := map[string]string{}
		for i := range 1 + rnd.IntN(6) {
			stream := []string{"stdout", "stderr"}[rnd.IntN(2)]
			log := strings.ToValidUTF8(string(workload.Lines{Seed: uint64(round), Count: 100}.At(i)), "?")
			log = log[:min(len(log), rnd.IntN(400))]
			log = strings.ToValidUTF8(log, "?")
			if rnd.IntN(3) > 0 {
				log += "\n"
			}
			texts[stream] += log
			raw.WriteString(shiptest.DockerJSON(stream, log, at.Add(time.Duration(i))))
		}
		for _, stream := range []string{"stdout", "stderr"} {
			texts[stream] += "\n"
			raw.WriteString(shiptest.DockerJSON(stream, "\n", at.Add(time.Second)))
		}
		p := feed(t, JSONFile, false, raw.String(), limit, 1+rnd.IntN(300))
		got, safe := p.events, p.safe["w"]
		var size int64
		out := map[string]string{}
		ids := map[string]bool{}
		for _, e := range got {
			size += e.Log.Size
			if len(e.Message) > limit {
				t.Errorf("message of %d bytes, limit %d", len(e.Message), limit)
			}
			out[e.Stream] += e.Message
			ids[e.Meta.ID] = true
		}
		for stream, text := range texts {
			if out[stream] != strings.ReplaceAll(text, "\n", "") {
				t.Errorf("limit %d: %s\ngot  %q\nwant %q", limit, stream, out[stream], text)
			}
		}
		if size != int64(raw.Len()) || safe != int64(raw.Len()) || len(ids) != len(got) {
			t.Errorf("limit %d: sizes %d, position %d of %d; %d ids of %d events", limit, size, safe, raw.Len(), len(ids), len(got))
		}
	}
}

func TestPlainLinesOverTheLimitAreSplitAndAddUp(t *testing.T) {
	text := strings.Repeat("é", 33) + "\n" + "short\n" + strings.Repeat("x", 20) + "\n" + strings.Repeat("y", 21) + "\n\n"
	var first []shiptest.Event
	for step := 1; step < len(text)+1; step++ {
		p := feed(t, nil, false, text, 20, step)
		got, safe := p.events, p.safe["w"]
		var messages []string
		var size int64
		for i, e := range got {
			messages = append(messages, fmt.Sprint(e.Message, e.Log.Flags))
			size += e.Log.Size
			if first != nil && e.Meta.ID != first[i].Meta.ID {
				t.Errorf("step %d: id of event %d hangs on how the file was read", step, i)
			}
		}
		first = got
		want := []string{"éééééééééé[split]", "éééééééééé[split]", "éééééééééé[split]", "ééé[split]", "short[]", strings.Repeat("x", 20) + "[]", strings.Repeat("y", 20) + "[split]", "y[split]", "[]"}
		if !slices.Equal(messages, want) || size != int64(len(text)) || safe != int64(len(text)) {
			t.Fatalf("step %d: %q, sizes %d of %d, position %d", step, messages, size, len(text), safe)
		}
	}
}

func TestPrefixOfASplitLineStaysWithItsPieces(t *testing.T) {
	at := time.Now()
	for _, decoder := range []Decoder{JSONFile, nil} {
		text := "access.log: " + strings.Repeat("x", 30) + "\nno prefix\n"
		if decoder != nil {
			text = shiptest.DockerJSON("stdout", strings.SplitAfter(text, "\n")[0], at) + shiptest.DockerJSON("stdout", "no prefix\n", at)
		}
		got := feed(t, decoder, true, text, 20, len(text)).events
		var out []string
		for _, e := range got {
			out = append(out, e.Log.File.Name+"|"+e.Message)
		}
		want := []string{"access.log|" + strings.Repeat("x", 8), "access.log|" + strings.Repeat("x", 20), "access.log|xx", "|no prefix"}
		if !slices.Equal(out, want) {
			t.Errorf("decoder %v: %q, want %q", decoder, out, want)
		}
	}
}

// As after a rotation: the pieces of a line lie in two files, and neither position may
// pass its piece until the line is stored.
func TestALineWithPiecesInTwoFilesHoldsBoth(t *testing.T) {
	at := time.Date(2026, 11, 21, 8, 0, 0, 1, time.UTC)
	p, l := newPage(t), NewLog[string]("0123456789abcdef")
	l.Decoder = JSONFile
	m := &Maker[string]{Limit: 2 << 20}
	old, young := &Text[string]{Window: "old", Generation: "g"}, &Text[string]{Window: "young", Generation: "other"}
	other := shiptest.DockerJSON("stderr", "other\n", at)
	begin, rest := shiptest.DockerJSON("stdout", "begin ", at), shiptest.DockerJSON("stdout", "end\n", at)
	m.Feed(p, &l, old, []byte(other+begin+other))
	if p.safe["old"] != int64(len(other)) || !l.Unfinished(old) || l.Back(old) != int64(len(other)) {
		t.Errorf("position %d, want %d; back to %d", p.safe["old"], len(other), l.Back(old))
	}
	young.Generation = "g"
	m.Feed(p, &l, young, []byte(rest))
	if got := p.events[len(p.events)-1]; got.Message != "begin end" || got.Log.Offset != int64(len(other)) || got.Log.Size != int64(len(begin)+len(rest)) {
		t.Errorf("%+v", got)
	}
	if p.safe["old"] != old.Read || p.safe["young"] != young.Read || l.Unfinished(old) || m.Joined != 1 {
		t.Errorf("positions %v, read %d and %d", p.safe, old.Read, young.Read)
	}
	m.End(&l)
	if m.Memory != 0 {
		t.Errorf("%d bytes held at the end", m.Memory)
	}
}
