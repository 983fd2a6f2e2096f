package balance

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

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
