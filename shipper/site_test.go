package shipper

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/admin"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/shipper/internal/shiptest"
)

// site is a shipper with a Kafka of its own and a reader of what arrives there.
type site struct {
	t   *testing.T
	dir string
	cfg *config.Config
	log *logBuffer

	cluster *kfake.Cluster
	reader  *kgo.Client
	events  map[string]event // by id
	order   []string         // of ids as they came, doubles included
	reg     *metrics.Registry
	state   *admin.State
	cancel  context.CancelFunc
	ended   chan error
}

// event is what a test wants to know of one, and of its record.
type event struct {
	shiptest.Event

	key       string
	partition int32
	headers   map[string]string
	at        int64 // offset in the partition
}

var (
	dockerJSON = shiptest.DockerJSON
	pieces16   = shiptest.Pieces16
	lines      = shiptest.Lines
)

// newSite makes one for a test that runs beside others: they mostly wait.
func newSite(t *testing.T) *site {
	t.Helper()
	t.Parallel()
	return newSiteAlone(t)
}

func newSiteAlone(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), log: &logBuffer{t: t}, events: map[string]event{}}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "logs"))
	if err != nil {
		t.Fatal(err)
	}
	s.cluster = cluster
	t.Cleanup(cluster.Close)
	s.reader, err = kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumeTopics("logs"), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.reader.Close)
	c := config.Default()
	c.Host = "host1"
	c.DataDir = filepath.Join(s.dir, "data")
	c.ShutdownTimeout = config.Duration(3 * time.Second)
	c.Kafka["k"] = config.Kafka{Brokers: cluster.ListenAddrs(), ClientID: "test"}
	c.Shipper.Kafka = "k"
	c.Shipper.Poll = config.Duration(30 * time.Millisecond)
	c.Shipper.Scan = config.Duration(50 * time.Millisecond)
	c.Shipper.StoreEvery = config.Duration(20 * time.Millisecond)
	c.Shipper.Produce.Linger = config.Duration(5 * time.Millisecond)
	s.cfg = c
	return s
}

// plain follows dir/logs/*.log.
func (s *site) plain() *site {
	s.t.Helper()
	if err := os.MkdirAll(s.path(""), 0o755); err != nil {
		s.t.Fatal(err)
	}
	s.cfg.Shipper.Files = []config.Files{{Paths: []string{s.path("*.log")}, Codec: "plain", App: "shop", Dataset: "shop"}}
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, "logs", name) }

func (s *site) start() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.ended = cancel, make(chan error, 1)
	s.reg, s.state = metrics.New("shipper", s.cfg.Host), admin.NewState("shipper")
	reg, state, ended := s.reg, s.state, s.ended
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	go func() { ended <- Run(ctx, s.cfg, log, reg, state) }()
	s.t.Cleanup(func() { s.stop() })
}

func (s *site) stop() {
	s.t.Helper()
	if s.cancel == nil {
		return
	}
	s.cancel()
	s.cancel = nil
	select {
	case err := <-s.ended:
		if err != nil {
			s.t.Errorf("run: %v", err)
		}
	case <-time.After(20 * time.Second):
		s.t.Fatal("the shipper does not stop")
	}
}

func (s *site) append(name, text string) {
	s.t.Helper()
	shiptest.Append(s.t, s.path(name), text)
}

func joinErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func (s *site) rename(from, to string) {
	s.t.Helper()
	if err := os.Rename(s.path(from), s.path(to)); err != nil {
		s.t.Fatal(err)
	}
}

// wait reads from Kafka until there are n events, and fails if that takes long.
func (s *site) wait(n int) {
	s.t.Helper()
	s.until(fmt.Sprintf("%d events", n), func() bool { return len(s.events) >= n })
	if len(s.events) > n {
		s.t.Errorf("%d events, want %d: %q", len(s.events), n, s.messages())
	}
}

func (s *site) until(what string, ok func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			for _, p := range s.cluster.PartitionInfos("logs") {
				s.t.Logf("partition %d: %d records, %d stable", p.Partition, p.HighWatermark, p.LastStableOffset)
			}
			s.t.Fatalf("no %s; %d events in %d records: %.1000q", what, len(s.events), len(s.order), s.messages())
		}
		s.read(50 * time.Millisecond)
	}
}

// settle reads until nothing comes any more.
func (s *site) settle() {
	s.t.Helper()
	for s.read(300*time.Millisecond) > 0 {
	}
}

func (s *site) read(wait time.Duration) int {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	n := 0
	fetched := s.reader.PollFetches(ctx)
	fetched.EachError(func(topic string, partition int32, err error) {
		if ctx.Err() == nil {
			s.t.Logf("fetch %s/%d: %v", topic, partition, err)
		}
	})
	fetched.EachRecord(func(r *kgo.Record) {
		n++
		var e event
		if err := json.Unmarshal(r.Value, &e); err != nil {
			s.t.Fatalf("%v: %s", err, r.Value)
		}
		e.key, e.partition, e.headers, e.at = string(r.Key), r.Partition, map[string]string{}, r.Offset
		for _, h := range r.Headers {
			e.headers[h.Key] = string(h.Value)
		}
		if age := time.Since(r.Timestamp); age < -time.Second || age > time.Minute {
			s.t.Errorf("record time %v is not the time of reading", r.Timestamp)
		}
		if old, ok := s.events[e.Meta.ID]; ok && (old.Message != e.Message || old.Log.Offset != e.Log.Offset || old.Log.Size != e.Log.Size) {
			s.t.Errorf("two lines have the id %s: %q and %q", e.Meta.ID, old.Message, e.Message)
		}
		s.events[e.Meta.ID] = e
		s.order = append(s.order, e.Meta.ID)
	})
	return n
}

// messages are sorted by source and offset.
func (s *site) messages() []string {
	all := slices.Collect(maps.Values(s.events))
	slices.SortFunc(all, func(a, b event) int { return strings.Compare(a.Message, b.Message) })
	var out []string
	for _, e := range all {
		out = append(out, e.Message)
	}
	return out
}

// want checks the set of messages.
func (s *site) want(messages ...string) {
	s.t.Helper()
	want := slices.Sorted(slices.Values(messages))
	if got := s.messages(); !slices.Equal(got, want) {
		s.t.Errorf("messages\ngot  %.3000q\nwant %.3000q", got, want)
	}
}

// sizes adds up log.size of all events.
func (s *site) sizes() (sum int64) {
	for _, e := range s.events {
		sum += e.Log.Size
	}
	return sum
}

// only is the event with a message.
func (s *site) only(message string) event {
	s.t.Helper()
	for _, e := range s.events {
		if e.Message == message {
			return e
		}
	}
	s.t.Fatalf("no event %q in %q", message, s.messages())
	return event{}
}

// counter is the sum of a metric over its labels.
func (s *site) counter(name string) (sum float64) {
	s.t.Helper()
	all, err := s.reg.Gatherer().Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() != "sluice_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

// positionsDone waits until everything read is stored.
func (s *site) positionsDone() {
	s.t.Helper()
	s.until("end of the lag", func() bool {
		return s.counter("shipper_acknowledged_events_total") > 0 && s.counter("shipper_lag_bytes") == 0 && s.counter("shipper_in_flight_events") == 0
	})
	time.Sleep(100 * time.Millisecond) // a few store intervals
}

func split1(text string) []string { return strings.Split(strings.TrimSuffix(text, "\n"), "\n") }

type logBuffer struct {
	t   *testing.T
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (s *site) logged(text string) bool { return strings.Contains(s.log.String(), text) }
