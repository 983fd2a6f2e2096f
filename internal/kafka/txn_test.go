package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/sluicelog/sluice/config"
)

func newTxnProducer(t testing.TB, c *Cluster, id string) *Producer {
	t.Helper()
	o := produceOptions()
	o.TransactionalID = id
	return newTestProducer(t, c, o, nil)
}

func (f *feeder) begin() {
	f.t.Helper()
	if err := f.p.Begin(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

func (f *feeder) commit() {
	f.t.Helper()
	if err := f.p.Commit(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

func wantCommitted(t testing.TB, p *Producer, want int64) {
	t.Helper()
	if got, err := p.Committed(t.Context(), "agg-src-3", "logs", 0); got != want || err != nil {
		t.Errorf("committed = %d, %v, want %d", got, err, want)
	}
}

// A transaction's records and offset are seen together or not at all, also by brokers that
// cannot be asked to wait for open transactions.
func TestTransactionIsAllOrNothing(t *testing.T) {
	t.Parallel()
	t.Run("newest", func(t *testing.T) { allOrNothing(t) })
	t.Run("2.4", func(t *testing.T) { allOrNothing(t, kfake.MaxVersions(kversion.V2_4_0())) })
}

func allOrNothing(t *testing.T, o ...kfake.Opt) {
	t.Parallel()
	k := fake(t, append(o, kfake.NumBrokers(2), kfake.SeedTopics(3, "logs"))...)
	p := newTxnProducer(t, clusterAt(t, k.ListenAddrs()...), "agg-src-3")
	wantCommitted(t, p, -1)
	if err := p.Append(t.Context(), "logs", 0, Record{}, Tag{}); !errors.Is(err, ErrNoTransaction) {
		t.Errorf("append before begin = %v, want %v", err, ErrNoTransaction)
	}
	f := newFeeder(t, p)
	send := func(n int, offset int64) {
		t.Helper()
		f.begin()
		for range n {
			for i := range int32(3) {
				f.add("logs", i, 100)
			}
		}
		if err := p.SendOffset("agg-src-3", "logs", 0, offset, ""); err != nil {
			t.Fatal(err)
		}
	}
	send(100, 100)
	f.commit()
	wantCommitted(t, p, 100)

	send(100, 200)
	if err := p.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantCommitted(t, p, 100)
	for k := range f.next {
		f.next[k] = 100 // what was aborted comes again
	}
	send(100, 200)
	f.commit()
	f.begin() // an empty one
	f.commit()
	wantCommitted(t, p, 200)
	f.wantStored(k.ListenAddrs())
}

// A second producer with the same id ends the first, and its open transaction.
func TestFencing(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(2), kfake.SeedTopics(1, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	old := newTxnProducer(t, c, "agg-src-3")
	f := newFeeder(t, old)
	f.begin()
	f.add("logs", 0, 100)
	drain(t, old)
	young := newTxnProducer(t, c, "agg-src-3")
	g := newFeeder(t, young)
	g.begin()
	f.add("logs", 0, 100)
	if err := old.SendOffset("agg-src-3", "logs", 0, 7, ""); err != nil {
		t.Fatal(err)
	}
	if err := old.Commit(t.Context()); !errors.Is(err, ErrAborted) && !errors.Is(err, ErrFenced) {
		t.Errorf("commit of the fenced = %v, want %v or %v", err, ErrAborted, ErrFenced)
	}
	if err := old.Abort(t.Context()); !errors.Is(err, ErrFenced) {
		t.Errorf("abort of the fenced = %v, want %v", err, ErrFenced)
	}
	if err := old.Begin(t.Context()); !errors.Is(err, ErrFenced) {
		t.Errorf("begin of the fenced = %v, want %v", err, ErrFenced)
	}
	if err := old.Append(t.Context(), "logs", 0, Record{}, Tag{}); !errors.Is(err, ErrFenced) {
		t.Errorf("append of the fenced = %v, want %v", err, ErrFenced)
	}
	for range 10 {
		g.add("logs", 0, 100)
	}
	g.commit()
	wantCommitted(t, young, -1)
	g.wantStored(k.ListenAddrs())
}

// Errors of the coordinators, lost answers, and leaders and coordinators that move
// neither lose nor double anything. A transaction that cannot be committed is done
// again.
func TestTransactionsUnderFaults(t *testing.T) {
	t.Parallel()
	w := newNetwork()
	k := fake(t, kfake.NumBrokers(3), kfake.SeedTopics(2, "logs"), kfake.ListenFn(w.listen))
	var n atomic.Int64
	w.set(func(key int16) fate {
		switch kmsg.Key(key) {
		case kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.TxnOffsetCommit, kmsg.EndTxn, kmsg.Produce:
			switch n.Add(1) % 23 {
			case 7:
				return lose
			case 15:
				return loseAnswer
			}
		}
		return pass
	})
	p := newTxnProducer(t, clusterAt(t, k.ListenAddrs()...), "agg-src-3")
	f := newFeeder(t, p)
	aborts := 0
	for round := range 30 {
		switch round % 6 {
		case 1:
			k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn, kmsg.AddPartitionsToTxn}, Err: kerr.NotCoordinator, Count: 2})
		case 2:
			k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.AddOffsetsToTxn, kmsg.AddPartitionsToTxn}, Err: kerr.ConcurrentTransactions, Count: 3})
		case 3:
			k.RehashCoordinators()
		case 4:
			k.ShufflePartitionLeaders()
		case 5:
			k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidProducerEpoch})
		}
		from := [2]int64{f.next["logs/0"], f.next["logs/1"]}
		for {
			f.begin()
			for range 20 {
				f.add("logs", 0, 50)
				f.add("logs", 1, 50)
			}
			if err := p.SendOffset("agg-src-3", "logs", 0, int64(round+1), ""); err != nil {
				t.Fatal(err)
			}
			err := p.Commit(t.Context())
			if err == nil {
				break
			}
			if !errors.Is(err, ErrAborted) {
				t.Fatal(err)
			}
			if err := p.Abort(t.Context()); err != nil {
				t.Fatal(err)
			}
			aborts++
			f.next["logs/0"], f.next["logs/1"] = from[0], from[1]
		}
		wantCommitted(t, p, int64(round+1))
	}
	if aborts == 0 {
		t.Error("no transaction was aborted, want some")
	}
	w.set(nil)
	f.wantStored(k.ListenAddrs())
}

