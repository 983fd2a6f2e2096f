//go:build linux

package measure

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluicelog/sluice/loadtest/balance"
	"github.com/sluicelog/sluice/loadtest/fakes"
	"github.com/sluicelog/sluice/loadtest/proc"
	"github.com/sluicelog/sluice/loadtest/report"
	"github.com/sluicelog/sluice/loadtest/site"
	"github.com/sluicelog/sluice/loadtest/verify"
	"github.com/sluicelog/sluice/loadtest/wait"
)

// watched is a measure while it is taken.
type watched struct {
	*report.Measure
	stage   *site.Stage     // nil: not one of ours
	atFirst balance.Figures // its counters at the first event
}

// described notes how a program was started and which configuration it got.
func (m *watched) described(p *proc.Proc) {
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

// counter says how many events are at an output.
type counter func(ctx context.Context) (int64, error)

const (
	stalled = 90 * time.Second
	// transactionsSettle: the end offsets of a topic count the marks of transactions as well,
	// up to 10 a second and partition, so all events are there when no more come.
	transactionsSettle = 400 * time.Millisecond
)

// follow watches a program that has been started at a time until want events are at the output.
func (m *watched) follow(ctx context.Context, p *proc.Proc, start time.Time, out counter, want int64, progress func(n int64)) error {
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
			firstAt, m.AtFirst, m.First = at, n, at
			if m.stage != nil {
				m.atFirst, _ = m.stage.Figures(ctx) // without them the start counts as well
			}
		}
		if n > last {
			last, movedAt = n, at
		}
		if tick%10 == 0 || n >= want {
			m.Samples = append(m.Samples, report.Sample{At: at, Events: n})
			p.Sample()
			progress(n)
		}
		switch {
		case n >= want && at-movedAt >= settle:
			m.Elapsed = max(movedAt-firstAt, time.Millisecond)
			if m.AtFirst*2 > want { // over before it was seen to begin
				m.AtFirst, m.Elapsed, m.atFirst = 0, movedAt, nil
			}
			u := p.Usage()
			m.CPU, m.PeakRSS = u.CPU, u.PeakRSS
			return nil
		case ended:
			return fmt.Errorf("%s ended after %d of %d events: %v; the last of its log:\n%s", p.Name, n, want, p.Ended(), proc.LastLines(p.Log, 15))
		case at-movedAt > stalled:
			return fmt.Errorf("%s: nothing new at the output for %v, %d of %d events; the last of its log:\n%s", p.Name, stalled, n, want, proc.LastLines(p.Log, 15))
		case ctx.Err() != nil:
			return ctx.Err()
		}
		wait.Sleep(ctx, 20*time.Millisecond)
	}
}

// allocations are those of a Go program with sluice's metrics, from its first event on, or
// from its start if most was over by then.
func (m *watched) allocations(f balance.Figures) {
	events, before := m.Events-m.AtFirst, m.atFirst
	if m.AtFirst*2 > m.Events || len(before) == 0 {
		events, before = m.Events, balance.Figures{}
	}
	const objects, bytes = "go_memstats_mallocs_total", "go_memstats_alloc_bytes_total"
	m.Allocs = (f[objects] - before[objects]) / float64(events)
	m.AllocB = (f[bytes] - before[bytes]) / float64(events)
}

// countSink is a sink's counter; duplicates do not count.
func countSink(s *fakes.Sink) counter {
	return func(context.Context) (int64, error) {
		n := s.Stats()
		return n.Items - n.Duplicates, nil
	}
}

// countIndexed counts what Elasticsearch has indexed, searchable or not.
func countIndexed(e verify.Elastic, index string) counter {
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
