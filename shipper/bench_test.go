package shipper

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/shipper/source"
	"github.com/sluicelog/sluice/shipper/source/files"
)

// nullProducer acknowledges everything in batches of 1000, as Kafka would at best.
type nullProducer struct {
	done  func(*kafka.Result)
	tags  []kafka.Tag
	sizes []kafka.Size
	lines atomic.Int64
}

func (p *nullProducer) Partitions(context.Context, string) (int32, error) { return 4, nil }

func (p *nullProducer) Append(_ context.Context, _ string, _ int32, r kafka.Record, tag kafka.Tag) error {
	p.tags, p.sizes = append(p.tags, tag), append(p.sizes, kafka.Size{Value: int32(len(r.Value))})
	if len(p.tags) == 1000 {
		p.done(&kafka.Result{Tags: p.tags, Sizes: p.sizes})
		p.lines.Add(int64(len(p.tags)))
		p.tags, p.sizes = p.tags[:0], p.sizes[:0]
	}
	return nil
}

// The whole way of a line but Kafka: read, decode, encode, acknowledge, position. The
// figure to look at on a shared machine is cpu-ns/line.
func BenchmarkShipFiles(b *testing.B) {
	dir := b.TempDir()
	const perFile = 100_000
	var text strings.Builder
	for i := range perFile {
		line := "2026-11-21 08:57:47.123 INFO  [http-nio-8080-exec-12] com.shop.OrderService - order ua=\"Mozilla/5.0 (iPhone)\" " + strings.Repeat("key=value ", i%180)
		text.WriteString(dockerJSON("stdout", line+"\n", time.Unix(1763715467, int64(i))))
	}
	const nFiles = 8
	for i := range nFiles {
		if err := os.WriteFile(dir+"/"+string(rune('a'+i))+".json", []byte(text.String()), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(text.Len()) * nFiles)
	b.ReportAllocs()
	var cpu time.Duration
	for b.Loop() {
		cfg := config.Default()
		cfg.Host = "h"
		cfg.Shipper.Files = []config.Files{{Paths: []string{dir + "/*.json"}, Codec: "docker"}}
		m := newMeters(metrics.New("shipper", "h"))
		p := &nullProducer{}
		out := newSender(p, "logs", "host", 1<<20, m)
		p.done = out.done
		db, all, _, err := openPositions(b.TempDir() + "/positions.db")
		if err != nil {
			b.Fatal(err)
		}
		saver := newStorer(db, m)
		t := newTailer(cfg, slog.New(slog.DiscardHandler), m, nil, out, saver)
		ctx, cancel := context.WithCancel(b.Context())
		s, err := files.New(cfg.Shipper.Files, time.Second, t.log)
		if err != nil {
			b.Fatal(err)
		}
		t.load(all, []source.Discoverer{s})
		before := cpuTime()
		ended := make(chan bool, 4)
		for _, run := range []func(){func() { s.Run(ctx, t.news) }, func() { out.run(ctx) }, saver.run, func() { t.run(ctx) }} {
			go func() { run(); ended <- true }()
		}
		for p.lines.Load() < nFiles*perFile {
			time.Sleep(time.Millisecond)
		}
		cpu += cpuTime() - before
		cancel()
		for range 3 {
			<-ended
		}
		close(saver.jobs)
		<-ended
		if err := db.close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N)/(nFiles*perFile), "cpu-ns/line")
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
