package shipper

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/shipper/position"
	"github.com/sluicelog/sluice/shipper/send"
	"github.com/sluicelog/sluice/shipper/source/files"
	"github.com/sluicelog/sluice/shipper/tail"
)

// nullProducer acknowledges everything at once, as Kafka would at best.
type nullProducer struct {
	done  func(*kafka.Result)
	room  []byte // for one event
	tags  []kafka.Tag
	sizes []kafka.Size
	lines int
	want  int
	all   chan struct{} // closed when that many are acknowledged
}

func (p *nullProducer) Partitions(context.Context, string) (int32, error) { return 4, nil }

func (p *nullProducer) Write(_ context.Context, _ string, about int) (send.Writer, error) {
	return &nullWriter{p, about}, nil
}

// nullWriter has every event written to the same place.
type nullWriter struct {
	*nullProducer
	left int
}

func (w *nullWriter) Begin(_ int32, _ []byte, _ time.Time, expect int) []byte {
	if cap(w.room) < expect {
		w.room = make([]byte, 0, expect)
	}
	return w.room[:0]
}

func (w *nullWriter) Commit(b, _ []byte, tag kafka.Tag) {
	w.tags, w.sizes = append(w.tags, tag), append(w.sizes, kafka.Size{Value: int32(len(b))})
	w.left -= len(b)
}

func (w *nullWriter) Left() int { return w.left }
func (w *nullWriter) Close()    {}

// Flush is where events may be acknowledged: from then on their files know of them.
func (w *nullWriter) Flush() {
	p := w.nullProducer
	if len(p.tags) == 0 {
		return
	}
	p.done(&kafka.Result{Tags: p.tags, Sizes: p.sizes})
	p.lines += len(p.tags)
	p.tags, p.sizes = p.tags[:0], p.sizes[:0]
	if p.lines == p.want {
		close(p.all)
	}
}

// The whole way of a line but Kafka: read, decode, encode, acknowledge, position. The
// figure to look at on a shared machine is cpu-ns/line.
func BenchmarkShipFiles(b *testing.B) { benchmarkShipFiles(b, nil) }

// The same with 100 rules by text that are all for these lines, and match none.
func BenchmarkShipFiles100Rules(b *testing.B) {
	forms := []string{"GET /health%d", "DEBUG com.vendor%d", "(?i)deprecated api v%d", "heartbeat from node%d", `Connection reset by peer \(%d\)`, "cache miss for key%d", "(?:ping|pong) seq=%d", "slow query %d", `retrying in \d+ ms \(try %d\)`, "metrics%d scraped"}
	var rules []config.Rule
	for i := range 100 {
		rules = append(rules, config.Rule{Name: fmt.Sprint("rule", i), Match: config.Match{Text: fmt.Sprintf(forms[i%10], i)}, Drop: true})
	}
	benchmarkShipFiles(b, rules)
}

func benchmarkShipFiles(b *testing.B, rules []config.Rule) {
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
		log, reg := slog.New(slog.DiscardHandler), metrics.New("shipper", "h")
		refusals := send.NewRefusals(log, reg)
		sender := send.NewSender(&cfg.Shipper, refusals, reg)
		p := &nullProducer{done: sender.Done, want: nFiles * perFile, all: make(chan struct{})}
		set, err := config.Rules(config.ShipperRules, rules)
		if err != nil {
			b.Fatal(err)
		}
		sender.Obey(send.NewRules(set, reg))
		sender.Start(p)
		store, _, _, err := position.Open(b.TempDir() + "/positions.db")
		if err != nil {
			b.Fatal(err)
		}
		storer := position.NewStorer(store, reg)
		t := tail.New(cfg, log, reg, tail.Parts{Sender: sender, Refusals: refusals, Storer: storer, Look: func() {}})
		ctx, cancel := context.WithCancel(b.Context())
		s, err := files.New(cfg.Shipper.Files, time.Second, log, reg)
		if err != nil {
			b.Fatal(err)
		}
		before := cpuTime()
		var running, tailing, storing sync.WaitGroup
		running.Go(func() { s.Run(ctx, t.Changes) })
		running.Go(func() { sender.Run(ctx) })
		tailing.Go(func() { t.Run(ctx) })
		running.Go(t.CloseFiles)
		running.Go(t.FindWriters)
		running.Go(t.Copy)
		storing.Go(storer.Run)
		<-p.all
		cpu += cpuTime() - before
		cancel()
		tailing.Wait()
		close(storer.Jobs)
		storing.Wait()
		t.End()
		running.Wait()
		if err := store.Close(); err != nil {
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
