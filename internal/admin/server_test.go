package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/metrics"
)

func testServer(states ...*State) *Server {
	return &Server{cfg: config.Default().Admin, version: "v1.2.3", started: time.Now(), log: slog.Default(), states: states}
}

// ask returns the status code and the body.
func ask(s *Server, method, path string) (int, string) {
	rec := httptest.NewRecorder()
	s.handler(metrics.Handler(slog.Default())).ServeHTTP(rec, httptest.NewRequest(method, path, nil))
	return rec.Code, rec.Body.String()
}

func TestReadyz(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		indexer, shipper := NewState("indexer"), NewState("shipper")
		s := testServer(shipper, indexer)
		f := func(wantCode int, want ...string) {
			t.Helper()
			code, body := ask(s, "GET", "/readyz")
			var got struct {
				Ready   bool
				Reasons []struct{ Role, Reason string }
			}
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatalf("%v in %s", err, body)
			}
			var reasons []string
			for _, r := range got.Reasons {
				reasons = append(reasons, r.Role+": "+r.Reason)
			}
			if code != wantCode || got.Ready != (wantCode == 200) || strings.Join(reasons, "\n") != strings.Join(want, "\n") {
				t.Errorf("readyz = %d, ready %v, reasons %q, want %d, %q", code, got.Ready, reasons, wantCode, want)
			}
		}
		f(200)
		kafka := indexer.Need("kafka central")
		f(503, "indexer: kafka central has not answered yet")
		time.Sleep(3 * time.Second)
		kafka.Fail(errors.New("connection refused"))
		f(503, "indexer: kafka central unreachable for 3s: connection refused") // it never answered
		kafka.OK()
		f(200)
		kafka.Fail(errors.New("i/o timeout"))
		time.Sleep(29 * time.Second)
		f(200) // below unready_after
		time.Sleep(12 * time.Second)
		kafka.Fail(errors.New("broken pipe"))
		f(503, "indexer: kafka central unreachable for 41s: broken pipe")
		kafka.OK()
		f(200)
		kafka.Fail(errors.New("no broker"))
		f(200)
		time.Sleep(2 * time.Second)
		kafka.Refuse(errors.New("wrong password"))
		f(503, "indexer: kafka central refuses us, for 2s: wrong password") // that does not pass
		kafka.OK()
		f(200)
		shipper.Drain()
		kafka.Fail(errors.New("broken pipe"))
		f(503, "shipper: draining")
		time.Sleep(time.Minute)
		f(503, "shipper: draining", "indexer: kafka central unreachable for 1m0s: broken pipe")
	})
}

func TestDependencyTellsChanges(t *testing.T) {
	d := NewState("indexer").Need("kafka")
	f := func(what string, got, want bool) {
		t.Helper()
		if got != want {
			t.Errorf("%s changed = %v, want %v", what, got, want)
		}
	}
	err := errors.New("refused")
	f("first Fail", d.Fail(err), true)
	f("second Fail", d.Fail(err), false)
	f("first OK", d.OK(), true)
	f("second OK", d.OK(), false)
	f("Fail after OK", d.Fail(err), true)
	f("Fail again", d.Fail(err), false)
	f("Refuse after Fail", d.Refuse(err), true)
	f("Refuse again", d.Refuse(err), false)
	f("Fail after Refuse", d.Fail(err), false)
	f("OK again", d.OK(), true)
	var none *Dependency
	f("nil", none.OK() || none.Fail(err) || none.Refuse(err), false)
}

var (
	taken = metrics.NewCounter("test_admin_taken", "events", "Taken by the role of this test")
	given = metrics.NewCounter("test_admin_given", "events", "Given on by the role of this test")
	held  = metrics.NewGauge("test_admin_in_flight", "events", "Under way in the role of this test")
	_     = metrics.NewBalance(taken, held, given)
)

