package indexer

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/admin"
	"github.com/sluicelog/sluice/internal/deadletter"
	"github.com/sluicelog/sluice/internal/estest"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/schemas"
)

// The tests of whole indexers wait more than they work.
func TestMain(m *testing.M) {
	flag.Set("test.parallel", "8")
	flag.Parse()
	os.Exit(m.Run())
}

// world is a Kafka, an Elasticsearch and an indexer between them.
type world struct {
	t    *testing.T
	k    *kfake.Cluster
	es   *estest.Server
	cfg  *config.Config
	kgo  *kgo.Client
	sent map[string]int // produced: id -> number
	n    int
}

const (
	testTopic = "logs"
	testDead  = "sluice-dead"
	testGroup = "sluice-indexer-online"
)

func newWorld(t *testing.T, partitions int32) *world {
	t.Helper()
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, testTopic), kfake.SeedTopics(2, testDead))
	if err != nil {
		t.Fatal(err)
	}
	es := estest.New()
	w := &world{t: t, k: k, es: es, sent: map[string]int{}}
	w.kgo, err = kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.kgo.Close(); k.Close(); es.Close() })
	cfg := config.Default()
	cfg.DataDir = ""
	cfg.ShutdownTimeout = config.Duration(4 * time.Second)
	cfg.Kafka["central"] = config.Kafka{Brokers: k.ListenAddrs()}
	cfg.Indexer.Kafka = "central"
	cfg.Indexer.Outputs = []config.Output{w.output("online", es.URL)}
	w.cfg = cfg
	return w
}

func (w *world) output(name string, hosts ...string) config.Output {
	o := config.DefaultOutput()
	o.Name = name
	o.Elasticsearch.Hosts = hosts
	o.Elasticsearch.Timeout = config.Duration(10 * time.Second)
	o.Bulk.Count = 50
	o.Bulk.Linger = config.Duration(20 * time.Millisecond)
	o.Bulk.RetryInitial = config.Duration(5 * time.Millisecond)
	o.Bulk.RetryMax = config.Duration(50 * time.Millisecond)
	return o
}

// produce writes n events to each partition, numbered through.
func (w *world) produce(n int, partitions ...int32) {
	w.t.Helper()
	w.produceWith(n, []kgo.RecordHeader{{Key: schemas.HeaderDC, Value: []byte("dc1")}}, partitions...)
}

func (w *world) produceWith(n int, headers []kgo.RecordHeader, partitions ...int32) {
	w.t.Helper()
	w.put(w.records(n, headers, partitions...)...)
}

// records makes n events for each partition.
func (w *world) records(n int, headers []kgo.RecordHeader, partitions ...int32) (records []*kgo.Record) {
	tail := schemas.NewTail(&schemas.Source{Host: "h", ContainerID: "c", DC: "dc1"})
	for range n {
		for _, p := range partitions {
			at := time.Date(2026, 11, 21, 8, 0, 0, w.n*1000, time.UTC)
			msg := []byte(fmt.Sprintf("event %d", w.n))
			id := schemas.NewPlace("s", "", "").Line(int64(w.n)).Add(msg).ID(at)
			w.sent[id.String()] = w.n
			l := schemas.Line{ID: id, Time: at, Message: msg, Offset: int64(w.n), Size: int64(len(msg))}
			records = append(records, &kgo.Record{Topic: testTopic, Partition: p, Key: []byte("source"), Value: schemas.AppendEvent(nil, &l, tail), Headers: headers, Timestamp: at})
			w.n++
		}
	}
	return records
}

func (w *world) put(records ...*kgo.Record) {
	w.t.Helper()
	if err := w.kgo.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// running is an indexer that runs.
type running struct {
	w    *world
	reg  *metrics.Registry
	st   *admin.State
	kill context.CancelFunc
	done chan error
}

func (w *world) start() *running {
	out := io.Discard
	if testing.Verbose() {
		out = w.t.Output()
	}
	return w.startLogging(out)
}

func (w *world) startLogging(out io.Writer) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{w: w, reg: metrics.New("indexer", "h"), st: admin.NewState("indexer"), kill: cancel, done: make(chan error, 1)}
	log := slog.New(slog.NewTextHandler(out, nil))
	go func() { r.done <- Run(ctx, w.cfg, log, r.reg, r.st) }()
	w.t.Cleanup(r.kill)
	return r
}

// status is what /status says.
func (r *running) status() string {
	r.w.t.Helper()
	srv, err := admin.Listen(config.Admin{Listen: "127.0.0.1:0"}, "test", slog.New(slog.DiscardHandler), []*admin.State{r.st}, r.reg)
	if err != nil {
		r.w.t.Fatal(err)
	}
	defer srv.Close()
	res, err := http.Get("http://" + srv.Addr() + "/status")
	if err != nil {
		r.w.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.w.t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), ": ", ":")
}

