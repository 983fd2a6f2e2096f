//go:build linux

package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluicelog/sluice/loadtest/balance"
	"github.com/sluicelog/sluice/loadtest/site"
	"github.com/sluicelog/sluice/loadtest/verify"
)

// Outcome is what came of a scenario.
type Outcome struct {
	Name     string          `json:"name"`
	What     string          `json:"what"`
	Expect   string          `json:"expect"`
	Lines    int64           `json:"lines"`
	Missing  int64           `json:"missing"`  // of them, at the end of the way
	Doubled  int64           `json:"doubled"`  // anywhere, under another id
	Repeated int64           `json:"repeated"` // in the central Kafka, under the same id
	Recovery time.Duration   `json:"recovery"` // from the last line and step until all were found
	PeakRSS  int64           `json:"peak_rss"` // of the stage that took most
	Shown    balance.Figures `json:"shown"`    // that prove that the fault bit
	Blunt    []string        `json:"-"`        // of them, those that are too small
	Skipped  string          `json:"skipped,omitempty"`
	Problems []string        `json:"problems,omitempty"`
	Lived    *site.Lived     `json:"lived,omitempty"`
}

// OK is true if all is as expected.
func (o *Outcome) OK() bool { return len(o.Problems) == 0 }

func (o *Outcome) String() string {
	word := "ok"
	switch {
	case o.Skipped != "":
		return fmt.Sprintf("skip  %-26s %s", o.Name, o.Skipped)
	case !o.OK():
		word = "FAIL"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-5s %-26s %7d lines, %d missing, %d doubled, %6d sent again, all found after %6v, %3d MiB", word, o.Name, o.Lines, o.Missing, o.Doubled, o.Repeated, verify.Short(o.Recovery), o.PeakRSS>>20)
	for _, name := range slices.Sorted(maps.Keys(o.Shown)) {
		fmt.Fprintf(&b, ", %s %.0f", strings.Replace(strings.TrimPrefix(name, "sluice_"), "_total", "", 1), o.Shown[name])
	}
	for _, p := range o.Problems {
		b.WriteString("\n      " + p)
	}
	return b.String()
}
