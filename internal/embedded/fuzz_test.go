package embedded

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// serve answers a request without a network, and checks that the answer is JSON with the
// header that clients look for, and an error in the known shape unless it is a success.
func serve(t *testing.T, s *Store, method, path string, body []byte) int {
	t.Helper()
	w := httptest.NewRecorder()
	req := httptest.NewRequest(method, path, bytes.NewReader(body))
	req.Host = "localhost"
	s.Handler().ServeHTTP(w, req)
	var a struct {
		Error  json.RawMessage
		Status int
	}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("answer %d is no JSON: %v: %.200s", w.Code, err, w.Body)
	}
	if w.Code >= 500 || w.Code >= 400 && (a.Status != w.Code || len(a.Error) == 0) && !strings.Contains(w.Body.String(), `"found":false`) {
		t.Errorf("got %d %.300s", w.Code, w.Body)
	}
	if w.Header().Get(productHeader) != product {
		t.Error("no product header")
	}
	return w.Code
}

// Whatever a bulk body holds, each of its documents gets an answer, or the whole of it a
// refusal; what was stored can be read again.
func FuzzStoreBulk(f *testing.F) {
	f.Add([]byte("{\"create\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{\"message\":\"x\",\"@timestamp\":\"2026-11-20T10:00:00Z\"}\n"))
	f.Add([]byte("{\"index\":{\"_index\":\"a\"}}\n{\"a\":[1,[2,{\"b\":null}],\"c\"],\"message\":[\"x\",2,true]}\n{\"delete\":{\"_index\":\"a\",\"_id\":\"1\"}}\n"))
	f.Add([]byte("{\"create\":{\"_index\":\"a\",\"_id\":\"\\u0000\\ud800\"}}\r\n{\"message\":\"\xff\xfe\",\"a\\u0000b\":\"c\",\"tags\":[]}\r\n"))
	f.Add([]byte("{\"create\":{\"_index\":\"../x\",\"_id\":\"1\"}}\n{}\n"))
	f.Add([]byte("{\"create\":{\"_index\":\"a\",\"_id\":\"1\"},\"index\":{}}\n{}\n"))
	f.Add([]byte("{\"create\":{\"_index\":\"a\"}}\n{\"@timestamp\":1e400,\"n\":-0.0,\"m\":1e999}\n"))
	f.Add([]byte("{\"create\":{\"_index\":\"a\"}}\n{\"@timestamp\":\"0000-01-01T00:00:00Z\"}\n"))
	f.Add([]byte("{\"create\":{\"_index\":\"a\"}}\n" + strings.Repeat(`{"a":`, 400) + "1" + strings.Repeat("}", 400) + "\n"))
	f.Add([]byte("\n\n"))
	f.Add([]byte("null\n"))
	f.Add([]byte("{\"create\":[]}\n{}\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		ops, err := parseBulk(body, "default")
		if err != nil {
			var buf bytes.Buffer
			if json.NewEncoder(&buf).Encode(err.(*esError).body()) != nil {
				t.Error("error cannot be encoded")
			}
			return
		}
		for _, o := range ops {
			if o.err == nil && (o.doc == nil) != (o.action == "delete") {
				t.Errorf("op without a document and without an error: %+v", o)
			}
			if o.err == nil && checkIndexName(o.index) != nil {
				t.Errorf("index name %q was let through", o.index)
			}
		}
	})
}

// The same seeds and some more through a whole store: nothing panics, nothing answers 5xx.
func TestStoreBadInput(t *testing.T) {
	s := startTestStore(t, StoreOptions{})
	doc := `{"message":"\u0000 \ud800","a\u0000b":"c","":{"":""},"tags":[[["x"]]],"n":-1e-320,"host":{"name":"` + strings.Repeat("x", 40_000) + `"},"@timestamp":"1677-12-31T00:00:00Z","@timestamp":0}`
	if got := serve(t, s, "POST", "/a/_bulk", []byte("{\"create\":{\"_id\":\"\\u0000\"}}\n"+doc+"\n{\"create\":{\"_id\":\"2\"}}\n{\"message\":\"\xff\",\"k\xff\":\"v\xff\"}\n")); got != 200 {
		t.Errorf("got %d", got)
	}
	for _, body := range []string{``, `{`, `null`, `"x"`, `{"query":null}`, `{"query":{"bool":{"must":5}}}`, `{"query":{"term":5}}`, `{"query":{"term":{"a":null}}}`,
		`{"query":{"range":{"@timestamp":{"gte":1e300}}}}`, `{"query":{"range":{"@timestamp":{"gte":-9223372036854775808,"lte":9223372036854775807}}}}`,
		`{"query":{"range":{"@timestamp":{"gte":"1678-01-01","lte":"2261-12-31"}}}}`, `{"query":{"range":{"n":{"gte":"NaN"}}}}`, `{"query":{"range":{"n":{"gte":"-Inf"}}}}`,
		`{"query":{"wildcard":{"a":"` + strings.Repeat("?*", 2000) + `"}}}`, `{"query":{"wildcard":{"n":"` + strings.Repeat("?*", 8) + `"}}}`, `{"query":{"ids":{"values":[""]}}}`, `{"query":{"terms":{"a":[]}}}`,
		`{"query":{"exists":{"field":"\u0000("}}}`, `{"sort":[[]]}`, `{"sort":[]}`, `{"sort":[null]}`, `{"aggs":{"x":{}}}`, `{"aggs":[]}`, `{"track_total_hits":-5}`,
		`{"aggs":{"x":{"date_histogram":{"field":"@timestamp","fixed_interval":"1ms","extended_bounds":{"min":"1678-01-01","max":"2261-01-01"}}}}}`,
		`{"aggs":{"x":{"date_histogram":{"field":"@timestamp","fixed_interval":"99999999999d"}}}}`,
		`{"query":` + strings.Repeat(`{"constant_score":{"filter":`, 200) + `{"match_all":{}}` + strings.Repeat("}}", 200) + `}`,
	} {
		serve(t, s, "POST", "/_search", []byte(body))
		serve(t, s, "GET", "/_count", []byte(body))
	}
	for _, path := range []string{"/_bulk", "/a/_bulk", "/%2e%2e/_bulk", "/_nothing", "/a/_doc/", "/a/_doc/%00", "/a%00/_search", "/_index_template/x", "/_search?size=x", "/_search?q=(", "/_cat/indices"} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
			if method != "DELETE" || path != "/a" {
				serve(t, s, method, path, []byte("x\n"))
			}
		}
	}
	if got := serve(t, s, "POST", "/_search", []byte(`{"size":10000}`)); got != 200 {
		t.Errorf("what was stored cannot be read again: got %d", got)
	}
}

