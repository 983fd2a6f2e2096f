package aggregator

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/admin"
	"github.com/sluicelog/sluice/internal/metrics"
)

// gate is a network that a test cuts: down, every connection to the cluster
// breaks and no new one is answered.
type gate struct {
	mu    sync.Mutex
	down  bool
	conns []net.Conn
}

func (g *gate) set(down bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.down = down; down {
		for _, c := range g.conns {
			c.Close()
		}
		g.conns = nil
	}
}

func (g *gate) listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	return gated{l, g}, err
}

type gated struct {
	net.Listener
	*gate
}

func (l gated) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		if l.down {
			c.Close()
		} else {
			l.conns = append(l.conns, c)
		}
		down := l.down
		l.mu.Unlock()
		if !down {
			return c, nil
		}
	}
}

// site is two data centres and the centre.
type site struct {
	t        testing.TB
	clusters map[string]*kfake.Cluster
	gates    map[string]*gate
	cfg      *config.Config
	reg      *metrics.Registry
	log      text // of the last run
}

// newSite starts clusters dc1 and central (and dc2 if dcs is 2) whose topic logs has 4
// and 3 partitions.
func newSite(t testing.TB, dcs int, central ...kfake.Opt) *site {
	s := &site{t: t, clusters: map[string]*kfake.Cluster{}, gates: map[string]*gate{}, cfg: config.Default()}
	s.cfg.DataDir = ""
	s.start("central", append([]kfake.Opt{kfake.SeedTopics(3, "logs")}, central...)...)
	for i := range dcs {
		name := fmt.Sprint("dc", i+1)
		s.start(name, kfake.SeedTopics(4, "logs"), kfake.GroupMinSessionTimeout(time.Second))
		s.cfg.Aggregator.Sources = append(s.cfg.Aggregator.Sources, config.Source{Kafka: name, Topics: []string{"logs"}, Group: "sluice-aggregator"})
	}
	s.cfg.Aggregator.Target.Kafka = "central"
	s.cfg.Aggregator.Produce.Linger = config.Duration(time.Millisecond)
	s.cfg.Aggregator.DeadLetterTopic = "sluice-dead"
	s.cfg.Aggregator.Delivery = config.AtLeastOnce
	return s
}

// each runs a test with both kinds of delivery.
func each(t *testing.T, test func(t *testing.T, delivery string)) {
	for _, delivery := range []string{config.AtLeastOnce, config.ExactlyOnce} {
		t.Run(delivery, func(t *testing.T) {
			t.Parallel()
			test(t, delivery)
		})
	}
}

func (s *site) start(name string, opts ...kfake.Opt) {
	g := &gate{}
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.ListenFn(g.listen), kfake.ClusterID(name)}, opts...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	s.clusters[name], s.gates[name] = c, g
	s.cfg.Kafka[name] = config.Kafka{Brokers: c.ListenAddrs(), ClientID: "sluice"}
}

// run starts the aggregator; stop ends it as SIGTERM does and returns what Run did.
func (s *site) run() (stop func() error) {
	s.t.Helper()
	s.reg = metrics.New("aggregator", "h")
	s.log = text{}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, s.cfg, slog.New(slog.NewTextHandler(&s.log, nil)), s.reg, admin.NewState("aggregator"))
	}()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() {
			cancel()
			select {
			case err = <-ended:
			case <-time.After(30 * time.Second):
				err = fmt.Errorf("Run has not returned")
			}
		})
		return err
	}
	s.t.Cleanup(func() { stop() })
	return stop
}

// figure is the sum of a metric over its labels.
func (s *site) figure(name string) float64 {
	rec := httptest.NewRecorder()
	metrics.Handler(slog.Default(), s.reg).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	sum := 0.0
	for line := range strings.Lines(rec.Body.String()) {
		if n, v, _ := strings.Cut(line, "} "); strings.HasPrefix(n, "sluice_"+name+"{") {
			f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			if err != nil {
				s.t.Fatal(err)
			}
			sum += f
		}
	}
	return sum
}

