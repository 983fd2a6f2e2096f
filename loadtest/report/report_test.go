//go:build linux

package report

import (
	"encoding/json"
	"encoding/xml"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/loadtest/proc"
	"github.com/sluicelog/sluice/loadtest/site"
	"github.com/sluicelog/sluice/loadtest/verify"
)

func sampleReport() *Report {
	r := NewReport("sluice load test", "")
	for i, cpu := range []time.Duration{9, 5, 7} {
		r.Add(Measure{Part: PartShipper, Who: "sluice", Setting: "4 partitions", Events: 1000, Bytes: 1_000_000, Elapsed: time.Second, CPU: cpu * time.Millisecond,
			PeakRSS: int64(i+1) << 20, Verdict: &verify.Verdict{Lines: 1000, Found: 1000}, Samples: []Sample{{time.Second, 1000}}, Ours: true})
	}
	r.Add(Measure{Part: PartShipper, Who: "rsyslog <8>", Events: 1000, Bytes: 1_000_000, Elapsed: time.Second, CPU: 20 * time.Millisecond, Note: "less work",
		Verdict: &verify.Verdict{Lines: 1000, Found: 900, Missing: 100, Problems: []verify.Problem{{Kind: "missing", Source: 0, Text: "100 of 1000"}}}})
	for _, x := range []int64{1, 4, 64} {
		for part, cpu := range map[string]time.Duration{PartShipper: 8, PartIndexer: 12} {
			r.Add(Measure{Part: part, Who: "sluice", Curve: CurvePartitions, X: x, Events: 1000, Bytes: 1_000_000, Elapsed: time.Second, CPU: cpu * time.Millisecond,
				PeakRSS: x << 20, Allocs: 0.5, Verdict: &verify.Verdict{Lines: 1000, Found: 1000}, Ours: true, Command: "sluice <here>"})
			r.Add(Measure{Part: part, Who: "floor franz-go", Curve: CurvePartitions, X: x, Events: 1000, Bytes: 1_000_000, Elapsed: time.Second, CPU: cpu * time.Millisecond / 2, PeakRSS: 1 << 20})
		}
	}
	r.Pipeline = []*site.Lived{{Lines: 10, Latency: map[string]verify.Latency{"dc1": {P50: time.Millisecond, N: 10}}, Verdicts: map[string]*verify.Verdict{"dc1": {}}, Usage: map[string]proc.Usage{"shipper": {}}}}
	r.Outcomes = []*Outcome{{Name: "kill", What: "w", Expect: "e", Lines: 5}, {Name: "disk", Skipped: "no root"}}
	r.Finish()
	return r
}

// The median by CPU stands in the table; what a peer loses does not count against sluice.
func TestReport(t *testing.T) {
	r := sampleReport()
	if len(r.Measures) != 14 || r.Measures[0].CPU != 7*time.Millisecond || len(r.All) != 16 {
		t.Errorf("measures: %+v", r.Measures)
	}
	text := r.String()
	for _, want := range []string{`shipper: 1,000 events, 1 MB; 4 partitions; median of 3 tries`, `sluice +1,000 \(1,000\.\.1,000\) +1\.0 +7\.0 \(5\.0\.\.9\.0\) +1\.00 +7\.0 +3 +0\.0 s +0 +0`,
		`rsyslog <8> +1,000 +1\.0 +20\.0 +2\.86 .* 100 +0\n`, `shipper +sluice +64 +1,000 +1\.0 +8\.0 +2\.00 +8\.0 +64 +0\.50`, `indexer +floor franz-go +4 +1,000`, "less work", "All as promised", "ok    kill", "skip  disk", "dc1 p50 1ms"} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	r.All[0].Verdict.Problems = []verify.Problem{{Kind: "doubled", Source: 3, Text: "source 3: 1 lines"}}
	r.Outcomes[0].Problems = []string{"late"}
	text = r.String()
	for _, want := range []string{"NOT AS PROMISED", "shipper sluice: doubled: source 3", "kill: late", "FAIL  kill"} {
		if r.OK() || !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// The page is whole, escapes what it shows, and needs nothing else.
func TestReportFiles(t *testing.T) {
	dir := t.TempDir()
	if err := sampleReport().Save(dir); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	if regexp.MustCompile(`(?i)(src|href)=|url\(|@import|<script`).Match(page) {
		t.Error("the page asks for something else")
	}
	if strings.Contains(string(page), "rsyslog <8>") || !strings.Contains(string(page), "rsyslog &lt;8&gt;") {
		t.Error("names are not escaped")
	}
	drawings := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAll(page, -1)
	if len(drawings) != 15 { // 2 bars, 1 of time; keys of 2 and of 4 lines; 6 of the curve
		t.Errorf("%d drawings, want 15", len(drawings))
	}
	for _, d := range drawings {
		if err := xml.Unmarshal(d, new(struct{})); err != nil {
			t.Errorf("%v in %s", err, d)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var back struct{ Measures []map[string]any }
	if err := json.Unmarshal(text, &back); err != nil || len(back.Measures) != 14 || back.Measures[0]["cpu_s_per_million_events"] != 7.0 {
		t.Errorf("%v, %d measures: %s", err, len(back.Measures), text)
	}
}

func TestAxes(t *testing.T) {
	f := func(top float64, want ...float64) {
		t.Helper()
		if got := niceTicks(top); !slices.Equal(got, want) {
			t.Errorf("ticks to %v: %v, want %v", top, got, want)
		}
	}
	f(0)
	f(9, 0, 2, 4, 6, 8)
	f(16, 0, 5, 10, 15)
	f(100, 0, 20, 40, 60, 80, 100)
	f(75_000, 0, 20_000, 40_000, 60_000)
	if got := scale(10, [2]float64{1, 1000}, true); math.Abs(got-1.0/3) > 1e-9 {
		t.Errorf("10 on a logarithmic axis from 1 to 1000 is at %v", got)
	}
	text := []string{axisText(0), axisText(0.05), axisText(250), axisText(20_000), axisText(1.5e6)}
	if want := []string{"0", "0.05", "250", "20k", "1.5M"}; !slices.Equal(text, want) {
		t.Errorf("%q, want %q", text, want)
	}
}