// A relay that crashes between any two steps, and goes on from what was committed
// with the last transaction, stores each record once.
func TestExactlyOnceAcrossCrashes(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(2), kfake.SeedTopics(2, "logs"))
	const total = 3000
	crashes := 0
	relay := func() (done bool) {
		p := newTxnProducer(t, clusterAt(t, k.ListenAddrs()...), "agg-src-3")
		defer p.Close()
		at, err := p.Committed(t.Context(), "agg-src-3", "logs", 0)
		if err != nil {
			t.Fatal(err)
		}
		crash := func() bool {
			if rand.N(30) > 0 {
				return false
			}
			crashes++
			return true
		}
		for at = max(at, 0); at < total; {
			if err := p.Begin(t.Context()); err != nil {
				t.Fatal(err)
			}
			for range 50 {
				r := Record{Value: fmt.Appendf(nil, "%d:", at)}
				if err := p.Append(t.Context(), "logs", int32(at%2), r, Tag{}); err != nil {
					t.Fatal(err)
				}
				at++
			}
			if crash() {
				return false
			}
			if err := p.SendOffset("agg-src-3", "logs", 0, at, ""); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			if rand.N(10) == 0 { // in the middle of the commit
				time.AfterFunc(time.Duration(rand.N(5))*time.Millisecond, cancel)
			}
			err := p.Commit(ctx)
			cancel()
			if err != nil {
				crashes++
				return false
			}
			if crash() {
				return false
			}
		}
		return true
	}
	for !relay() {
	}
	if crashes == 0 {
		t.Log("no crash this time")
	}
	got := stored(t, k.ListenAddrs(), "logs")
	for part := range int32(2) {
		for i, r := range got[part] {
			n, err := strconv.Atoi(strings.TrimSuffix(string(r.Value), ":"))
			if err != nil || n != 2*i+int(part) {
				t.Fatalf("record %d of partition %d is %s, want %d", i, part, r.Value, 2*i+int(part))
			}
		}
		if len(got[part]) != total/2 {
			t.Errorf("partition %d holds %d records, want %d", part, len(got[part]), total/2)
		}
	}
}

// Producers that share memory are bounded together, and what one that is closed held
// is there for the others.
func TestSharedMemory(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	m := NewMemory(10_000)
	o := produceOptions()
	o.Memory = m
	o.Linger, o.Compression = config.Duration(time.Minute), "none" // what is held stays as it is
	stuck := newTestProducer(t, clusterAt(t, unusedAddr(t)), o, nil)
	f := newFeeder(t, stuck)
	for range 32 {
		f.add("logs", 0, 200)
	}
	if used := m.Used(); used < 9000 || used > 10_000 || stuck.InFlight() != used {
		t.Errorf("used %d, in flight %d, want the same and about 10000", used, stuck.InFlight())
	}
	p := newTestProducer(t, clusterAt(t, k.ListenAddrs()...), o, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := p.Append(ctx, "logs", 0, Record{Value: make([]byte, 1000)}, Tag{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("append = %v, want %v", err, context.DeadlineExceeded)
	}
	stuck.Close()
	g := newFeeder(t, p)
	for range 100 {
		g.add("logs", 0, 200)
	}
	drain(t, p)
	if m.Used() != 0 {
		t.Errorf("used %d when all is done, want 0", m.Used())
	}
	g.wantStored(k.ListenAddrs())
}

// What is written right after an abort belongs to the next transaction, however late
// the news of the abort.
func TestAbortTakesNothingOfTheNext(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(2), kfake.SeedTopics(4, "logs"))
	o := produceOptions()
	o.TransactionalID, o.BatchRecords = "agg-src-3", 3
	p := newTestProducer(t, clusterAt(t, k.ListenAddrs()...), o, nil)
	f := newFeeder(t, p)
	feed := func(n int) {
		for range n {
			for i := range int32(4) {
				f.add("logs", i, 50)
			}
		}
	}
	for range 150 {
		from := maps.Clone(f.next)
		f.begin()
		feed(rand.N(8))
		if rand.N(2) == 0 {
			drain(t, p)
		}
		if err := p.Abort(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.next = from
		f.begin()
		feed(5)
		f.commit()
	}
	f.wantStored(k.ListenAddrs())
}