func (s *site) wantFigures(in, out, dead, returned, inFlight float64) {
	s.t.Helper()
	got := []float64{s.figure("aggregator_in_events_total"), s.figure("aggregator_out_events_total"), s.figure("aggregator_dead_events_total"),
		s.figure("aggregator_returned_events_total"), s.figure("aggregator_in_flight_events")}
	if want := []float64{in, out, dead, returned, inFlight}; !slices.Equal(got, want) {
		s.t.Errorf("in, out, dead, returned, in flight = %v, want %v", got, want)
	}
}

// wantSum checks that every record is accounted for.
func (s *site) wantSum() {
	s.t.Helper()
	in, rest := s.figure("aggregator_in_events_total"), s.figure("aggregator_out_events_total")+s.figure("aggregator_dead_events_total")+
		s.figure("aggregator_returned_events_total")+s.figure("aggregator_in_flight_events")
	if in != rest {
		s.t.Errorf("in is %v, all else adds up to %v", in, rest)
	}
}

// put stores records in a cluster, in the partitions they name.
func (s *site) put(cluster string, records ...*kgo.Record) {
	s.t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(s.clusters[cluster].ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.DefaultProduceTopic("logs"), kgo.ProducerBatchMaxBytes(1<<20))
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	if err := c.ProduceSync(s.t.Context(), records...).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
}

// take reads what a topic of a cluster holds and is committed, once that is n records or
// more.
func (s *site) take(cluster, topic string, n int) []*kgo.Record {
	s.t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(s.clusters[cluster].ListenAddrs()...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	var got []*kgo.Record
	ends := map[int32]int64{}
	done := func() bool {
		if len(got) < n {
			return false
		}
		for _, p := range s.clusters[cluster].PartitionInfos(topic) {
			if ends[p.Partition] < p.LastStableOffset {
				return false
			}
		}
		return true
	}
	for !done() {
		for _, r := range c.PollFetches(ctx).Records() {
			if ends[r.Partition] = r.Offset + 1; !r.Attrs.IsControl() {
				got = append(got, r)
			}
		}
		if ctx.Err() != nil {
			s.t.Fatalf("%d records in topic %s of %s, want %d\n%s", len(got), topic, cluster, n, &s.log)
		}
	}
	return got
}

// stored is how many offsets a topic of a cluster has, ends of transactions included.
func (s *site) stored(cluster, topic string) (n int) {
	for _, p := range s.clusters[cluster].PartitionInfos(topic) {
		n += int(p.HighWatermark)
	}
	return n
}

// await returns when something has come true.
func (s *site) await(what string, true func() bool) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); !true(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("waited in vain until %s\nin %v, out %v, in flight %v\n%s", what, s.figure("aggregator_in_events_total"), s.figure("aggregator_out_events_total"), s.figure("aggregator_in_flight_events"), &s.log)
		}
	}
}

// committed is the sum of a group's offsets on logs.
func (s *site) committed(cluster string) (n int64) {
	if g := s.clusters[cluster].GroupInfo("sluice-aggregator"); g != nil {
		for _, c := range g.Commits["logs"] {
			n += max(c.Offset, 0)
		}
	}
	return n
}

// text may be written while it is read.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// records makes n records over 4 partitions: keys, values and headers of all kinds,
// with the partition and a number in the last header, so that a test can tell them apart.
func records(dc string, n int) []*kgo.Record {
	var rs []*kgo.Record
	for i := range n {
		r := &kgo.Record{Partition: int32(i % 4), Timestamp: time.UnixMilli(1_700_000_000_000 + int64(i*37%1000))}
		switch i % 5 {
		case 0:
			r.Key, r.Value = []byte("0123456789abcdef"), fmt.Appendf(nil, `{"message":"line %d"}`, i)
		case 1:
			r.Key, r.Value = []byte{}, []byte{}
		case 2:
			r.Value = bytes.Repeat([]byte{0, 0xff, '\n', byte(i)}, i%300)
		case 3:
			r.Key = []byte{0, 1, 2} // no value at all
		case 4:
			r.Value = make([]byte, 500)
			rand.Read(r.Value)
		}
		for h := range i % 3 {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: "app", Value: []byte{byte(h), 0xfe}})
		}
		if i%7 == 0 {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: "dc", Value: []byte("elsewhere")})
		}
		if i%11 != 0 {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: "n", Value: fmt.Appendf(nil, "%s/%d/%d", dc, i%4, i)})
		}
		rs = append(rs, r)
	}
	return rs
}