// stop is SIGTERM; Run must return nil in time.
func (r *running) stop() time.Duration {
	r.w.t.Helper()
	r.kill()
	started := time.Now()
	select {
	case err := <-r.done:
		if err != nil {
			r.w.t.Fatalf("Run: %v", err)
		}
	case <-time.After(r.w.cfg.ShutdownTimeout.D() + 15*time.Second):
		r.w.t.Fatal("Run did not return")
	}
	return time.Since(started)
}

func (w *world) until(what string, f func() bool) {
	w.t.Helper()
	for range 3000 {
		if f() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	if w.kgo == nil {
		w.t.Fatalf("never: %s", what)
	}
	w.t.Fatalf("never: %s; stored %d of %d, dead %d, committed %v, %+v", what, w.es.Len(), w.n, len(w.letters()), w.committed(), w.es.Counts())
}

// committed is the group's offsets by partition.
func (w *world) committed() map[int32]int64 { return w.committedBy(testGroup) }

func (w *world) committedBy(group string) map[int32]int64 {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group
	resp, err := req.RequestWith(context.Background(), w.kgo)
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[int32]int64{}
	for _, topic := range append(resp.Topics, groupTopics(resp)...) {
		for _, p := range topic.Partitions {
			out[p.Partition] = p.Offset
		}
	}
	return out
}

func groupTopics(resp *kmsg.OffsetFetchResponse) (out []kmsg.OffsetFetchResponseTopic) {
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			o := kmsg.OffsetFetchResponseTopic{Topic: t.Topic}
			for _, p := range t.Partitions {
				o.Partitions = append(o.Partitions, kmsg.OffsetFetchResponseTopicPartition{Partition: p.Partition, Offset: p.Offset})
			}
			out = append(out, o)
		}
	}
	return out
}

// written is how many records were written to a topic of two partitions.
func (w *world) written(topic string) (n int64) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	for p := range int32(2) {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = p, -1
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(context.Background(), w.kgo)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range resp.Topics[0].Partitions {
		n += max(p.Offset, 0)
	}
	return n
}

// letters is what the dead-letter topic holds.
func (w *world) letters() []*kgo.Record {
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.k.ListenAddrs()...), kgo.ConsumeTopics(testDead))
	if err != nil {
		w.t.Fatal(err)
	}
	defer cl.Close()
	want := int(w.written(testDead))
	var out []*kgo.Record
	for len(out) < want {
		cl.PollFetches(context.Background()).EachRecord(func(r *kgo.Record) { out = append(out, r) })
	}
	return out
}

// letterOf reads a letter that is one record.
func (w *world) letterOf(r *kgo.Record) *deadletter.Letter {
	w.t.Helper()
	l, err := deadletter.NewReader(testDead, 1<<20).Read(r.Partition, recordOf(r))
	if err != nil || l == nil {
		w.t.Fatalf("dead letter %v: %v", l, err)
	}
	return l
}

func recordOf(r *kgo.Record) *kafka.Record {
	out := &kafka.Record{Key: r.Key, Value: r.Value, Time: r.Timestamp, Offset: r.Offset}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, kafka.Header{Key: []byte(h.Key), Value: h.Value})
	}
	return out
}

