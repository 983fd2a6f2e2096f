package kafka

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// cpu is the processor time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// line is a record as logs look: 300 bytes, compressible but not the same.
func lines(n, size int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		b := fmt.Appendf(nil, `{"@timestamp":"2026-11-21T09:57:%02d.%09dZ","message":"GET /api/v1/orders/%d?user=%x 200 %dms","stream":"stdout","log":{"offset":%d},"container":{"id":"%x"},`,
			i%60, i*7919%1e9, i*31, uint64(i)*0x9E3779B97F4A7C15, i%300, i*271, uint64(i%7)*0x9E3779B97F4A7C15)
		for k := 0; len(b) < size-2; k++ {
			b = fmt.Appendf(b, `"k%d":"%x",`, k, uint64(i+k)*0x9E3779B97F4A7C15>>40)
		}
		out[i] = append(b[:size-1], '}')
	}
	return out
}

// roles are what this binary is besides, in processes of their own, so that what is
// measured is one client alone.
var roles = map[string]func(arg string) error{"broker": blackhole}

func TestMain(m *testing.M) {
	role := roles[os.Getenv("SLUICE_BENCH_ROLE")]
	if role == nil {
		os.Exit(m.Run())
	}
	if err := role(os.Getenv("SLUICE_BENCH_ARG")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// blackhole is a broker that stores nothing.
func blackhole(mode string) error {
	o := []kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(12, "logs"), kfake.BlackholeProduce()}
	if mode == "fetch" {
		o = append(o, kfake.SyntheticFetch(kfake.SyntheticBatch{Records: 1000, RecordBytes: 300}))
	}
	k, err := kfake.NewCluster(o...)
	if err != nil {
		return err
	}
	defer k.Close()
	fmt.Println(strings.Join(k.ListenAddrs(), ","))
	_, err = io.ReadAll(os.Stdin) // until the benchmark is over
	return err
}

func benchBroker(b *testing.B, mode string) []string {
	b.Helper()
	return strings.Split(role(b, "broker", mode), ",")
}

// role starts this binary as something else, until the benchmark is over, and returns
// what it says once it is ready.
func role(b *testing.B, name, arg string) string {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SLUICE_BENCH_ROLE="+name, "SLUICE_BENCH_ARG="+arg)
	return beside(b, name, cmd)
}

// beside starts a program that ends with its stdin, and returns the first line it prints.
func beside(b *testing.B, name string, cmd *exec.Cmd) string {
	b.Helper()
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatalf("start the %s: %v", name, err)
	}
	return strings.TrimSpace(said)
}

// measure runs one way of producing b.N records and reports what a record costs.
func measure(b *testing.B, size int, send func(n int)) {
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	start := cpu()
	send(b.N)
	b.ReportMetric(float64((cpu()-start).Nanoseconds())/1e3/float64(b.N), "cpu-us/op")
}