// show is all of a record that has to be kept.
func show(r *kgo.Record) string {
	s := fmt.Sprintf("%d key %q nil %v value %q nil %v", r.Timestamp.UnixMilli(), r.Key, r.Key == nil, r.Value, r.Value == nil)
	for _, h := range r.Headers {
		s += fmt.Sprintf(" %s=%q", h.Key, h.Value)
	}
	return s
}

// want is what is to arrive for a record.
func want(r *kgo.Record, dc string) string {
	for _, h := range r.Headers {
		if h.Key == "dc" {
			return show(r)
		}
	}
	return show(r) + fmt.Sprintf(" dc=%q", dc)
}

func TestEveryRecordArrivesAsItWasAndInOrder(t *testing.T) {
	each(t, testEveryRecordArrives)
}

func testEveryRecordArrives(t *testing.T, delivery string) {
	s := newSite(t, 2)
	s.cfg.Aggregator.Delivery = delivery
	sent := map[string][]*kgo.Record{"dc1": records("dc1", 2000), "dc2": records("dc2", 1000)}
	s.cfg.Aggregator.Sources[1].DC = "east"
	for cluster, rs := range sent {
		s.put(cluster, rs...)
	}
	stop := s.run()
	got := s.take("central", "logs", 3000)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3000 {
		t.Errorf("%d records arrived, want 3000", len(got))
	}
	// What arrived in a target partition has to be the merge of the source partitions
	// that go there, each in its order.
	arrived := map[int32][]string{}
	for _, r := range got {
		arrived[r.Partition] = append(arrived[r.Partition], show(r))
	}
	type stream struct {
		dc        string
		partition int32
	}
	streams := map[stream][]string{}
	for _, r := range sent["dc1"] {
		streams[stream{"dc1", r.Partition}] = append(streams[stream{"dc1", r.Partition}], want(r, "dc1"))
	}
	for _, r := range sent["dc2"] {
		streams[stream{"dc2", r.Partition}] = append(streams[stream{"dc2", r.Partition}], want(r, "east"))
	}
	for st, wanted := range streams {
		rest := arrived[st.partition%3]
		for i, w := range wanted {
			at := slices.Index(rest, w)
			if at < 0 {
				t.Fatalf("record %d of %v is not in partition %d, or out of order: %.300s", i, st, st.partition%3, w)
			}
			rest = rest[at+1:]
		}
	}
	s.wantFigures(3000, 3000, 0, 0, 0)
	if n := s.committed("dc1") + s.committed("dc2"); n != 3000 {
		t.Errorf("committed offsets add up to %d, want 3000", n)
	}
}

// The promise of Run.
func TestOffsetIsMarkedOnlyAfterTheTargetAcknowledged(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.put("dc1", records("dc1", 400)...)
	s.cfg.ShutdownTimeout = config.Duration(2 * time.Second)
	withheld := s.clusters["central"].Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "logs", Partitions: []int32{1}, Err: kerr.NotLeaderForPartition, Count: -1})
	stop := s.run()
	if err := withheld.Wait(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	s.await("300 records are out", func() bool { return s.figure("aggregator_out_events_total") == 300 })
	s.wantFigures(400, 300, 0, 0, 100)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	g := s.clusters["dc1"].GroupInfo("sluice-aggregator")
	for p, want := range map[int32]int64{0: 100, 1: 0, 2: 100, 3: 100} {
		if got := max(g.Commits["logs"][p].Offset, 0); got != want {
			t.Errorf("partition %d is committed up to %d, want %d", p, got, want)
		}
	}
	withheld.Remove()
	stop = s.run()
	s.take("central", "logs", 400)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s.wantFigures(100, 100, 0, 0, 0)
}

