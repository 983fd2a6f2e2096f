package indexer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/indexer/bulk"
	"github.com/sluicelog/sluice/indexer/document"
	"github.com/sluicelog/sluice/indexer/internal/samples"
	"github.com/sluicelog/sluice/indexer/output/elastic"
	"github.com/sluicelog/sluice/internal/admin"
	"github.com/sluicelog/sluice/internal/deadletter"
	"github.com/sluicelog/sluice/internal/estest"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/metrics"
)

func numberOf(source []byte) int {
	var m struct{ Message string }
	json.Unmarshal(source, &m)
	n, err := strconv.Atoi(strings.TrimPrefix(m.Message, "event "))
	if err != nil {
		return -1
	}
	return n
}

// What was indexed without our hearing of it is sent again after a restart, and is
// there once.
func TestNothingIsDoubled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.es.OnRequest(func(*estest.Request) estest.Answer { return estest.Answer{Cut: true} })
	w.produce(100, 0, 1)
	r := w.start()
	w.until("all indexed, unheard", func() bool { return w.es.Len() == 200 })
	r.stop()
	if got := w.committed(); got[0] > 0 || got[1] > 0 {
		t.Errorf("committed %v without an answer", got)
	}
	r.balance()
	w.es.OnRequest(nil)
	r = w.start()
	w.allCommitted(map[int32]int64{0: 100, 1: 100})
	r.stop()
	w.allSettled(r, nil)
	if dup := r.figure("indexer_duplicate_events_total"); dup != 200 {
		t.Errorf("%v duplicates counted, want 200", dup)
	}
}

// One application with lines of many days, all read now, makes the index of today alone,
// and what is sent again goes there too.
func TestOldLinesMakeFewIndices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.cfg.Indexer.Codecs = map[string]string{testTopic: "plain"}
	now := time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)
	var records []*kgo.Record
	for day := range 200 {
		at := now.AddDate(0, 0, -8*day)
		records = append(records, &kgo.Record{Topic: testTopic, Value: []byte(at.Format(time.RFC3339) + " line"), Timestamp: now.Add(time.Duration(day) * time.Second)})
	}
	w.put(records...)
	w.es.OnRequest(func(*estest.Request) estest.Answer { return estest.Answer{Cut: true} })
	r := w.start()
	w.until("all indexed, unheard", func() bool { return w.es.Len() == 200 })
	r.stop()
	w.es.OnRequest(nil)
	r = w.start()
	w.allCommitted(map[int32]int64{0: 200})
	r.stop()
	for key, doc := range w.es.Docs() {
		if !strings.HasPrefix(key, "sluice-2026.11.29/") {
			t.Errorf("%s: %s", key, doc)
		}
	}
	if n := w.es.Len(); n != 200 {
		t.Errorf("%d documents, want 200", n)
	}
	if n := r.figure("indexer_other_day_events_total"); n != 199 {
		t.Errorf("%v events of another day, want 199", n)
	}
}

// Records without a value, which mark keys as deleted, are skipped, counted and committed;
// the events around them are indexed. An empty value is an event.
func TestTombstonesAreSkipped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.cfg.Indexer.Codecs = map[string]string{testTopic: "plain"}
	var records []*kgo.Record
	for i := range 30 {
		r := &kgo.Record{Topic: testTopic, Key: []byte("k"), Value: fmt.Appendf(nil, "line %d", i), Timestamp: time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)}
		if i%3 != 1 {
			r.Value = nil
		}
		records = append(records, r)
	}
	records[0].Value = []byte{}
	w.put(records...)
	r := w.start()
	w.allCommitted(map[int32]int64{0: 30})
	r.stop()
	if n := w.es.Len(); n != 11 {
		t.Errorf("%d documents, want 11", n)
	}
	if n := r.figure("indexer_tombstones_total"); n != 19 {
		t.Errorf("%v tombstones, want 19", n)
	}
}

// slack is for a machine that is busy with other tests.
const slack = 10 * time.Second

