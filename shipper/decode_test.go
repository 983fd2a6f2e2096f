package shipper

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/schemas"
	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/source"
	"github.com/sluicelog/sluice/test/e2e/workload"
)

// checkDecode compares with encoding/json.
func checkDecode(t *testing.T, raw []byte, mustDecode bool) {
	t.Helper()
	var d dockerLine
	ok := d.decode(raw)
	if !ok {
		if mustDecode {
			t.Errorf("%q: not decoded", raw)
		}
		return
	}
	var want struct {
		Log    string
		Stream string
		Time   time.Time
	}
	if err := json.Unmarshal(raw, &want); err != nil {
		if d.direct && utf8.Valid(raw) {
			t.Fatalf("%q: decoded, but %v", raw, err)
		}
		return
	}
	var got string
	if err := json.Unmarshal(append(append([]byte{'"'}, d.inside...), '"'), &got); err != nil {
		t.Fatalf("%q: inside %q: %v", raw, d.inside, err)
	}
	if d.whole {
		got += "\n"
	}
	if got != want.Log || d.stream != want.Stream || !d.time.Equal(want.Time) {
		t.Errorf("%q:\ngot  %q %s %v\nwant %q %s %v", raw, got, d.stream, d.time, want.Log, want.Stream, want.Time)
	}
	if strings.HasSuffix(want.Log, "\n") != d.whole {
		t.Errorf("%q: whole = %v", raw, d.whole)
	}
}

func TestDockerLinesDecodeAsEncodingJSONDoes(t *testing.T) {
	at := time.Date(2026, 11, 21, 8, 57, 47, 123456789, time.UTC)
	const alphabet = "ab\"\\\n\r\t\x00\x1f\x7f<é\xff\xe4 上n"
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range 3000 {
		log := make([]byte, rnd.IntN(60))
		for j := range log {
			log[j] = alphabet[rnd.IntN(len(alphabet))]
		}
		if i%2 == 0 {
			log = append(log, '\n')
		}
		raw := strings.TrimSuffix(dockerJSON([]string{"stdout", "stderr"}[i/2%2], string(log), at.Add(time.Duration(rnd.Int64N(1e18)))), "\n")
		checkDecode(t, []byte(raw), true)
	}
	for i := range 500 {
		line := workload.Lines{Seed: 1, Count: 500}.At(i)
		checkDecode(t, []byte(strings.TrimSuffix(dockerJSON("stdout", string(line)+"\n", at), "\n")), true)
	}
}

func TestDockerLineForms(t *testing.T) {
	f := func(raw, inside, stream string, ok, whole, direct bool) {
		t.Helper()
		var d dockerLine
		got := d.decode([]byte(raw))
		if got != ok {
			t.Errorf("%s: decoded %v, want %v", raw, got, ok)
			return
		}
		if ok && (string(d.inside) != inside || d.stream != stream || d.whole != whole || d.direct != direct) {
			t.Errorf("%s: %q %s whole %v direct %v", raw, d.inside, d.stream, d.whole, d.direct)
		}
	}
	const at = `"time":"2026-11-21T08:57:47.1Z"}`
	f(`{"log":"a\n","stream":"stdout",`+at, `a`, stdout, true, true, true)
	f(`{"log":"a","stream":"stderr",`+at, `a`, stderr, true, false, true)
	f(`{"log":"\n","stream":"stderr",`+at, ``, stderr, true, true, true)
	f(`{"log":"","stream":"stdout",`+at, ``, stdout, true, false, true)
	f(`{"log":"a\\n","stream":"stdout",`+at, `a\\n`, stdout, true, false, true)
	f(`{"log":"a\\\n","stream":"stdout",`+at, `a\\`, stdout, true, true, true)
	f(`{"log":"a\n","stream":"stdout","attrs":{"tag":"x","q\"":"}"},`+at, `a`, stdout, true, true, true)
	f(`{"log":"a\n","stream":"stdout","attrs":{"n":{"m":1}},`+at, `a`, stdout, true, true, false)
	f(`{"stream":"stdout","log":"a\n",`+at, `a`, stdout, true, true, false)
	f(`{ "log" : "a\n", "stream" : "stdout", `+at, `a`, stdout, true, true, false)
	f(`{"log":"a\n","stream":"stdout","time":"2026-11-21T08:57:47+01:00"}`, `a`, stdout, true, true, true)
	f(`{"log":"a\n","stream":"stdout",`+at+"\r", `a`, stdout, true, true, false)
	f(`{"log":"a{"log":"b\n","stream":"stdout",`+at, ``, "", false, false, false) // torn, then a whole line
	f(`{"log":"a\n","stream":"stdout","time":"2026-11{"log":"b\n","stream":"stdout",`+at, ``, "", false, false, false)
	f(`{"log":"a\n","stream":"stdout","time":"2026-13-21T08:57:47Z"}`, ``, "", false, false, false)
	f(`{"log":"a\n","stream":"third",`+at, ``, "", false, false, false)
	f(`{"log":"a\n","stream":"",`+at, `a`, "", true, true, false)
	f(`{"log":"a\n","stream":"stdout"`, ``, "", false, false, false)
	f("{\"log\":\"a\x00\\n\",\"stream\":\"stdout\","+at, ``, "", false, false, false)
	f("\x00\x00\x00\x00", ``, "", false, false, false)
	f(``, ``, "", false, false, false)
	f(`{}`, ``, "", false, false, false)
	f(`null`, ``, "", false, false, false)
	f(`{"message":"an application's own JSON","time":"2026-11-21T08:57:47Z"}`, ``, "", false, false, false)
}

