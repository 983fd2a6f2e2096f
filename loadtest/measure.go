//go:build linux

package loadtest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Measure is what one program did with one input. Only measures of one run are to be
// compared: the machine, its other load and its disk are then the same.
type Measure struct {
	Part     string        `json:"part"`    // shipper, aggregator, indexer, pipeline
	Who      string        `json:"who"`     // sluice, floor franz-go, rsyslog ...
	Setting  string        `json:"setting"` // lz4, 4 partitions ...
	Events   int64         `json:"events"`
	Bytes    int64         `json:"bytes"`    // of the input
	Elapsed  time.Duration `json:"elapsed"`  // from the first event at the output to the last
	First    time.Duration `json:"first"`    // from the start of the program to its first event at the output
	CPU      time.Duration `json:"cpu"`      // of the whole life, user and system
	PeakRSS  int64         `json:"peak_rss"` // bytes
	Allocs   float64       `json:"allocs"`   // an event; 0: unknown
	AllocB   float64       `json:"alloc_b"`  // bytes an event
	Samples  []Sample      `json:"samples"`  // events at the output over time
	Verdict  *Verdict      `json:"verdict"`  // nil: only counted
	Counters []Problem     `json:"counters"` // sums that do not come out
	Note     string        `json:"note"`     // where it does less work than sluice
	Doubled  int64         `json:"doubled"`  // events at the output more than lines, for programs without a verdict

	first int64  // events at First
	stage *Stage // nil: not one of ours
}

// Sample is how far a program was.
type Sample struct {
	At     time.Duration `json:"at"` // since its start
	Events int64         `json:"events"`
}

// Rate is events a second once it runs.
func (m *Measure) Rate() float64 { return float64(m.Events-m.first) / m.Elapsed.Seconds() }

// MBs is input in megabytes a second.
func (m *Measure) MBs() float64 { return m.Rate() * float64(m.Bytes) / float64(m.Events) / 1e6 }

// CPUPerMillion is CPU-seconds for a million events.
func (m *Measure) CPUPerMillion() float64 { return m.CPU.Seconds() / float64(m.Events) * 1e6 }

// counter says how many events are at an output.
type counter func(ctx context.Context) (int64, error)

const stalled = 90 * time.Second

// follow watches a program that has been started at a time until want events are at the output.
func (m *Measure) follow(ctx context.Context, p *Proc, start time.Time, out counter, want int64, progress func(string)) error {
	m.Events = want
	var firstAt, movedAt time.Duration
	last := int64(0)
	for tick := 0; ; tick++ {
		ended := !p.Running() // before looking, so that what it did last is seen
		n, err := out(ctx)
		at := time.Since(start)
		if err != nil {
			return fmt.Errorf("count events at the output of %s: %w", p.Name, err)
		}
		if n > 0 && firstAt == 0 {
			firstAt, m.first, m.First = at, n, at
		}
		if n > last {
			last, movedAt = n, at
		}
		if tick%10 == 0 || n >= want {
			m.Samples = append(m.Samples, Sample{at, n})
			p.sample()
			progress(fmt.Sprintf("%s: %d of %d events", m.Who, n, want))
		}
		switch {
		case n >= want:
			m.Elapsed = max(at-firstAt, time.Millisecond)
			if m.first*2 > want { // over before it was seen to begin
				m.first, m.Elapsed = 0, at
			}
			u := p.Usage()
			m.CPU, m.PeakRSS, m.Doubled = u.CPU, u.PeakRSS, n-want
			return nil
		case ended:
			return fmt.Errorf("%s ended after %d of %d events: %v; the last of its log:\n%s", p.Name, n, want, p.Ended(), lastLines(p.Log, 15))
		case at-movedAt > stalled:
			return fmt.Errorf("%s: nothing new at the output for %v, %d of %d events; the last of its log:\n%s", p.Name, stalled, n, want, lastLines(p.Log, 15))
		case ctx.Err() != nil:
			return ctx.Err()
		}
		sleep(ctx, 20*time.Millisecond)
	}
}

// allocations are those of a Go program with sluice's metrics.
func (m *Measure) allocations(f Figures) {
	m.Allocs = f["go_memstats_mallocs_total"] / float64(m.Events)
	m.AllocB = f["go_memstats_alloc_bytes_total"] / float64(m.Events)
}

// topicCounter counts the records of a topic by its end offsets, which costs a broker nothing.
type topicCounter struct {
	cl         *kgo.Client
	topic      string
	partitions int
}

func newTopicCounter(brokers []string, topic string, partitions int) (*topicCounter, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	return &topicCounter{cl, topic, partitions}, err
}

func (c *topicCounter) count(ctx context.Context) (int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = c.topic
	for p := range int32(c.partitions) {
		part := kmsg.NewListOffsetsRequestTopicPartition()
		part.Partition, part.Timestamp = p, -1
		t.Partitions = append(t.Partitions, part)
	}
	req.Topics = append(req.Topics, t)
	sum := int64(0)
	for _, shard := range c.cl.RequestSharded(ctx, req) {
		if shard.Err != nil {
			return 0, shard.Err
		}
		for _, t := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return 0, err
				}
				sum += p.Offset
			}
		}
	}
	return sum, nil
}

func (c *topicCounter) close() { c.cl.Close() }

// countSink is a sink's counter; duplicates do not count.
func countSink(s *Sink) counter {
	return func(context.Context) (int64, error) {
		n := s.Stats()
		return n.Items - n.Duplicates, nil
	}
}

// countIndexed counts what Elasticsearch has indexed, searchable or not.
func countIndexed(e Elastic, index string) counter {
	return func(ctx context.Context) (int64, error) {
		text, err := e.Call(ctx, "GET", "/"+index+"*/_stats/indexing", "")
		if err != nil {
			return 0, err
		}
		var s struct {
			All struct {
				Primaries struct {
					Indexing struct {
						Total int64 `json:"index_total"`
					}
				}
			} `json:"_all"`
		}
		return s.All.Primaries.Indexing.Total, json.Unmarshal(text, &s)
	}
}

// String is one line for people.
func (m *Measure) String() string {
	s := fmt.Sprintf("%s: %s: %.0f events/s, %.0f MB/s, %.1f CPU-s/million, %d MiB", m.Part, m.Who, m.Rate(), m.MBs(), m.CPUPerMillion(), m.PeakRSS>>20)
	if m.Verdict != nil {
		s += ", " + m.Verdict.String()
	}
	for _, p := range m.Counters {
		s += "\n  " + p.String()
	}
	return s
}
