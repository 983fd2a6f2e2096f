package shipper

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/test/e2e/workload"
)

// joined feeds raw to a source in reads of the given size and gives the events and how
// far the position may move when all are acknowledged.
func joined(t *testing.T, raw string, maxLine, step int) (events []event, safe int64, tl *tailer, f *file) {
	t.Helper()
	tl, f = bench(true)
	tl.maxLine = maxLine
	data := []byte(raw)
	for len(data) > 0 {
		n := tl.feed(f, data[:min(step, len(data))])
		data = data[n:]
		events, safe = drain(t, tl, events, safe)
	}
	return events, safe, tl, f
}

func drain(t *testing.T, tl *tailer, events []event, safe int64) ([]event, int64) {
	t.Helper()
	for _, o := range tl.cur.out {
		var e event
		if err := json.Unmarshal(o.rec.Value, &e); err != nil {
			t.Fatalf("%v: %s", err, o.rec.Value)
		}
		events = append(events, e)
	}
	for _, p := range tl.cur.pushes {
		if p.safe < safe {
			t.Errorf("the position falls from %d to %d", safe, p.safe)
		}
		safe = p.safe
	}
	tl.cur.reset()
	return events, safe
}

func TestPartialLinesAreJoinedPerStream(t *testing.T) {
	at := time.Date(2026, 11, 21, 8, 0, 0, 1, time.UTC)
	long := func(n int) string { return strings.Repeat("ab\"\\上é ", n/10+1)[:n] }
	f := func(name, raw string, safeAt int, want ...string) {
		t.Helper()
		var first []event
		for _, step := range []int{len(raw), 7, 16384, 100_000} {
			got, safe, _, _ := joined(t, raw, 2<<20, step)
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
		f(fmt.Sprint(n), pieces16("stdout", ascii(n)+"\n", at), -1, "stdout "+ascii(n))
	}
	f("16384 and the newline alone", dockerJSON("stdout", ascii(16384), at)+dockerJSON("stdout", "\n", at), -1, "stdout "+ascii(16384))
	f("escapes", dockerJSON("stdout", long(10)[:10], at)+dockerJSON("stdout", "\x1b\"\\\n", at), -1, "stdout "+strings.ToValidUTF8(long(10)[:10], "\uFFFD")+"\x1b\"\\")
	f("interleaved", dockerJSON("stdout", "out 1 ", at)+dockerJSON("stderr", "err 1 ", at)+dockerJSON("stdout", "out 2\n", at)+dockerJSON("stderr", "err 2\n", at), -1, "stdout out 1 out 2", "stderr err 1 err 2")
	whole := dockerJSON("stderr", "whole\n", at)
	f("held back", whole+dockerJSON("stdout", "no end", at)+whole, len(whole), "stderr whole", "stderr whole")
	f("torn in between", dockerJSON("stdout", "a", at)+"{\"log\":\"to\n"+dockerJSON("stdout", "b\n", at), -1, " {\"log\":\"to", "stdout ab")
	f("hole", "\x00\x00\x00\n"+whole, -1, " \x00\x00\x00", "stderr whole")
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
			raw.WriteString(dockerJSON(stream, log, at.Add(time.Duration(i))))
		}
		for _, stream := range []string{"stdout", "stderr"} {
			texts[stream] += "\n"
			raw.WriteString(dockerJSON(stream, "\n", at.Add(time.Second)))
		}
		got, safe, _, _ := joined(t, raw.String(), limit, 1+rnd.IntN(300))
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
	var first []event
	for step := 1; step < len(text)+1; step++ {
		tl, f := bench(false)
		tl.maxLine = 20
		var got []event
		var safe int64
		for data := []byte(text); len(data) > 0; {
			n := tl.feed(f, data[:min(step, len(data))])
			data = data[n:]
			got, safe = drain(t, tl, got, safe)
		}
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
	for _, docker := range []bool{true, false} {
		tl, f := bench(docker)
		tl.maxLine, f.src.Hints.FilePrefix = 20, true
		text := "access.log: " + strings.Repeat("x", 30) + "\nno prefix\n"
		if docker {
			text = dockerJSON("stdout", strings.SplitAfter(text, "\n")[0], at) + dockerJSON("stdout", "no prefix\n", at)
		}
		tl.feed(f, []byte(text))
		got, _ := drain(t, tl, nil, 0)
		var out []string
		for _, e := range got {
			out = append(out, e.Log.File.Name+"|"+e.Message)
		}
		want := []string{"access.log|" + strings.Repeat("x", 8), "access.log|" + strings.Repeat("x", 20), "access.log|xx", "|no prefix"}
		if !slices.Equal(out, want) {
			t.Errorf("docker %v: %q, want %q", docker, out, want)
		}
	}
}

// A container's last words have no newline if it was killed while it wrote them.
func TestLastLineOfAnEndedContainerIsSentAsPartial(t *testing.T) {
	s := newSite(t)
	d := s.docker()
	d.add(fakeContainer{ID: fakeID(1), Name: "web"}, true)
	appendTo(t, d.log(fakeID(1)), dockerJSON("stdout", "a line\n", time.Now())+dockerJSON("stdout", "no end", time.Now()))
	s.start()
	s.wait(1)
	s.settle()
	s.wait(1) // it may still go on
	d.mu.Lock()
	d.containers[fakeID(1)].State = "exited"
	d.mu.Unlock()
	d.event("die", fakeID(1))
	s.wait(2)
	if e := s.only("no end"); !slices.Equal(e.Log.Flags, []string{"partial"}) || e.Stream != "stdout" {
		t.Errorf("%+v", e)
	}
	s.until("closed file", func() bool { return s.counter("shipper_files_open") == 0 })
	d.mu.Lock()
	d.containers[fakeID(1)].State = "running"
	d.mu.Unlock()
	d.event("start", fakeID(1))
	d.write(fakeID(1), "stdout", "started again")
	s.wait(3)
	s.positionsDone()
	s.settle()
	if len(s.order) != 3 {
		t.Errorf("%d records, want 3", len(s.order))
	}
}
