//go:build linux

package loadtest

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func sampleReport() *Report {
	r := NewReport(RunOptions{})
	for i, cpu := range []time.Duration{9, 5, 7} {
		r.add(Measure{Part: PartShipper, Who: "sluice", Setting: "4 partitions", Events: 1000, Bytes: 1_000_000, Elapsed: time.Second, CPU: cpu * time.Millisecond,
			PeakRSS: int64(i+1) << 20, Verdict: &Verdict{Lines: 1000, Found: 1000}, Samples: []Sample{{time.Second, 1000}}, stage: &Stage{Role: "shipper"}})
	}
	r.add(Measure{Part: PartShipper, Who: "rsyslog <8>", Events: 1000, Bytes: 1_000_000, Elapsed: time.Second, CPU: 20 * time.Millisecond, Note: "less work",
		Verdict: &Verdict{Lines: 1000, Found: 900, Missing: 100, Problems: []Problem{{"missing", 0, "100 of 1000"}}}})
	r.Pipeline = []*Lived{{Lines: 10, Latency: map[string]Latency{"dc1": {P50: time.Millisecond, N: 10}}, Verdicts: map[string]*Verdict{"dc1": {}}, Usage: map[string]Usage{"shipper": {}}}}
	r.Outcomes = []*Outcome{{Name: "kill", What: "w", Expect: "e", Lines: 5}, {Name: "disk", Skipped: "no root"}}
	r.finish()
	return r
}

// The median by CPU stands in the table; what a peer loses does not count against sluice.
func TestReport(t *testing.T) {
	r := sampleReport()
	if len(r.Measures) != 2 || r.Measures[0].CPU != 7*time.Millisecond || len(r.All) != 4 {
		t.Errorf("measures: %+v", r.Measures)
	}
	text := r.String()
	for _, want := range []string{`shipper\s+sluice\s+1000\s+1\s+7\.0`, `rsyslog <8>.*100`, "less work", "All as promised", "ok    kill", "skip  disk", "dc1 p50 1ms"} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	r.All[0].Verdict.Problems = []Problem{{"doubled", 3, "source 3: 1 lines"}}
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
	if len(drawings) != 3 {
		t.Errorf("%d drawings, want 3", len(drawings))
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
	if err := json.Unmarshal(text, &back); err != nil || len(back.Measures) != 2 {
		t.Errorf("%v, %d measures", err, len(back.Measures))
	}
}