func FuzzDockerLine(f *testing.F) {
	at := time.Date(2026, 11, 21, 8, 57, 47, 120000000, time.UTC)
	for i := range 12 {
		f.Add([]byte(strings.TrimSuffix(dockerJSON("stdout", string(workload.Lines{Seed: 2, Count: 12}.At(i))+"\n", at), "\n")))
	}
	f.Add([]byte(`{"log":"a\n","stream":"stdout","attrs":{"tag":"x"},"time":"2026-11-21T08:57:47.1Z"}`))
	f.Add([]byte("\u0301\"0"))
	f.Add([]byte(`{"log":"a\ud83d\ude00\/","stream":"stderr","time":"2026-02-29T08:57:47Z"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		checkDecode(t, raw, false)
		// Cut anywhere, what is in a JSON string stays valid in both halves.
		if n, _ := scanString(raw); n > 1 {
			in := raw[:n]
			for limit := 1; limit <= min(n, 20); limit++ {
				cut := cutEscaped(in, limit)
				for _, half := range [][]byte{in[:cut], in[cut:]} {
					if e, _ := scanString(append(bytes.Clone(half), '"')); e != len(half) {
						t.Fatalf("%q cut at %d of %d: %q is not valid", in, cut, limit, half)
					}
				}
			}
		}
		if standsForItself(raw) != (string(schemas.AppendString(nil, raw)) == string(raw)) && utf8.Valid(raw) {
			t.Fatalf("%q: stands for itself %v", raw, standsForItself(raw))
		}
	})
}

func TestCutEscaped(t *testing.T) {
	f := func(in string, limit, want int) {
		t.Helper()
		if got := cutEscaped([]byte(in), limit); got != want {
			t.Errorf("%q at %d: %d, want %d", in, limit, got, want)
		}
	}
	f(`abc`, 5, 3)
	f(`abcdef`, 3, 3)
	f(`ab\ndef`, 3, 2)
	f(`ab\ndef`, 4, 4)
	f(`ab\\\\n`, 5, 4)
	f(`ab\\\\n`, 6, 6)
	f(`a\u00e9b`, 5, 1)
	f(`a\u00e9b`, 7, 7)
	f(`a\ud83d\ude00b`, 7, 1)
	f(`a\ud83d\ude00b`, 12, 1)
	f(`a\ud83d\ude00b`, 13, 13)
	f(`a上b`, 2, 1)
	f(`a上b`, 4, 4)
	f(`\\a`, 1, 0)
}

func TestFilePrefix(t *testing.T) {
	f := func(line, name, message string) {
		t.Helper()
		n := filePrefix([]byte(line))
		got, rest := line[:n], line
		if n > 0 {
			rest = line[n+2:]
		}
		if got != name || rest != message {
			t.Errorf("%q: %q and %q, want %q and %q", line, got, rest, name, message)
		}
	}
	f("access.log: GET / 200", "access.log", "GET / 200")
	f("web.1/catalina.out: started", "web.1/catalina.out", "started")
	f("localhost_access_log.2026-11-21.txt: x", "localhost_access_log.2026-11-21.txt", "x")
	f("access.log: ", "access.log", "")
	f("access.log:GET", "", "access.log:GET")
	f("Error: no such file", "", "Error: no such file")
	f("java.lang.NullPointerException: x", "", "java.lang.NullPointerException: x")
	f("load 93% disk.log: x", "", "load 93% disk.log: x")
	f("../etc/passwd.log: x", "", "../etc/passwd.log: x")
	f("a//b.log: x", "", "a//b.log: x")
	f(".log: x", "", ".log: x")
	f("-a.log: x", "", "-a.log: x")
	f("/abs.log: x", "", "/abs.log: x")
	f("", "", "")
	f(":", "", ":")
	f(strings.Repeat("a", 124)+".log: x", strings.Repeat("a", 124)+".log", "x")
	f(strings.Repeat("a", 125)+".log: x", "", strings.Repeat("a", 125)+".log: x")
}

func TestWindowMovesInOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		var w window
		n := rnd.IntN(300)
		acked := make([]bool, n)
		at := int64(0)
		for i, seq := range append(rnd.Perm(n), rnd.Perm(n)...) { // acknowledged in any order, and again
			if i == 0 {
				for k := range n {
					w.push(int64(k+1) * 10)
				}
			}
			if got := w.done(int64(seq)); got >= 0 {
				at = got
			}
			acked[seq] = true
			want := 0
			for want < n && acked[want] {
				want++
			}
			if at != int64(want)*10 {
				t.Fatalf("position %d, want %d", at, want*10)
			}
		}
		if !w.empty() {
			t.Fatal("not empty")
		}
	}
}

func TestSplitEventAddsUp(t *testing.T) {
	tail := schemas.NewTail(&schemas.Source{Path: "/x", Host: "h"})
	f := func(message string, fl flags) {
		t.Helper()
		l := &schemas.Line{Time: time.Unix(1, 0), Message: schemas.AppendString(nil, message), Stream: "stdout", Offset: 1000, Size: 77, Flags: flagSets[fl], FileName: []byte("a.log")}
		v := schemas.AppendEvent(nil, l, tail)
		a, b, ok := splitEvent(v)
		if !ok {
			t.Fatalf("%q is not split", message)
		}
		again, _, _ := splitEvent(v)
		var e [2]event
		for i, half := range [][]byte{a, b} {
			if err := json.Unmarshal(half, &e[i]); err != nil {
				t.Fatalf("%v: %s", err, half)
			}
			if _, ok := schemas.ParseHead(half); !ok {
				t.Errorf("no head: %s", half)
			}
			if n := len(e[i].Log.Flags); n == 0 || e[i].Log.Flags[0] != "split" && e[i].Log.Flags[n-1] != "split" {
				t.Errorf("flags %q", e[i].Log.Flags)
			}
		}
		if e[0].Message+e[1].Message != message || e[0].Log.Offset != 1000 || e[0].Log.Size+e[1].Log.Size != 77 || e[1].Log.Offset != 1000+e[0].Log.Size {
			t.Errorf("halves %+v %+v", e[0], e[1])
		}
		if e[0].Meta.ID == e[1].Meta.ID || !bytes.Equal(a, again) || e[0].Meta.ID[:8] != l.ID.String()[:8] {
			t.Errorf("ids %s %s", e[0].Meta.ID, e[1].Meta.ID)
		}
	}
	f("ab", 0)
	f("hello \"world\" 上海", cleaned)
	f(strings.Repeat("\"", 99), split|partial)
	if _, _, ok := splitEvent(schemas.AppendEvent(nil, &schemas.Line{Message: []byte("a")}, tail)); ok {
		t.Error("one character was split")
	}
}

// bench is a tailer without files whose batches go nowhere.
func bench(docker bool) (*tailer, *file) {
	t := &tailer{m: newMeters(metrics.New("shipper", "h")), maxLine: 2 << 20, cur: &batch{}, buf: make([]byte, readSize), now: time.Now(), kinds: map[string]*kindTally{}}
	spec := source.Spec{
		Kind: source.KindDocker, Name: "c", Path: "/var/lib/docker/containers/c/c-json.log",
		Tags: schemas.Source{ContainerID: fakeID(1), ContainerName: "mesos-6f2a1c34", Image: "registry/order:1.2.3", TaskID: "order.prod.6f2a1c34", AppID: "/prod/order", ServiceName: "order", Labels: map[string]string{"tier": "gold"}},
	}
	if docker {
		spec.Decoder, spec.Joiner = source.JSONFile, source.Pieces
	}
	s := newOrigin(spec, "host1")
	s.n = t.kind(s.Kind)
	s.describe("host1", "dc1", nil, "host")
	return t, newFile(s, -1, disk.Stat{}, s.Path, position{}, 0)
}

func benchFeed(b *testing.B, docker bool, data []byte, n int) {
	t, f := bench(docker)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		for used := 0; used < len(data); {
			used += t.feed(f, data[used:])
			if t.cur.full() {
				t.cur.register()
				f.window.base, f.window.next = f.seq, f.seq
				t.cur.reset()
				t.chunk = t.chunk[:0]
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/line")
}

func BenchmarkDockerLines(b *testing.B) {
	var data []byte
	for i := range 200 {
		line := "2026-11-21 08:57:47.123 INFO  [http-nio-8080-exec-12] com.shop.OrderService - order ua=\"Mozilla/5.0 (iPhone)\" " + strings.Repeat("key=value ", i%180)
		data = append(data, dockerJSON("stdout", line+"\n", time.Unix(1763715467, int64(i)))...)
	}
	benchFeed(b, true, data, 200)
}

func BenchmarkPlainLines(b *testing.B) {
	var data []byte
	for i := range 200 {
		data = append(data, "2026-11-21 08:57:47.123 INFO  [http-nio-8080-exec-12] com.shop.OrderService - order ua=\"Mozilla/5.0 (iPhone)\" "+strings.Repeat("key=value ", i%180)+"\n"...)
	}
	benchFeed(b, false, data, 200)
}

func TestLinesAllocateNothing(t *testing.T) {
	for _, docker := range []bool{true, false} {
		tl, f := bench(docker)
		line := []byte(dockerJSON("stdout", "hello \"world\"\n", time.Now()))
		run := func() {
			for range 100 {
				tl.feed(f, line)
			}
			tl.cur.register()
			f.window.base, f.window.next = f.seq, f.seq
			tl.cur.reset()
			tl.chunk = tl.chunk[:0]
		}
		run()
		if n := testing.AllocsPerRun(20, run); n > 0 {
			t.Errorf("docker %v: %v allocations in 100 lines", docker, n)
		}
	}
}
