package bulk

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/internal/kafka"
)

// marker is a partition without a Kafka.
type marker struct{ done atomic.Int64 }

func (m *marker) Topic() string          { return "logs" }
func (m *marker) Partition() int32       { return 0 }
func (m *marker) DoneAll(from, to int64) { m.done.Add(to - from) }

type counter struct{ n atomic.Int64 }

func (c *counter) Inc()          { c.n.Add(1) }
func (c *counter) Add(x float64) { c.n.Add(int64(x)) }
func (c *counter) Set(float64)   {}

// rig is a filler whose bulks go to a channel.
type rig struct {
	*Filler
	p    *Partition
	m    *marker
	sent chan *Bulk
	read counter
}

func newRig(o Options) *rig {
	r := &rig{m: &marker{}, sent: make(chan *Bulk, o.Bulks)}
	r.p = NewPartition(r.m)
	o.Read, o.InFlight = &r.read, &counter{}
	r.Filler = NewFiller(o, func(b *Bulk) { r.sent <- b })
	return r
}

// chunk has documents of these sizes.
func (r *rig) chunk(sizes ...int) *Chunk {
	ch := &Chunk{}
	for i, n := range sizes {
		ch.Buf = append(ch.Buf, strings.Repeat(string(rune('a'+i)), n)...)
		ch.Items = append(ch.Items, Item{End: len(ch.Buf), Partition: r.p, Record: kafka.View{Offset: int64(i)}})
	}
	return ch
}

func TestFillerCutsByBytesAndCount(t *testing.T) {
	f := func(bytes, count int, sizes []int, want ...string) {
		t.Helper()
		r := newRig(Options{Bulks: 9, Bytes: bytes, Count: count, Linger: time.Hour})
		if err := r.Add(t.Context(), r.p, r.chunk(sizes...)); err != nil {
			t.Fatal(err)
		}
		r.Flush()
		r.Wait()
		got := map[string]bool{}
		for range len(r.sent) {
			b := <-r.sent
			got[string(b.Buf)] = true
			for i := range b.Items {
				if l := b.Lines(i, i+1); len(l) == 0 || strings.Trim(string(l), string(l[:1])) != "" {
					t.Errorf("%v: item %d of %s is %s", sizes, i, b.Buf, l)
				}
			}
		}
		for _, w := range want {
			if !got[w] {
				t.Errorf("%v: got %v, want %s", sizes, got, w)
			}
		}
		if len(got) != len(want) || r.read.n.Load() != int64(len(sizes)) || r.p.Open() != len(sizes) {
			t.Errorf("%v: got %v, %d read, %d open", sizes, got, r.read.n.Load(), r.p.Open())
		}
	}
	f(10, 100, []int{4, 4, 4}, "aaaabbbb", "cccc")
	f(8, 100, []int{4, 4, 4}, "aaaabbbb", "cccc")
	f(100, 2, []int{1, 1, 1, 1, 1}, "ab", "cd", "e")
	f(3, 100, []int{5, 1, 5}, "aaaaa", "b", "ccccc") // a larger document is a body of its own
}

// Without a permit nothing is taken, and what is taken lasts until its bulk is freed.
func TestFillerWaitsForAPermit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(Options{Bulks: 1, Bytes: 4, Count: 100, Linger: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		if err := r.Add(ctx, r.p, r.chunk(4)); err != nil {
			t.Fatal(err)
		}
		added := make(chan error)
		go func() { added <- r.Add(ctx, r.p, r.chunk(4, 4)) }()
		synctest.Wait()
		if r.p.Open() != 1 {
			t.Errorf("%d are taken, with room for one", r.p.Open())
		}
		r.Free(<-r.sent)
		synctest.Wait()
		if r.p.Open() != 2 {
			t.Errorf("%d are taken, want two", r.p.Open())
		}
		cancel()
		if err := <-added; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		r.Wait()
	})
}

// A bulk that is not full is sent when its first document has waited for the linger; the
// timer of one bulk does not send another.
func TestFillerLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(Options{Bulks: 4, Bytes: 100, Count: 2, Linger: time.Second})
		add := func() {
			if err := r.Add(t.Context(), r.p, r.chunk(1)); err != nil {
				t.Fatal(err)
			}
		}
		add()
		time.Sleep(999 * time.Millisecond)
		add() // full: sent by count
		r.Wait()
		add()
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if len(r.sent) != 1 {
			t.Errorf("%d sent, want the full one", len(r.sent))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(r.sent) != 2 {
			t.Errorf("%d sent, want both", len(r.sent))
		}
	})
}

// An arena that one huge document has blown up is let go, and so are the records.
func TestFreeBoundsMemory(t *testing.T) {
	const bytes = 256 << 10
	r := newRig(Options{Bulks: 1, Bytes: bytes, Count: 10, Linger: time.Hour})
	for _, size := range []int{100, bytes, 4 * bytes} {
		if err := r.Add(t.Context(), r.p, r.chunk(size)); err != nil {
			t.Fatal(err)
		}
		r.Flush()
		b := <-r.sent
		b.Gzip(b.Lines(0, 1), 1)
		items := b.Items[:1]
		r.Free(b)
		if cap(b.Buf) > 2*bytes || b.packed.Cap() > 2*bytes || items[0].Partition != nil {
			t.Errorf("after %d bytes a bulk keeps %d, %d packed, item %v", size, cap(b.Buf), b.packed.Cap(), items[0])
		}
	}
}

func TestShrink(t *testing.T) {
	r := newRig(Options{Bulks: 1, Bytes: 1 << 20, Count: 10})
	f := func(size, want int, less bool) {
		t.Helper()
		if got, changed := r.Shrink(size); got != want || changed != less || r.Bytes() > want {
			t.Errorf("%d: got %d, %v, want %d, %v; filled to %d", size, got, changed, want, less, r.Bytes())
		}
	}
	f(1<<19, 1<<19, true)
	f(1<<19, 1<<19, false)
	f(1, leastBytes, true)
}

// Bulks that wait are joined while there is room, and one that has left is not joined.
func TestWaitingJoins(t *testing.T) {
	r := newRig(Options{Bulks: 4, Bytes: 100, Count: 4, Linger: time.Hour})
	bulk := func(sizes ...int) *Bulk {
		ch := r.chunk(sizes...)
		return &Bulk{Buf: ch.Buf, Items: ch.Items}
	}
	var w Waiting
	f := func(b *Bulk, want bool) {
		t.Helper()
		if got := w.Join(b, 6, 4); got != want {
			t.Errorf("joined %v, want %v", got, want)
		}
	}
	a := bulk(1, 2)
	f(a, false)
	f(bulk(3), true)
	if string(a.Buf) != "abbaaa" || string(a.Lines(2, 3)) != "aaa" {
		t.Errorf("%s, third item %s", a.Buf, a.Lines(2, 3))
	}
	b := bulk(1)
	f(b, false) // too many bytes in a
	w.Leave(a)
	w.Leave(b)
	f(bulk(1), false)
}

func TestPartition(t *testing.T) {
	m := &marker{}
	p := NewPartition(m)
	p.open.Add(3)
	p.Finish(5, 7)
	select {
	case <-p.Idle():
		t.Error("idle with an event open")
	default:
	}
	p.Return(1)
	<-p.Idle()
	if m.done.Load() != 2 || p.Open() != 0 || p.Lost() {
		t.Errorf("%d done, %d open, lost %v", m.done.Load(), p.Open(), p.Lost())
	}
	if p.Lose(); !p.Lost() {
		t.Error("not lost")
	}
}
