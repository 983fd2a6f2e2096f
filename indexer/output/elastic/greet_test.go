package elastic

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sluicelog/sluice/config"
)

// What answers GET / like Elasticsearch, however little it lets us do, is written to; what
// is something else is not.
func TestAskWhoItIs(t *testing.T) {
	f := func(status int, said string, well bool) {
		t.Helper()
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, said)
		}))
		defer s.Close()
		hs, err := newHosts(&config.Elasticsearch{Hosts: []string{s.URL}, Timeout: config.Duration(5 * time.Second)}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if why := hs.ask(hs.all[0]); (why == nil) != well {
			t.Errorf("%d %s: %v, want well: %v", status, said, why, well)
		}
	}
	f(200, `{"name":"n","version":{"number":"8.18.8"},"tagline":"You Know, for Search"}`, true)
	f(200, `{"version":{"distribution":"opensearch","number":"2.19.1"}}`, true)
	f(403, `{"error":{"type":"security_exception","reason":"unauthorized"},"status":403}`, true)
	f(403, `Forbidden`, true)
	f(405, `{"error":"Incorrect HTTP method for uri [/] and method [GET], allowed: [DELETE]","status":405}`, true)
	f(400, `{"error":"no handler found for uri [/] and method [GET]","status":400}`, true)
	f(400, `{"error":{"type":"illegal_argument_exception","reason":"x"},"status":400}`, true)

	f(200, `<html>It works!</html>`, false)
	f(200, `{"version":"4.2"}`, false)
	f(405, `<html><h1>405 Not Allowed</h1><hr>nginx</html>`, false)
	f(404, `404 page not found`, false)
	f(404, `{"message":"no Route matched with those values"}`, false)
	f(401, `{"error":{"type":"security_exception","reason":"missing authentication"},"status":401}`, false)
	f(503, `{"error":{"type":"master_not_discovered_exception"},"status":503}`, false)
	f(429, `{"error":{"type":"circuit_breaking_exception"},"status":429}`, false)
}
