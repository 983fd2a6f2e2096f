//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Measure is what one program did with one input. Only measures of one run are to be
// compared: the machine, its other load and its disk are then the same.
type Measure struct {
	Part     string        // shipper, aggregator, indexer, elasticsearch
	Who      string        // sluice, floor franz-go, rsyslog ...
	Setting  string        // lz4, 4 partitions ...
	Curve    string        // what was varied; empty: no point of a curve
	X        int64         // its value there
	Command  string        // as it was started
	Config   string        // the file it was given
	Events   int64         //
	Bytes    int64         // of the input
	Elapsed  time.Duration // from the first event at the output to the last
	First    time.Duration // from the start of the program to its first event at the output
	CPU      time.Duration // of the whole life, user and system
	PeakRSS  int64         // bytes
	Allocs   float64       // an event; 0: unknown
	AllocB   float64       // bytes an event
	Samples  []Sample      // events at the output over time
	Verdict  *Verdict      // nil: only counted
	Counters []Problem     // sums that do not come out
	Note     string        // where it does less work than sluice
	Tries    int           // that this is the median of
	Rates    [2]float64    // least and greatest of the tries
	CPUs     [2]float64    // likewise, CPU-seconds a million events

	first   int64   // events at First
	atFirst Figures // counters of a stage then
	stage   *Stage  // nil: not one of ours
}

// MarshalJSON has what is derived as well, and units in its names.
func (m *Measure) MarshalJSON() ([]byte, error) {
	out := map[string]any{
		"part": m.Part, "program": m.Who, "setting": m.Setting, "events": m.Events, "input_bytes": m.Bytes, "elapsed_s": m.Elapsed.Seconds(), "first_event_s": m.First.Seconds(), "cpu_s": m.CPU.Seconds(),
		"events_per_s": m.Rate(), "mb_per_s": m.MBs(), "cpu_s_per_million_events": m.CPUPerMillion(), "cpu_s_per_gb": m.CPUPerGB(), "peak_rss_bytes": m.PeakRSS,
		"command": m.Command, "config": m.Config,
	}
	samples := [][2]float64{}
	for _, s := range m.Samples {
		samples = append(samples, [2]float64{s.At.Seconds(), float64(s.Events)})
	}
	out["samples_s_events"] = samples
	if m.Curve != "" {
		out["curve"], out["x"] = m.Curve, m.X
	}
	if m.stage != nil {
		out["allocs_per_event"], out["alloc_bytes_per_event"] = m.Allocs, m.AllocB
	}
	if m.Verdict != nil {
		out["verdict"] = m.Verdict
	}
	if len(m.Counters) > 0 {
		out["counters"] = m.Counters
	}
	if m.Note != "" {
		out["note"] = m.Note
	}
	if m.Tries > 1 {
		out["tries"], out["events_per_s_min_max"], out["cpu_s_per_million_events_min_max"] = m.Tries, m.Rates, m.CPUs
	}
	return json.Marshal(out)
}

// described notes how a program was started and what it was told.
func (m *Measure) described(p *Proc) {
	m.Command = strings.Join(p.Argv, " ")
	for _, arg := range p.Argv {
		switch filepath.Ext(arg) {
		case ".yaml", ".conf", ".properties":
			if text, err := os.ReadFile(arg); err == nil {
				m.Config = string(text)
			}
		}
	}
}

// Sample is how far a program was.
type Sample struct {
	At     time.Duration // since its start
	Events int64
}

// Rate is events a second once it runs.
func (m *Measure) Rate() float64 { return float64(m.Events-m.first) / m.Elapsed.Seconds() }

// MBs is input in megabytes a second.
func (m *Measure) MBs() float64 { return m.Rate() * float64(m.Bytes) / float64(m.Events) / 1e6 }

// CPUPerMillion is CPU-seconds for a million events.
func (m *Measure) CPUPerMillion() float64 { return m.CPU.Seconds() / float64(m.Events) * 1e6 }

// CPUPerGB is CPU-seconds for 10^9 bytes of input.
func (m *Measure) CPUPerGB() float64 { return m.CPU.Seconds() / float64(m.Bytes) * 1e9 }

// counter says how many events are at an output.
type counter func(ctx context.Context) (int64, error)

const (
	stalled = 90 * time.Second
	// transactionsSettle: the end offsets of a topic count the marks of transactions as well,
	// up to 10 a second and partition, so all events are there when no more come.
	transactionsSettle = 400 * time.Millisecond
)

// follow watches a program that has been started at a time until want events are at the output.
func (m *Measure) follow(ctx context.Context, p *Proc, start time.Time, out counter, want int64, progress func(n int64)) error {
	m.Events = want
	settle := time.Duration(0)
	if m.stage != nil && m.stage.Role == "aggregator" {
		settle = transactionsSettle
	}
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
			if m.stage != nil {
				m.atFirst, _ = m.stage.Figures(ctx) // without them the start counts as well
			}
		}
		if n > last {
			last, movedAt = n, at
		}
		if tick%10 == 0 || n >= want {
			m.Samples = append(m.Samples, Sample{at, n})
			p.sample()
			progress(n)
		}
		switch {
		case n >= want && at-movedAt >= settle:
			m.Elapsed = max(movedAt-firstAt, time.Millisecond)
			if m.first*2 > want { // over before it was seen to begin
				m.first, m.Elapsed, m.atFirst = 0, movedAt, nil
			}
			u := p.Usage()
			m.CPU, m.PeakRSS = u.CPU, u.PeakRSS
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

// allocations are those of a Go program with sluice's metrics, from its first event on, or
// from its start if most was over by then.
func (m *Measure) allocations(f Figures) {
	events, before := m.Events-m.first, m.atFirst
	if m.first*2 > m.Events || len(before) == 0 {
		events, before = m.Events, Figures{}
	}
	const objects, bytes = "go_memstats_mallocs_total", "go_memstats_alloc_bytes_total"
	m.Allocs = (f[objects] - before[objects]) / float64(events)
	m.AllocB = (f[bytes] - before[bytes]) / float64(events)
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
	part := m.Part
	if m.Curve != "" {
		part = fmt.Sprintf("%s %s: %s", m.Curve, formatX(m.Curve, m.X), m.Part)
	}
	s := fmt.Sprintf("%s: %s: %.0f events/s, %.0f MB/s, %.1f CPU-s/million, %d MiB", part, m.Who, m.Rate(), m.MBs(), m.CPUPerMillion(), m.PeakRSS>>20)
	if m.Verdict != nil {
		s += ", " + m.Verdict.String()
	}
	for _, p := range m.Counters {
		s += "\n  " + p.String()
	}
	return s
}
