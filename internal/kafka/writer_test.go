package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicelog/sluice/config"
)

// run writes so many numbered records by a Writer, as add does by Append.
func (f *feeder) run(topic string, partition int32, records, pad int) {
	f.t.Helper()
	key := fmt.Sprintf("%s/%d", topic, partition)
	w, err := f.p.Write(f.t.Context(), topic, records*(pad/2+len(key)+heldOverhead)) // rather too few
	if err != nil {
		f.t.Fatal(err)
	}
	defer w.Close()
	headers := RenderHeaders([]Header{{Key: []byte("dc"), Value: []byte("dc1")}})
	w.Begin(partition, []byte("forgotten"), time.Time{}, 1)
	for i := range records {
		n := f.next[key]
		f.next[key]++
		w.Begin(partition, []byte("forgotten"), time.Time{}, 1)
		b := w.Begin(partition, []byte(key), time.UnixMilli(began+n), pad*(i%3)/2) // exact, too little, too much
		from := len(b)
		b = fmt.Appendf(b, "%d:", n)
		for len(b)-from < pad {
			b = append(b, byte('a'+(len(b)-from)*7%26))
		}
		w.Commit(b, headers, Tag{Owner: f, Pos: n})
	}
}

// What is written in place is stored as what is appended, in order with it, whatever a
// broker answers.
func TestWriter(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(2), kfake.SeedTopics(3, "logs"))
	o := produceOptions()
	o.BatchBytes = 5000
	s := newSink(t)
	p := newTestProducer(t, clusterAt(t, k.ListenAddrs()...), o, s)
	f := newFeeder(t, p)
	total := 0
	for round := range 60 {
		if round%10 == 5 {
			k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: 2})
		}
		for part := range int32(3) {
			n := round * 7 % 50
			f.run("logs", part, n, 100+round)
			f.add("logs", part, 100)
			total += n + 1
		}
	}
	drain(t, p)
	if acked, refused := s.counts(); acked != total || refused != 0 {
		t.Errorf("acked %d, refused %d, want %d, 0", acked, refused, total)
	}
	f.wantStored(k.ListenAddrs())
}

// One run goes to several partitions in turns; each has its records in order, whether a
// flush comes between or not, and the room is accounted for.
func TestWriterOfManyPartitions(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(5, "logs"))
	o := produceOptions()
	o.BatchBytes = 3000
	s := newSink(t)
	p := newTestProducer(t, clusterAt(t, k.ListenAddrs()...), o, s)
	f := newFeeder(t, p)
	w, err := p.Write(t.Context(), "logs", 1000)
	if err != nil {
		t.Fatal(err)
	}
	const total = 4000
	for i := range total {
		partition := int32(i * i % 5)
		key := fmt.Sprintf("logs/%d", partition)
		n := f.next[key]
		f.next[key]++
		before := w.Left()
		w.Commit(fmt.Appendf(w.Begin(partition, []byte(key), time.UnixMilli(began+n), 40), "%d:%040d", n, n), RenderHeaders([]Header{{Key: []byte("dc")}}), Tag{Owner: f, Pos: n})
		if took := before - w.Left(); took < 40+heldOverhead || took > 100+heldOverhead {
			t.Fatalf("a record of 40 bytes took %d of the room", took)
		}
		if i%7 == 3 || i%100 == 50 {
			left := w.Left()
			w.Flush()
			if w.Left() != max(left, 0) {
				t.Fatalf("%d bytes of room after a flush, want %d", w.Left(), max(left, 0))
			}
		}
	}
	w.Close()
	drain(t, p)
	if acked, refused := s.counts(); acked != total || refused != 0 {
		t.Errorf("acked %d, refused %d, want %d, 0", acked, refused, total)
	}
	if n := p.budget.used.Load(); n != 0 {
		t.Errorf("%d bytes of the buffer are used after all", n)
	}
	f.wantStored(k.ListenAddrs())
}

// Several write to one partition at once, each in its own order.
func TestWritersOfOnePartition(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	o := produceOptions()
	o.BatchBytes, o.Buffer = 3000, 20_000
	p := newTestProducer(t, clusterAt(t, k.ListenAddrs()...), o, nil)
	var all sync.WaitGroup
	const each = 2000
	for i := range 4 {
		all.Go(func() {
			key := []byte{byte('a' + i)}
			for n := 0; n < each; {
				if i%2 == 0 {
					if err := p.Append(t.Context(), "logs", 0, Record{Key: key, Value: fmt.Append(nil, n)}, Tag{}); err != nil {
						t.Error(err)
						return
					}
					n++
					continue
				}
				w, err := p.Write(t.Context(), "logs", 1000)
				if err != nil {
					t.Error(err)
					return
				}
				for range min(20, each-n) {
					w.Commit(fmt.Append(w.Begin(0, key, time.Time{}, 4), n), nil, Tag{})
					n++
				}
				w.Close()
			}
		})
	}
	all.Wait()
	drain(t, p)
	next := map[string]int{}
	scan(t, k.ListenAddrs(), "logs", func(r *kgo.Record) {
		if n := next[string(r.Key)]; string(r.Value) != fmt.Sprint(n) {
			t.Errorf("%s: %s, want %d", r.Key, r.Value, n)
		}
		next[string(r.Key)]++
	})
	for key, n := range next {
		if n != each {
			t.Errorf("%s: %d are stored, want %d", key, n, each)
		}
	}
	if len(next) != 4 {
		t.Errorf("%d writers, want 4", len(next))
	}
}