// headerOf is the last header of this name: a letter's follow the record's.
func headerOf(r *kgo.Record, key string) string {
	for _, h := range slices.Backward(r.Headers) {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// storedNumbers is which events are indexed.
func (w *world) stored() map[int]int {
	out := map[int]int{}
	for key, doc := range w.es.Docs() {
		var d struct {
			Message string `json:"message"`
		}
		if err := json.Unmarshal(doc, &d); err != nil {
			w.t.Fatalf("%s: %v in %s", key, err, doc)
		}
		n, err := strconv.Atoi(strings.TrimPrefix(d.Message, "event "))
		if err != nil {
			w.t.Fatalf("%s: %s", key, doc)
		}
		out[n]++
	}
	return out
}

// allSettled checks promise 1: each event is indexed once or dead once, all is
// committed.
func (w *world) allSettled(r *running, wantDead func(n int) bool) {
	w.t.Helper()
	stored := w.stored()
	deadLetters := map[int]int{}
	for _, l := range w.letters() {
		h, ok := schemas.ParseHead(l.Value)
		if !ok {
			w.t.Fatalf("dead letter %s", l.Value)
		}
		deadLetters[w.sent[string(h.ID)]]++
		d := w.letterOf(l)
		if d.Reason == "" || d.Topic != testTopic || string(l.Key) != "source" || headerOf(l, schemas.HeaderDC) != "dc1" ||
			d.Output != "online" || d.Target != "sluice-2026.11.21" || d.ID != string(h.ID) || d.Cluster != w.cfg.Indexer.Kafka || d.Role != "indexer" {
			w.t.Fatalf("dead letter with headers %v, key %s", l.Headers, l.Key)
		}
	}
	for n := range w.n {
		want := [2]int{1, 0}
		if wantDead != nil && wantDead(n) {
			want = [2]int{0, 1}
		}
		if got := [2]int{stored[n], deadLetters[n]}; got != want {
			w.t.Errorf("event %d: stored and dead %v, want %v", n, got, want)
		}
	}
	if r != nil {
		r.balance()
	}
}

// figure adds up a counter over all labels.
func (r *running) figure(name string) (sum float64) {
	r.w.t.Helper()
	families, err := r.reg.Gatherer().Gather()
	if err != nil {
		r.w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "sluice_"+name {
			for _, m := range f.Metric {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// balance checks that the counters add up.
func (r *running) balance() {
	r.w.t.Helper()
	read, indexed, duplicate := r.figure("indexer_read_events_total"), r.figure("indexer_indexed_events_total"), r.figure("indexer_duplicate_events_total")
	dead, held, returned, flight := r.figure("indexer_dead_events_total"), r.figure("indexer_held_events_total"), r.figure("indexer_returned_events_total"), r.figure("indexer_in_flight_events")
	if read != indexed+duplicate+dead+held+returned+flight {
		r.w.t.Errorf("read %v != indexed %v + duplicate %v + dead %v + held %v + returned %v + in flight %v", read, indexed, duplicate, dead, held, returned, flight)
	}
}

func (w *world) allCommitted(want map[int32]int64) {
	w.t.Helper()
	w.until("all committed", func() bool { return maps.Equal(w.committed(), want) })
}

func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	f := func(name string, request func(*estest.Request) estest.Answer, item func(*estest.Doc) estest.Item, wantDead func(n int) bool) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 3)
			w.cfg.Indexer.Outputs[0].Elasticsearch.Timeout = config.Duration(300 * time.Millisecond)
			w.es.OnRequest(request)
			w.es.OnItem(item)
			w.produce(100, 0, 1, 2)
			r := w.start()
			w.allCommitted(map[int32]int64{0: 100, 1: 100, 2: 100})
			r.stop()
			w.allSettled(r, wantDead)
		})
	}
	number := func(d *estest.Doc) int {
		var m struct{ Message string }
		json.Unmarshal(d.Source, &m)
		n, _ := strconv.Atoi(strings.TrimPrefix(m.Message, "event "))
		return n
	}
	first := func(a estest.Answer, times int) func(*estest.Request) estest.Answer {
		return func(r *estest.Request) estest.Answer {
			if r.N <= times {
				return a
			}
			return estest.Answer{}
		}
	}
	f("all 201", nil, nil, nil)
	var tries atomic.Int64
	f("items 201, 409, 429, 503, 400 mixed", nil, func(d *estest.Doc) estest.Item {
		switch n := number(d); {
		case n%10 == 3:
			return estest.Item{Status: 400, Type: "document_parsing_exception", Reason: "failed to parse"}
		case n%50 == 4:
			return estest.Item{Status: 400, Type: "document_of_no_known_kind_exception"}
		case n%7 == 5 && tries.Add(1)%3 != 0:
			return estest.Item{Status: 429, Type: "es_rejected_execution_exception"}
		case n%7 == 6 && tries.Add(1)%2 != 0:
			return estest.Item{Status: 503, Type: "unavailable_shards_exception"}
		}
		return estest.Item{}
	}, func(n int) bool { return n%10 == 3 || n%50 == 4 })
	f("request 429", first(estest.Answer{Status: 429, Type: "circuit_breaking_exception"}, 4), nil, nil)
	f("request 503 of a proxy", first(estest.Answer{Status: 503}, 4), nil, nil)
	f("request 401", first(estest.Answer{Status: 401, Type: "security_exception"}, 4), nil, nil)
	f("request 403", first(estest.Answer{Status: 403, Type: "security_exception"}, 4), nil, nil)
	f("request 404 of a proxy", first(estest.Answer{Status: 404}, 4), nil, nil)
	f("request 413 above 7 documents", func(r *estest.Request) estest.Answer {
		if len(r.Docs) > 7 {
			return estest.Answer{Status: 413}
		}
		return estest.Answer{}
	}, nil, nil)
	f("400 of the request for one document", func(r *estest.Request) estest.Answer {
		if slices.ContainsFunc(r.Docs, func(d estest.Doc) bool { return number(&d) == 42 }) {
			return estest.Answer{Status: 400, Type: "illegal_argument_exception"}
		}
		return estest.Answer{}
	}, nil, func(n int) bool { return n == 42 })
	f("hangs past the timeout", first(estest.Answer{Hang: true}, 3), nil, nil)
	f("indexes and closes without an answer", first(estest.Answer{Cut: true}, 3), nil, nil)
	f("indexes and closes in the middle of the answer", first(estest.Answer{Half: true}, 3), nil, nil)
	f("indexes and answers for fewer documents than were sent, without an error", first(estest.Answer{Only: 3}, 4), nil, nil)
	f("answers without an error and without items", first(estest.Answer{Body: `{"errors":false,"items":[]}`}, 4), nil, nil)
	f("a page of a proxy with status 200", first(estest.Answer{Body: `<html>"errors":false`}, 4), nil, nil)
	f("500 for ever for one document", nil, func(d *estest.Doc) estest.Item {
		if number(d) == 42 {
			return estest.Item{Status: 500, Type: "null_pointer_exception"}
		}
		return estest.Item{}
	}, func(n int) bool { return n == 42 })
}
