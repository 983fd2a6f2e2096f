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
	text := `{"version": "v1", "roles": [{"role": "aggregator", "ready": true, "dependencies": [{"name": "kafka dc1", "reachable": true, "answered": true}, {"name": "kafka central"}],
		"account": {"sums": [{"in": {"name": "in_total", "value": 100}, "out": [{"name": "out_total", "value": 95}, {"name": "dead_total", "value": 0}], "in_flight": {"name": "in_flight", "value": 5}, "missing": 0}],
		"losses": [{"name": "gap_total", "value": 2}]}}]}`
	f := func(old, new, want string) {
		t.Helper()
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Replace(text, old, new, 1)) }))
		defer s.Close()
		status, err := Ask(t.Context(), s.URL)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, p := range status.Check() {
			got += p.String()
		}
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q for %q: got %q, want %q", new, old, got, want)
		}
		if a := status.Account; want == "" && (a.Finished() != 95 || a.InFlight() != "in_flight 5" || len(a.Losses) != 1 || a.Losses[0].String() != "gap_total 2") {
			t.Errorf("account %+v", a)
		}
		if d := status.Dependencies; !d[0].Asked() || d[1].Asked() {
			t.Errorf("dependencies %+v", d)
		}
	}
	f("", "", "")
	f(`"value": 95`, `"value": 94`, "aggregator: in_total is 100, and out_total 94 + dead_total 0 + in_flight 5 make 99")
	f(`"value": 100`, `"value": 101`, "in_total is 101")
	f(`"sums": [`, `"sums": [], "x": [`, "it says of no counters how they add up")
	f(`"account": {`, `"account_error": "broken", "account": {`, "aggregator: broken")
}
