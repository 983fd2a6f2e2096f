package main

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/sluicelog/sluice/internal/metrics"
)

var update = flag.Bool("update", false, "rewrite what is generated: docs/metrics.md")

// This package imports every stage, so here all metrics are declared.
func TestMetricsReferenceIsCurrent(t *testing.T) {
	const path = "docs/metrics.md"
	want := metrics.Reference()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s is not what the metrics are (%v): go test . -run Metrics -update", path, err)
	}
}

// Roles may share a process, and so one /metrics: a name means one thing.
func TestMetricsNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range metrics.Defs() {
		if seen[d.Name] {
			t.Errorf("metric %s is declared twice", d.Name)
		}
		seen[d.Name] = true
	}
}

// The page lists what a metric was called before: no such name is left, each new one is
// there.
func TestRenamedMetricsHaveOneName(t *testing.T) {
	row := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| `(\\w+)` \\|$")
	page := metrics.Reference()
	rows, tables := row.FindAllStringSubmatch(page, -1), row.ReplaceAllString(page, "")
	if len(rows) == 0 {
		t.Fatal("no table of renamed metrics")
	}
	for _, r := range rows {
		if strings.Contains(tables, "`"+r[1]+"`") {
			t.Errorf("%s is still there", r[1])
		}
		if !strings.Contains(tables, "`"+r[2]+"`") {
			t.Errorf("%s, which was %s, is not there", r[2], r[1])
		}
	}
}
