package deadletter

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/internal/kafka"
)

// topic is a dead-letter topic that answers a moment after.
type topic struct {
	w *Writer

	mu      sync.Mutex
	most    int   // bytes of a record's value that it takes
	err     error // why it takes nothing
	missing error // of Ensure
	stored  []kafka.Record
	refused int
}

func (p *topic) Ensure(context.Context, string) (int32, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return 3, p.missing
}

func (p *topic) Append(_ context.Context, _ string, partition int32, r kafka.Record, tag kafka.Tag) error {
	time.AfterFunc(time.Millisecond, func() {
		p.mu.Lock()
		err := p.err
		if err == nil && len(r.Value) > p.most {
			err = kafka.ErrTooLarge
		}
		if err == nil {
			r.Offset = int64(len(p.stored))
			p.stored = append(p.stored, r)
		} else {
			p.refused++
		}
		p.mu.Unlock()
		if !p.w.Done(&tag, err) || p.w.Done(&kafka.Tag{Owner: p}, nil) {
			panic("the writer does not know its own tags")
		}
	})
	return nil
}

func (p *topic) set(most int, err, missing error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most, p.err, p.missing = most, err, missing
}

// letters are those that the topic holds.
func (p *topic) letters(t *testing.T) (out []*Letter) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	r := NewReader("sluice-dead", 1<<30)
	for i := range p.stored {
		l, err := r.Read(0, &p.stored[i])
		if err != nil {
			t.Fatal(err)
		}
		if l != nil {
			out = append(out, l)
		}
	}
	if n := len(r.Incomplete()); n > 0 {
		t.Fatalf("%d letters are incomplete", n)
	}
	return out
}

// owner counts calls.
type owner struct {
	mu                    sync.Mutex
	stored, dropped, held int
	ended                 bool
}

func (o *owner) add(n *int, by int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	*n += by
}
func (o *owner) Stored()  { o.add(&o.stored, 1) }
func (o *owner) Dropped() { o.add(&o.dropped, 1) }
func (o *owner) Held(held bool) {
	if held {
		o.add(&o.held, 1)
	} else {
		o.add(&o.held, -1)
	}
}
func (o *owner) Ended() bool { o.mu.Lock(); defer o.mu.Unlock(); return o.ended }

func (o *owner) is(t *testing.T, stored, dropped, held int) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if got := [3]int{o.stored, o.dropped, o.held}; got != [3]int{stored, dropped, held} {
		t.Errorf("stored, dropped, held = %v, want %v", got, [3]int{stored, dropped, held})
	}
}

const testRetry = time.Minute

// play runs a writer in a bubble of its own; it is closed at the end.
func play(t *testing.T, f func(w *Writer, p *topic, log *bytes.Buffer)) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		p := &topic{most: 1 << 20}
		p.w = NewWriter("sluice-dead", p, testRetry, slog.New(slog.NewTextHandler(&log, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { p.w.Run(ctx) })
		f(p.w, p, &log)
		cancel()
		all.Wait()
		p.w.Close()
		time.Sleep(time.Second) // what the producer still answers
	})
}

// settle lets all happen that happens without a further try.
func settle() {
	time.Sleep(testRetry / 2)
	synctest.Wait()
}

func letterAt(offset int64, size int) *Letter {
	value := make([]byte, size)
	for i := range value {
		value[i] = byte(i / 7)
	}
	l := letterOf(kafka.Record{Value: value, Offset: offset, Time: time.UnixMilli(1_763_715_467_123)})
	l.Partition = int32(offset % 5)
	return l
}

func TestLettersAreStored(t *testing.T) {
	play(t, func(w *Writer, p *topic, log *bytes.Buffer) {
		owners := make([]owner, 20)
		for i := range owners {
			w.Write(letterAt(int64(i), i*10), &owners[i])
		}
		settle()
		for i := range owners {
			owners[i].is(t, 1, 0, 0)
		}
		for _, l := range p.letters(t) {
			if at := l.Record.Offset; !same(l, letterAt(at, int(at)*10)) {
				t.Errorf("letter of %d is %+v", at, l)
			}
		}
		if n, held := w.Waiting(); n != 0 || held != nil || len(p.stored) != 20 || log.Len() > 0 {
			t.Errorf("%d stored, %d wait, log:\n%s", len(p.stored), n, log)
		}
	})
}

