package verify

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicelog/sluice/loadtest/topic"
	"github.com/sluicelog/sluice/loadtest/wait"
)

// Reading is how far a reader of Kafka is. All methods are safe for concurrent use.
type Reading struct {
	mu      sync.Mutex
	records int64
	next    map[topic.Partition]int64
}

// stuck is how long nothing came when nothing more will.
const stuck = 15 * time.Second

// Kafka hands every value of the topics to see, from the beginning and then as they come, until ctx
// ends, which is no error. It reads committed records only. At is when a batch of values was
// there; far lets others see how far it is.
func Kafka(ctx context.Context, brokers, topics []string, see func(value []byte, at time.Time), far *Reading) error {
	// Marks of transactions are read as well, since the end of a partition may be one.
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond), kgo.FetchMaxBytes(16<<20), kgo.MetadataMinAge(500*time.Millisecond), kgo.UnknownTopicRetries(-1),
		kgo.RetryBackoffFn(func(int) time.Duration { return 200 * time.Millisecond }))
	if err != nil {
		return err
	}
	defer cl.Close()
	for {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return nil
		}
		at := time.Now()
		for r := range fetches.RecordsAll() {
			if !r.Attrs.IsControl() {
				see(r.Value, at)
			}
		}
		far.read(fetches)
		if len(fetches.Errors()) > 0 && fetches.NumRecords() == 0 { // a broker is away: the client tries again
			wait.Sleep(ctx, 100*time.Millisecond)
		}
	}
}

func (r *Reading) read(fetches kgo.Fetches) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = map[topic.Partition]int64{}
	}
	r.records += int64(fetches.NumRecords())
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if n := len(p.Records); n > 0 {
			r.next[topic.Partition{Topic: p.Topic, Partition: p.Partition}] = p.Records[n-1].Offset + 1
		}
	})
}

func (r *Reading) count() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.records
}

// behind names a partition that is not read to its end; empty: all are.
func (r *Reading) behind(ends map[topic.Partition]int64) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p, end := range ends {
		if next := r.next[p]; next < end {
			return fmt.Sprintf("%s/%d is read to %d of %d", p.Topic, p.Partition, next, end)
		}
	}
	return ""
}

// until waits for something of the reader, and reports whether it came about before the reader
// was stuck.
func (r *Reading) until(ctx context.Context, done func() bool) bool {
	for last, since := int64(-1), time.Now(); ctx.Err() == nil; wait.Sleep(ctx, 20*time.Millisecond) {
		if done() {
			return true
		}
		if n := r.count(); n != last {
			last, since = n, time.Now()
		}
		if time.Since(since) > stuck {
			return false
		}
	}
	return false
}

// ToEnd waits until all is read that the topics hold now, which is everything once nobody
// writes any more: so what came twice is seen, however late it came.
func (r *Reading) ToEnd(ctx context.Context, brokers, topics []string) error {
	var ends map[topic.Partition]int64
	if err := wait.Until(ctx, wait.Patient, func() (err error) {
		ends, err = topic.Ends(ctx, brokers, topics)
		return err
	}); err != nil {
		return fmt.Errorf("find the ends of %v: %w", topics, err)
	}
	if !r.until(ctx, func() bool { return r.behind(ends) == "" }) && ctx.Err() == nil {
		return fmt.Errorf("nothing came for %v, and %s", stuck, r.behind(ends))
	}
	return ctx.Err()
}

// All reads topics until lines different ones were there, or nothing more comes, and then
// to the end, so that what is doubled is seen as well.
// See is v's, or one that calls it.
func All(ctx context.Context, brokers, topics []string, v *Verifier, see func(value []byte, at time.Time), lines int64) error {
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	var far Reading
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() { failed = Kafka(reading, brokers, topics, see, &far) })
	far.until(ctx, func() bool { return v.Distinct() >= lines })
	err := far.ToEnd(ctx, brokers, topics)
	cancel()
	wg.Wait()
	if failed != nil {
		return failed
	}
	return err
}
