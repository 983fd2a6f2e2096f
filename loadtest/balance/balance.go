// Package balance reads the counters of a stage and checks that they add up.
package balance

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/sluicelog/sluice/loadtest/verify"
)

// Figures are the counters and gauges of a stage, by name, summed over their labels.
// A name with labels of interest has them behind it: sluice_x_total{topic="a"}.
type Figures map[string]float64

// Scrape reads /metrics.
func Scrape(ctx context.Context, url string) (Figures, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", url, err)
	}
	f := Figures{}
	for name, family := range families {
		for _, m := range family.Metric {
			v := value(m)
			f[name] += v
			for _, l := range m.Label {
				f[fmt.Sprintf("%s{%s=%q}", name, l.GetName(), l.GetValue())] += v
			}
		}
	}
	return f, nil
}

func value(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	case m.Untyped != nil:
		return m.Untyped.GetValue()
	case m.Histogram != nil:
		return float64(m.Histogram.GetSampleCount())
	}
	return 0
}

// Balance is one sum that must come out: the one on the left equals all on the right.
type Balance struct {
	Role  string
	Left  string
	Right []string
}

// Balances are what the stages promise of their counters, at rest and in full flow.
var Balances = []Balance{
	{"shipper", "sluice_shipper_events_made_total", []string{"sluice_shipper_events_acknowledged_total", "sluice_shipper_events_in_flight"}},
	{"aggregator", "sluice_aggregator_records_in_total", []string{"sluice_aggregator_records_out_total", "sluice_aggregator_records_dead_total", "sluice_aggregator_records_returned_total", "sluice_aggregator_in_flight"}},
	{"indexer", "sluice_indexer_events_read_total", []string{"sluice_indexer_events_indexed_total", "sluice_indexer_events_duplicate_total", "sluice_indexer_events_dead_total", "sluice_indexer_events_returned_total", "sluice_indexer_events_in_flight"}},
}

// Check reports each sum of a role that does not come out, naming the counters.
// Counters that are missing count as 0, except the one on the left.
func Check(role string, f Figures) []verify.Problem {
	var out []verify.Problem
	for _, b := range Balances {
		if b.Role != role {
			continue
		}
		left, ok := f[b.Left]
		if !ok {
			out = append(out, verify.Problem{Kind: "counters", Source: -1, Text: fmt.Sprintf("%s: there is no %s", role, b.Left)})
			continue
		}
		sum, parts := 0.0, []string{}
		for _, name := range b.Right {
			sum += f[name]
			parts = append(parts, fmt.Sprintf("%s %.0f", name, f[name]))
		}
		if left != sum {
			out = append(out, verify.Problem{Kind: "counters", Source: -1, Text: fmt.Sprintf("%s: %s is %.0f, and %s make %.0f", role, b.Left, left, strings.Join(parts, " + "), sum)})
		}
	}
	return out
}

// Losses names the counters of a stage that tell of something given up.
func Losses(f Figures) []string {
	var out []string
	for _, name := range []string{
		"sluice_shipper_given_up_total", "sluice_shipper_containers_missed_total", "sluice_kafka_gap_records_total", "sluice_aggregator_records_dead_total", "sluice_indexer_events_dead_total",
	} {
		if f[name] > 0 {
			out = append(out, fmt.Sprintf("%s %.0f", name, f[name]))
		}
	}
	slices.Sort(out)
	return out
}
