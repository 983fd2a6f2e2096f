//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"
)

// addUp holds the counters that statsd received from each stage against the lines
// that were written since it started.
func (s *site) addUp(t *testing.T, lines int) {
	t.Helper()
	host := strings.ReplaceAll(hostName, ".", "_")
	var counters map[string]float64
	// sum adds a counter up over its labels.
	sum := func(role, name string) (n float64) {
		full := "sluice." + role + "." + host + "." + name
		for k, v := range counters {
			if k == full || strings.HasPrefix(k, full+".") {
				n += v
			}
		}
		return n
	}
	f := func(what string, got, want float64) {
		t.Helper()
		if got != want {
			t.Errorf("statsd: %s: got %v, want %v", what, got, want)
		}
	}
	want := float64(lines)
	// A member that the machine held up for longer than its session reads again what it had.
	relayed := func() float64 {
		return sum("aggregator", "out_events") + sum("aggregator", "dead_events") + sum("aggregator", "returned_events")
	}
	settled := func() float64 {
		return sum("indexer", "indexed_events") + sum("indexer", "duplicate_events") + sum("indexer", "dead_events") + sum("indexer", "returned_events")
	}
	eventually(t, 30*time.Second, "statsd's flush of the last figures", func() (bool, any) {
		totals, err := s.statsd.Totals()
		if err != nil {
			return false, err
		}
		counters = totals.Counters
		return sum("indexer", "indexed_events") >= want && settled() == sum("indexer", "read_events") && relayed() == sum("aggregator", "in_events"), counters
	})
	f("shipper made", sum("shipper", "made_events"), want)
	f("shipper acknowledged", sum("shipper", "acknowledged_events"), want)
	f("aggregator out + dead + returned", relayed(), max(want, sum("aggregator", "in_events")))
	f("indexer indexed + duplicate + dead + returned", settled(), max(want, sum("indexer", "read_events")))
	f("indexer indexed", sum("indexer", "indexed_events"), want)
}
