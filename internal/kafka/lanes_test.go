package kafka

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicelog/sluice/internal/kafka/wire"
)

func TestLaneNote(t *testing.T) {
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		n := laneNote{commits: rnd.Int64N(1 << 40), at: map[int32]position{}}
		ids := []wire.TopicID{{}, {1, 2, 3}, {255}}
		for range rnd.IntN(20) {
			n.at[rnd.Int32N(1000)] = position{offset: rnd.Int64N(1 << 50), origin: origin{topic: ids[rnd.IntN(3)], epoch: rnd.Int32N(9) - 1}}
		}
		got, ok := parseLaneNote(n.String())
		if !ok || got.commits != n.commits || !maps.Equal(got.at, n.at) {
			t.Fatalf("%s became %+v", &n, got)
		}
	}
	for _, s := range []string{"", "sluice1 x 3", laneMark, laneMark + " 1", laneMark + " x AAAAAAAAAAAAAAAAAAAAAA", laneMark + " 1 AA", laneMark + " 1 AAAAAAAAAAAAAAAAAAAAAA 3",
		laneMark + " 1 AAAAAAAAAAAAAAAAAAAAAA 3:-1:0", laneMark + " 1 AAAAAAAAAAAAAAAAAAAAAA 3:1:0:x"} {
		if n, ok := parseLaneNote(s); ok {
			t.Errorf("%q is read as %+v", s, n)
		}
	}
	wide := laneNote{at: map[int32]position{}}
	for i := range int32(120) {
		wide.at[8*i] = position{offset: 1 << 34, origin: origin{topic: wire.TopicID{1}, epoch: 99}}
	}
	if n := len(wide.String()); n > noteMost {
		t.Errorf("120 partitions take %d bytes, want no more than %d", n, noteMost)
	}
}

func FuzzLaneNote(f *testing.F) {
	f.Add("sluice-lane1 5 AAAAAAAAAAAAAAAAAAAAAA 0:17:3 8:4:-1:AQIDAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		n, ok := parseLaneNote(s)
		if !ok {
			return
		}
		if m, ok := parseLaneNote(n.String()); !ok || m.commits != n.commits || !maps.Equal(m.at, n.at) {
			t.Errorf("%q is read as %q", s, n)
		}
	})
}

// laneSite is two clusters with a topic logs of six partitions, which hold numbers.
type laneSite struct {
	t              *testing.T
	source, target *kfake.Cluster
	each           int
}

func newLaneSite(t *testing.T) *laneSite {
	return &laneSite{t: t, source: fake(t, kfake.NumBrokers(1), kfake.SeedTopics(6, "logs")), target: fake(t, kfake.NumBrokers(2), kfake.SeedTopics(6, "logs"))}
}

func (s *laneSite) feed(n int) {
	for p := range int32(6) {
		var values []string
		for i := range n {
			values = append(values, fmt.Sprint(s.each+i, ":"))
		}
		produce(s.t, s.source.ListenAddrs(), "logs", p, values)
	}
	s.each += n
}

// relay runs a member until all is relayed.
func (s *laneSite) relay(lanes int, marks bool) {
	s.t.Helper()
	p := &progress{at: map[int32]int64{}}
	r := newRelay(s.t, clusterAt(s.t, s.target.ListenAddrs()...), "logs", lanes, p)
	r.lanes.o.Marks = marks
	o := groupOptions("logs")
	o.Lanes = r.lanes
	_, leave := join(s.t, clusterAt(s.t, s.source.ListenAddrs()...), o, r)
	defer leave()
	eventually(s.t, "all is committed", func() bool { return p.moved() == int64(6*s.each) })
	eventually(s.t, "and marked at the source", func() bool {
		return slices.Equal(committed(s.t, s.source.ListenAddrs(), "g", "logs", 6), slices.Repeat([]int64{int64(s.each)}, 6))
	})
}

// Where a lane has come to is found by whoever opens it next, also by lanes that are counted
// differently, and back.
func TestLanesGoOnWhereTheyWere(t *testing.T) {
	t.Parallel()
	s := newLaneSite(t)
	for _, lanes := range []int{4, 4, 3, 4, 1} {
		s.feed(50)
		s.relay(lanes, false)
		wantInOrder(t, s.target.ListenAddrs(), "logs", 1, int64(s.each), 6)
	}
}

// What the group has committed at the source counts where the target knows nothing, if it is
// not but a mark: then the target has lost what it had.
func TestWhereLanesBegin(t *testing.T) {
	t.Parallel()
	s := newLaneSite(t)
	s.feed(100)
	commitOffset(t, s.source.ListenAddrs(), "g", "logs", 70) // of partition 0, by an older version
	s.relay(4, false)
	held := func() (n []int64) {
		n = make([]int64, 6)
		scan(t, s.target.ListenAddrs(), "logs", func(r *kgo.Record) { n[r.Partition]++ })
		return n
	}
	if got := held(); !slices.Equal(got, []int64{30, 100, 100, 100, 100, 100}) {
		t.Errorf("an upgrade relays %v", got)
	}
	s.target = fake(t, kfake.NumBrokers(1), kfake.SeedTopics(6, "logs"))
	s.relay(4, false)
	if got := held(); !slices.Equal(got, slices.Repeat([]int64{100}, 6)) {
		t.Errorf("a centre that was destroyed and rebuilt has %v", got)
	}
	s.target = fake(t, kfake.NumBrokers(1), kfake.SeedTopics(6, "logs"))
	s.feed(10)
	s.relay(4, true)
	if got := held(); !slices.Equal(got, slices.Repeat([]int64{10}, 6)) {
		t.Errorf("from the marks on come %v", got)
	}
}

// An idle lane commits again, so that brokers do not forget it.
func TestIdleLaneCommitsAgain(t *testing.T) {
	t.Parallel()
	s := newLaneSite(t)
	s.feed(5)
	var commits atomic.Int64
	s.target.ControlKey(int16(kmsg.TxnOffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
		s.target.KeepControl()
		commits.Add(1)
		return nil, nil, false
	})
	c := clusterAt(t, s.target.ListenAddrs()...)
	c.timing.touch = 50 * time.Millisecond
	p := &progress{at: map[int32]int64{}}
	r := newRelay(t, c, "logs", 2, p)
	o := groupOptions("logs")
	o.Lanes = r.lanes
	_, leave := join(t, clusterAt(t, s.source.ListenAddrs()...), o, r)
	defer leave()
	eventually(t, "all is committed", func() bool { return p.moved() == 30 })
	before := commits.Load()
	eventually(t, "it commits though nothing comes", func() bool { return commits.Load() > before+6 })
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pace{rate: 1 << 20}
		p.took(1 << 19)
		if d := p.pause(); d != 500*time.Millisecond {
			t.Errorf("after half a second's bytes the pause is %v", d)
		}
		p.took(1 << 19)
		if d := p.pause(); d != time.Second {
			t.Errorf("after a second's bytes the pause is %v", d)
		}
		time.Sleep(time.Hour)
		if d := p.pause(); d > 0 {
			t.Errorf("after an hour the pause is %v", d)
		}
		p.took(1 << 20)
		if d := p.pause(); d != time.Second {
			t.Errorf("an hour of silence is made up for: the pause is %v", d)
		}
		var any pace
		any.took(1 << 40)
		if d := any.pause(); d > 0 {
			t.Errorf("without a rate the pause is %v", d)
		}
	})
}