// BenchmarkProduce compares this package with sarama's AsyncProducer and franz-go on
// the same records, 12 partitions, acks of all, idempotent.
func BenchmarkProduce(b *testing.B) {
	addrs := benchBroker(b, "produce")
	const size = 300
	data := lines(4096, size)
	key := []byte("0123456789abcdef")
	for _, codec := range []string{"none", "lz4", "zstd", "snappy"} {
		b.Run("sluice/"+codec, func(b *testing.B) {
			o := produceOptions()
			o.Compression = codec
			o.Linger = 20e6
			c := clusterAt(b, addrs...)
			c.timing = nil
			o.Done = func(r *Result) {
				if r.Err != nil {
					b.Error(r.Err)
				}
			}
			p, err := NewProducer(b.Context(), c, o)
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			if _, err := p.Partitions(b.Context(), "logs"); err != nil {
				b.Fatal(err)
			}
			headers := []Header{{Key: []byte("dc"), Value: []byte("dc1")}, {Key: []byte("app"), Value: []byte("order")}}
			ctx := b.Context()
			measure(b, size, func(n int) {
				now := time.Now()
				for i := range n {
					if err := p.Append(ctx, "logs", int32(i/1000%12), Record{Key: key, Value: data[i&4095], Headers: headers, Time: now}, Tag{Owner: p, Pos: int64(i)}); err != nil {
						b.Fatal(err)
					}
				}
				drain(b, p)
			})
		})
		b.Run("async/"+codec, func(b *testing.B) {
			conf := sarama.NewConfig()
			conf.Version = protocol
			conf.Producer.RequiredAcks = sarama.WaitForAll
			conf.Producer.Idempotent = true
			conf.Net.MaxOpenRequests = 1
			conf.Producer.Return.Successes = true
			conf.Producer.Partitioner = sarama.NewManualPartitioner
			own, _ := codecOf(codec)
			conf.Producer.Compression = sarama.CompressionCodec(own)
			conf.Producer.Flush.Bytes, conf.Producer.Flush.Frequency = 512<<10, 20*time.Millisecond
			p, err := sarama.NewAsyncProducer(addrs, conf)
			if err != nil {
				b.Fatal(err)
			}
			headers := []sarama.RecordHeader{{Key: []byte("dc"), Value: []byte("dc1")}, {Key: []byte("app"), Value: []byte("order")}}
			measure(b, size, func(n int) {
				done := make(chan struct{})
				go func() {
					defer close(done)
					for range n {
						<-p.Successes()
					}
				}()
				now := time.Now()
				for i := range n {
					select {
					case p.Input() <- &sarama.ProducerMessage{Topic: "logs", Partition: int32(i / 1000 % 12), Key: sarama.ByteEncoder(key), Value: sarama.ByteEncoder(data[i&4095]), Headers: headers, Timestamp: now}:
					case err := <-p.Errors():
						b.Fatal(err)
					}
				}
				<-done
			})
			p.Close()
		})
		b.Run("kgo/"+codec, func(b *testing.B) {
			codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(), "snappy": kgo.SnappyCompression()}
			cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.DefaultProduceTopic("logs"), kgo.RecordPartitioner(kgo.ManualPartitioner()),
				kgo.ProducerBatchCompression(codecs[codec]), kgo.ProducerLinger(20*time.Millisecond), kgo.MaxBufferedRecords(100_000))
			if err != nil {
				b.Fatal(err)
			}
			defer cl.Close()
			headers := []kgo.RecordHeader{{Key: "dc", Value: []byte("dc1")}, {Key: "app", Value: []byte("order")}}
			measure(b, size, func(n int) {
				now := time.Now()
				for i := range n {
					cl.Produce(b.Context(), &kgo.Record{Partition: int32(i / 1000 % 12), Key: key, Value: data[i&4095], Headers: headers, Timestamp: now}, func(_ *kgo.Record, err error) {
						if err != nil {
							b.Error(err)
						}
					})
				}
				if err := cl.Flush(b.Context()); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// counter is a handler that ends when it has seen enough.
type counter struct {
	left atomic.Int64
	done chan struct{}
}

func (h *counter) take(n int) {
	if left := h.left.Add(-int64(n)); left <= 0 && left+int64(n) > 0 {
		close(h.done)
	}
}

func (h *counter) Assigned(*Claim)                 {}
func (h *counter) Revoked(context.Context, *Claim) {}
func (h *counter) Lost(*Claim)                     {}

// The three ways of reading.
type (
	countRecords struct{ *counter }
	countViews   struct{ *counter }
	countBatches struct{ countViews }
)

func (h countRecords) Batch(_ context.Context, c *Claim, records []Record) {
	h.take(len(records))
	c.DoneAll(records[0].Offset, records[len(records)-1].Offset+1)
}

func (h countViews) Views(_ context.Context, c *Claim, records []View) {
	h.take(len(records))
	c.DoneAll(records[0].Offset, records[len(records)-1].Offset+1)
}

func (h countBatches) Takes(*Claim, *Stored) bool { return true }

func (h countBatches) Stored(_ context.Context, c *Claim, s *Stored) {
	h.take(int(s.Count))
	c.DoneAll(s.BaseOffset, s.LastOffset()+1)
}

// plain is the same as a handler of sarama's.
type plain struct{ *counter }

func (h plain) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (h plain) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (h plain) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	for m := range c.Messages() {
		s.MarkMessage(m, "")
		h.take(1)
	}
	return nil
}

// BenchmarkConsume compares a Group with sarama's own group and with franz-go, 12
// partitions of records of 300 bytes that are never at their end.
func BenchmarkConsume(b *testing.B) {
	addrs := benchBroker(b, "fetch")
	const size = 300
	for name, handler := range map[string]func(*counter) Handler{
		"records": func(h *counter) Handler { return countRecords{h} },
		"views":   func(h *counter) Handler { return countViews{h} },
		"batches": func(h *counter) Handler { return countBatches{countViews{h}} },
	} {
		b.Run("sluice/"+name, func(b *testing.B) {
			h := &counter{done: make(chan struct{})}
			h.left.Store(int64(b.N))
			c := clusterAt(b, addrs...)
			c.timing = nil
			o := groupOptions("logs")
			o.Group = fmt.Sprint("sluice", name, b.N)
			measure(b, size, func(int) {
				_, leave := join(b, c, o, handler(h))
				<-h.done
				b.StopTimer()
				leave()
			})
		})
	}
	b.Run("sarama", func(b *testing.B) {
		conf := sarama.NewConfig()
		conf.Version = protocol
		conf.Consumer.Offsets.Initial = sarama.OffsetOldest
		conf.Consumer.MaxProcessingTime = 10 * time.Millisecond
		g, err := sarama.NewConsumerGroup(addrs, fmt.Sprint("plain", b.N), conf)
		if err != nil {
			b.Fatal(err)
		}
		h := &counter{done: make(chan struct{})}
		h.left.Store(int64(b.N))
		measure(b, size, func(int) {
			ctx, cancel := context.WithCancel(b.Context())
			go func() {
				<-h.done
				cancel()
			}()
			if err := g.Consume(ctx, []string{"logs"}, plain{h}); err != nil {
				b.Error(err)
			}
			b.StopTimer()
		})
		g.Close()
	})
	b.Run("franz-go", func(b *testing.B) {
		cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.ConsumeTopics("logs"), kgo.ConsumerGroup(fmt.Sprint("kgo", b.N)),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxBytes(2<<20), kgo.FetchMaxPartitionBytes(1<<20))
		if err != nil {
			b.Fatal(err)
		}
		measure(b, size, func(n int) {
			for n > 0 {
				n -= cl.PollFetches(b.Context()).NumRecords()
			}
			b.StopTimer()
		})
		cl.Close()
	})
}
