//go:build linux

package measure

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluicelog/sluice/loadtest/balance"
	"github.com/sluicelog/sluice/loadtest/proc"
	"github.com/sluicelog/sluice/loadtest/report"
	"github.com/sluicelog/sluice/loadtest/site"
)

// An aggregator's topic holds marks of transactions as well: all events are there only
// when nothing more comes. Of others the last event ends the measure.
func TestFollow(t *testing.T) {
	p := &proc.Proc{Name: "sleep", Argv: []string{"sleep", "60"}, Log: filepath.Join(t.TempDir(), "log")}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	f := func(what string, m watched, wantLast int64) {
		t.Helper()
		counts, calls := []int64{0, 40, 80, 100, 105, 110}, 0
		out := func(context.Context) (int64, error) {
			calls++
			return counts[min(calls, len(counts))-1], nil
		}
		told := int64(0)
		if err := m.follow(t.Context(), p, time.Now(), out, 100, func(n int64) { told = n }); err != nil {
			t.Fatal(err)
		}
		if last := m.Samples[len(m.Samples)-1].Events; last != wantLast || told != wantLast || m.Events != 100 || m.AtFirst != 40 || m.Elapsed <= 0 || m.First <= 0 {
			t.Errorf("%s: ended at %d, want %d; told %d: %+v", what, last, wantLast, told, m)
		}
	}
	f("floor", watched{Measure: &report.Measure{}}, 100)
	f("indexer", watched{Measure: &report.Measure{}, stage: &site.Stage{Role: "indexer"}}, 100)
	f("aggregator", watched{Measure: &report.Measure{}, stage: &site.Stage{Role: "aggregator"}}, 110)
}

// Allocations are those from the first event on, if that is most of the run.
func TestAllocations(t *testing.T) {
	f := func(first int64, atFirst balance.Figures, want float64) {
		t.Helper()
		m := watched{Measure: &report.Measure{Events: 1000, AtFirst: first}, atFirst: atFirst}
		m.allocations(balance.Figures{"go_memstats_mallocs_total": 50_000})
		if m.Allocs != want {
			t.Errorf("first %d, %v: %v, want %v", first, atFirst, m.Allocs, want)
		}
	}
	f(200, balance.Figures{"go_memstats_mallocs_total": 48_000}, 2.5)
	f(0, nil, 50)
	f(600, balance.Figures{"go_memstats_mallocs_total": 48_000}, 50)
}
