package kafka

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// While a batch is under way the next one grows beyond the configured size, though not
// without end; and where a broker takes less, what it refuses is stored in parts, in
// order, and batches stay below it.
func TestBatchesGrowWhileOneIsUnderWay(t *testing.T) {
	f := func(name, limit string, above, most int64) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"), kfake.BrokerConfigs(map[string]string{"message.max.bytes": limit}))
			var busy sync.RWMutex // no batch is answered while it is locked
			k.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
				k.KeepControl()
				k.SleepControl(func() {
					busy.RLock()
					defer busy.RUnlock()
				})
				return nil, nil, false
			})
			o := produceOptions()
			o.BatchBytes, o.BatchRecords = 20_000, 100
			s := newSink(t)
			var largest int64
			o.Done = func(r *Result) {
				largest = max(largest, r.Bytes)
				s.done(r)
			}
			p := newTestProducer(t, clusterAt(t, k.ListenAddrs()...), o, nil)
			fd := newFeeder(t, p)
			for range 5 {
				busy.Lock()
				for range 2_000 {
					fd.add("logs", 0, 200)
				}
				busy.Unlock()
				drain(t, p) // how well they compress is known then
			}
			if acked, refused := s.counts(); acked != 10_000 || refused != 0 {
				t.Errorf("acked %d, refused %d, want 10000, 0", acked, refused)
			}
			if largest <= above || largest > most {
				t.Errorf("largest batch is %d bytes, want more than %d and at most %d", largest, above, most)
			}
			fd.wantStored(k.ListenAddrs())
		})
	}
	f("as far as it may", "1048588", 100_000, 8*20_000)
	f("broker takes little", "3000", 0, 100_000)
}

// How large a batch may grow follows how well the topic's records compress, quickly
// when it gets worse and slowly when it gets better.
func TestBatchesGrowAsFarAsTheyCompress(t *testing.T) {
	const size = 512 << 10
	s := &sender{p: &Producer{}}
	s.p.opts.BatchBytes = size
	top := &topic{name: "logs"}
	f := func(plain, wire, least, most int64) {
		t.Helper()
		if plain > 0 {
			top.packed(plain, wire)
		}
		if got := s.most(top); got < least || got > most {
			t.Errorf("after %d bytes that made %d: at most %d, want %d to %d", plain, wire, got, least, most)
		}
	}
	f(0, 0, size, size) // not known
	f(1<<20, 1<<20, packedMost, packedMost)
	for range 200 {
		f(1<<20, 1<<18, packedMost, 4*packedMost)
	}
	f(1<<20, 1<<18, 3*packedMost, 4*packedMost)
	f(1000, 1000, 3*packedMost, 4*packedMost) // too small to tell
	f(1<<20, 1<<19, 2*packedMost, 2*packedMost)
	f(1<<20, 1<<21, size, size)
	for range 1000 {
		f(1<<20, 1<<10, size, 8*size)
	}
	f(1<<20, 1<<10, 8*size, 8*size)
}

// A limit that a refusal has set is left slowly, one that compression sets at once.
func TestLimitAfterRefusal(t *testing.T) {
	p := &partition{limit: 1 << 20}
	p.grow(4 << 20)
	if p.limit != 4<<20 {
		t.Errorf("limit = %d, want %d", p.limit, 4<<20)
	}
	p.shrink(1 << 20)
	tries := 0
	for ; p.limit < 4<<20; tries++ {
		was := p.limit
		if p.grow(4 << 20); p.limit > was+was/64+1 || p.limit <= was {
			t.Fatalf("limit grew from %d to %d", was, p.limit)
		}
	}
	if tries < 80 || tries > 100 {
		t.Errorf("doubled twice in %d batches, want about 90", tries)
	}
	p.grow(4 << 20)
	if p.grow(8 << 20); p.limit != 8<<20 {
		t.Errorf("limit = %d, want %d: it was as large as it may be", p.limit, 8<<20)
	}
	p.shrink(int64(rand.N(1000)))
	if p.limit != 16<<10 {
		t.Errorf("limit = %d, want %d", p.limit, 16<<10)
	}
}