// A stop with Elasticsearch or Kafka away is in time, commits nothing that is not
// finished, and loses nothing.
func TestAStopIsClean(t *testing.T) {
	t.Parallel()
	f := func(name string, a estest.Answer) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2)
			w.cfg.Indexer.Outputs[0].Bulk.RetryMax = config.Duration(time.Minute)
			w.cfg.Indexer.Outputs[0].Bulk.RetryInitial = config.Duration(time.Minute)
			w.cfg.Indexer.Outputs[0].Elasticsearch.Timeout = config.Duration(time.Minute)
			w.cfg.ShutdownTimeout = config.Duration(2 * time.Second)
			w.es.OnRequest(func(*estest.Request) estest.Answer { return a })
			w.produce(200, 0, 1)
			r := w.start()
			w.until("requests are made", func() bool { return w.es.Counts().Requests > 0 })
			if d := r.stop(); d > w.cfg.ShutdownTimeout.D()+slack {
				t.Errorf("stopped after %v", d)
			}
			r.balance()
			if got := w.committed(); got[0] > 0 || got[1] > 0 {
				t.Errorf("committed %v with nothing indexed", got)
			}
			w.cfg.Indexer.Outputs[0].Bulk.RetryInitial = config.Duration(5 * time.Millisecond)
			w.es.OnRequest(nil)
			r = w.start()
			w.allCommitted(map[int32]int64{0: 200, 1: 200})
			r.stop()
			w.allSettled(r, nil)
		})
	}
	f("elasticsearch answers 503", estest.Answer{Status: 503})
	f("elasticsearch hangs", estest.Answer{Hang: true})
	t.Run("kafka is away", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 2)
		w.cfg.ShutdownTimeout = config.Duration(2 * time.Second)
		w.produce(100, 0, 1)
		r := w.start()
		w.until("all stored", func() bool { return w.es.Len() == 200 })
		w.k.Close()
		if d := r.stop(); d > w.cfg.ShutdownTimeout.D()+slack {
			t.Errorf("stopped after %v", d)
		}
		r.balance()
	})
	t.Run("neither was ever there", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 1)
		w.k.Close()
		w.es.Close()
		w.cfg.ShutdownTimeout = config.Duration(2 * time.Second)
		r := w.start()
		w.until("both are missed", func() bool {
			return strings.Count(strings.Join(r.st.NotReady(0), "\n"), " unreachable for ") == 2
		})
		if d := r.stop(); d > w.cfg.ShutdownTimeout.D()+slack {
			t.Errorf("stopped after %v", d)
		}
	})
}

// A record that is refused for ever holds up the commit of its own partition and
// nothing else; nothing above it is committed.
func TestOneBadRecordHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	w.cfg.Indexer.Outputs[0].Bulk.Concurrency = 1
	w.cfg.Indexer.Outputs[0].Bulk.MaxConcurrency = 2
	var mended atomic.Bool
	w.es.OnItem(func(d *estest.Doc) estest.Item {
		if numberOf(d.Source) == 30 && !mended.Load() { // partition 0, offset 10
			return estest.Item{Status: 503, Type: "unavailable_shards_exception"}
		}
		return estest.Item{}
	})
	w.produce(500, 0, 1, 2)
	r := w.start()
	w.until("all others stored and committed", func() bool {
		got := w.committed()
		return w.es.Len() == 1499 && got[1] == 500 && got[2] == 500 && got[0] == 10
	})
	mended.Store(true)
	w.allCommitted(map[int32]int64{0: 500, 1: 500, 2: 500})
	r.stop()
	w.allSettled(r, nil)
}

// An index that takes nothing, with a document in every bulk, holds up the partition it
// is read from and no other.
func TestOneBadIndexHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	w.cfg.Indexer.Outputs[0].Bulk.Concurrency = 1
	w.cfg.Indexer.Outputs[0].Bulk.MaxConcurrency = 2
	var mended atomic.Bool
	w.es.OnItem(func(d *estest.Doc) estest.Item {
		if n := numberOf(d.Source); n%75 == 0 && !mended.Load() { // of partition 0
			return estest.Item{Status: 403, Type: "cluster_block_exception", Reason: "index is read-only"}
		}
		return estest.Item{}
	})
	w.produce(500, 0, 1, 2)
	r := w.start()
	w.until("all others stored and committed", func() bool {
		got := w.committed()
		return w.es.Len() == 1480 && got[1] == 500 && got[2] == 500
	})
	mended.Store(true)
	w.allCommitted(map[int32]int64{0: 500, 1: 500, 2: 500})
	r.stop()
	w.allSettled(r, nil)
}