func FuzzQueryString(f *testing.F) {
	for _, q := range []string{`a AND (b OR NOT c:"d e") -f +g`, `f:[1 TO *} g:>=now-1d/d`, `\`, `"\`, `a:\"`, `((((`, `))`, `^`, `a^`, `:`, `::`, `*:*`, `a:*?\*`, `NOT NOT !- a`, `&& ||`, `_exists_:`, `@timestamp:[* TO now/w]`, "\x00", `a~`, `http://x/y?z=1`, `日本:語*`} {
		f.Add(q, false)
	}
	s := corpusStore(f)
	f.Fuzz(func(t *testing.T, text string, every bool) {
		q, err := parseQueryString(text, every)
		if err != nil {
			if e, ok := err.(*esError); !ok || e.status != 400 {
				t.Errorf("%q: error %v", text, err)
			}
			return
		}
		c := newCollector(&searchRequest{query: q, size: 10, order: order{field: arrivalField}})
		if _, err := c.run(t.Context(), s.all()); err != nil {
			if e, ok := err.(*esError); !ok || e.status != 400 {
				t.Errorf("%q: search: %v", text, err)
			}
		}
	})
}

// Sortable terms are in the order of what they stand for, and hold no separator.
func TestSortable(t *testing.T) {
	numbers := []int64{math.MinInt64, math.MinInt64 + 1, -1 << 40, -129, -1, 0, 1, 127, 128, 1 << 40, math.MaxInt64 - 1, math.MaxInt64}
	for i, n := range numbers {
		b := sortable(n)
		if got, ok := unsortable(b); !ok || got != n {
			t.Errorf("%d: got %d back", n, got)
		}
		if bytes.ContainsAny(b, "\xff\xfe") {
			t.Errorf("%d: separator in %x", n, b)
		}
		if i > 0 && bytes.Compare(sortable(numbers[i-1]), b) >= 0 {
			t.Errorf("%d is not above %d", n, numbers[i-1])
		}
	}
	floats := []float64{math.Inf(-1), -1e300, -2, -1.5, -1e-300, 0, 1e-300, 1.5, 2, 1e300, math.Inf(1)}
	for i := range floats[1:] {
		if sortableFloat(floats[i]) >= sortableFloat(floats[i+1]) {
			t.Errorf("%g is not above %g", floats[i+1], floats[i])
		}
	}
	if sortableFloat(math.Copysign(0, -1)) != sortableFloat(0) {
		t.Error("there are two zeros")
	}
}

// The terms of a range are those of all minutes in it, each minute once.
func TestCoverBuckets(t *testing.T) {
	base := time.Date(2026, 11, 20, 22, 58, 30, 0, time.UTC)
	f := func(from, to time.Time, wantTerms int) {
		t.Helper()
		terms, ok := coverBuckets(from.UnixNano(), to.UnixNano(), 1000)
		if !ok || len(terms) != wantTerms {
			t.Errorf("%v to %v: got %d terms %v, want %d", from, to, len(terms), terms, wantTerms)
		}
		for at := from.Truncate(time.Minute).Add(-2 * time.Minute); at.Before(to.Add(3 * time.Minute)); at = at.Add(time.Minute) {
			hits := 0
			for _, b := range buckets(at.UnixNano()) {
				if slices.Contains(terms, b) {
					hits++
				}
			}
			want := 0
			if !at.Before(from.Truncate(time.Minute)) && !at.After(to) {
				want = 1
			}
			if hits != want {
				t.Fatalf("%v to %v: minute %v is covered %d times by %v", from, to, at, hits, terms)
			}
		}
	}
	f(base, base, 1)
	f(base, base.Add(time.Minute), 2)
	f(base, base.Add(2*time.Minute), 3)
	f(base, base.Add(3*time.Hour), 2+2+59)       // two minutes, hours 23 and 0, minutes to 01:58
	f(base, base.Add(49*time.Hour), 2+1+1+23+59) // two minutes, an hour, a day, hours, minutes
	before := time.Date(1969, 12, 30, 23, 59, 0, 0, time.UTC)
	f(before, before.Add(2*time.Minute), 3)
	if _, ok := coverBuckets(math.MinInt64, math.MaxInt64, 1000); ok {
		t.Error("all of time in 1000 terms")
	}
}

func TestGlobMatch(t *testing.T) {
	f := func(pattern, name string, want bool) {
		t.Helper()
		if got := globMatch(pattern, name); got != want {
			t.Errorf("%s on %s: got %v", pattern, name, got)
		}
	}
	f("a", "a", true)
	f("a", "ab", false)
	f("a*", "ab", true)
	f("*", "", true)
	f("a*a", "a", false)
	f("a*b*c", "aXbYbZc", true)
	f("a*b*c", "acb", false)
	f("logs-*-x", "logs-1-x", true)
}
