package balance

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A counter that lost one is named.
func TestCheckNamesTheCounter(t *testing.T) {
	text := `# TYPE sluice_aggregator_records_in_total counter
sluice_aggregator_records_in_total{role="aggregator",topic="a"} 60
sluice_aggregator_records_in_total{role="aggregator",topic="b"} 40
# TYPE sluice_aggregator_records_out_total counter
sluice_aggregator_records_out_total{role="aggregator",topic="a"} 55
sluice_aggregator_records_out_total{role="aggregator",topic="b"} 40
# TYPE sluice_aggregator_in_flight gauge
sluice_aggregator_in_flight{role="aggregator"} 5
`
	f := func(old, new, want string) {
		t.Helper()
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Replace(text, old, new, 1)) }))
		defer s.Close()
		figures, err := Scrape(t.Context(), s.URL)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, p := range Check("aggregator", figures) {
			got += p.String()
		}
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q for %q: got %q, want %q", new, old, got, want)
		}
	}
	f("", "", "")
	f("55", "54", "sluice_aggregator_records_in_total is 100, and sluice_aggregator_records_out_total 94 +")
	f(`"b"} 40`, `"b"} 41`, "sluice_aggregator_records_in_total is 101")
	f("sluice_aggregator_records_in_total{role=\"aggregator\",topic=\"a\"} 60\nsluice_aggregator_records_in_total{role=\"aggregator\",topic=\"b\"} 40\n", "", "there is no sluice_aggregator_records_in_total")
}

func TestScrapeKeepsLabels(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "# TYPE a_total counter\na_total{x=\"1\"} 2\na_total{x=\"2\"} 3\n")
	}))
	defer s.Close()
	f, err := Scrape(t.Context(), s.URL)
	if err != nil || f["a_total"] != 5 || f[`a_total{x="2"}`] != 3 {
		t.Errorf("%v, %v", f, err)
	}
}