// What a run leaves in the batch goes out after the time to linger, also if that ends
// while the Writer is open; nothing goes out before it is closed.
func TestWriterLingers(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(2, "logs"))
	s := newSink(t)
	o := produceOptions()
	o.BatchBytes = 1000
	p := newTestProducer(t, clusterAt(t, k.ListenAddrs()...), o, s)
	f := newFeeder(t, p)
	acked := func() int { n, _ := s.counts(); return n }
	f.run("logs", 0, 1, 100)
	eventually(t, "one record of a run", func() bool { return acked() == 1 })
	f.add("logs", 0, 100)
	f.run("logs", 0, 0, 100) // takes the batch and brings it back
	eventually(t, "one that was appended", func() bool { return acked() == 2 })
	f.add("logs", 0, 100)
	w, err := p.Write(t.Context(), "logs", 5000)
	if err != nil {
		t.Fatal(err)
	}
	for n := range int64(30) {
		w.Commit(fmt.Appendf(w.Begin(0, []byte("logs/0"), time.UnixMilli(began+3+n), 100), "%d:%0100d", 3+n, n), RenderHeaders([]Header{{Key: []byte("dc")}}), Tag{Pos: 3 + n})
	}
	f.next["logs/0"] += 30
	time.Sleep(5 * o.Linger.D())
	if n := acked(); n != 2 {
		t.Errorf("%d acknowledged while the writer is open, want 2", n)
	}
	w.Close()
	eventually(t, "what came meanwhile", func() bool { return acked() == 33 })
	o.Linger = config.Duration(time.Hour)
	slow := newTestProducer(t, clusterAt(t, k.ListenAddrs()...), o, nil)
	g := newFeeder(t, slow)
	g.run("logs", 1, 3, 100)
	drain(t, slow)
	f.wantStored(k.ListenAddrs())
	g.wantStored(k.ListenAddrs())
}

// A batch that was due when a Writer took it is sent once that is closed, though the sender
// came for it in between and found none.
func TestWriterOfADueBatch(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	gate := make(chan struct{})
	k.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		k.SleepControl(func() { <-gate })
		return nil, nil, false
	})
	s := newSink(t)
	p := newTestProducer(t, clusterAt(t, k.ListenAddrs()...), produceOptions(), s)
	f := newFeeder(t, p)
	part := p.partition("logs", 0)
	locked := func(is func() bool) func() bool {
		return func() bool {
			part.mu.Lock()
			defer part.mu.Unlock()
			return is()
		}
	}
	f.add("logs", 0, 100)
	eventually(t, "the first under way", locked(func() bool { return part.cur == nil && len(part.full) == 0 }))
	f.add("logs", 0, 100)
	eventually(t, "the second due", locked(func() bool { return part.due }))
	w, err := p.Write(t.Context(), "logs", 200)
	if err != nil {
		t.Fatal(err)
	}
	w.Begin(0, nil, time.Time{}, 1)
	close(gate)
	eventually(t, "the sender in vain", locked(func() bool { return !part.told }))
	w.Close()
	eventually(t, "both", func() bool { n, _ := s.counts(); return n == 2 })
	f.wantStored(k.ListenAddrs())
}

// A run waits for room, one that is longer than it said is counted, and all is given back.
func TestWriterIsBounded(t *testing.T) {
	t.Parallel()
	o := produceOptions()
	o.Buffer, o.Compression = 10_000, "none"
	p := newTestProducer(t, clusterAt(t, unusedAddr(t)), o, nil)
	w, err := p.Write(t.Context(), "logs", 6000)
	if err != nil {
		t.Fatal(err)
	}
	w.Flush() // of nothing: the room stays
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Write(ended, "logs", 6000); !errors.Is(err, context.Canceled) {
		t.Errorf("write to a full buffer = %v, want %v", err, context.Canceled)
	}
	w.Close()
	if w, err = p.Write(ended, "logs", 6000); err != nil {
		t.Errorf("write when there is room = %v", err)
	}
	w.Commit(append(w.Begin(1, nil, time.Time{}, 9000), make([]byte, 9000)...), nil, Tag{})
	w.Close()
	if n := p.InFlight(); n < 9000 || n > 9200 {
		t.Errorf("in flight %d, want about 9100", n)
	}
	if _, err := p.Write(ended, "logs", 2000); !errors.Is(err, context.Canceled) {
		t.Errorf("write beside 9000 bytes = %v, want %v", err, context.Canceled)
	}
	p.Close()
	if _, err := p.Write(t.Context(), "logs", 1); !errors.Is(err, ErrClosed) {
		t.Errorf("write after close = %v, want %v", err, ErrClosed)
	}
	if n := p.budget.used.Load(); n != 0 {
		t.Errorf("%d bytes of the buffer are used after close", n)
	}
}
