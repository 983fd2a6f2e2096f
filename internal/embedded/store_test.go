package embedded

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
	"github.com/elastic/go-elasticsearch/v8/esapi"
)

func startTestStore(t testing.TB, o StoreOptions) *Store {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := StartStore(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// es is the client that the indexer uses.
func es(t testing.TB, s *Store) *esapi.API {
	t.Helper()
	c, err := newAPI(s, elastictransport.WithCompression(), elastictransport.WithDisableRetry(), elastictransport.WithTransport(&http.Transport{DisableKeepAlives: true}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newAPI is the API of go-elasticsearch; s says which product it is, as the clients of
// others ask.
func newAPI(s *Store, options ...elastictransport.Option) (*esapi.API, error) {
	u, err := url.Parse(s.URL())
	if err != nil {
		return nil, err
	}
	c, err := elastictransport.NewClient(append(options, elastictransport.WithURLs(u), elastictransport.WithInterceptors(productCheck))...)
	if err != nil {
		return nil, err
	}
	return esapi.New(c), nil
}

// productCheck refuses an answer that does not say that it is Elasticsearch's, as
// go-elasticsearch does.
func productCheck(next elastictransport.RoundTripFunc) elastictransport.RoundTripFunc {
	return func(r *http.Request) (*http.Response, error) {
		res, err := next(r)
		if err == nil && res.Header.Get(productHeader) != "Elasticsearch" {
			return nil, fmt.Errorf("%s %s: %s is %q", r.Method, r.URL.Path, productHeader, res.Header.Get(productHeader))
		}
		return res, err
	}
}

func decode[T any](t testing.TB, r *esapi.Response, err error) (status int, v T) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, v
}

type bulkAnswer struct {
	Errors bool
	Items  []map[string]struct {
		Index  string `json:"_index"`
		ID     string `json:"_id"`
		Status int
		Error  struct{ Type, Reason string }
	}
}

func bulk(t testing.TB, s *Store, body string) (int, bulkAnswer) {
	t.Helper()
	c := es(t, s)
	r, err := c.Bulk(strings.NewReader(body), c.Bulk.WithFilterPath("errors,items.*.error,items.*.status"))
	return decode[bulkAnswer](t, r, err)
}

// fill stores documents in index i with the ids 0, 1, ...
func fill(t testing.TB, s *Store, docs ...string) {
	t.Helper()
	var b strings.Builder
	for i, d := range docs {
		fmt.Fprintf(&b, `{"create":{"_index":"logs-1","_id":"%d"}}`+"\n%s\n", i, d)
	}
	status, a := bulk(t, s, b.String())
	if status != 200 || a.Errors {
		t.Fatalf("bulk: %d %+v", status, a)
	}
}

type searchAnswer struct {
	Error struct{ Type, Reason string }
	Hits  struct {
		Total struct {
			Value    int
			Relation string
		}
		Hits []struct {
			Index  string          `json:"_index"`
			ID     string          `json:"_id"`
			Source json.RawMessage `json:"_source"`
			Sort   []any
		}
	}
	Aggregations map[string]struct {
		Buckets []aggBucket
		Other   int `json:"sum_other_doc_count"`
	}
}

type aggBucket struct {
	Key         any
	KeyAsString string `json:"key_as_string"`
	Count       int    `json:"doc_count"`
	Levels      *struct{ Buckets []aggBucket }
}

func searchIn(t testing.TB, s *Store, index, body string) (int, searchAnswer) {
	t.Helper()
	c := es(t, s)
	o := []func(*esapi.SearchRequest){c.Search.WithBody(strings.NewReader(body))}
	if index != "" {
		o = append(o, c.Search.WithIndex(index))
	}
	r, err := c.Search(o...)
	return decode[searchAnswer](t, r, err)
}

func (a searchAnswer) ids() string {
	var ids []string
	for _, h := range a.Hits.Hits {
		ids = append(ids, h.ID)
	}
	return strings.Join(ids, " ")
}

func TestStoreBulk(t *testing.T) {
	s := startTestStore(t, StoreOptions{})
	status, a := bulk(t, s, `{"create":{"_index":"a","_id":"1"}}
{"message":"one"}
{"create":{"_index":"a","_id":"1"}}
{"message":"again"}
{"create":{"_index":"b","_id":"1"}}
{"message":"other index"}
{"index":{"_index":"a","_id":"1"}}
{"message":"replaced"}
{"create":{"_index":"a","_id":"2"}}
{"@timestamp":"not a time"}
{"create":{"_index":"a","_id":"3"}}
{"message":{"is":"an object"}}
{"create":{"_index":"a","_id":"4"}}
{"broken
{"create":{"_index":"Upper","_id":"5"}}
{}
{"delete":{"_index":"b","_id":"none"}}

{"delete":{"_index":"b","_id":"1"}}
`)
	if status != 200 || !a.Errors {
		t.Errorf("got %d, errors %v", status, a.Errors)
	}
	want := []struct {
		action string
		status int
		typ    string
	}{
		{"create", 201, ""}, {"create", 409, "version_conflict_engine_exception"}, {"create", 201, ""}, {"index", 200, ""},
		{"create", 400, "document_parsing_exception"}, {"create", 400, "document_parsing_exception"},
		{"create", 400, "document_parsing_exception"}, {"create", 400, "invalid_index_name_exception"},
		{"delete", 404, ""}, {"delete", 200, ""},
	}
	if len(a.Items) != len(want) {
		t.Fatalf("got %d items, want %d", len(a.Items), len(want))
	}
	for i, w := range want {
		if got, ok := a.Items[i][w.action]; !ok || got.Status != w.status || got.Error.Type != w.typ {
			t.Errorf("item %d: got %+v, want %+v", i, a.Items[i], w)
		}
	}
	if _, a = bulk(t, s, "{\"create\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{}\n"); a.Items[0]["create"].Status != 409 {
		t.Errorf("id of an earlier request: got %+v", a.Items)
	}
	c := es(t, s)
	r, err := c.Get("a", "1")
	if _, doc := decode[struct {
		Source struct{ Message string } `json:"_source"`
	}](t, r, err); doc.Source.Message != "replaced" {
		t.Errorf("got document %+v", doc)
	}
	if r, err = c.Get("b", "1"); err != nil || r.StatusCode != 404 {
		t.Errorf("deleted document: got %v %v", r, err)
	}
	r, err = c.Count()
	if _, n := decode[struct{ Count int }](t, r, err); n.Count != 1 {
		t.Errorf("got %d documents, want 1", n.Count)
	}
}

func TestStoreBulkWithoutID(t *testing.T) {
	s := startTestStore(t, StoreOptions{})
	r, err := http.Post(s.URL()+"/a/_bulk", "application/x-ndjson", strings.NewReader("{\"index\":{}}\n{}\n{\"create\":{}}\n{}\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var a bulkAnswer
	if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
		t.Fatal(err)
	}
	if len(a.Items) != 2 || a.Items[0]["index"].ID == "" || a.Items[0]["index"].ID == a.Items[1]["create"].ID || a.Items[0]["index"].Index != "a" {
		t.Errorf("got %+v", a)
	}
}

// A request that cannot be split into its parts is refused as a whole, and nothing of it is stored.
func TestStoreBulkMalformed(t *testing.T) {
	s := startTestStore(t, StoreOptions{})
	f := func(body, wantType string) {
		t.Helper()
		r, err := http.Post(s.URL()+"/_bulk", "application/x-ndjson", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		var a struct {
			Error  struct{ Type string }
			Status int
		}
		if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
			t.Fatal(err)
		}
		if r.StatusCode != 400 || a.Status != 400 || a.Error.Type != wantType {
			t.Errorf("%.60q: got %d %+v", body, r.StatusCode, a)
		}
		if got := r.Header.Get(productHeader); got != product {
			t.Errorf("%.60q: product header %q", body, got)
		}
	}
	good := "{\"create\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{}\n"
	f("", "parse_exception")
	f(good+"{\"create\":{\"_index\":\"a\"}}\n{}", "illegal_argument_exception")
	f(good+"{\"create\":{\"_index\":\"a\"}}\n", "illegal_argument_exception")
	f(good+"5\n{}\n", "illegal_argument_exception")
	f(good+"{}\n{}\n", "illegal_argument_exception")
	f(good+"{\"create\":null}\n{}\n", "illegal_argument_exception")
	f(good+"{\"update\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{}\n", "illegal_argument_exception")
	f(good+"{\"create\":{}}\n{}\n", "action_request_validation_exception")
	f(good+"{\"create\":{\"_index\":\"a\",\"_id\":\""+strings.Repeat("x", 600)+"\"}}\n{}\n", "action_request_validation_exception")
	if got := len(s.all()); got != 0 {
		t.Errorf("%d indices were made", got)
	}
}

const corpus = `{"@timestamp":"2026-11-20T10:00:00.000000001Z","message":"GET /api/orders 200 in 12ms","log":{"level":"info","offset":10},"host":{"name":"web-1"},"marathon":{"app_id":"/prod/order"},"container":{"id":"c1","name":"order-1"},"http":{"response":{"status_code":200}}}
{"@timestamp":"2026-11-20T10:00:00.000000002Z","message":"GET /api/orders 503 Service Unavailable","log":{"level":"error"},"host":{"name":"web-1"},"marathon":{"app_id":"/prod/order"},"container":{"name":"order-2"},"http":{"response":{"status_code":503}}}
{"@timestamp":"2026-11-20T10:01:30Z","message":"com.acme.Payment failed: card_declined for 10.0.0.7","log":{"level":"error"},"host":{"name":"web-2"},"marathon":{"app_id":"/prod/payment"},"app":{"user":"jan","amount":12.5},"tags":["slow","eu"]}
{"@timestamp":"2026-11-20T12:00:00+01:00","message":"Größe überschritten","log":{"level":"warn"},"host":{"name":"db-1"},"labels":{"dc":"eu1","team":"core"}}
{"@timestamp":"2026-11-21T00:00:00Z","message":"日本語のログ","log":{"level":"info"},"host":{"name":"db-1"},"app":{"user":"anna","nested":{"deep":true}}}
{"message":"no time at all","log":{"level":"debug"}}`

func corpusStore(t testing.TB) *Store {
	s := startTestStore(t, StoreOptions{})
	fill(t, s, strings.Split(corpus, "\n")...)
	return s
}

func TestStoreQueryString(t *testing.T) {
	s := corpusStore(t)
	f := func(query, wantIDs string) {
		t.Helper()
		body, _ := json.Marshal(map[string]any{
			"query": map[string]any{"query_string": map[string]any{"query": query, "default_operator": "AND"}}, "sort": "_doc",
		})
		status, a := searchIn(t, s, "logs-*", string(body))
		if got := a.ids(); status != 200 || got != wantIDs {
			t.Errorf("%s: got %d [%s] %s, want [%s]", query, status, got, a.Error.Reason, wantIDs)
		}
	}
	f(``, "0 1 2 3 4 5")
	f(`*`, "0 1 2 3 4 5")
	f(`*:*`, "0 1 2 3 4 5")
	f(`orders`, "0 1")
	f(`ORDERS get`, "0 1")
	f(`"service unavailable"`, "1")
	f(`"unavailable service"`, "")
	f(`message:"api orders 200"`, "0")
	f(`orders OR payment`, "0 1 2")
	f(`orders NOT 503`, "0")
	f(`orders -503`, "0")
	f(`NOT (orders OR payment)`, "3 4 5")
	f(`orders AND NOT log.level:error`, "0")
	f(`log.level:error`, "1 2")
	f(`log.level:(info OR debug)`, "0 4 5")
	f(`log.level:ERROR`, "")
	f(`+orders 503`, "1")
	f(`marathon.app_id:/prod/order`, "0 1")
	f(`marathon.app_id:"/prod/order"`, "0 1")
	f(`marathon.app_id:\/prod\/order`, "0 1")
	f(`marathon.app_id:/prod/*`, "0 1 2")
	f(`container.name:order-?`, "0 1")
	f(`container.name:*-2`, "1")
	f(`order-1`, "0")
	f(`host.name:web* -host.name:web-2`, "0 1")
	f(`pay*`, "2")
	f(`com.acme.Payment`, "2")
	f(`10.0.0.7`, "2")
	f(`web`, "0 1 2")
	f(`WEB-1`, "0 1")
	f(`/prod/payment`, "2")
	f(`declined`, "2")
	f(`app.user:jan`, "2")
	f(`app:anna`, "4")
	f(`anna`, "4")
	f(`app.nested.deep:true`, "4")
	f(`app.amount:>=12.5`, "2")
	f(`app.amount:>12.5`, "")
	f(`http.response.status_code:[500 TO 599]`, "1")
	f(`http.response.status_code:{200 TO 503}`, "")
	f(`http.response.status_code:<500`, "0")
	f(`tags:slow tags:eu`, "2")
	f(`labels.team:core`, "3")
	f(`_exists_:app.user`, "2 4")
	f(`app.user:*`, "2 4")
	f(`labels.dc:*`, "3")
	f(`_exists_:@timestamp`, "0 1 2 3 4")
	f(`NOT _exists_:"@timestamp"`, "5")
	f(`größe`, "3")
	f(`GRÖSSE`, "")
	f(`日本`, "4")
	f(`本日`, "")
	f(`_id:3`, "3")
	f(`_index:logs-* orders`, "0 1")
	f(`@timestamp:[2026-11-20T10:01 TO 2026-11-20]`, "2 3")
	f(`@timestamp:>=2026-11-21`, "4")
	f(`@timestamp:<"2026-11-20T10:00:00.000000002Z"`, "0")
	f(`@timestamp:2026-11-20`, "0 1 2 3")
	f(`@timestamp:>now-1h`, "")
	f(`orders^2 (get)^3`, "0 1")
	f(`()`, "0 1 2 3 4 5")

	bad := func(query string) {
		t.Helper()
		body, _ := json.Marshal(map[string]any{"query": map[string]any{"query_string": map[string]any{"query": query}}})
		if status, a := searchIn(t, s, "", string(body)); status != 400 || a.Error.Type == "" {
			t.Errorf("%.40s: got %d %+v", query, status, a.Error)
		}
	}
	bad(`(orders`)
	bad(`orders)`)
	bad(`"orders`)
	bad(`AND orders`)
	bad(`orders OR`)
	bad(`field:`)
	bad(`log.level:[a TO`)
	bad(`log.level:[a b]`)
	bad(`log.level:>3`)
	bad(`app.user:>jan`)
	bad(`log.offset:10`)
	bad(`log.offset:>5`)
	bad(`orders~2`)
	bad(`@timestamp:yesterday`)
	bad(`@timestamp:>now-1`)
	bad(strings.Repeat("(", 1000))
}

func TestStoreSearchBody(t *testing.T) {
	s := corpusStore(t)
	f := func(body, wantIDs string, wantTotal int) {
		t.Helper()
		status, a := searchIn(t, s, "", body)
		if got := a.ids(); status != 200 || got != wantIDs || a.Hits.Total.Value != wantTotal {
			t.Errorf("%s: got %d [%s] of %d %s, want [%s] of %d", body, status, got, a.Hits.Total.Value, a.Error.Reason, wantIDs, wantTotal)
		}
	}
	f(`{}`, "0 1 2 3 4 5", 6)
	f(`{"query":{"match_all":{}},"sort":[{"@timestamp":{"order":"desc"}}]}`, "4 3 2 1 0 5", 6)
	f(`{"sort":[{"@timestamp":"asc"}],"from":1,"size":2}`, "1 2", 6)
	f(`{"sort":["_doc"],"size":0}`, "", 6)
	f(`{"query":{"term":{"host.name":"web-1"}},"sort":"@timestamp:desc"}`, "1 0", 2)
	f(`{"query":{"term":{"http.response.status_code":{"value":503}}}}`, "1", 1)
	f(`{"query":{"terms":{"log.level":["warn","debug"]}}}`, "3 5", 2)
	f(`{"query":{"match":{"message":"payment größe"}}}`, "2 3", 2)
	f(`{"query":{"match":{"message":{"query":"GET 200","operator":"and"}}}}`, "0", 1)
	f(`{"query":{"match_phrase":{"message":"api orders"}}}`, "0 1", 2)
	f(`{"query":{"prefix":{"container.name":"order-"}}}`, "0 1", 2)
	f(`{"query":{"wildcard":{"container.name":{"value":"*1"}}}}`, "0", 1)
	f(`{"query":{"ids":{"values":["2","nope"]}}}`, "2", 1)
	f(`{"query":{"exists":{"field":"labels.team"}}}`, "3", 1)
	f(`{"query":{"range":{"@timestamp":{"gte":"2026-11-20T10:01:00Z","lt":"2026-11-21T00:00:00Z"}}}}`, "2 3", 2)
	f(`{"query":{"range":{"@timestamp":{"gt":1795168800000,"lte":"now+10y"}}}}`, "2 3 4", 3)
	f(`{"query":{"range":{"http.response.status_code":{"gte":300}}}}`, "1", 1)
	f(`{"query":{"bool":{"filter":[{"term":{"log.level":"error"}}],"must_not":{"term":{"host.name":"web-2"}}}}}`, "1", 1)
	f(`{"query":{"bool":{"should":[{"term":{"log.level":"warn"}},{"term":{"log.level":"debug"}}]}}}`, "3 5", 2)
	f(`{"query":{"bool":{"must":{"match_all":{}},"should":[{"term":{"log.level":"warn"}}],"minimum_should_match":1}}}`, "3", 1)
	f(`{"query":{"bool":{"must_not":[{"exists":{"field":"@timestamp"}}]}}}`, "5", 1)
	f(`{"query":{"bool":{"must":[{"bool":{"must_not":{"range":{"@timestamp":{"gte":"2026-11-20T10:01:00Z"}}}}},{"exists":{"field":"@timestamp"}}]}}}`, "0 1", 2)
	f(`{"query":{"match_none":{}}}`, "", 0)

	bad := func(body string) {
		t.Helper()
		if status, a := searchIn(t, s, "", body); status != 400 || a.Error.Type == "" {
			t.Errorf("%s: got %d %+v", body, status, a.Error)
		}
	}
	bad(`[]`)
	bad(`{"query":{}}`)
	bad(`{"query":{"fuzzy":{}}}`)
	bad(`{"query":{"term":{"a":1,"b":2}}}`)
	bad(`{"query":{"term":{"a":{}}}}`)
	bad(`{"size":10001}`)
	bad(`{"from":-1}`)
	bad(`{"from":9223372036854775807,"size":9223372036854775807}`)
	bad(`{"sort":"host.name"}`)
	bad(`{"nonsense":1}`)
	bad(`{"aggs":{"a":{"cardinality":{"field":"host.name"}}}}`)
	bad(`{"aggs":{"a":{"date_histogram":{"field":"@timestamp","fixed_interval":"0s"}}}}`)
	bad(`{"aggs":{"a":{"date_histogram":{"field":"@timestamp","fixed_interval":"1ms"}}},"query":{"match_all":{}},"size":"x"}`)
	bad(`{"aggs":{"a":{"terms":{"field":"message"}}}}`)

	if status, a := searchIn(t, s, "missing", `{}`); status != 404 || a.Error.Type != "index_not_found_exception" {
		t.Errorf("missing index: got %d %+v", status, a.Error)
	}
	if status, a := searchIn(t, s, "missing-*", `{}`); status != 200 || a.Hits.Total.Value != 0 {
		t.Errorf("pattern without a match: got %d %+v", status, a)
	}
	_, a := searchIn(t, s, "logs-1", `{"track_total_hits":3,"size":1,"sort":{"@timestamp":"asc"}}`)
	if a.Hits.Total.Value != 3 || a.Hits.Total.Relation != "gte" || a.Hits.Hits[0].Sort[0] != 1795168800000.0 {
		t.Errorf("got %+v", a.Hits)
	}
	if got, want := string(a.Hits.Hits[0].Source), strings.Split(corpus, "\n")[0]; got != want {
		t.Errorf("source: got %s, want %s", got, want)
	}
}

func TestStoreAggregations(t *testing.T) {
	s := corpusStore(t)
	_, a := searchIn(t, s, "", `{"size":0,"aggs":{
		"over_time":{"date_histogram":{"field":"@timestamp","fixed_interval":"30m"},"aggs":{"levels":{"terms":{"field":"log.level"}}}},
		"hosts":{"terms":{"field":"host.name","size":2}},
		"users":{"terms":{"field":"app.user"}},
		"teams":{"terms":{"field":"labels.team.keyword"}}}}`)
	over := a.Aggregations["over_time"].Buckets
	if len(over) != 29 || over[0].Count != 3 || over[0].KeyAsString != "2026-11-20T10:00:00.000Z" || over[1].Count != 0 || over[2].Count != 1 || over[28].Count != 1 {
		t.Fatalf("histogram: got %d buckets, %+v", len(over), over)
	}
	if l := over[0].Levels.Buckets; len(l) != 2 || l[0].Key != "error" || l[0].Count != 2 || l[1].Key != "info" {
		t.Errorf("levels: got %+v", l)
	}
	if h := a.Aggregations["hosts"]; len(h.Buckets) != 2 || h.Buckets[0].Key != "db-1" || h.Buckets[0].Count != 2 || h.Other != 1 {
		t.Errorf("hosts: got %+v", h)
	}
	if u := a.Aggregations["users"].Buckets; len(u) != 2 || u[0].Key != "anna" || u[0].Count != 1 {
		t.Errorf("users: got %+v", u)
	}
	if u := a.Aggregations["teams"].Buckets; len(u) != 1 || u[0].Key != "core" {
		t.Errorf("teams: got %+v", u)
	}
	_, a = searchIn(t, s, "", `{"size":0,"query":{"term":{"log.level":"warn"}},"aggs":{"o":{"date_histogram":{"field":"@timestamp","calendar_interval":"hour",
		"extended_bounds":{"min":"2026-11-20T10:15:00Z","max":"2026-11-20T13:00:00Z"}}}}}`)
	if b := a.Aggregations["o"].Buckets; len(b) != 4 || b[0].Count != 0 || b[1].Count != 1 {
		t.Errorf("extended bounds: got %+v", b)
	}
	_, a = searchIn(t, s, "", `{"size":0,"aggs":{"o":{"date_histogram":{"field":"@timestamp","fixed_interval":"1d","offset":"-1h","min_doc_count":1}}}}`)
	if b := a.Aggregations["o"].Buckets; len(b) != 2 || b[0].KeyAsString != "2026-11-19T23:00:00.000Z" || b[0].Count != 4 {
		t.Errorf("offset: got %+v", b)
	}
}

// Many documents in many bulks and several indices: the same answers as one would count by hand.
func TestStoreManyDocuments(t *testing.T) {
	s := startTestStore(t, StoreOptions{})
	const n, perBulk = 3000, 250
	base := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	for from := 0; from < n; from += perBulk {
		var b bytes.Buffer
		for i := from; i < from+perBulk; i++ {
			at := base.Add(time.Duration(i) * 17 * time.Second)
			fmt.Fprintf(&b, `{"create":{"_index":"logs-%s","_id":"%d"}}`+"\n", at.Format("2006.01.02.15"), i)
			fmt.Fprintf(&b, `{"@timestamp":%q,"message":"line number %d","host":{"name":"h%d"},"app":{"n":%d}}`+"\n", at.Format(time.RFC3339Nano), i, i%7, i)
		}
		if status, a := bulk(t, s, b.String()); status != 200 || a.Errors {
			t.Fatalf("bulk: %d %+v", status, a)
		}
	}
	from, to := base.Add(100*17*time.Second), base.Add(2100*17*time.Second)
	_, a := searchIn(t, s, "logs-*", fmt.Sprintf(`{"track_total_hits":true,"size":10000,"sort":[{"@timestamp":"desc"}],
		"query":{"bool":{"filter":[{"term":{"host.name":"h3"}},{"range":{"@timestamp":{"gte":%q,"lt":%q}}}]}},
		"aggs":{"t":{"date_histogram":{"field":"@timestamp","fixed_interval":"1h","min_doc_count":1}}}}`, from.Format(time.RFC3339Nano), to.Format(time.RFC3339Nano)))
	var want []string
	for i := 2099; i >= 100; i-- {
		if i%7 == 3 {
			want = append(want, fmt.Sprint(i))
		}
	}
	if a.ids() != strings.Join(want, " ") || a.Hits.Total.Value != len(want) {
		t.Errorf("got %d hits, want %d", a.Hits.Total.Value, len(want))
	}
	sum := 0
	for _, b := range a.Aggregations["t"].Buckets {
		sum += b.Count
	}
	if sum != len(want) {
		t.Errorf("histogram: got %d documents, want %d", sum, len(want))
	}
	_, a = searchIn(t, s, "", `{"track_total_hits":true,"query":{"query_string":{"query":"number app.n:[10 TO 19] message:1*"}}}`)
	if a.Hits.Total.Value != n {
		t.Errorf("joined by OR: got %d, want %d", a.Hits.Total.Value, n)
	}
	_, a = searchIn(t, s, "", `{"query":{"query_string":{"query":"app.n:[10 TO 19]"}}}`)
	if a.Hits.Total.Value != 10 {
		t.Errorf("numbers: got %d", a.Hits.Total.Value)
	}
	_, a = searchIn(t, s, "", `{"track_total_hits":true,"query":{"prefix":{"app.n":"2"}}}`)
	if a.Hits.Total.Value != 1+10+100+1000 {
		t.Errorf("prefix of more terms than one batch: got %d", a.Hits.Total.Value)
	}
}

func TestStoreTemplates(t *testing.T) {
	dir := t.TempDir()
	s := startTestStore(t, StoreOptions{Dir: dir})
	c := es(t, s)
	r, err := c.Indices.ExistsIndexTemplate("logs")
	if err != nil || r.StatusCode != 404 {
		t.Errorf("HEAD of a missing template: got %v %v", r, err)
	}
	body := `{"index_patterns":["logs-*"],"priority":200,"composed_of":["c"],"_meta":{"version":"1 < 2"}}`
	if r, err = c.Indices.PutIndexTemplate("logs", strings.NewReader(body)); err != nil || r.StatusCode != 200 {
		t.Fatalf("PUT: got %v %v", r, err)
	}
	if r, err = c.Cluster.PutComponentTemplate("c", strings.NewReader(`{"template":{"mappings":{}}}`)); err != nil || r.StatusCode != 200 {
		t.Fatalf("PUT: got %v %v", r, err)
	}
	if r, err = c.Indices.PutIndexTemplate("bad", strings.NewReader(`[1]`)); err != nil || r.StatusCode != 400 {
		t.Errorf("PUT of no object: got %v %v", r, err)
	}
	s.Close()
	s = startTestStore(t, StoreOptions{Dir: dir})
	c = es(t, s)
	if r, err = c.Indices.ExistsIndexTemplate("logs"); err != nil || r.StatusCode != 200 {
		t.Errorf("HEAD: got %v %v", r, err)
	}
	r, err = c.Indices.GetIndexTemplate(c.Indices.GetIndexTemplate.WithName("lo*"))
	_, a := decode[struct {
		Templates []struct {
			Name     string
			Template json.RawMessage `json:"index_template"`
		} `json:"index_templates"`
	}](t, r, err)
	if len(a.Templates) != 1 || a.Templates[0].Name != "logs" || string(a.Templates[0].Template) != body {
		t.Errorf("GET: got %+v", a)
	}
	r, err = c.Cluster.GetComponentTemplate(c.Cluster.GetComponentTemplate.WithName("c"))
	_, b := decode[struct {
		Templates []struct{ Name string } `json:"component_templates"`
	}](t, r, err)
	if len(b.Templates) != 1 || b.Templates[0].Name != "c" {
		t.Errorf("GET: got %+v", b)
	}
	if r, err = c.ILM.PutLifecycle("p", c.ILM.PutLifecycle.WithBody(strings.NewReader(`{}`))); err != nil || r.StatusCode != 400 {
		t.Errorf("ILM: got %v %v", r, err)
	}
}

func TestStoreIndexAPIs(t *testing.T) {
	s := corpusStore(t)
	c := es(t, s)
	r, err := c.Info()
	if _, a := decode[struct{ Version struct{ Number string } }](t, r, err); !strings.HasPrefix(a.Version.Number, "8.") {
		t.Errorf("version: got %+v", a)
	}
	if r, err = c.Indices.Create("other"); err != nil || r.StatusCode != 200 {
		t.Errorf("create: got %v %v", r, err)
	}
	if r, err = c.Indices.Create("other"); err != nil || r.StatusCode != 400 {
		t.Errorf("create again: got %v %v", r, err)
	}
	if r, err = c.Indices.Exists([]string{"other"}); err != nil || r.StatusCode != 200 {
		t.Errorf("exists: got %v %v", r, err)
	}
	if r, err = c.Indices.Refresh(); err != nil || r.StatusCode != 200 {
		t.Errorf("refresh: got %v %v", r, err)
	}
	if r, err = c.Cluster.Health(); err != nil || r.StatusCode != 200 {
		t.Errorf("health: got %v %v", r, err)
	}
	r, err = c.Cat.Indices(c.Cat.Indices.WithFormat("json"))
	_, cat := decode[[]map[string]string](t, r, err)
	if len(cat) != 2 || cat[0]["index"] != "logs-1" || cat[0]["docs.count"] != "6" {
		t.Errorf("cat: got %v", cat)
	}
	if r, err = c.Indices.Delete([]string{"logs-*"}); err != nil || r.StatusCode != 200 {
		t.Errorf("delete: got %v %v", r, err)
	}
	if r, err = c.Indices.Exists([]string{"logs-1"}); err != nil || r.StatusCode != 404 {
		t.Errorf("exists after delete: got %v %v", r, err)
	}
	if _, err := os.Stat(filepath.Join(s.o.Dir, indicesDir, "logs-1")); err == nil {
		t.Error("the files of a deleted index are still there")
	}
}

// A page of another site cannot write into the store of somebody who visits it.
func TestStoreRefusesOtherOrigins(t *testing.T) {
	s := startTestStore(t, StoreOptions{})
	f := func(origin string, want int) {
		t.Helper()
		req := httptest.NewRequest("POST", s.URL()+"/a/_bulk", strings.NewReader("{\"create\":{}}\n{}\n"))
		req.Header.Set("Origin", origin)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, req)
		if w.Code != want {
			t.Errorf("origin %s: got %d, want %d", origin, w.Code, want)
		}
	}
	f("https://evil.example", 403)
	f("null", 403)
	f(s.URL(), 200)
}

// DNS rebinding: the browser of somebody who visits a page of evil.example is made to take
// this store for evil.example, so the origin is the host. Only the name is wrong.
func TestStoreRefusesOtherHosts(t *testing.T) {
	s := startTestStore(t, StoreOptions{Hosts: []string{"Logs.lan"}, Page: http.NotFoundHandler()})
	if _, a := bulk(t, s, "{\"create\":{\"_index\":\"a\"}}\n{}\n"); a.Errors {
		t.Fatal(a)
	}
	_, port, err := net.SplitHostPort(s.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	f := func(host string, want bool) {
		t.Helper()
		for _, path := range []string{"GET /", "GET /_page", "GET /a/_search", "GET /_cat/indices?format=json", "DELETE /none"} {
			method, path, _ := strings.Cut(path, " ")
			req, err := http.NewRequest(method, s.URL()+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = host
			req.Header.Set("Origin", "http://"+host)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if got := resp.StatusCode != http.StatusForbidden; got != want {
				t.Errorf("%s of host %s: %s, served should be %v", path, host, resp.Status, want)
			}
		}
	}
	f("localhost", true)
	f("LOCALHOST:"+port, true)
	f("127.0.0.1:"+port, true)
	f("[::1]:"+port, true)
	f("logs.lan", true)
	f("logs.lan.:80", true)
	f("evil.example:"+port, false)
	f("evil.example", false)
	f("localhost.evil.example:"+port, false)
	f("127.0.0.1.evil.example", false)
	f("192.0.2.1:"+port, false)
}

func TestStoreTrim(t *testing.T) {
	s := startTestStore(t, StoreOptions{Keep: time.Hour, MaxBytes: 1})
	now := time.Now()
	for i, name := range []string{"old", "b", "a"} {
		if _, a := bulk(t, s, fmt.Sprintf("{\"create\":{\"_index\":%q}}\n{}\n", name)); a.Errors {
			t.Fatal(a)
		}
		s.get(name).written.Store(now.Add(time.Duration(i-2) * 40 * time.Minute).UnixNano())
	}
	if err := s.trim(now); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, x := range s.all() {
		names = append(names, x.name)
	}
	if strings.Join(names, " ") != "a" { // old by age, b by size, and the last one stays
		t.Errorf("got %v", names)
	}
}

func TestStoreRestart(t *testing.T) {
	dir := t.TempDir()
	s := startTestStore(t, StoreOptions{Dir: dir})
	fill(t, s, strings.Split(corpus, "\n")...)
	if _, err := StartStore(StoreOptions{Dir: dir}); err == nil {
		t.Error("a second store started on the same directory")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = startTestStore(t, StoreOptions{Dir: dir})
	if _, a := searchIn(t, s, "", `{}`); a.ids() != "0 1 2 3 4 5" {
		t.Errorf("got %s", a.ids())
	}
}

// storeChild indexes for ever, several bulks at a time, and prints the ids of each bulk
// after it was acknowledged.
func storeChild(dir string) error {
	s, err := StartStore(StoreOptions{Dir: dir})
	if err != nil {
		return err
	}
	c, err := newAPI(s)
	if err != nil {
		return err
	}
	failed := make(chan error)
	for w := range 3 {
		go func() {
			for n := 0; ; n++ {
				var b strings.Builder
				var ids []string
				for i := range 20 {
					id := fmt.Sprintf("%d-%d-%d-%d", os.Getpid(), w, n, i)
					ids = append(ids, id)
					fmt.Fprintf(&b, "{\"create\":{\"_index\":\"logs-%d\",\"_id\":%q}}\n{\"@timestamp\":%q,\"message\":\"line %s\"}\n", i%2, id, time.Now().Format(time.RFC3339Nano), id)
				}
				r, err := c.Bulk(strings.NewReader(b.String()))
				if err != nil {
					failed <- err
					return
				}
				body, _ := io.ReadAll(r.Body)
				r.Body.Close()
				if r.StatusCode != 200 || !bytes.Contains(body, []byte(`"errors":false`)) {
					failed <- fmt.Errorf("bulk: %d %s", r.StatusCode, body)
					return
				}
				os.Stdout.WriteString(strings.Join(ids, " ") + "\n")
			}
		}()
	}
	return <-failed
}

// Promise 1, nothing is lost, and promise 2, nothing is doubled: whatever the store
// acknowledged is there after kill -9 of its process, and creating it again is a conflict.
func TestStoreAckedSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	var acked []string
	for range 2 {
		acked = append(acked, killedChild(t, "store", dir, 60)...)
	}
	s := startTestStore(t, StoreOptions{Dir: dir})
	for _, line := range acked {
		var b strings.Builder
		for i, id := range strings.Fields(line) {
			fmt.Fprintf(&b, "{\"create\":{\"_index\":\"logs-%d\",\"_id\":%q}}\n{}\n", i%2, id)
			if src, err := s.get(fmt.Sprintf("logs-%d", i%2)).source(id); err != nil || !bytes.Contains(src, []byte("line "+id)) {
				t.Fatalf("acknowledged document %s: got %s, %v", id, src, err)
			}
		}
		_, a := bulk(t, s, b.String())
		for _, item := range a.Items {
			if item["create"].Status != 409 {
				t.Fatalf("created again: got %+v", item)
			}
		}
	}
}

// A disk that is full is logged once for each task that fails, not 25,000 times in minutes.
func TestStoreLogsFailureOnce(t *testing.T) {
	var f failures
	now := time.Now()
	logged := func(task string, segment int) bool {
		now = now.Add(time.Millisecond)
		return f.isNew("i", fmt.Errorf("source: %s: write i/%012x.zap: no space left on device", task, segment), now)
	}
	n := 0
	for i := range 1000 {
		for _, task := range []string{"merger", "persister"} {
			if logged(task, i) {
				n++
			}
		}
	}
	if n != 2 {
		t.Errorf("2000 failures of 2 tasks were logged %d times, want 2", n)
	}
	now = now.Add(2 * failureQuiet)
	if !logged("merger", 1) || len(f.last) != 1 {
		t.Errorf("a failure after quiet was not logged, or old ones are kept: %v", f.last)
	}
}