// A dead-letter topic that is not there, and that we may not make, holds up the
// partitions of its letters and no other.
func TestDeadLetterTopicAwayHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	w.cfg.ShutdownTimeout = config.Duration(2 * time.Second)
	w.cfg.Indexer.DeadLetterTopic = "missing"
	w.cfg.Indexer.Outputs[0].Bulk.Concurrency = 1
	w.cfg.Indexer.Outputs[0].Bulk.MaxConcurrency = 2
	w.k.ControlKey(int16(kmsg.CreateTopics), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.k.KeepControl()
		resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		st := kmsg.NewCreateTopicsResponseTopic()
		st.Topic, st.ErrorCode = "missing", 29 // TOPIC_AUTHORIZATION_FAILED
		resp.Topics = append(resp.Topics, st)
		return resp, nil, true
	})
	w.es.OnItem(func(d *estest.Doc) estest.Item {
		if numberOf(d.Source)%75 == 0 { // of partition 0
			return estest.Item{Status: 400, Type: "document_parsing_exception", Reason: "no"}
		}
		return estest.Item{}
	})
	w.produce(500, 0, 1, 2)
	r := w.start()
	w.until("all others stored and committed", func() bool {
		got := w.committed()
		return w.es.Len() == 1480 && got[1] == 500 && got[2] == 500
	})
	r.stop()
	if got := w.committed()[0]; got > 0 {
		t.Errorf("committed %d, with the first event nowhere", got)
	}
	r.balance()
	if got := r.figure("indexer_returned_events_total"); got != 20 {
		t.Errorf("%v events returned, want 20", got)
	}
}

// One output that is down holds up no other.
func TestStandbyDownHoldsUpNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	standby := estest.New()
	defer standby.Close()
	standby.OnRequest(func(*estest.Request) estest.Answer { return estest.Answer{Status: 503} })
	w.cfg.Indexer.Outputs = append(w.cfg.Indexer.Outputs, w.output("standby", standby.URL))
	w.produce(200, 0, 1)
	r := w.start()
	w.allCommitted(map[int32]int64{0: 200, 1: 200})
	if standby.Len() != 0 {
		t.Error("the standby cluster is not down")
	}
	standby.OnRequest(nil)
	w.until("the standby cluster has all", func() bool { return standby.Len() == 400 })
	r.stop()
	w.allSettled(nil, nil)
}

// Members come and go while bulks are under way.
func TestRebalanceLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 6)
	w.es.OnRequest(func(r *estest.Request) estest.Answer {
		return estest.Answer{Delay: time.Duration(r.N%5) * 10 * time.Millisecond}
	})
	all := []int32{0, 1, 2, 3, 4, 5}
	w.produce(100, all...)
	a := w.start()
	w.until("a begins", func() bool { return w.es.Len() > 50 })
	b, c := w.start(), w.start()
	w.until("all of them work", func() bool {
		w.produce(5, all...)
		return b.figure("indexer_read_events_total") > 0 && c.figure("indexer_read_events_total") > 0
	})
	b.stop()
	w.produce(100, all...)
	n := int64(w.n / len(all))
	w.allCommitted(map[int32]int64{0: n, 1: n, 2: n, 3: n, 4: n, 5: n})
	a.stop()
	c.stop()
	for _, r := range []*running{a, b, c} {
		r.balance()
	}
	w.allSettled(nil, nil)
}

