package schemas

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/sluicelog/sluice/internal/jsontext"
)

var update = flag.Bool("update", false, "rewrite golden files")

func sample() (*Line, *Tail) {
	raw := []byte(`2026-11-21 08:57:47.123 INFO  [exec-1] c.q.OrderService - id=7919 ua="Mozilla/5.0" 上海`)
	p := NewPlace(SourceID("l-agent12", "docker", "0123"), "", "stdout")
	at := time.Date(2026, 11, 21, 8, 57, 47, 123456789, time.UTC)
	l := &Line{ID: p.Line(4096).Add(raw).ID(at), Time: at, Message: jsontext.Append(nil, raw), Stream: "stdout", Offset: 4096, Size: 180, Generation: "1311-1763715467000000001-0"}
	return l, NewTail(&Source{
		ID: SourceID("l-agent12", "docker", "0123"), Path: "/var/lib/docker/containers/0123/0123-json.log", ContainerID: "0123", ContainerName: "mesos-6f2a", Image: "registry/order:1.2.3",
		ContainerLabels: map[string]string{"team": "order"}, TaskID: "prod_order.6f2a", AppID: "/prod/order", AppVersion: "2026-11-20T10:00:00Z",
		ServiceName: "order", Host: "l-agent12", DC: "dc1", Labels: map[string]string{"env": "prod"}, Dataset: "order", Tags: []string{"a", "b"},
	})
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\ngot  %s\nwant %s", path, got, want)
	}
}

func TestEventOnTheWire(t *testing.T) {
	l, tail := sample()
	all := AppendEvent(nil, l, tail)
	l.Flags, l.FileName = []string{FlagPartial, FlagSplit}, []byte("access.log")
	all = append(AppendEvent(append(all, '\n'), l, tail), '\n')
	all = append(AppendEvent(all, &Line{Time: l.Time}, NewTail(&Source{Host: "h"})), '\n')
	golden(t, "events.ndjson", all)
	for i, line := range bytes.Split(bytes.TrimSpace(all), []byte("\n")) {
		if !json.Valid(line) {
			t.Errorf("event %d is no JSON: %s", i, line)
		}
		if _, ok := ParseHead(line); !ok {
			t.Errorf("event %d: no head", i)
		}
	}
}

func TestParseHead(t *testing.T) {
	l, tail := sample()
	v := AppendEvent(nil, l, tail)
	h, ok := ParseHead(v)
	if !ok {
		t.Fatal("no head")
	}
	f := func(what string, got []byte, want string) {
		t.Helper()
		if string(got) != want {
			t.Errorf("%s = %s, want %s", what, got, want)
		}
	}
	f("id", h.ID, l.ID.String())
	f("time", h.Time, "2026-11-21T08:57:47.123456789Z")
	f("message", h.Message, string(l.Message))
	f("rest", h.Rest[:19], `,"stream":"stdout",`)
	for n := range v { // a cut event has no head, or one that is whole
		if h, ok := ParseHead(v[:n]); ok && len(h.Message) != len(l.Message) {
			t.Errorf("cut at %d: message %s", n, h.Message)
		}
	}
}

func FuzzParseHead(f *testing.F) {
	l, tail := sample()
	f.Add(AppendEvent(nil, l, tail))
	f.Add([]byte(`{"@metadata":{"_id":"AZqTf0sBxxxxxxxxxxxxxxxx"},"@timestamp":"2026-11-21T08:57:47.123456789Z","message":"\\\\\""}`))
	f.Fuzz(func(t *testing.T, v []byte) {
		h, ok := ParseHead(v)
		if !ok || !json.Valid(v) {
			return
		}
		var e struct {
			Message string `json:"message"`
		}
		var got string
		if err := json.Unmarshal(append(append([]byte{'"'}, h.Message...), '"'), &got); err != nil {
			t.Fatalf("message %q: %v", h.Message, err)
		}
		if json.Unmarshal(v, &e) == nil && bytes.Count(v, []byte(`"message"`)) == 1 && bytes.Count(v, []byte(`essage`)) == 1 && bytes.IndexByte(v, '\\') < 0 && got != e.Message {
			t.Fatalf("message %q, encoding/json says %q", got, e.Message)
		}
	})
}

func TestAppendTime(t *testing.T) {
	f := func(at time.Time, want string) {
		t.Helper()
		if got := string(AppendTime(nil, at)); got != want {
			t.Errorf("%v = %s, want %s", at, got, want)
		}
	}
	f(time.Unix(0, 0), "1970-01-01T00:00:00.000000000Z")
	f(time.Date(2026, 2, 3, 4, 5, 6, 7, time.FixedZone("", 8*3600)), "2026-02-02T20:05:06.000000007Z")
	f(time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), "9999-12-31T23:59:59.999999999Z")
	f(time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC), "9999-01-01T00:00:00.000000000Z")
}

func BenchmarkAppendEvent(b *testing.B) {
	l, tail := sample()
	l.Message = bytes.Repeat([]byte("x"), 1000)
	dst := AppendEvent(nil, l, tail)
	b.SetBytes(int64(len(dst)))
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendEvent(dst[:0], l, tail)
	}
}

func BenchmarkParseHead(b *testing.B) {
	l, tail := sample()
	l.Message = bytes.Repeat([]byte("x"), 1000)
	v := AppendEvent(nil, l, tail)
	b.SetBytes(int64(len(v)))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := ParseHead(v); !ok {
			b.Fatal("no head")
		}
	}
}
