package indexer

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/estest"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/schemas"
)

const testHeld = "sluice-held"

// makeTopic makes a topic as an operator does.
func (w *world) makeTopic(t kafka.Topic) {
	w.t.Helper()
	c := &kafka.Cluster{Name: "central", Config: w.cfg.Kafka["central"], Log: slog.New(slog.DiscardHandler)}
	if _, err := kafka.CreateTopic(w.t.Context(), c, t); err != nil {
		w.t.Fatal(err)
	}
}

// lettersHeld is how many records were written to the held topic.
func (w *world) lettersHeld() int64 { return w.written(testHeld) }

var readOnly = estest.Item{Status: 403, Type: "cluster_block_exception", Reason: "index [x] blocked by: [FORBIDDEN/8/index write (api)];"}

// apps are twenty applications with an index each.
func apps() (names []string) {
	for i := range 20 {
		names = append(names, fmt.Sprintf("app%02d", i))
	}
	return names
}

// heldWorld has an index for each of twenty applications, of which app07's refuses until
// it is mended.
func heldWorld(t *testing.T, refusal estest.Item, refuses func(index string) bool) (w *world, mended *atomic.Bool, refused *atomic.Int64) {
	w = newWorld(t, 1)
	w.cfg.Indexer.Outputs[0].Index = "sluice-{app}-{yyyy.MM.dd}"
	mended, refused = new(atomic.Bool), new(atomic.Int64)
	w.es.OnItem(func(d *estest.Doc) estest.Item {
		if refuses(d.Index) && !mended.Load() {
			refused.Add(1)
			return refusal
		}
		return estest.Item{}
	})
	return w, mended, refused
}

func ofApp07(index string) bool { return strings.HasPrefix(index, "sluice-app07-") }

// heldIsRead waits until all that was held is done with.
func (w *world) heldIsRead() {
	w.t.Helper()
	w.until("the held topic is read", func() bool {
		var sum int64
		for _, n := range w.committedBy(testGroup + "-held") {
			sum += max(n, 0)
		}
		return sum == w.lettersHeld()
	})
}

// onceEach checks that each event is stored once, in the index of its application.
func (w *world) onceEach() {
	w.t.Helper()
	stored := w.stored()
	for n := range w.n {
		if stored[n] != 1 {
			w.t.Errorf("event %d is stored %d times", n, stored[n])
		}
	}
	for key := range w.es.Docs() {
		if !strings.HasPrefix(key, "sluice-app") || !strings.Contains(key, "-2026.11.21/") {
			w.t.Errorf("stored in %s", key)
		}
	}
}

// A read-only index among twenty holds up no other: its events wait in the held topic,
// are committed, and are stored once it takes them, each once, whatever is killed
// meanwhile.
func TestOneReadOnlyIndexHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	f := func(name string, refusal estest.Item) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, mended, refused := heldWorld(t, refusal, ofApp07)
			w.makeTopic(kafka.Topic{Name: testHeld, Partitions: 2, Replication: 1})
			w.appEvents(10, apps()...)
			r := w.start()
			w.until("ready to hold", func() bool { return r.st.NotReady(0) == nil })
			for round := range int64(3) { // those held need others that are taken
				w.appEvents(10, apps()...)
				w.allCommitted(map[int32]int64{0: 400 + 200*round})
			}
			if n := w.lettersHeld(); n < 40 {
				t.Errorf("%d letters held, want 40 and more", n)
			}
			if why := r.st.NotReady(0); why != nil {
				t.Errorf("not ready: %v", why)
			}
			r.stop()
			r.balance()
			if r.figure("indexer_held_events_total") < 40 || r.figure("indexer_refusing_indices") != 1 {
				t.Errorf("held %v, refusing indices %v", r.figure("indexer_held_events_total"), r.figure("indexer_refusing_indices"))
			}
			if n := w.es.Len(); n != 760 || len(w.letters()) != 0 {
				t.Errorf("%d stored, %d dead", n, len(w.letters()))
			}
			r = w.start()
			before, tries := w.lettersHeld(), refused.Load()
			w.until("tried again", func() bool { return refused.Load() > tries+2 })
			w.appEvents(1, "app01", "app02", "app03")
			w.until("written again", func() bool {
				w.appEvents(1, "app01") // which is taken
				return w.lettersHeld() >= before+40
			})
			mended.Store(true)
			w.until("all are stored", func() bool { return w.es.Len() == w.n })
			w.heldIsRead()
			r.stop()
			r.balance()
			w.onceEach()
			if n := r.figure("indexer_refusing_indices"); n != 0 {
				t.Errorf("%v indices refuse", n)
			}
			// All is done with: the topic is read to its end.
			count := w.lettersHeld()
			r = w.start()
			w.appEvents(1, "app07")
			w.until("taken", func() bool { return w.es.Len() == w.n })
			r.stop()
			if n := r.figure("indexer_duplicate_events_total"); n != 0 || w.lettersHeld() != count {
				t.Errorf("%v events were read again that were stored, %d letters more", n, w.lettersHeld()-count)
			}
		})
	}
	f("a write block", readOnly)
	f("a new index at the limit of shards", estest.Item{Status: 400, Type: "validation_exception", Reason: "Validation Failed: 1: this action would add [2] shards, but this cluster currently has [1000]/[1000] maximum normal shards open;"})
	f("no shard", estest.Item{Status: 503, Type: "unavailable_shards_exception", Reason: "[x][0] primary shard is not active"})
}

