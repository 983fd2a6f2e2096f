package deadletter

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/internal/kafka"
)

// randomRecord has all that a record may have: no key or an empty one, no value or an
// empty one, headers that repeat, have no value, or are a letter's; any time.
func randomRecord(r *rand.Rand) kafka.Record {
	text := func(most int) []byte {
		switch r.IntN(5) {
		case 0:
			return nil
		case 1:
			return []byte{}
		}
		b := make([]byte, r.IntN(most)+1)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	rec := kafka.Record{
		Key: text(40), Value: text(5000), Offset: r.Int64N(1 << 40), Appended: r.IntN(2) == 0,
		Time: time.UnixMilli([]int64{0, -1, 1, 1_764_000_000_123, -62_200_000_000_000, 253_402_300_800_000, r.Int64N(1 << 42), -r.Int64N(1 << 42)}[r.IntN(8)]),
	}
	keys := []string{"app", "dc", "dc", "", headerLetter, headerReason, headerOffset, headerPart, headerValue, "dead.of_somebody"}
	for range r.IntN(6) {
		rec.Headers = append(rec.Headers, kafka.Header{Key: []byte(keys[r.IntN(len(keys))]), Value: text(20)})
	}
	if r.IntN(10) == 0 {
		rec.Headers = append(rec.Headers, kafka.Header{Key: []byte("huge"), Value: make([]byte, mostBeside)})
	}
	return rec
}

func letterOf(rec kafka.Record) *Letter {
	return &Letter{
		Record: rec, Cluster: "central", Topic: "logs", Partition: 7,
		Reason: "document_parsing_exception", Error: "document_parsing_exception: no \xff\n", Status: 400,
		Role: "indexer", Output: "online", Target: "sluice-2026.11.21", ID: "x", Died: time.Date(2026, 11, 21, 8, 57, 47, 123456789, time.UTC),
	}
}

// same is whether two letters are one in all that they keep.
func same(a, b *Letter) bool {
	x, y := *a, *b
	equal := func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }
	ok := equal(x.Record.Key, y.Record.Key) && equal(x.Record.Value, y.Record.Value) && x.Record.Time.Equal(y.Record.Time) &&
		x.Record.Offset == y.Record.Offset && x.Record.Appended == y.Record.Appended && x.Died.Equal(y.Died) &&
		slices.EqualFunc(x.Record.Headers, y.Record.Headers, func(a, b kafka.Header) bool { return equal(a.Key, b.Key) && equal(a.Value, b.Value) })
	for _, l := range []*Letter{&x, &y} {
		l.Record, l.Died = kafka.Record{}, time.Time{}
		l.Record.Offset = 0
	}
	return ok && x.Reason == y.Reason && x.Error == y.Error && x.Status == y.Status && x.Role == y.Role && x.Output == y.Output &&
		x.Target == y.Target && x.ID == y.ID && x.Since.Equal(y.Since) && x.Cluster == y.Cluster && x.Topic == y.Topic && x.Partition == y.Partition
}

// cutUp is a letter in parts of random sizes, some of them twice.
func cutUp(r *rand.Rand, l *Letter) (parts []kafka.Record) {
	body, beside := l.body()
	for from := 0; from < len(body); {
		to := min(from+1+r.IntN(len(body)), len(body))
		parts = append(parts, l.part(body, beside, from, to))
		if r.IntN(3) == 0 {
			parts = append(parts, parts[r.IntN(len(parts))])
		}
		if r.IntN(3) == 0 && to-from > 1 {
			to = from + (to-from)/2 // the next overlaps
		}
		from = to
	}
	return parts
}

