//go:build linux && e2e

package kafka

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/test/servers"
)

var (
	realRounds  = flag.Int("rounds", 2, "rounds of BenchmarkRealKafka, in which the clients take turns; the median is told")
	realCells   = flag.String("cells", "", "regular expression of the cells of BenchmarkRealKafka, such as write/300B/4p/0ms; empty: all")
	realTime    = flag.Duration("time", 3*time.Second, "of one client's writing in one round")
	realBuffer  = flag.Int64("buffer", 0, "bytes of records held by sluice and franz-go in BenchmarkRealKafka; 0: as configured")
	realProfile = flag.String("profile", "", "directory for a processor profile of each client's last round")
)

// task is what one client does in a process of its own.
type task struct {
	Client  string // sluice, async or group (sarama's), kgo
	Brokers []string
	Topic   string
	Parts   int
	Size    int
	Time    time.Duration // writing: so long
	Records int           // reading: so many; writing, if above 0: so many instead of Time
	Buffer  int64         // writing: bytes held at most; 0: as configured
	Read    bool
	Profile string // file
}

// cost is what it took.
type cost struct {
	CPU    float64 // us a record
	Allocs float64 // a record
	Rate   float64 // records/s
	RSS    float64 // MiB, the process's highest
}

// BenchmarkRealKafka compares writing and reading with sarama's own ways and with
// franz-go on Apache Kafka. Each client runs in a process of its own, and its figures
// are that process's alone; the clients take turns, so that what else the machine does
// hits all of them. Kafka is one node, and 50 ms away through a link of the load test.
//
// All: acks of all, idempotent, lz4, linger of 20 ms, -buffer of records held at most
// (the AsyncProducer has no such limit; its channels and batches hold less).
func BenchmarkRealKafka(b *testing.B) {
	pick, err := regexp.Compile(*realCells)
	if err != nil {
		b.Fatal(err)
	}
	near, far := realBroker(b)
	type cell struct {
		task
		name    string
		clients []string
		costs   map[string][]cost
	}
	var cells []cell
	filled := map[string]bool{}
	add := func(read bool, size, parts int, away bool) {
		c := cell{task: task{Brokers: near, Parts: parts, Size: size, Time: *realTime, Buffer: *realBuffer}, clients: []string{"sluice", "async", "kgo"}, costs: map[string][]cost{}}
		c.name = fmt.Sprintf("write/%dB/%dp/%s", size, parts, map[bool]string{true: "50ms", false: "0ms"}[away])
		if read {
			c.name = "read" + strings.TrimPrefix(c.name, "write")
			c.clients[1] = "group"
		}
		if !pick.MatchString(c.name) {
			return
		}
		c.Topic = fmt.Sprintf("write-%d-%d", size, parts)
		if read {
			c.Read, c.Records, c.Topic = true, 1_000_000, fmt.Sprintf("read-%d-%d", size, parts)
		}
		if err := EnsureTopic(b.Context(), clusterAt(b, near...), c.Topic, int32(parts), 1); err != nil {
			b.Fatal(err)
		}
		if read && !filled[c.Topic] {
			filled[c.Topic] = true
			fill := c.task
			fill.Client, fill.Read = "sluice", false
			perform(b, fill)
		}
		if away {
			c.Brokers = far
		}
		cells = append(cells, c)
	}
	for _, away := range []bool{false, true} {
		for _, size := range []int{300, 1000} {
			for _, parts := range []int{4, 64} {
				add(false, size, parts, away)
			}
		}
	}
	add(false, 300, 1, true)
	add(false, 1000, 1, true)
	add(true, 300, 4, false)
	add(true, 300, 64, false)
	add(true, 1000, 4, false)
	add(true, 300, 4, true)
	b.ResetTimer()
	for round := range *realRounds {
		for i := range cells {
			c := &cells[i]
			for k := range c.clients {
				t := c.task
				t.Client = c.clients[(k+round)%len(c.clients)]
				if *realProfile != "" {
					t.Profile = filepath.Join(*realProfile, strings.ReplaceAll(c.name, "/", "-")+"-"+t.Client+".pprof")
				}
				got := perform(b, t)
				c.costs[t.Client] = append(c.costs[t.Client], got)
				if testing.Verbose() {
					fmt.Printf("%d %s %s %+v\n", round, c.name, t.Client, got)
				}
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	fmt.Printf("\nlz4 makes %.1f of 300 B and %.1f of 1 KB; %d rounds; x: ratio to sarama's own, to franz-go\n\n", ratio(300), ratio(1000), *realRounds)
	fmt.Println("| | client | us/record | x | allocs/record | records/s | x | RSS MiB |\n|---|---|---|---|---|---|---|---|")
	for _, c := range cells {
		var all []cost
		for _, client := range c.clients {
			all = append(all, median(c.costs[client]))
		}
		for i, m := range all {
			x := func(of func(cost) float64) string {
				if i > 0 {
					return ""
				}
				return fmt.Sprintf("%.2f, %.2f", of(m)/of(all[1]), of(m)/of(all[2]))
			}
			fmt.Printf("| %s | %s | %.2f | %s | %.3f | %.0fk | %s | %.0f |\n", c.name, c.clients[i], m.CPU, x(func(c cost) float64 { return c.CPU }),
				m.Allocs, m.Rate/1e3, x(func(c cost) float64 { return c.Rate }), m.RSS)
		}
	}
}

func median(costs []cost) cost {
	of := func(f func(cost) float64) float64 {
		var all []float64
		for _, c := range costs {
			all = append(all, f(c))
		}
		slices.Sort(all)
		return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
	}
	return cost{of(func(c cost) float64 { return c.CPU }), of(func(c cost) float64 { return c.Allocs }),
		of(func(c cost) float64 { return c.Rate }), of(func(c cost) float64 { return c.RSS })}
}

// realBroker starts Kafka and the proxy, and returns the near and the far address.
func realBroker(b *testing.B) (near, far []string) {
	ports, err := servers.FreePorts(1)
	if err != nil {
		b.Fatal(err)
	}
	proxy := fmt.Sprintf("127.0.0.1:%d", ports[0])
	k, err := servers.StartKafka(b.Context(), b.TempDir(), servers.KafkaOptions{
		Listeners: map[string]string{"FAR": "PLAINTEXT"}, Advertised: map[string]string{"FAR": proxy}, Heap: "1g",
		Properties: []string{"log.segment.bytes=33554432", "log.retention.bytes=134217728", "log.retention.check.interval.ms=5000", "log.segment.delete.delay.ms=1000"},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { k.Kill() })
	link := filepath.Join(b.TempDir(), "loadtest")
	build := exec.CommandContext(b.Context(), "go", "build", "-o", link, ".")
	build.Dir = "../../loadtest" // a module of its own
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build the load test: %v\n%s", err, out)
	}
	beside(b, "link", exec.Command(link, "link", "--listen", proxy, "--to", k.Listeners["FAR"][0], "--delay", "25ms"))
	return k.Brokers, []string{proxy}
}

// perform carries out a task in a process of its own.
func perform(b *testing.B, t task) cost {
	arg, err := json.Marshal(t)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "SLUICE_BENCH_ROLE=client", "SLUICE_BENCH_ARG="+string(arg))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%s: %v", arg, err)
	}
	var got cost
	if err := json.Unmarshal(out, &got); err != nil {
		b.Fatalf("%s: %s: %v", arg, out, err)
	}
	return got
}

func init() {
	roles["client"] = func(arg string) error {
		var t task
		if err := json.Unmarshal([]byte(arg), &t); err != nil {
			return err
		}
		if t.Profile != "" {
			f, err := os.Create(t.Profile)
			if err != nil {
				return err
			}
			defer f.Close()
			if err := pprof.StartCPUProfile(f); err != nil {
				return err
			}
			defer pprof.StopCPUProfile()
		}
		run := t.write
		if t.Read {
			run = t.read
		}
		got, err := run()
		if err != nil {
			return err
		}
		if got.RSS, err = highestRSS(); err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(got)
	}
}

func highestRSS() (float64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	line, _, _ := bytes.Cut(rest, []byte("kB"))
	kb, err := strconv.ParseFloat(string(bytes.TrimSpace(line)), 64)
	return kb / 1024, err
}

// meter is what was used when it was started.
type meter struct {
	at     time.Time
	cpu    time.Duration
	allocs uint64
}

func startMeter() meter {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return meter{time.Now(), cpu(), m.Mallocs}
}

func (m meter) cost(records int) cost {
	now := startMeter()
	n := float64(records)
	return cost{CPU: float64((now.cpu - m.cpu).Nanoseconds()) / 1e3 / n, Allocs: float64(now.allocs-m.allocs) / n, Rate: n / now.at.Sub(m.at).Seconds()}
}

// event is a record as the shipper writes it, of exactly so many bytes.
func event(r *rand.Rand, i, size int) []byte {
	paths := []string{"/api/v1/orders", "/api/v1/orders/items", "/cart", "/search", "/login", "/static/app.js", "/health"}
	said := []string{"timeout while reading from upstream", "connection pool exhausted, waiting", "order accepted for customer", "cache miss, loading profile",
		`\n\tat com.example.orders.OrderService.place(OrderService.java:112)`, `\n\tat com.example.web.OrderController.create(OrderController.java:57)`,
		`\n\tat java.base/java.util.concurrent.ThreadPoolExecutor.runWorker(ThreadPoolExecutor.java:1136)`, "retry attempt", "query returned rows"}
	levels := []string{"INFO", "INFO", "INFO", "WARN", "DEBUG", "ERROR"}
	at := fmt.Sprintf("2026-11-21T09:%02d:%02d.%09d", i/60%60, i%60, r.IntN(1e9))
	id := make([]byte, 24)
	for k := range id {
		id[k] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[r.IntN(64)]
	}
	b := fmt.Appendf(nil, `{"@metadata":{"_id":"AZqj%s"},"@timestamp":"%sZ","message":"%s %s [worker-%d] GET %s/%d 200 %dms`,
		id[:20], at, at[11:23], levels[r.IntN(len(levels))], r.IntN(16), paths[r.IntN(len(paths))], r.IntN(1e6), r.IntN(900))
	tail := fmt.Sprintf(`","stream":"stdout","log":{"offset":%d,"size":%d},"container":{"id":"%x","name":"orders-%d"},"host":{"name":"node-17"}}`,
		i*size, size, []byte("orders"+strconv.Itoa(i%5)), i%5)
	for len(b)+len(tail) < size {
		b = append(append(b, ' '), said[r.IntN(len(said))]...)
		if r.IntN(2) == 0 {
			b = fmt.Appendf(b, " %d", r.IntN(1e5))
		}
	}
	b = bytes.TrimRight(b[:size-len(tail)], `\\`) // whole JSON
	return append(append(b, bytes.Repeat([]byte{' '}, size-len(tail)-len(b))...), tail...)
}

func events(size int) [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([][]byte, 4096) // far more than lz4 looks back
	for i := range out {
		out[i] = event(r, i, size)
	}
	return out
}

// ratio is what lz4 makes of a batch of events.
func ratio(size int) float64 {
	c, err := kgo.DefaultCompressor(kgo.Lz4Compression())
	if err != nil {
		panic(err)
	}
	plain := bytes.Join(events(size)[:512<<10/size], nil)
	packed, _ := c.Compress(new(bytes.Buffer), plain)
	return float64(len(plain)) / float64(len(packed))
}

var benchKey = []byte("0123456789abcdef")

// source cuts records from chunks, as the shipper does: what a client holds is held in
// memory, and making a record costs a copy.
type source struct {
	pool  [][]byte
	chunk []byte
	n     int
	until time.Time
	most  int
	parts int
	now   time.Time
}

func (s *source) next() (partition int32, value []byte, ok bool) {
	if s.n&255 == 0 {
		s.now = time.Now()
	}
	if s.n == s.most || s.now.After(s.until) {
		return 0, nil, false
	}
	e := s.pool[s.n%len(s.pool)]
	if len(s.chunk)+len(e) > cap(s.chunk) {
		s.chunk = make([]byte, 0, 256<<10)
	}
	from := len(s.chunk)
	s.chunk = append(s.chunk, e...)
	s.n++
	return int32(s.n / 1000 % s.parts), s.chunk[from:len(s.chunk):len(s.chunk)], true
}

// write warms up for a second and then writes.
func (t *task) write() (cost, error) {
	s := &source{pool: events(t.Size), parts: t.Parts}
	produce, end, err := t.producer()
	if err != nil {
		return cost{}, err
	}
	defer end()
	s.until, s.most = time.Now().Add(time.Second), 1<<62
	if t.Records > 0 {
		s.until, s.most = time.Now().Add(time.Hour), t.Records
	}
	if err := produce(s); err != nil || t.Records > 0 {
		return cost{}, err
	}
	runtime.GC()
	s.n, s.until = 0, time.Now().Add(t.Time)
	m := startMeter()
	err = produce(s)
	return m.cost(s.n), err
}

// producer returns a function that writes all of a source and waits until it is
// acknowledged.
func (t *task) producer() (produce func(*source) error, end func(), err error) {
	ctx := context.Background()
	cluster := &Cluster{Name: "bench", Config: config.Kafka{Brokers: t.Brokers}}
	o := ProducerOptions{Produce: config.Default().Shipper.Produce}
	if t.Buffer > 0 {
		o.Buffer = config.Bytes(t.Buffer)
	}
	failed := make(chan error, 1)
	fail := func(err error) {
		select {
		case failed <- err:
		default:
		}
	}
	why := func() error {
		select {
		case err := <-failed:
			return err
		default:
			return nil
		}
	}
	switch t.Client {
	case "sluice":
		o.Done = func(r *Result) {
			if r.Err != nil {
				fail(r.Err)
			}
		}
		p, err := NewProducer(ctx, cluster, o)
		if err != nil {
			return nil, nil, err
		}
		headers := []Header{{Key: []byte("dc"), Value: []byte("dc1")}, {Key: []byte("app"), Value: []byte("orders")}, {Key: []byte("dataset"), Value: []byte("orders")}}
		return func(s *source) error {
			for {
				partition, value, ok := s.next()
				if !ok {
					break
				}
				if err := p.Append(ctx, t.Topic, partition, Record{Key: benchKey, Value: value, Headers: headers, Time: s.now}, Tag{Owner: s, Pos: int64(s.n)}); err != nil {
					return err
				}
			}
			if err := p.Drain(ctx); err != nil {
				return err
			}
			return why()
		}, func() { _ = p.Close() }, nil
	case "async":
		conf := sarama.NewConfig()
		conf.Version = protocol
		conf.Net.MaxOpenRequests = 1
		pc := &conf.Producer
		pc.RequiredAcks, pc.Idempotent, pc.Compression = sarama.WaitForAll, true, sarama.CompressionLZ4
		pc.Return.Successes, pc.Partitioner = true, sarama.NewManualPartitioner
		pc.Flush.Frequency, pc.Flush.Bytes = o.Linger.D(), min(int(o.BatchBytes)*t.Parts, 16<<20) // of all partitions
		p, err := sarama.NewAsyncProducer(t.Brokers, conf)
		if err != nil {
			return nil, nil, err
		}
		var open sync.WaitGroup
		go func() {
			for range p.Successes() {
				open.Done()
			}
		}()
		go func() {
			for err := range p.Errors() {
				fail(err)
				open.Done()
			}
		}()
		headers := []sarama.RecordHeader{{Key: []byte("dc"), Value: []byte("dc1")}, {Key: []byte("app"), Value: []byte("orders")}, {Key: []byte("dataset"), Value: []byte("orders")}}
		return func(s *source) error {
			for {
				partition, value, ok := s.next()
				if !ok {
					break
				}
				open.Add(1)
				p.Input() <- &sarama.ProducerMessage{Topic: t.Topic, Partition: partition, Key: sarama.ByteEncoder(benchKey), Value: sarama.ByteEncoder(value), Headers: headers, Timestamp: s.now}
			}
			open.Wait()
			return why()
		}, func() { _ = p.Close() }, nil
	case "kgo":
		cl, err := kgo.NewClient(kgo.SeedBrokers(t.Brokers...), kgo.DefaultProduceTopic(t.Topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.ProducerLinger(o.Linger.D()), kgo.MaxBufferedBytes(int(o.Buffer)), kgo.MaxBufferedRecords(1<<20))
		if err != nil {
			return nil, nil, err
		}
		done := func(_ *kgo.Record, err error) {
			if err != nil {
				fail(err)
			}
		}
		headers := []kgo.RecordHeader{{Key: "dc", Value: []byte("dc1")}, {Key: "app", Value: []byte("orders")}, {Key: "dataset", Value: []byte("orders")}}
		return func(s *source) error {
			for {
				partition, value, ok := s.next()
				if !ok {
					break
				}
				cl.Produce(ctx, &kgo.Record{Partition: partition, Key: benchKey, Value: value, Headers: headers, Timestamp: s.now}, done)
			}
			return cmp.Or(cl.Flush(ctx), why())
		}, cl.Close, nil
	}
	return nil, nil, fmt.Errorf("no client %q", t.Client)
}

// stopwatch runs from the first record to the last of so many.
type stopwatch struct {
	counter
	once  sync.Once
	begun meter
	got   cost
	most  int
	first atomic.Int64 // records of the first batch, which are not counted
}

func newStopwatch(n int) *stopwatch {
	s := &stopwatch{most: n}
	s.done = make(chan struct{})
	s.left.Store(int64(n))
	return s
}

func (s *stopwatch) take(n int) {
	s.once.Do(func() {
		s.begun = startMeter()
		s.first.Store(int64(n))
	})
	if left := s.left.Add(-int64(n)); left <= 0 && left+int64(n) > 0 {
		s.got = s.begun.cost(s.most - int(s.first.Load()))
		close(s.done)
	}
}

func (s *stopwatch) Views(_ context.Context, c *Claim, records []View) {
	s.take(len(records))
	c.DoneAll(records[0].Offset, records[len(records)-1].Offset+1)
}

// plainWatch is the same as a handler of sarama's.
type plainWatch struct {
	plain
	watch *stopwatch
}

func (h plainWatch) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	for m := range c.Messages() {
		s.MarkMessage(m, "")
		h.watch.take(1)
	}
	return nil
}

// read reads so many records from the start of the topic.
func (t *task) read() (cost, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	watch := newStopwatch(t.Records)
	group := fmt.Sprint(t.Client, time.Now().UnixNano())
	var ended error
	var running sync.WaitGroup
	switch t.Client {
	case "sluice":
		g, err := NewGroup(&Cluster{Name: "bench", Config: config.Kafka{Brokers: t.Brokers}},
			GroupOptions{Consume: config.Default().Indexer.Consume, Group: group, Topics: []string{t.Topic}}, watch)
		if err != nil {
			return cost{}, err
		}
		running.Go(func() { ended = g.Run(ctx) })
	case "group":
		conf := sarama.NewConfig()
		conf.Version = protocol
		conf.Consumer.Offsets.Initial = sarama.OffsetOldest
		conf.Consumer.IsolationLevel = sarama.ReadCommitted
		conf.Consumer.MaxProcessingTime = 10 * time.Millisecond
		g, err := sarama.NewConsumerGroup(t.Brokers, group, conf)
		if err != nil {
			return cost{}, err
		}
		running.Go(func() {
			ended = g.Consume(ctx, []string{t.Topic}, plainWatch{watch: watch})
			ended = cmp.Or(ended, g.Close())
		})
	case "kgo":
		cl, err := kgo.NewClient(kgo.SeedBrokers(t.Brokers...), kgo.ConsumeTopics(t.Topic), kgo.ConsumerGroup(group), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxBytes(2<<20), kgo.FetchMaxPartitionBytes(1<<20))
		if err != nil {
			return cost{}, err
		}
		running.Go(func() {
			for ctx.Err() == nil {
				if n := cl.PollFetches(ctx).NumRecords(); n > 0 {
					watch.take(n)
				}
			}
			cl.Close()
		})
	default:
		return cost{}, fmt.Errorf("no client %q", t.Client)
	}
	<-watch.done
	cancel()
	running.Wait()
	if ended != nil && !errors.Is(ended, context.Canceled) {
		return cost{}, ended
	}
	return watch.got, nil
}
