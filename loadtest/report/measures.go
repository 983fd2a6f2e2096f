//go:build linux

package report

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/sluicelog/sluice/loadtest/verify"
)

// Measure is what one program did with one input. Only measures of one run are to be
// compared: the machine, its other load and its disk are then the same.
type Measure struct {
	Part     string           // shipper, aggregator, indexer, elasticsearch
	Who      string           // sluice, floor franz-go, rsyslog ...
	Setting  string           // lz4, 4 partitions ...
	Curve    string           // what was varied; empty: no point of a curve
	X        int64            // its value there
	Command  string           // as it was started
	Config   string           // the file it was given
	Events   int64            //
	Bytes    int64            // of the input
	Elapsed  time.Duration    // from the first event at the output to the last
	First    time.Duration    // from the start of the program to its first event at the output
	CPU      time.Duration    // of the whole life, user and system
	PeakRSS  int64            // bytes
	Allocs   float64          // an event; 0: unknown
	AllocB   float64          // bytes an event
	Samples  []Sample         // events at the output over time
	Verdict  *verify.Verdict  // nil: only counted
	Counters []verify.Problem // sums that do not come out
	Note     string           // where it does less work than sluice
	Tries    int              // that this is the median of
	Rates    [2]float64       // least and greatest of the tries
	CPUs     [2]float64       // likewise, CPU-seconds a million events
	Ours     bool             // a stage of sluice
	AtFirst  int64            // events at the output at First
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
	if m.Ours {
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

// Sample is how far a program was.
type Sample struct {
	At     time.Duration // since its start
	Events int64
}

// Rate is events a second once it runs.
func (m *Measure) Rate() float64 { return float64(m.Events-m.AtFirst) / m.Elapsed.Seconds() }

// MBs is input in megabytes a second.
func (m *Measure) MBs() float64 { return m.Rate() * float64(m.Bytes) / float64(m.Events) / 1e6 }

// CPUPerMillion is CPU-seconds for a million events.
func (m *Measure) CPUPerMillion() float64 { return m.CPU.Seconds() / float64(m.Events) * 1e6 }

// CPUPerGB is CPU-seconds for 10^9 bytes of input.
func (m *Measure) CPUPerGB() float64 { return m.CPU.Seconds() / float64(m.Bytes) * 1e9 }

// String is one line for people.
func (m *Measure) String() string {
	part := m.Part
	if m.Curve != "" {
		part = fmt.Sprintf("%s %s: %s", m.Curve, FormatX(m.Curve, m.X), m.Part)
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