// The record that a letter was made of is the one that is read from it, whole or in
// parts, and so is the letter of a letter.
func TestRecordToLetterToRecordIsTheIdentity(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		l := letterOf(randomRecord(r))
		if r.IntN(3) == 0 {
			l.Since = time.Date(2026, 11, 21, 8, 57, 40, r.IntN(1e9), time.UTC)
		}
		if r.IntN(4) == 0 { // it was a letter before
			l = letterOf(letterOf(l.Record).stored())
			l.Record.Time = l.Record.Time.Truncate(time.Millisecond)
			l.Died = l.Died.Add(time.Hour)
		}
		reader := NewReader("sluice-dead", 1<<20)
		stored := l.stored()
		got, err := reader.Read(3, &stored)
		if err != nil || !same(got, l) {
			t.Fatalf("whole: %v\n%+v\nwant\n%+v", err, got, l)
		}
		parts := cutUp(r, l)
		if len(parts) == 0 {
			continue
		}
		r.Shuffle(len(parts), func(i, k int) { parts[i], parts[k] = parts[k], parts[i] })
		var whole []*Letter
		for _, p := range parts {
			got, err := reader.Read(3, &p)
			if err != nil {
				t.Fatalf("in parts: %v", err)
			}
			if got != nil {
				whole = append(whole, got)
			}
		}
		if len(whole) == 0 || !same(whole[0], l) {
			t.Fatalf("in parts: %+v\nwant\n%+v", whole, l)
		}
		if len(reader.Incomplete()) == 0 && reader.bytes != 0 {
			t.Fatalf("%d bytes are held for nothing", reader.bytes)
		}
	}
}

func TestLetterIsReadable(t *testing.T) {
	l := letterOf(kafka.Record{Key: []byte("source"), Value: []byte(`{"message":"a"}`), Offset: 4711, Time: time.UnixMilli(1_763_715_467_123), Appended: true,
		Headers: []kafka.Header{{Key: []byte("app"), Value: []byte("web")}}})
	l.Error = strings.Repeat("é", 2000)
	r := l.stored()
	var got strings.Builder
	for _, h := range r.Headers {
		got.WriteString(string(h.Key) + "=" + string(h.Value) + "\n")
	}
	want := `app=web
dead.letter=2
dead.reason=document_parsing_exception
dead.error=` + strings.Repeat("é", 512) + `
dead.status=400
dead.role=indexer
dead.output=online
dead.target=sluice-2026.11.21
dead.id=x
dead.cluster=central
dead.topic=logs
dead.partition=7
dead.offset=4711
dead.time=2026-11-21T08:57:47.123456789Z
dead.record_time=2025-11-21T08:57:47.123Z
dead.time_type=append
`
	if got.String() != want || string(r.Key) != "source" || string(r.Value) != `{"message":"a"}` || !r.Time.Equal(l.Died) || r.Appended {
		t.Errorf("key %s, value %s, time %v, headers\n%s\nwant\n%s", r.Key, r.Value, r.Time, &got, want)
	}
}

func TestReaderRefuses(t *testing.T) {
	l := letterOf(kafka.Record{Value: []byte("0123456789"), Offset: 5, Time: time.UnixMilli(1)})
	whole := l.stored()
	f := func(want error, text string, change func(set func(key, value string), drop func(key string))) {
		t.Helper()
		r := whole
		r.Offset = 99
		r.Headers = slices.Clone(whole.Headers)
		find := func(key string) int {
			return slices.IndexFunc(r.Headers, func(h kafka.Header) bool { return string(h.Key) == key })
		}
		change(func(key, value string) {
			if i := find(key); i >= 0 {
				r.Headers[i].Value = []byte(value)
			} else {
				r.Headers = append(r.Headers, header(key, value))
			}
		}, func(key string) { r.Headers = slices.Delete(r.Headers, find(key), find(key)+1) })
		_, err := NewReader("sluice-dead", 100).Read(3, &r)
		if !errors.Is(err, want) || err != nil && !strings.HasPrefix(err.Error(), "record at sluice-dead/3@99 is") || err != nil && !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %v with %q", err, want, text)
		}
	}
	type set = func(key, value string)
	type drop = func(key string)
	f(nil, "", func(set, drop) {})
	f(ErrNoLetter, "", func(_ set, d drop) { d(headerLetter); d(headerOffset) })
	f(ErrOldLetter, "older", func(_ set, d drop) { d(headerLetter) }) // the aggregator's and the indexer's of before
	f(ErrOldLetter, "older", func(_ set, d drop) { d(headerLetter); d(headerCluster); d(headerRecordTime) })
	f(ErrDamaged, `version "3"`, func(s set, _ drop) { s(headerLetter, "3") })
	f(ErrDamaged, headerTopic, func(_ set, d drop) { d(headerTopic) })
	f(ErrDamaged, headerPartition, func(s set, _ drop) { s(headerPartition, "4294967296") })
	f(ErrDamaged, headerOffset, func(s set, _ drop) { s(headerOffset, "-1") })
	f(ErrDamaged, headerTime, func(_ set, d drop) { d(headerTime) })
	f(ErrDamaged, headerRecordTime, func(s set, _ drop) { s(headerRecordTime, "yesterday") })
	f(ErrDamaged, headerStatus, func(s set, _ drop) { s(headerStatus, "ok") })
	f(ErrDamaged, headerPart, func(s set, _ drop) { s(headerPart, "0-11/20") })
	f(ErrDamaged, headerPart, func(s set, _ drop) { s(headerPart, "5-15/12") })
	f(ErrDamaged, headerPart, func(s set, _ drop) { s(headerPart, "10") })
	f(ErrDamaged, headerValue, func(s set, _ drop) { s(headerPart, "0-10/12"); s(headerValue, "13") })
	f(ErrDamaged, "key and headers", func(s set, _ drop) { s(headerPart, "0-10/10"); s(headerValue, "5") })
	f(nil, "", func(s set, _ drop) { s("added.on.the.way", "x") })
}