func TestTargetAwayThenEverythingArrives(t *testing.T) {
	each(t, func(t *testing.T, delivery string) {
		s := newSite(t, 1)
		s.cfg.Aggregator.Delivery = delivery
		s.put("dc1", records("dc1", 1000)...)
		s.gates["central"].set(true)
		stop := s.run()
		s.await("that is told", func() bool { return strings.Contains(s.log.String(), "kafka cannot be used") })
		s.gates["central"].set(false)
		s.take("central", "logs", 1000)
		s.gates["central"].set(true) // once more, with a connection to break
		s.put("dc1", records("dc1", 1000)...)
		s.await("records are fetched", func() bool { return s.figure("kafka_fetched_records_total") >= 2000 })
		s.gates["central"].set(false)
		if got := s.take("central", "logs", 2000); len(got) != 2000 {
			t.Errorf("%d records stored, want 2000", len(got))
		}
		s.await("all is out", func() bool { return s.figure("aggregator_out_events_total") == 2000 })
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		s.wantSum()
		if text := s.log.String(); strings.Contains(text, "error=\"transaction") {
			t.Errorf("each lane tells that the cluster is away:\n%s", text)
		}
	})
}

// A stop is clean also when a server is away: Run returns nil, and what was not
// acknowledged comes again.
func TestStopWithServersAway(t *testing.T) {
	for _, away := range [][]string{{"central"}, {"dc1"}, {"central", "dc1"}} {
		t.Run(strings.Join(away, "+"), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, 1)
			s.cfg.ShutdownTimeout = config.Duration(2 * time.Second)
			s.cfg.Aggregator.Consume.SessionTimeout = config.Duration(time.Second) // it cannot leave the group
			sent := records("dc1", 500)
			s.put("dc1", sent...)
			if away[0] == "central" {
				s.gates["central"].set(true)
			}
			stop := s.run()
			s.await("records are fetched", func() bool { return s.figure("kafka_fetched_records_total") > 0 })
			for _, name := range away {
				s.gates[name].set(true)
			}
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			s.wantSum()
			for _, name := range away {
				s.gates[name].set(false)
			}
			if n := s.committed("dc1"); away[0] == "central" && n != 0 {
				t.Errorf("committed %d records that no one acknowledged", n)
			}
			stop = s.run()
			s.await("every record has arrived, some perhaps twice", func() bool {
				got := map[string]bool{}
				for _, r := range s.take("central", "logs", 1) {
					got[show(r)] = true
				}
				return !slices.ContainsFunc(sent, func(r *kgo.Record) bool { return !got[want(r, "dc1")] })
			})
			if err := stop(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Stops in the middle of the work neither lose a record nor double one.
func TestCleanRestartsLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.cfg.ShutdownTimeout = config.Duration(30 * time.Second) // a stop that is cut short may double
	s.cfg.Aggregator.Produce.BatchRecords = 10
	const n = 5000
	s.put("dc1", records("dc1", n)...)
	for i := 1; s.stored("central", "logs") < n && i < 50; i++ {
		before := s.stored("central", "logs")
		stop := s.run()
		s.await("some more arrived", func() bool { return s.stored("central", "logs") > before })
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		s.wantSum()
		if got, want := s.committed("dc1"), int64(s.stored("central", "logs")); got != want {
			t.Fatalf("after stop %d: committed %d, stored %d", i, got, want)
		}
	}
	if got := len(s.take("central", "logs", n)); got != n {
		t.Errorf("%d records arrived, want %d", got, n)
	}
}

// A partition that goes where no leader is holds up no other, however much it has.
func TestPartitionWithoutLeaderHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.cfg.ShutdownTimeout = config.Duration(time.Second)
	s.cfg.Aggregator.Produce.Buffer = 1 << 20
	s.cfg.Aggregator.Produce.BatchBytes = 64 << 10
	withheld := s.clusters["central"].Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "logs", Partitions: []int32{1}, Err: kerr.NotLeaderForPartition, Count: -1})
	s.put("dc1", records("dc1", 16_000)...) // of which 4000 cannot go out, which is more than the buffer takes
	stop := s.run()
	s.await("three of four partitions are out", func() bool { return s.figure("aggregator_out_events_total") == 12_000 })
	if got := s.figure("aggregator_in_flight_events"); got == 0 || withheld.Hits() == 0 {
		t.Errorf("nothing was withheld: %v in flight, %d refusals", got, withheld.Hits())
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s.wantSum()
}