// Each role of /status has the account of its own registry.
func TestStatusAccountsForEvents(t *testing.T) {
	reg := metrics.New("aggregator", "web1")
	reg.Counter(taken).Add(5)
	reg.Counter(given).Add(3)
	reg.Gauge(held).Set(1)
	s := testServer(NewState("aggregator"), NewState("shipper"))
	s.regs = []*metrics.Registry{reg, metrics.New("shipper", "web1")}
	_, body := ask(s, "GET", "/status")
	var got struct {
		Roles []struct{ Account metrics.Account }
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || len(got.Roles) != 2 {
		t.Fatalf("%v in %s", err, body)
	}
	if a := got.Roles[0].Account; len(a.Sums) != 1 || a.Sums[0].In != (metrics.Figure{Name: "sluice_test_admin_taken_total", Value: 5}) || a.Sums[0].Missing != 1 {
		t.Errorf("account %+v", a)
	}
	if a := got.Roles[1].Account; len(a.Sums) != 0 {
		t.Errorf("account of a role without figures %+v", a)
	}
}

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := NewState("aggregator")
		s := testServer(st, NewState("shipper"))
		d := st.Need("kafka dc1")
		d.Fail(errors.New("refused <by> peer"))
		time.Sleep(65 * time.Second)
		d.OK()
		st.Section("relay", func() any { return map[string]int{"in_flight": 7} })
		st.Section("broken", func() any { return func() {} })
		code, body := ask(s, "GET", "/status")
		var got struct {
			Version, Uptime string
			Roles           []struct {
				Role            string
				Ready, Draining bool
				Dependencies    []struct {
					Name        string
					Reachable   bool
					LastError   string    `json:"last_error"`
					LastErrorAt time.Time `json:"last_error_at"`
				}
				Sections map[string]map[string]any
			}
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil || code != 200 || len(got.Roles) != 2 {
			t.Fatalf("%d, %v in %s", code, err, body)
		}
		r := got.Roles[0]
		if got.Version != "v1.2.3" || got.Uptime != "1m5s" || r.Role != "aggregator" || !r.Ready || r.Draining {
			t.Errorf("status %s", body)
		}
		if r.Sections["relay"]["in_flight"] != 7.0 || !strings.Contains(fmt.Sprint(r.Sections["broken"]["error"]), "unsupported type") {
			t.Errorf("sections %v", r.Sections)
		}
		if dep := r.Dependencies[0]; !dep.Reachable || dep.LastError != "refused <by> peer" || time.Since(dep.LastErrorAt) != 65*time.Second {
			t.Errorf("dependency %+v", dep)
		}
	})
}

func TestPages(t *testing.T) {
	s := testServer()
	f := func(method, path string, wantCode int, wantBody string) {
		t.Helper()
		if code, body := ask(s, method, path); code != wantCode || !strings.Contains(body, wantBody) {
			t.Errorf("%s %s = %d %q, want %d with %q", method, path, code, body, wantCode, wantBody)
		}
	}
	f("GET", "/healthz", 200, "ok")
	f("HEAD", "/healthz", 200, "")
	f("POST", "/healthz", 405, "")
	f("DELETE", "/", 405, "")
	f("GET", "/nothing", 404, "")
	f("GET", "/", 200, `<a href="/readyz">`)
	f("GET", "/debug/pprof/", 404, "")
	f("GET", "/debug/pprof/cmdline", 404, "")
	if _, body := ask(s, "GET", "/"); strings.Contains(body, "pprof") {
		t.Errorf("index lists pprof, which is off:\n%s", body)
	}
	s.cfg.Pprof = true
	f("GET", "/debug/pprof/", 200, "goroutine")
	f("GET", "/debug/pprof/heap?debug=1", 200, "heap profile")
	f("GET", "/debug/pprof/cmdline", 200, "admin.test")
	f("GET", "/", 200, `<a href="/debug/pprof/">`)
}

func TestListen(t *testing.T) {
	cfg := config.Default().Admin
	cfg.Listen = "127.0.0.1:0"
	reg := metrics.Process("h", "v1.2.3")
	s, err := Listen(cfg, "v1.2.3", slog.Default(), nil, reg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()

	taken := cfg
	taken.Listen = s.Addr()
	if _, err := Listen(taken, "v1.2.3", slog.Default(), nil); err == nil || !strings.Contains(err.Error(), "admin.listen") || !strings.Contains(err.Error(), s.Addr()) {
		t.Errorf("listening twice = %v, want an error that names admin.listen and the address", err)
	}

	var wg sync.WaitGroup
	for _, path := range []string{"/", "/healthz", "/readyz", "/metrics", "/status"} {
		wg.Go(func() {
			resp, err := http.Get("http://" + s.Addr() + path)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || len(body) == 0 {
				t.Errorf("GET %s = %d, %v, %d bytes", path, resp.StatusCode, err, len(body))
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := http.Get("http://" + s.Addr() + "/healthz"); err == nil {
		t.Error("still serving after Close")
	}

	off, err := Listen(config.Admin{}, "v1.2.3", slog.Default(), nil)
	if off != nil || err != nil || off.Addr() != "" || off.Close() != nil {
		t.Errorf("an empty admin.listen = %v, %v, want neither a server nor an error", off, err)
	}
}
