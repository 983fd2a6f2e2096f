package elastic

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/retry"
)

func newTestHosts(t *testing.T, n int, probe func(*host) *Refusal) *hosts {
	t.Helper()
	c := &config.Elasticsearch{Timeout: config.Duration(time.Second)}
	for i := range n {
		c.Hosts = append(c.Hosts, "http://es"+string(rune('1'+i))+":9200")
	}
	hs, err := newHosts(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	hs.probe, hs.pauses = probe, retry.Backoff{First: time.Second, Longest: 8 * time.Second}
	return hs
}

// A host that does not answer as it should gets no requests; a probe brings it back for one
// at a time, and the first that goes well for all.
func TestHostIsLeftOutUntilAProbeGoesWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := &Refusal{Host: "http://es1:9200", Status: 502}
		var probes atomic.Int64
		var well atomic.Bool
		hs := newTestHosts(t, 2, func(*host) *Refusal {
			probes.Add(1)
			if well.Load() {
				return nil
			}
			return bad
		})
		defer hs.end()
		first := hs.take()
		if second := hs.take(); second == first {
			t.Fatal("both requests went to one host")
		} else {
			hs.give(second, nil)
		}
		if !hs.give(first, bad) {
			t.Error("no other host to try")
		}
		all := func(want bool) {
			t.Helper()
			var taken []*host
			for range 10 {
				taken = append(taken, hs.take())
			}
			n := 0
			for _, h := range taken {
				if h == first {
					n++
				}
				hs.back(h)
			}
			if (n > 0) != want {
				t.Errorf("%d of 10 requests went to the host, want some: %v", n, want)
			}
		}
		all(false)
		time.Sleep(time.Minute)
		if n := probes.Load(); n < 6 || n > 20 {
			t.Errorf("%d probes in a minute, of pauses of 1 s to 8 s", n)
		}
		all(false)
		if st := hs.status(); st[0].Error == "" || st[1].Error != "" || !strings.Contains(st[0].Error, "http://es1:9200 answered 502") {
			t.Errorf("%+v", st)
		}
		well.Store(true)
		time.Sleep(9 * time.Second)
		synctest.Wait()
		taken := map[*host]int{}
		for range 10 {
			taken[hs.take()]++
		}
		if taken[first] != 1 {
			t.Errorf("%d requests under way to a host that is to show that it is well, want 1", taken[first])
		}
		hs.give(first, nil)
		all(true)
		if st := hs.status(); st[0].Error != "" {
			t.Errorf("%+v", st)
		}
	})
}

// Where no host is well all are tried, and none is said to be another.
func TestWhereNoHostIsWellAllAreTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := &Refusal{Status: 503}
		hs := newTestHosts(t, 3, func(*host) *Refusal { return bad })
		defer hs.end()
		for i := range 3 {
			if another := hs.give(hs.take(), bad); another != (i < 2) {
				t.Errorf("host %d: another is %v", i, another)
			}
		}
		seen := map[*host]bool{}
		for range 30 {
			h := hs.take()
			seen[h] = true
			if hs.give(h, bad) {
				t.Error("another host is said to be well")
			}
		}
		if len(seen) != 3 {
			t.Errorf("%d of 3 hosts were tried", len(seen))
		}
		hs.give(hs.take(), nil)
		if hs.unwellNow() != 2 {
			t.Errorf("%d unwell, want 2", hs.unwellNow())
		}
	})
}

// Requests that are no bulk go to the next host when one does not answer as it should.
func TestPerformTriesTheNextHost(t *testing.T) {
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }))
	defer bad.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	var got string
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 100)
		n, _ := r.Body.Read(b)
		got = r.URL.Path + " " + string(b[:n])
	}))
	defer good.Close()
	hs, err := newHosts(&config.Elasticsearch{Hosts: []string{bad.URL, gone.URL, good.URL + "/prefix"}, Timeout: config.Duration(10 * time.Second)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer hs.end()
	for range 4 {
		req, _ := http.NewRequestWithContext(context.Background(), http.MethodPut, "/_x", strings.NewReader("body"))
		res, err := hs.Perform(req)
		if err != nil || res.StatusCode != 200 || got != "/prefix/_x body" {
			t.Fatalf("%v %v, server got %q", res, err, got)
		}
		res.Body.Close()
		got = ""
	}
}