// lettersOf gathers the dead letters' values by the offset they had, in order.
func lettersOf(t *testing.T, rs []*kgo.Record) (values map[string][]byte, parts []string) {
	values = map[string][]byte{}
	for _, r := range rs {
		h := map[string]string{}
		for _, x := range r.Headers {
			h[x.Key] = string(x.Value)
		}
		if h["dead.cluster"] != "dc1" || h["dead.topic"] != "logs" || h["dead.partition"] != "1" ||
			h["dead.target"] != "logs" || h["dead.reason"] == "" || h["app"] != "big" || h["dc"] != "dc1" || string(r.Key) != "k" {
			t.Errorf("dead letter with key %q, headers %q", r.Key, h)
		}
		if at, err := time.Parse(time.RFC3339Nano, h["dead.record_time"]); err != nil || !at.Equal(bigTime) || !r.Timestamp.After(bigTime) {
			t.Errorf("dead letter of time %v, header dead.record_time %q: %v", r.Timestamp, h["dead.record_time"], err)
		}
		o := h["dead.offset"]
		values[o] = append(values[o], r.Value...)
		parts = append(parts, h["dead.part"])
	}
	return values, parts
}

var bigTime = time.UnixMilli(1_600_000_000_123)

func bigRecord(n int) *kgo.Record {
	r := &kgo.Record{Timestamp: bigTime, Key: []byte("k"), Value: make([]byte, n), Partition: 1, Headers: []kgo.RecordHeader{{Key: "app", Value: []byte("big")}}}
	rand.Read(r.Value)
	return r
}

// A record that the target refuses for ever is in the dead-letter topic with its
// bytes and the reason, and those after it go on.
func TestRefusedRecordIsDeadLettered(t *testing.T) {
	f := func(name, limit string, wantParts ...string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, 1, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "100000"}))
			if limit != "" {
				if err := s.clusters["central"].CreateTopic("sluice-dead", 2, map[string]string{"max.message.bytes": limit}); err != nil {
					t.Fatal(err)
				}
			} // else the aggregator does
			big := bigRecord(200_000)
			rs := records("dc1", 100)
			s.put("dc1", append(rs[:40:40], append([]*kgo.Record{big}, rs[40:]...)...)...)
			stop := s.run()
			got := s.take("central", "logs", 100)
			letters := s.take("central", "sluice-dead", len(wantParts))
			s.await("the partition is finished", func() bool { return s.figure("aggregator_in_flight_events") == 0 })
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			values, parts := lettersOf(t, letters)
			if len(values) != 1 || !bytes.Equal(values["10"], big.Value) || !slices.Equal(parts, wantParts) {
				t.Errorf("dead letters of %d records in parts %q, want 1 in %q with its bytes", len(values), parts, wantParts)
			}
			if len(got) != 100 {
				t.Errorf("%d records arrived, want 100", len(got))
			}
			s.wantFigures(101, 100, 1, 0, 0)
			if n := s.committed("dc1"); n != 101 {
				t.Errorf("committed %d records, want 101", n)
			}
			if n := strings.Count(s.log.String(), "they go to the dead-letter topic"); n != 1 {
				t.Errorf("logged %d times, want once:\n%s", n, &s.log)
			}
		})
	}
	f("whole", "1000000", "")
	f("parts", "", "0-65536/200000", "65536-131072/200000", "131072-196608/200000", "196608-200000/200000")
}