// Refused by 401 or 403: nothing is committed, the role is not ready, and it goes on
// by itself once that is mended.
func TestDeniedCommitsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	var mended atomic.Bool
	w.es.OnRequest(func(r *estest.Request) estest.Answer {
		if !mended.Load() {
			return estest.Answer{Status: 403, Type: "security_exception"}
		}
		return estest.Answer{}
	})
	w.produce(10, 0)
	r := w.start()
	w.until("refused", func() bool { return w.es.Counts().Requests > 2 })
	if got := w.committed()[0]; got > 0 {
		t.Errorf("committed %d", got)
	}
	mended.Store(true)
	w.allCommitted(map[int32]int64{0: 10})
	r.stop()
	w.allSettled(r, nil)
}

// A dead letter that the topic does not take for its size is stored in parts, and only
// then is its offset committed.
func TestDeadLetterInParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	var most, refused atomic.Int64 // nothing is taken at first
	w.cfg.ShutdownTimeout = config.Duration(2 * time.Second)
	w.es.OnItem(func(*estest.Doc) estest.Item {
		return estest.Item{Status: 400, Type: "document_parsing_exception", Reason: "no"}
	})
	var text strings.Builder
	for i := range 2500 { // hard to compress, so that the parts are many
		fmt.Fprintf(&text, "%x,", uint32(i)*2654435761)
	}
	value := []byte(`{"message":"` + text.String() + `"}`)
	sent := time.UnixMilli(1_763_715_467_123)
	w.put(&kgo.Record{Topic: testTopic, Timestamp: sent, Key: []byte("k"), Value: value, Headers: []kgo.RecordHeader{{Key: "dead.reason", Value: []byte("of before")}, {Key: "own", Value: []byte("h")}}})
	w.k.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.k.KeepControl()
		p := req.(*kmsg.ProduceRequest)
		resp := p.ResponseKind().(*kmsg.ProduceResponse)
		for _, rt := range p.Topics {
			st := kmsg.NewProduceResponseTopic()
			st.Topic, st.TopicID = rt.Topic, rt.TopicID
			for _, rp := range rt.Partitions {
				if int64(len(rp.Records)) <= most.Load() {
					return nil, nil, false
				}
				refused.Add(1)
				sp := kmsg.NewProduceResponseTopicPartition()
				sp.Partition, sp.ErrorCode = rp.Partition, 10 // MESSAGE_TOO_LARGE
				st.Partitions = append(st.Partitions, sp)
			}
			resp.Topics = append(resp.Topics, st)
		}
		return resp, nil, true
	})
	r := w.start()
	w.until("refused in all sizes", func() bool { return refused.Load() > 200 })
	r.stop()
	if got := w.committed()[0]; got > 0 {
		t.Errorf("committed %d before the letter was stored", got)
	}
	r.balance()
	most.Store(3000)
	r = w.start()
	w.allCommitted(map[int32]int64{0: 1})
	r.stop()
	got := make([]byte, len(value))
	covered := 0
	letters := w.letters()
	reader := deadletter.NewReader(testDead, 1<<20)
	var joined *deadletter.Letter
	for _, l := range letters {
		var from, to, whole int
		if _, err := fmt.Sscanf(headerOf(l, "dead.part"), "%d-%d/%d", &from, &to, &whole); err != nil || whole != len(value) || to-from != len(l.Value) {
			t.Fatalf("part %q of %d bytes", headerOf(l, "dead.part"), len(l.Value))
		}
		covered += copy(got[from:to], l.Value)
		if string(l.Key) != "k" || headerOf(l, "own") != "h" || headerOf(l, "dead.error") != "document_parsing_exception: no" || headerOf(l, "dead.status") != "400" {
			t.Errorf("key %s, headers %v", l.Key, l.Headers)
		}
		var err error
		if joined, err = reader.Read(l.Partition, recordOf(l)); err != nil {
			t.Error(err)
		}
	}
	if joined == nil || !bytes.Equal(joined.Record.Value, value) || !joined.Record.Time.Equal(sent) || len(joined.Record.Headers) != 2 ||
		string(joined.Record.Headers[0].Key) != "dead.reason" || string(joined.Record.Headers[0].Value) != "of before" {
		t.Fatalf("joined: %+v", joined)
	}
	// Indexed from its letter, the event has the id that it died with.
	out := newBareOutput(t, t.Context(), w.cfg.Indexer.Outputs[0])
	_, id := elastic.Target(out.newPartition(&bareMarker{}, "").encoder.Append(nil, &joined.Record, joined.Topic, joined.Partition))
	if want := "logs-0-0-"; id == "" || id != joined.ID || !strings.HasPrefix(id, want) {
		t.Errorf("replayed, its id is %q, and it died with %q, want both to be %s...", id, joined.ID, want)
	}
	if len(letters) < 4 || covered != len(value) || !bytes.Equal(got, value) {
		t.Errorf("%d letters with %d of %d bytes", len(letters), covered, len(value))
	}
	r.balance()
}

