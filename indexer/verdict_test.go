package indexer

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicelog/sluice/internal/estest"
	"github.com/sluicelog/sluice/schemas"
)

// What an operator can mend kills no line: nothing is committed, the role is not ready
// and says what to do, and once it is mended all is indexed.
func TestAClustersFaultIsNoDocuments(t *testing.T) {
	t.Parallel()
	f := func(name string, item estest.Item, cure string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2)
			var mended atomic.Bool
			var asked atomic.Int64
			w.es.OnItem(func(*estest.Doc) estest.Item {
				if mended.Load() {
					return estest.Item{}
				}
				asked.Add(1)
				return item
			})
			w.produce(200, 0, 1)
			r := w.start()
			w.until("each was refused often", func() bool { return asked.Load() > 10*400 })
			w.until("the role says so", func() bool {
				why := strings.Join(r.st.NotReady(1<<62), "\n")
				return strings.Contains(why, "elasticsearch online refuses us") && strings.Contains(why, cure)
			})
			if got := w.committed(); got[0] > 0 || got[1] > 0 || len(w.letters()) > 0 {
				t.Errorf("committed %v, %d dead letters, while nothing is indexed", got, len(w.letters()))
			}
			mended.Store(true)
			w.allCommitted(map[int32]int64{0: 200, 1: 200})
			w.until("ready", func() bool { return len(r.st.NotReady(0)) == 0 })
			r.stop()
			w.allSettled(r, nil)
		})
	}
	f("limit of shards", estest.Item{Status: 400, Type: "validation_exception", Reason: "Validation Failed: 1: this action would add [2] shards, but this cluster currently has [1000]/[1000] maximum normal shards open;"}, "cluster.max_shards_per_node")
	f("no index is made", estest.Item{Status: 404, Type: "index_not_found_exception", Reason: "no such index [sluice-2026.11.21] and [action.auto_create_index] is [false]"}, "action.auto_create_index")
	f("an alias without a write index", estest.Item{Status: 400, Type: "illegal_argument_exception", Reason: "no write index is defined for alias [sluice-2026.11.21]"}, "is_write_index")
	f("no pipeline", estest.Item{Status: 400, Type: "illegal_argument_exception", Reason: "pipeline with id [x] does not exist"}, "index.default_pipeline")
	f("flood stage", estest.Item{Status: 403, Type: "cluster_block_exception", Reason: "index [x] blocked by: [FORBIDDEN/12/index read-only / allow delete (api)];"}, "disk")
	f("no rights", estest.Item{Status: 403, Type: "security_exception", Reason: "action [indices:data/write/bulk[s]] is unauthorized"}, "create_doc")
	f("a template that the cluster does not take", estest.Item{Status: 400, Type: "mapper_parsing_exception", Reason: "Failed to parse mapping [_doc]: No handler for type [flattened] declared on field [app]"}, "sluice setup")
}

// appEvents writes an event of each application to partition 0, n times.
func (w *world) appEvents(n int, apps ...string) {
	w.t.Helper()
	var records []*kgo.Record
	for range n {
		for _, app := range apps {
			records = append(records, w.records(1, []kgo.RecordHeader{{Key: schemas.HeaderDC, Value: []byte("dc1")}, {Key: schemas.HeaderApp, Value: []byte(app)}}, 0)...)
		}
	}
	w.put(records...)
}

// An error that sluice does not know is the document's where one application has it, and
// the cluster's where many have.
func TestUnknownErrorsAcrossApplicationsStop(t *testing.T) {
	t.Parallel()
	unknown := estest.Item{Status: 500, Type: "new_exception", Reason: "of [tomorrow]"}
	t.Run("one application", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 1)
		w.es.OnItem(func(d *estest.Doc) estest.Item {
			if numberOf(d.Source)%4 < 2 { // of a and b
				return unknown
			}
			return estest.Item{}
		})
		w.appEvents(20, "a", "b", "c", "d")
		r := w.start()
		w.allCommitted(map[int32]int64{0: 80})
		if why := r.st.NotReady(0); len(why) > 0 {
			t.Errorf("not ready: %v", why)
		}
		r.stop()
		w.allSettled(r, func(n int) bool { return n%4 < 2 })
	})
	t.Run("three", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 1)
		var mended atomic.Bool
		var asked atomic.Int64
		w.es.OnItem(func(d *estest.Doc) estest.Item {
			if !mended.Load() && numberOf(d.Source)%4 < 3 {
				asked.Add(1)
				return unknown
			}
			return estest.Item{}
		})
		w.appEvents(20, "a", "b", "c", "d")
		r := w.start()
		w.until("each was refused often", func() bool { return asked.Load() > 20*60 })
		w.until("the role says so", func() bool {
			return strings.Contains(strings.Join(r.st.NotReady(1<<62), "\n"), "dead_letter_types")
		})
		if n := len(w.letters()); n > 0 || w.committed()[0] > 0 {
			t.Errorf("%d dead letters, committed %v", n, w.committed())
		}
		mended.Store(true)
		w.allCommitted(map[int32]int64{0: 80})
		r.stop()
		w.allSettled(r, nil)
	})
	t.Run("three, and the configuration says that they are to blame", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 1)
		w.cfg.Indexer.Outputs[0].Bulk.DeadLetterTypes = []string{"other_exception", "new_exception"}
		w.es.OnItem(func(d *estest.Doc) estest.Item {
			if numberOf(d.Source)%4 < 3 {
				return unknown
			}
			return estest.Item{}
		})
		w.appEvents(20, "a", "b", "c", "d")
		r := w.start()
		w.allCommitted(map[int32]int64{0: 80})
		r.stop()
		w.allSettled(r, func(n int) bool { return n%4 < 3 })
	})
}

// A server that refuses every request, whatever document is in it, is not to be taken for
// one that refuses each document.
func TestEveryRequestRefusedKillsNoDocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	var mended atomic.Bool
	w.es.OnRequest(func(*estest.Request) estest.Answer {
		if mended.Load() {
			return estest.Answer{}
		}
		return estest.Answer{Status: 400, Type: "illegal_argument_exception"}
	})
	w.produce(40, 0)
	r := w.start()
	w.until("refused often", func() bool { return w.es.Counts().Requests > 10*80 })
	if n := len(w.letters()); n > 0 || w.committed()[0] > 0 {
		t.Errorf("%d dead letters, committed %v", n, w.committed())
	}
	mended.Store(true)
	w.allCommitted(map[int32]int64{0: 40})
	r.stop()
	w.allSettled(r, nil)
}

// A body that every server takes and this one does not is no document's fault.
func TestSmallBodiesTooLargeForAProxy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	var mended atomic.Bool
	w.es.OnRequest(func(r *estest.Request) estest.Answer {
		if !mended.Load() && slices.ContainsFunc(r.Docs, func(d estest.Doc) bool { return numberOf(d.Source) == 7 }) {
			return estest.Answer{Status: 413}
		}
		return estest.Answer{}
	})
	w.produce(40, 0)
	r := w.start()
	w.until("the others are stored", func() bool { return w.es.Len() == 39 })
	w.until("refused often", func() bool { return w.es.Counts().Requests > 50 })
	if n := len(w.letters()); n > 0 || w.committed()[0] > 7 {
		t.Errorf("%d dead letters, committed %v", n, w.committed())
	}
	mended.Store(true)
	w.allCommitted(map[int32]int64{0: 40})
	r.stop()
	w.allSettled(r, nil)
}
