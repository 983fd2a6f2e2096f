package send

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/schemas"
	"github.com/sluicelog/sluice/shipper/internal/shiptest"
	"github.com/sluicelog/sluice/shipper/line"
)

// tray is a producer, and a Writer, that keeps what is written, or has it go nowhere.
type tray struct {
	keep      bool
	out       []outgoing
	begun     kafka.Record
	partition int32
	room      []byte
	left      int
}

// outgoing is an event that was written.
type outgoing struct {
	rec       kafka.Record
	tag       kafka.Tag
	partition int32
}

func (k *tray) Partitions(context.Context, string) (int32, error) { return 16, nil }

func (k *tray) Write(_ context.Context, _ string, about int) (Writer, error) {
	k.left = about
	return k, nil
}

func (k *tray) Begin(partition int32, key []byte, at time.Time, expect int) []byte {
	if k.partition, k.begun.Key, k.begun.Time = partition, key, at; cap(k.room) < expect {
		k.room = make([]byte, 0, expect)
	}
	return k.room[:0]
}

func (k *tray) Commit(b, headers []byte, tag kafka.Tag) {
	k.left -= len(b)
	if k.keep {
		r := k.begun
		r.Value = bytes.Clone(b)
		k.out = append(k.out, outgoing{r, tag, k.partition})
	}
}

func (k *tray) Left() int { return k.left }
func (k *tray) Flush()    {}
func (k *tray) Close()    {}

// desk makes events of one file that go nowhere.
type desk struct {
	*tray
	sender   *Sender
	refusals *Refusals
	batch    *Batch
	maker    line.Maker[*Window]
	log      line.Log[*Window]
	text     line.Text[*Window]
	made     int64
}

func newDesk(d line.Decoder) *desk {
	const id = "c0ffee0123456789"
	reg := metrics.New("shipper", "h")
	r := NewRefusals(slog.New(slog.DiscardHandler), reg)
	cfg := config.Default()
	k := &desk{tray: &tray{}, sender: NewSender(&cfg.Shipper, r, reg), refusals: r, log: line.NewLog[*Window](id)}
	k.sender.Start(k)
	k.batch = <-k.sender.In
	k.sender.refill(context.Background(), k.batch)
	k.maker.Limit, k.maker.Now, k.batch.Now = 2<<20, time.Now(), time.Now()
	k.log.Decoder = d
	s := r.NewSource(&k.made)
	s.Describe(&schemas.Source{ID: id, Path: "/var/lib/docker/containers/c/c-json.log", ContainerID: id, ContainerName: "mesos-6f2a1c34", Image: "registry/order:1.2.3", TaskID: "order.prod.6f2a1c34", AppID: "/prod/order", ServiceName: "order", Host: "host1", DC: "dc1", Labels: map[string]string{"tier": "gold"}}, "host")
	k.text.Window, k.text.Generation = NewWindow(s, 0), "1310721-1763715467000000000-0"
	k.text.Place = schemas.NewPlace(id, k.text.Generation, "")
	return k
}

// done acknowledges all.
func (k *desk) done() {
	k.batch.Send()
	k.text.Window.ring.base = k.text.Window.ring.next
	k.left = mostRoom
}

func benchLines(b *testing.B, d line.Decoder, several *line.Several, data []byte, n int) {
	k := newDesk(d)
	k.log.Several = several
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	before := cpuTime()
	for b.Loop() {
		for used := 0; used < len(data); {
			used += k.maker.Feed(k.batch, &k.log, &k.text, data[used:])
			if k.batch.Full() {
				k.done()
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/line")
	b.ReportMetric(float64((cpuTime()-before).Nanoseconds())/float64(b.N)/float64(n), "cpu-ns/line")
}

func cpuTime() time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func BenchmarkDockerLines(b *testing.B) { benchDocker(b, nil) }

func BenchmarkPlainLines(b *testing.B) { benchPlain(b, nil) }

// Lines that are no stack traces cost a little more where these are looked for.
func BenchmarkSeveral(b *testing.B) {
	traces := &line.Several{Rule: line.NewTraces(), MaxLines: 1000, MaxBytes: 1 << 20}
	for range 3 { // by turns, for machines whose speed changes
		b.Run("docker/none", func(b *testing.B) { benchDocker(b, nil) })
		b.Run("docker/auto", func(b *testing.B) { benchDocker(b, traces) })
		b.Run("plain/none", func(b *testing.B) { benchPlain(b, nil) })
		b.Run("plain/auto", func(b *testing.B) { benchPlain(b, traces) })
	}
}

func benchDocker(b *testing.B, several *line.Several) {
	var data []byte
	for i := range 200 {
		data = append(data, shiptest.DockerJSON("stdout", shiptest.Sample(i)+"\n", time.Unix(1763715467, int64(i)))...)
	}
	benchLines(b, line.JSONFile, several, data, 200)
}

func benchPlain(b *testing.B, several *line.Several) {
	var data []byte
	for i := range 200 {
		data = append(data, shiptest.Sample(i)+"\n"...)
	}
	benchLines(b, nil, several, data, 200)
}

func TestLinesAllocateNothing(t *testing.T) {
	for _, d := range []line.Decoder{line.JSONFile, nil} {
		k := newDesk(d)
		text := []byte(shiptest.DockerJSON("stdout", "hello \"world\"\n", time.Now()))
		run := func() {
			for range 100 {
				k.maker.Feed(k.batch, &k.log, &k.text, text)
			}
			k.done()
		}
		run()
		if n := testing.AllocsPerRun(20, run); n > 0 {
			t.Errorf("decoder %v: %v allocations in 100 lines", d, n)
		}
	}
}