// A record that nobody takes holds its partition, and no other; nothing passes it.
func TestRecordThatNobodyTakesHoldsItsPartition(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "100000"}), kfake.SeedTopics(1, "sluice-dead"))
	refuse := s.clusters["central"].Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "sluice-dead", Err: kerr.MessageTooLarge, Count: -1})
	big := bigRecord(200_000)
	rs := records("dc1", 40)
	s.put("dc1", append(rs, big)...)
	stop := s.run()
	s.await("the partition is held", func() bool { return s.figure("aggregator_held_events") == 1 })
	s.put("dc1", records("dc1", 40)...)
	s.await("the others go on", func() bool { return s.figure("aggregator_out_events_total") == 70 })
	s.wantFigures(71, 70, 0, 0, 1)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(s.log.String(), "partition held"); n != 1 {
		t.Errorf("logged %d times, want once:\n%s", n, &s.log)
	}
	g := s.clusters["dc1"].GroupInfo("sluice-aggregator")
	for p, want := range map[int32]int64{0: 20, 1: 10, 2: 20, 3: 20} {
		if got := g.Commits["logs"][p].Offset; got != want {
			t.Errorf("partition %d is committed up to %d, want %d", p, got, want)
		}
	}
	s.wantFigures(71, 70, 0, 1, 0)

	refuse.Remove()
	stop = s.run()
	s.take("central", "logs", 80)
	values, _ := lettersOf(t, s.take("central", "sluice-dead", 4))
	s.await("the partition is finished", func() bool { return s.figure("aggregator_in_flight_events") == 0 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(values["10"], big.Value) {
		t.Error("the dead letter is not the record")
	}
	s.wantFigures(11, 10, 1, 0, 0)
}

func TestTargetTopicByDC(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, kfake.AllowAutoTopicCreation(), kfake.SeedTopics(2, "dc1-logs", "a_b-logs"))
	s.cfg.Aggregator.Target.Topic = "{dc}-{topic}"
	foreign := &kgo.Record{Value: []byte("x"), Headers: []kgo.RecordHeader{{Key: "dc", Value: []byte("a/b")}}}
	s.put("dc1", &kgo.Record{Value: []byte("1")}, foreign, &kgo.Record{Value: []byte("2")})
	stop := s.run()
	if got := s.take("central", "dc1-logs", 2); len(got) != 2 {
		t.Errorf("%d records in dc1-logs, want 2", len(got))
	}
	if got := s.take("central", "a_b-logs", 1); len(got) != 1 {
		t.Errorf("%d records in a_b-logs, want 1", len(got))
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// A circle that only the topics' names show ends Run.
func TestCircleByRegularExpressionEndsRun(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.cfg.Aggregator.Target = config.Target{Kafka: "dc1", Topic: "{topic}-copy"}
	s.cfg.Aggregator.Sources[0].Topics = []string{"^logs"}
	s.put("dc1", records("dc1", 10)...)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := Run(ctx, s.cfg, slog.New(slog.NewTextHandler(io.Discard, nil)), metrics.New("aggregator", "h"), admin.NewState("aggregator"))
	if err == nil || !strings.Contains(err.Error(), "circle") {
		t.Errorf("Run = %v, want an error that names the circle", err)
	}
}

func TestStatusHasSourcesAndTarget(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	st := admin.NewState("aggregator")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- Run(ctx, s.cfg, slog.New(slog.DiscardHandler), metrics.New("aggregator", "h"), st) }()
	s.put("dc1", records("dc1", 10)...)
	s.take("central", "logs", 10)
	srv, err := admin.Listen(config.Admin{Listen: "127.0.0.1:0"}, "v1", slog.Default(), []*admin.State{st})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	body := get(t, "http://"+srv.Addr()+"/status")
	for _, want := range []string{`"kafka central"`, `"kafka dc1"`, `"in_flight": 0`, `"group": "sluice-aggregator"`, `"dc": "dc1"`} {
		if !strings.Contains(body, want) {
			t.Errorf("status lacks %s:\n%s", want, body)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// BenchmarkRelay includes both clusters, which run in this process: one serves the
// same megabyte over and over, the other stores nothing.
func BenchmarkRelay(b *testing.B) {
	const size = 300
	s := &site{t: b, clusters: map[string]*kfake.Cluster{}, gates: map[string]*gate{}, cfg: config.Default()}
	s.cfg.DataDir = ""
	s.start("dc1", kfake.SeedTopics(4, "logs"), kfake.SyntheticFetch(kfake.SyntheticBatch{RecordBytes: size}))
	s.start("central", kfake.SeedTopics(4, "logs"), kfake.BlackholeProduce())
	s.cfg.Aggregator.Sources = []config.Source{{Kafka: "dc1", Topics: []string{"logs"}, Group: "g"}}
	s.cfg.Aggregator.Target.Kafka = "central"
	b.SetBytes(size)
	b.ReportAllocs()
	stop := s.run()
	s.await("the first records are out", func() bool { return s.figure("aggregator_out_events_total") > 0 })
	b.ResetTimer()
	from := s.figure("aggregator_out_events_total")
	var n float64
	for n < float64(b.N) {
		time.Sleep(time.Millisecond)
		n = s.figure("aggregator_out_events_total") - from
	}
	b.StopTimer()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/record")
	if err := stop(); err != nil {
		b.Fatal(err)
	}
}
