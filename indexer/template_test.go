package indexer

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Where it is certain that no index template is for its indices, the indexer writes
// nothing, is not ready, and says sluice setup; once there is one it goes on.
func TestWithoutATemplateNothingIsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.es.List()
	w.es.Store("/_index_template/other", `{"index_patterns":["slu","sluice-*-x","*luice","metrics-*"]}`)
	w.produce(100, 0)
	log := &logBook{}
	r := w.startLogging(log)
	w.until("not ready, and why", func() bool {
		return strings.Contains(strings.Join(r.st.NotReady(1<<62), "\n"), "run sluice setup")
	})
	w.until("an error in the log", func() bool {
		return strings.Contains(log.String(), "level=ERROR") && strings.Contains(log.String(), "run sluice setup")
	})
	time.Sleep(200 * time.Millisecond) // longer than bulks linger
	if n := w.es.Counts().Requests; n > 0 || w.committed()[0] > 0 {
		t.Errorf("%d bulk requests, committed %v", n, w.committed())
	}
	if err := Setup(t.Context(), w.cfg, io.Discard); err != nil {
		t.Fatal(err)
	}
	w.allCommitted(map[int32]int64{0: 100})
	w.until("ready", func() bool { return r.st.NotReady(0) == nil })
	r.stop()
	w.allSettled(r, nil)
}

// A stop does not wait for a template.
func TestStopWithoutATemplate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.es.List()
	w.produce(100, 0)
	r := w.start()
	w.until("not ready", func() bool { return r.st.NotReady(1<<62) != nil })
	r.stop()
	r.balance()
	if n := w.es.Counts().Requests; n > 0 || w.committed()[0] > 0 {
		t.Errorf("%d bulk requests, committed %v", n, w.committed())
	}
}

// With template.if_missing the indexer installs what sluice setup does, or writes all the
// same; and it writes where a template is there, and where it cannot find that out.
func TestTemplateAtTheStart(t *testing.T) {
	t.Parallel()
	f := func(name string, prepare func(w *world), check func(w *world, log string)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			prepare(w)
			w.produce(100, 0)
			log := &logBook{}
			r := w.startLogging(log)
			w.allCommitted(map[int32]int64{0: 100})
			w.until("ready", func() bool { return r.st.NotReady(0) == nil })
			r.stop()
			w.allSettled(r, nil)
			check(w, log.String())
		})
	}
	quiet := func(w *world, log string) {
		if strings.Contains(log, "template") {
			w.t.Errorf("log:\n%s", log)
		}
	}
	warned := func(w *world, log string) {
		if !strings.Contains(log, "level=WARN") || !strings.Contains(log, "writing all the same") {
			w.t.Errorf("log:\n%s", log)
		}
	}
	f("install", func(w *world) {
		w.es.List()
		w.cfg.Indexer.Outputs[0].Template.IfMissing = "install"
	}, func(w *world, log string) {
		if !strings.Contains(w.es.Put("/_index_template/sluice"), `"sluice-*"`) || !strings.Contains(log, "setup: online: index template sluice: created") {
			w.t.Errorf("index template %s, log:\n%s", w.es.Put("/_index_template/sluice"), log)
		}
	})
	f("write", func(w *world) {
		w.es.List()
		w.cfg.Indexer.Outputs[0].Template.IfMissing = "write"
	}, quiet)
	f("there is one", func(w *world) {
		w.es.List()
		w.es.Store("/_index_template/ours", `{"index_patterns":["slu*-2*"]}`)
	}, quiet)
	f("one of before 7.8", func(w *world) {
		w.es.List()
		w.es.Store("/_template/old", `{"index_patterns":["x","sluice-*"],"order":1}`)
	}, quiet)
	f("404", func(*world) {}, warned)
	for name, status := range map[string]int{"403": 403, "405": 405, "400 of a server without": 400} {
		f(name, func(w *world) { w.templatesAnswer(status, "") }, warned)
	}
	f("no list", func(w *world) { w.templatesAnswer(200, `{"acknowledged":true}`) }, warned)
	f("no JSON", func(w *world) { w.templatesAnswer(200, `<html>`) }, warned)
}

// templatesAnswer puts a proxy before Elasticsearch that answers so for templates.
func (w *world) templatesAnswer(status int, body string) {
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/_index_template") {
			rw.WriteHeader(status)
			io.WriteString(rw, body)
			return
		}
		w.es.ServeHTTP(rw, r)
	}))
	w.t.Cleanup(s.Close)
	w.cfg.Indexer.Outputs[0].Elasticsearch.Hosts = []string{s.URL}
}

// An index that was made by hand has its mapping: no template is asked for.
func TestIndexMadeByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.es.List()
	w.cfg.Indexer.Outputs[0].Index = "made-by-hand"
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead && r.URL.Path == "/made-by-hand" {
			return
		}
		w.es.ServeHTTP(rw, r)
	}))
	t.Cleanup(s.Close)
	w.cfg.Indexer.Outputs[0].Elasticsearch.Hosts = []string{s.URL}
	w.produce(10, 0)
	r := w.start()
	w.allCommitted(map[int32]int64{0: 10})
	r.stop()
}
