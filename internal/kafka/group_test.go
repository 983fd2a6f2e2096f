package kafka

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sluicelog/sluice/config"
)

// recorder is a handler that finishes what it gets at once, unless batch says
// otherwise, and checks the order of calls.
type recorder struct {
	t     testing.TB
	batch func(ctx context.Context, c *Claim, records []Record) // nil: finish all

	mu       sync.Mutex
	state    map[*Claim]string
	values   map[string]int // how often each was seen, by topic/partition/offset
	next     map[string]int64
	revoked  []string
	lost     []string
	assigned []string
}

func newRecorder(t testing.TB) *recorder {
	return &recorder{t: t, state: map[*Claim]string{}, values: map[string]int{}, next: map[string]int64{}}
}

func key(c *Claim) string { return fmt.Sprintf("%s/%d", c.Topic(), c.Partition()) }

func (r *recorder) Assigned(c *Claim) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state[c] = "assigned"
	r.assigned = append(r.assigned, key(c))
}

func (r *recorder) Batch(ctx context.Context, c *Claim, records []Record) {
	r.mu.Lock()
	if r.state[c] != "assigned" {
		r.t.Errorf("%s: batch while %s", key(c), r.state[c])
	}
	r.state[c] = "in a batch"
	for i := range records {
		r.values[fmt.Sprintf("%s/%d", key(c), records[i].Offset)]++
		if i > 0 && records[i].Offset <= records[i-1].Offset {
			r.t.Errorf("%s: offset %d after %d", key(c), records[i].Offset, records[i-1].Offset)
		}
	}
	r.mu.Unlock()
	if r.batch != nil {
		r.batch(ctx, c, records)
	} else {
		for i := range records {
			c.Done(records[i].Offset)
		}
	}
	r.mu.Lock()
	r.state[c] = "assigned"
	r.mu.Unlock()
}

func (r *recorder) end(c *Claim, how string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state[c] != "assigned" {
		r.t.Errorf("%s: %s while %s", key(c), how, r.state[c])
	}
	r.state[c] = how
}

func (r *recorder) Revoked(ctx context.Context, c *Claim) {
	r.end(c, "revoked")
	r.mu.Lock()
	r.revoked = append(r.revoked, key(c))
	r.mu.Unlock()
}

func (r *recorder) Lost(c *Claim) {
	r.end(c, "lost")
	r.mu.Lock()
	r.lost = append(r.lost, key(c))
	r.mu.Unlock()
}

// seen is how many different records came.
func (r *recorder) seen() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.values)
}

func groupOptions(topics ...string) GroupOptions {
	return GroupOptions{Consume: config.Default().Indexer.Consume, Group: "g", Topics: topics, DrainTimeout: 2 * time.Second}
}

// join runs a member until the returned function is called, which waits for its end.
func join(t testing.TB, c *Cluster, o GroupOptions, h Handler) (*Group, func()) {
	t.Helper()
	g, err := NewGroup(c, o, h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := g.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	leave := sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(leave)
	return g, leave
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 15 s in vain: %s", what)
		}
	}
}

// fill stores numbered records in each partition of a topic.
func fill(t testing.TB, c *Cluster, topic string, partitions, each int) {
	t.Helper()
	p := newTestProducer(t, c, produceOptions(), nil)
	f := newFeeder(t, p)
	for range each {
		for i := range partitions {
			f.add(topic, int32(i), 100)
		}
	}
	drain(t, p)
	p.Close()
}

func TestGroupConsumesAndCommits(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(2), kfake.SeedTopics(4, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	fill(t, c, "logs", 4, 500)
	r := newRecorder(t)
	_, leave := join(t, c, groupOptions("logs"), r)
	eventually(t, "2000 records", func() bool { return r.seen() == 2000 })
	leave()
	if len(r.revoked) != 4 || len(r.lost) != 0 {
		t.Errorf("revoked %v, lost %v, want all four revoked", r.revoked, r.lost)
	}
	fill(t, c, "logs", 4, 10)
	again := newRecorder(t)
	_, leave = join(t, c, groupOptions("logs"), again)
	eventually(t, "the 40 new records", func() bool { return again.seen() >= 40 })
	leave()
	if again.seen() != 40 {
		t.Errorf("second run saw %d records, want the 40 new ones", again.seen())
	}
}