// bareMarker is a partition without a Kafka.
type bareMarker struct {
	partition int32
	done      atomic.Int64
}

func (m *bareMarker) Topic() string          { return testTopic }
func (m *bareMarker) Partition() int32       { return m.partition }
func (m *bareMarker) DoneAll(from, to int64) { m.done.Add(to - from) }

// noDeadLetters is for tests in which no document is refused for good.
type noDeadLetters struct{ t testing.TB }

func (d noDeadLetters) Write(it *bulk.Item, why *elastic.Refusal, lines []byte) {
	d.t.Errorf("refused for good: %v: %s", why, lines)
}

// newBareOutput is a flow without a consumer group and dead letters.
func newBareOutput(t testing.TB, ctx context.Context, o config.Output) *flow {
	f := newBareFlow(slog.New(slog.DiscardHandler), newFigures(metrics.New("indexer", "h"), o.Name))
	f.documents.Zone = time.UTC
	var err error
	if f.documents.Pattern, err = document.NewPattern(o.Index); err != nil {
		t.Fatal(err)
	}
	f.output, err = elastic.New(ctx, elastic.Options{Config: &o, Log: f.log, Figures: f.figures.output, Health: admin.NewState("indexer").Need("es"), Dead: noDeadLetters{t}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// While Elasticsearch does not answer, what is taken is bounded in bytes, however much
// comes and from however many partitions.
func TestMemoryIsBounded(t *testing.T) {
	es := estest.New()
	defer es.Close()
	es.OnRequest(func(*estest.Request) estest.Answer { return estest.Answer{Hang: true} })
	ctx, cancel := context.WithCancel(context.Background())
	w := &world{t: t}
	o := w.output("online", es.URL)
	o.Bulk.Bytes, o.Bulk.Count, o.Bulk.MaxConcurrency, o.Bulk.Concurrency = 256*config.KiB, 100_000, 3, 3
	o.Elasticsearch.Compression = 0
	out := newBareOutput(t, ctx, o)
	const partitions = 20
	done := make(chan struct{})
	records := make([]kafka.View, 2000)
	value := samples.Event(strings.Repeat("x", 1000))
	for i := range records {
		records[i] = kafka.View{Value: value, Offset: int64(i)}
	}
	for p := range int32(partitions) {
		c := out.newPartition(&bareMarker{partition: p}, "")
		go func() {
			for ctx.Err() == nil {
				out.take(ctx, c, records)
			}
			done <- struct{}{}
		}()
	}
	w.until("every bulk is full", func() bool {
		s := out.output.Status()
		return s.Free == 0 && s.Busy == o.Bulk.MaxConcurrency && s.Waiting == 1
	})
	taken := testFigure(t, out.figures.reg, "sluice_indexer_read_events_total") * float64(len(value))
	if most := float64(4 * 256 << 10); taken > most {
		t.Errorf("%v bytes were taken, the bound is %v", taken, most)
	}
	cancel()
	for range partitions {
		<-done
	}
	out.output.Wait()
	if s := out.output.Status(); s.Free != o.Bulk.MaxConcurrency+1 {
		t.Errorf("%d bulks are free, want all", s.Free)
	}
}

func testFigure(t testing.TB, reg *metrics.Registry, name string) (sum float64) {
	families, err := reg.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.Metric {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}