// Parts that never come do not take more memory than allowed, and can be listed.
func TestReaderHoldsNoMoreThanAllowed(t *testing.T) {
	r := NewReader("sluice-dead", 10_000)
	refused := 0
	for i := range 100 {
		l := letterOf(kafka.Record{Value: make([]byte, 2000), Offset: int64(i), Time: time.UnixMilli(1)})
		p := l.part(l.Record.Value, true, 0, 1000)
		if _, err := r.Read(0, &p); err != nil {
			if refused++; !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "memory") {
				t.Fatal(err)
			}
		}
	}
	if open := r.Incomplete(); len(open) != 10 || refused != 90 || r.bytes != 10_000 || open[0].Topic != "logs" {
		t.Errorf("%d letters of %d bytes are held, %d refused", len(r.Incomplete()), r.bytes, refused)
	}
}

// FuzzRead: whatever is in a dead-letter topic is a letter that is stored again as it
// was, or one of three errors.
func FuzzRead(f *testing.F) {
	add := func(r kafka.Record) {
		var keys, values []string
		for _, h := range r.Headers {
			keys, values = append(keys, string(h.Key)), append(values, string(h.Value))
		}
		f.Add(string(r.Value), strings.Join(keys, "|"), strings.Join(values, "|"))
	}
	l := letterOf(kafka.Record{Value: []byte("0123456789"), Offset: 5, Time: time.UnixMilli(1)})
	add(l.stored())
	add(l.part(l.Record.Value, true, 2, 5))
	add(l.part(l.Record.Value, true, 0, 10))
	l.Record.Headers = []kafka.Header{{Key: []byte("huge"), Value: make([]byte, mostBeside)}}
	body, beside := l.body()
	add(l.part(body, beside, 0, len(body)))
	f.Fuzz(func(t *testing.T, value, keys, values string) {
		r := kafka.Record{Value: []byte(value)}
		all := strings.Split(values, "|")
		for i, k := range strings.Split(keys, "|") {
			r.Headers = append(r.Headers, header(k, all[i%len(all)]))
		}
		reader := NewReader("t", 1<<20)
		got, err := reader.Read(0, &r)
		if err != nil {
			if !errors.Is(err, ErrNoLetter) && !errors.Is(err, ErrOldLetter) && !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if got == nil {
			return
		}
		again := got.stored()
		twice, err := reader.Read(0, &again)
		long := len(got.Error) > mostText || len(got.Reason) > mostText || len(got.Role)+len(got.Output)+len(got.Target)+len(got.ID)+len(got.Cluster)+len(got.Topic) > mostText
		if y := got.Died.UTC().Year(); !long && (err != nil || !same(got, twice)) && y >= 0 && y <= 9999 {
			t.Fatalf("%v\n%+v\nwant\n%+v", err, twice, got)
		}
	})
}