// Without the topic the partition waits, and goes on once the topic is made.
func TestWithoutTheHeldTopicThePartitionWaits(t *testing.T) {
	t.Parallel()
	w, mended, refused := heldWorld(t, readOnly, ofApp07)
	w.appEvents(10, apps()...)
	r := w.start()
	w.until("refused often", func() bool { return refused.Load() > 200 })
	w.appEvents(10, apps()...)
	w.until("the others are stored", func() bool { return w.es.Len() == 380 })
	if got := w.committed(); got[0] > 7 || len(w.letters()) > 0 {
		t.Errorf("committed %v, %d dead letters", got, len(w.letters()))
	}
	w.makeTopic(kafka.Topic{Name: testHeld, Partitions: 2, Replication: 1})
	w.until("committed", func() bool {
		w.appEvents(1, "app01")
		return w.committed()[0] > 380
	})
	mended.Store(true)
	w.until("all are stored", func() bool { return w.es.Len() == w.n })
	r.stop()
	r.balance()
	w.onceEach()
}

// With an empty name there is no held topic, whether it exists or not.
func TestNoHeldTopic(t *testing.T) {
	t.Parallel()
	w, _, refused := heldWorld(t, readOnly, ofApp07)
	w.cfg.Indexer.HeldTopic = ""
	w.makeTopic(kafka.Topic{Name: testHeld, Partitions: 2, Replication: 1})
	w.appEvents(10, apps()...)
	r := w.start()
	w.until("refused often", func() bool { return refused.Load() > 200 })
	w.appEvents(10, apps()...)
	w.until("the others are stored", func() bool { return w.es.Len() == 380 })
	w.until("refused often", func() bool { return refused.Load() > 1000 })
	r.stop()
	if got := w.committed(); got[0] > 7 || w.lettersHeld() > 0 {
		t.Errorf("committed %v, %d letters held", got, w.lettersHeld())
	}
}

// What is the whole cluster's fault stops the taking: the held topic does not get all that
// comes.
func TestAClustersFaultIsNotHeld(t *testing.T) {
	t.Parallel()
	f := func(name string, refuses func(index string) bool) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shards := estest.Item{Status: 400, Type: "validation_exception", Reason: "this action would add [2] shards, but this cluster currently has [1000]/[1000] maximum normal shards open;"}
			w, mended, refused := heldWorld(t, shards, refuses)
			w.makeTopic(kafka.Topic{Name: testHeld, Partitions: 2, Replication: 1})
			w.appEvents(10, apps()...)
			r := w.start()
			for range 5 {
				seen := refused.Load()
				w.until("refused often", func() bool { return refused.Load() > seen+300 })
				w.appEvents(1, apps()...)
			}
			if n := w.lettersHeld(); n > 0 || w.committed()[0] > 7 || len(w.letters()) > 0 {
				t.Errorf("%d letters held, %d dead, committed %v", n, len(w.letters()), w.committed())
			}
			mended.Store(true)
			w.until("all are stored", func() bool { return w.es.Len() == w.n })
			r.stop()
			w.onceEach()
		})
	}
	f("all indices", func(string) bool { return true })
	f("all but one", func(index string) bool { return !ofApp07(index) })
}

