package kafka

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A partition whose leader cannot be reached stops no other one; it is told once, and
// read when the leader is back.
func TestUnreachableLeader(t *testing.T) {
	t.Parallel()
	const partitions, each = 4, 100
	k := fake(t, kfake.NumBrokers(2), kfake.SeedTopics(partitions, "logs"))
	away := 1 - k.CoordinatorFor("g")
	for i := range int32(partitions) {
		if err := k.MoveTopicPartition("logs", i, i%2); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, clusterAt(t, k.ListenAddrs()...), "logs", partitions, each)

	c, said := clusterAt(t, k.ListenAddrs()...), &spoken{}
	c.Log = slog.New(slog.NewTextHandler(said, nil))
	var back atomic.Bool
	c.timing.reach = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr == k.ListenAddrs()[away] && !back.Load() {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	r := newRecorder(t)
	_, leave := join(t, c, groupOptions("logs"), r)
	eventually(t, "the partitions of the other broker", func() bool { return r.seen() == each*partitions/2 })
	eventually(t, "health", func() bool {
		_, err := c.Health.Down()
		return err != nil && strings.Contains(err.Error(), "read logs/")
	})
	time.Sleep(2 * time.Second)
	if n := r.claims(); n != partitions/2 {
		t.Errorf("%d claims, want %d: the others go on", n, partitions/2)
	}
	if down, err := c.Health.Down(); down == 0 {
		t.Errorf("health is ok (%v) while a broker is away", err)
	}
	f := func(text string) {
		t.Helper()
		if got := strings.Join(said.take(), "\n"); strings.Count(got, text) != partitions/2 {
			t.Errorf("want %q for each of %d partitions in\n%s", text, partitions/2, got)
		}
	}
	f("cannot read a partition")
	back.Store(true)
	eventually(t, "all records", func() bool { return r.seen() == each*partitions })
	eventually(t, "health again", func() bool { down, _ := c.Health.Down(); return down == 0 })
	f("can be read again")
	leave()
}

// deafClient has a leader that never answers.
type deafClient struct {
	sarama.Client
	asked atomic.Int64
	end   chan struct{}
}

func (d *deafClient) PartitionNotReadable(string, int32) bool { return false }
func (d *deafClient) GetOffset(string, int32, int64) (int64, error) {
	d.asked.Add(1)
	<-d.end
	return 0, sarama.ErrClosedClient
}

// A leader that is silent is asked once at a time, and holds up neither a rebalance nor
// a stop for long.
func TestSilentLeader(t *testing.T) {
	t.Parallel()
	c := clusterAt(t, "127.0.0.1:1")
	c.timing.dial = 50 * time.Millisecond
	g, err := NewGroup(c, groupOptions("logs"), newRecorder(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	d := &deafClient{end: make(chan struct{})}
	p := &patient{Client: d, g: g, ctx: ctx, asked: map[place]*question{}}
	for range 3 {
		if !p.PartitionNotReadable("logs", 0) {
			t.Error("a partition whose leader is silent counts as readable")
		}
	}
	if n := d.asked.Load(); n != 1 {
		t.Errorf("asked %d times at once, want 1", n)
	}
	if _, err := c.Health.Down(); !errors.Is(err, errSilent) {
		t.Errorf("health tells %v, want %v", err, errSilent)
	}
	c.timing.dial, g.waits.dial = time.Hour, time.Hour
	time.AfterFunc(20*time.Millisecond, cancel)
	p.PartitionNotReadable("logs", 0)
	close(d.end)
	g.asking.Wait()
}

// Sessions that end soon after they began come ever more slowly, and health tells.
func TestSessionsThatEndSoon(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	c, said := clusterAt(t, k.ListenAddrs()...), &spoken{}
	c.Log = slog.New(slog.NewTextHandler(said, nil))
	c.timing.backoff.Longest = time.Second
	joins := k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Observe: true, Count: -1})
	h := k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID, Count: -1})
	r := newRecorder(t)
	_, leave := join(t, c, groupOptions("logs"), r)
	eventually(t, "some sessions", func() bool { return joins.Hits() > 4 })
	if down, err := c.Health.Down(); down == 0 {
		t.Errorf("health is ok (%v) while no session lasts", err)
	}
	if n := strings.Count(strings.Join(said.take(), "\n"), "msg=\"cannot consume"); n != 1 {
		t.Errorf("told %d times, want once", n)
	}
	h.Remove()
	eventually(t, "health", func() bool { down, _ := c.Health.Down(); return down == 0 })
	leave()
}

// What is finished is committed while the leader of another partition is silent.
func TestCommitsWhileSurveyWaits(t *testing.T) {
	t.Parallel()
	var wires []*network
	k := fake(t, kfake.NumBrokers(2), kfake.SeedTopics(2, "logs"), kfake.ListenFn(func(network, addr string) (net.Listener, error) {
		wires = append(wires, newNetwork())
		return wires[len(wires)-1].listen(network, addr)
	}))
	near := k.CoordinatorFor("g")
	for i := range int32(2) { // partition 0 is led by the broker that falls silent, so it is asked for first
		if err := k.MoveTopicPartition("logs", i, (1-near+i)%2); err != nil {
			t.Fatal(err)
		}
	}
	p := newTestProducer(t, clusterAt(t, k.ListenAddrs()...), produceOptions(), nil)
	f := newFeeder(t, p)
	f.add("logs", 0, 10)
	f.add("logs", 1, 10)
	r := newRecorder(t)
	_, leave := join(t, clusterAt(t, k.ListenAddrs()...), groupOptions("logs"), r)
	eventually(t, "the first records", func() bool { return r.seen() == 2 })
	var unanswered atomic.Int64
	wires[1-near].set(func(key int16) fate {
		if key == int16(kmsg.ListOffsets) {
			unanswered.Add(1)
			return hang
		}
		return pass
	})
	eventually(t, "a question", func() bool { return unanswered.Load() > 0 })
	f.add("logs", 1, 10)
	eventually(t, "the next record", func() bool { return r.seen() == 3 })
	time.Sleep(2500 * time.Millisecond)
	near1 := []string{k.ListenAddrs()[near]}
	if got := committed(t, near1, "g", "logs", 2); got[1] != 2 {
		t.Errorf("committed %v, want 2 of the second partition", got)
	}
	wires[1-near].set(nil)
	leave()
}