// A letter that is too large for the topic is stored in parts, and only then is it
// stored; so is one whose headers are too large.
func TestLetterIsCutUntilItFits(t *testing.T) {
	f := func(most, size, headers, wantParts int) {
		t.Helper()
		play(t, func(w *Writer, p *topic, log *bytes.Buffer) {
			p.set(most, nil, nil)
			l := letterAt(3, size)
			if headers > 0 {
				l.Record.Headers = []kafka.Header{{Key: []byte("huge"), Value: make([]byte, headers)}}
			}
			var o owner
			w.Write(l, &o)
			settle()
			o.is(t, 1, 0, 0)
			got := p.letters(t)
			if len(got) != 1 || !same(got[0], l) || len(p.stored) != wantParts || log.Len() > 0 {
				t.Errorf("%d letters in %d parts, want 1 in %d; log:\n%s", len(got), len(p.stored), wantParts, log)
			}
		})
	}
	f(200_000, 200_000, 0, 1)
	f(100_000, 200_000, 0, 4)
	f(40_000, 200_000, 0, 7)
	f(600, 600, 0, 1)
	f(512, 1025, 0, 3)
	f(999, 1000, 0, 2)
	f(100_000, 150_000, 100_000, 4)
	f(600, 1000, 20_000, 42)
}

// What the topic refuses whatever its size is tried again until it is stored; that is
// logged when it begins, when the reason changes and when it ends.
func TestHeldLetterIsTriedAgain(t *testing.T) {
	play(t, func(w *Writer, p *topic, log *bytes.Buffer) {
		said := func(want ...string) {
			t.Helper()
			synctest.Wait()
			got := strings.Split(strings.TrimSpace(log.String()), "\n")
			for i, text := range want {
				if i >= len(got) || !strings.Contains(got[i], text) {
					t.Errorf("log line %d lacks %q:\n%s", i, text, log)
				}
			}
			if len(got) != max(1, len(want)) {
				t.Errorf("%d lines are logged, want %d:\n%s", len(got), len(want), log)
			}
			log.Reset()
		}
		var o, other owner
		p.set(100, nil, nil)
		w.Write(letterAt(4, 10_000), &o)
		w.Write(letterAt(9, 10_000), &other) // of the same partition
		settle()
		o.is(t, 0, 0, 1)
		other.is(t, 0, 0, 1)
		said("partition held")
		if n, held := w.Waiting(); n != 0 || len(held) != 2 || held[0].Record.Offset+held[1].Record.Offset != 4+9 {
			t.Errorf("%d wait, held %v", n, held)
		}
		p.set(0, kafka.ErrInvalidRecord, nil)
		time.Sleep(10 * testRetry)
		said(kafka.ErrInvalidRecord.Error())
		p.set(0, nil, errors.New("not allowed"))
		time.Sleep(10 * testRetry)
		said("not allowed")
		p.set(1000, nil, nil)
		time.Sleep(testRetry)
		settle()
		o.is(t, 1, 0, 0)
		other.is(t, 1, 0, 0)
		said("no longer held")
		if got := p.letters(t); len(got) != 2 || !same(got[0], letterAt(got[0].Record.Offset, 10_000)) {
			t.Errorf("%d letters", len(got))
		}
	})
}

// The letters of a partition that moved are given up, whatever the topic says later.
func TestLetterWhoseOwnerEndedIsDropped(t *testing.T) {
	play(t, func(w *Writer, p *topic, log *bytes.Buffer) {
		p.set(100, nil, nil)
		owners := make([]owner, 4)
		for i := range owners {
			w.Write(letterAt(int64(i), 10_000), &owners[i])
		}
		settle()
		owners[1].mu.Lock()
		owners[1].ended = true
		owners[1].mu.Unlock()
		w.Sweep()
		synctest.Wait()
		owners[1].is(t, 0, 1, 0)
		p.set(1<<20, nil, nil)
		time.Sleep(2 * testRetry)
		for i := range owners {
			if i != 1 {
				owners[i].is(t, 1, 0, 0)
			}
		}
		owners[1].is(t, 0, 1, 0)
	})
}

// At the end what is not stored is dropped once.
func TestCloseDropsWhatIsNotStored(t *testing.T) {
	var held, late owner
	play(t, func(w *Writer, p *topic, log *bytes.Buffer) {
		p.set(0, kafka.ErrInvalidRecord, nil)
		w.Write(letterAt(1, 10), &held)
		settle()
	})
	held.is(t, 0, 1, 0)
	synctest.Test(t, func(t *testing.T) {
		p := &topic{most: 1 << 20}
		p.w = NewWriter("sluice-dead", p, testRetry, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		p.w.Write(letterAt(1, 10), &late)
		p.w.Run(ctx)
		p.w.Close()
		if p.w.Close(); len(p.stored) > 0 {
			t.Error("it is sent after the end")
		}
	})
	late.is(t, 0, 1, 0)
}