// Held events come back whole: those that the topic takes in parts alone, those of codecs
// that make ids of where a record was; letters of other outputs, and what is no letter, do
// no harm.
func TestHeldEventsComeBackWhole(t *testing.T) {
	t.Parallel()
	w, mended, refused := heldWorld(t, readOnly, ofApp07)
	w.cfg.Indexer.Codecs = map[string]string{testTopic: "plain"}
	w.cfg.Indexer.Consume.Buffer = 64 * config.MiB
	w.makeTopic(kafka.Topic{Name: testHeld, Partitions: 2, Replication: 1, Config: map[string]string{"max.message.bytes": "8192"}})
	at := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	w.put(&kgo.Record{Topic: testHeld, Value: []byte("no letter")}, &kgo.Record{Topic: testHeld, Value: []byte("of the standby"), Timestamp: time.Now(), Headers: []kgo.RecordHeader{
		{Key: "dead.letter", Value: []byte("2")}, {Key: "dead.output", Value: []byte("standby")}, {Key: "dead.topic", Value: []byte("logs")}, {Key: "dead.partition", Value: []byte("0")},
		{Key: "dead.offset", Value: []byte("3")}, {Key: "dead.time", Value: []byte("2026-11-21T08:00:00Z")}, {Key: "dead.record_time", Value: []byte("2026-11-21T08:00:00Z")},
	}})
	send := func(app string, size int) {
		w.put(&kgo.Record{Topic: testTopic, Value: []byte(strings.Repeat("y", size)), Timestamp: at.Add(time.Duration(w.n) * time.Millisecond),
			Headers: []kgo.RecordHeader{{Key: schemas.HeaderApp, Value: []byte(app)}}})
		w.n++
	}
	for _, size := range []int{10, 40_000, 9_000} {
		send("app07", size)
	}
	r := w.start()
	w.until("held", func() bool {
		send("app01", 10)
		return w.committed()[0] > 3
	})
	tries := refused.Load()
	w.until("tried again", func() bool { send("app01", 10); return refused.Load() > tries+3 })
	mended.Store(true)
	w.until("all are stored", func() bool { return w.es.Len() == w.n })
	w.heldIsRead()
	r.stop()
	r.balance()
	want := map[int]int{10: 1, 40_000: 1, 9_000: 1}
	for key, doc := range w.es.Docs() {
		if !strings.HasPrefix(key, "sluice-app07-2026.11.21/"+testTopic+"-0-") {
			continue
		}
		size := strings.Count(string(doc), "y")
		if want[size]--; want[size] != 0 && want[size] != -1 {
			t.Errorf("%s has %d bytes", key, size)
		}
		delete(want, size)
	}
	if len(want) > 0 {
		t.Errorf("not there: %v", want)
	}
	count := w.lettersHeld()
	r = w.start()
	send("app01", 10)
	w.until("taken", func() bool { return w.es.Len() == w.n })
	r.stop()
	if n := r.figure("indexer_duplicate_events_total"); n != 0 || w.lettersHeld() != count {
		t.Errorf("%v events were read again that were stored, %d letters more", n, w.lettersHeld()-count)
	}
}

// Events whose indices are more than may be open wait, and hold up no other where there
// is a held topic; none goes elsewhere, and none is lost.
func TestMaxOpenIndices(t *testing.T) {
	t.Parallel()
	f := func(name string, topic bool) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _, _ := heldWorld(t, readOnly, func(string) bool { return false })
			w.cfg.Indexer.Outputs[0].MaxOpenIndices = 5
			if topic {
				w.makeTopic(kafka.Topic{Name: testHeld, Partitions: 2, Replication: 1})
			}
			w.appEvents(2, apps()[:5]...)
			log := &logBook{}
			r := w.startLogging(log)
			w.allCommitted(map[int32]int64{0: 10})
			if topic {
				w.until("ready to hold", func() bool { return strings.Contains(r.status(), testHeld) })
			}
			w.appEvents(2, apps()...)
			w.appEvents(2, apps()[:5]...)
			if topic {
				w.allCommitted(map[int32]int64{0: 60})
				w.until("all of the five are stored", func() bool { return w.es.Len() == 30 })
			} else {
				w.until("those before are stored", func() bool { return w.es.Len() == 15 })
				if got := w.committed(); got[0] > 15 {
					t.Errorf("committed %v", got)
				}
			}
			w.until("an error in the log", func() bool {
				return strings.Contains(log.String(), "level=ERROR") && strings.Contains(log.String(), "raise max_open_indices")
			})
			if n := r.figure("indexer_open_indices"); n != 5 || len(w.letters()) > 0 {
				t.Errorf("%v indices are open, %d dead letters", n, len(w.letters()))
			}
			r.stop()
			r.balance()
			w.cfg.Indexer.Outputs[0].MaxOpenIndices = 20
			r = w.start()
			w.until("all are stored", func() bool { return w.es.Len() == w.n })
			if topic {
				w.heldIsRead()
			}
			r.stop()
			r.balance()
			w.onceEach()
		})
	}
	f("held", true)
	f("without a held topic", false)
}
