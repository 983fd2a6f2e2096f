package kafka

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicelog/sluice/config"
)

// spoken collects what is logged.
type spoken struct {
	mu  sync.Mutex
	out bytes.Buffer // guarded by mu
}

func (l *spoken) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(b)
}

// take is what was logged since the last take.
func (l *spoken) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSpace(l.out.String())
	l.out.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// liveHeap is the heap in use.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // pools let go of what they hold in the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// deaf is a connection on which no answer comes in time.
type deaf struct {
	net.Conn
	now *atomic.Bool
}

func (d deaf) Read(b []byte) (int, error) {
	if d.now.Load() {
		return 0, os.ErrDeadlineExceeded
	}
	return d.Conn.Read(b)
}

// An hour without brokers, of simulated time with the pauses of real use: a third of it
// they refuse connections, a third of it connections time out, a third of it they take
// requests and their answers time out. What is held stays within the buffer, Append
// waits, tries and log lines are few, and afterwards everything arrives once and in
// order. Waits for the network take no time here, since sarama holds a mutex in them,
// which the simulated clock does not pass: in real use there are fewer tries.
func TestHourOfOutage(t *testing.T) {
	const partitions, each, buffer = 12, 1000, 2 << 20
	for _, compression := range []string{"none", "lz4"} {
		t.Run(compression, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var network kfake.VirtualNetwork
				w := newNetwork()
				w.under = network.Listen
				k := fake(t, kfake.Ports(9001, 9002, 9003), kfake.SeedTopics(partitions, "logs"), kfake.ListenFn(w.listen))
				var refuse, swallow, mute atomic.Bool
				var dials atomic.Int64
				said := &spoken{}
				c := clusterAt(t, "127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003")
				c.Log = slog.New(slog.NewTextHandler(said, nil))
				c.timing = nil
				waits := c.waits() // those of real use
				waits.reach = func(ctx context.Context, n, addr string) (net.Conn, error) {
					dials.Add(1)
					switch {
					case refuse.Load():
						return nil, &net.OpError{Op: "dial", Net: n, Err: syscall.ECONNREFUSED}
					case swallow.Load():
						return nil, &net.OpError{Op: "dial", Net: n, Err: os.ErrDeadlineExceeded}
					}
					conn, err := network.DialContext(ctx, n, addr)
					if err != nil {
						return nil, err
					}
					return deaf{conn, &mute}, nil
				}
				c.timing = &waits
				o := ProducerOptions{Produce: config.Default().Shipper.Produce}
				o.Buffer, o.Compression = buffer, compression
				s := newSink(t)
				p := newTestProducer(t, c, o, s)
				f := newFeeder(t, p)
				var fed atomic.Int64
				feed := func(n int) {
					for range n {
						for i := range int32(partitions) {
							f.add("logs", i, 1000)
							fed.Add(1)
						}
					}
				}
				acked := func() int64 {
					a, _ := s.counts()
					return int64(a)
				}
				feed(each)
				drain(t, p)
				said.take()
				before := liveHeap()

				refuse.Store(true)
				w.cut(false)
				rest := make(chan struct{})
				go func() {
					defer close(rest)
					feed(each) // several times the buffer
				}()
				time.Sleep(time.Minute) // by then it is full
				stood, start := fed.Load(), acked()
				if held := p.InFlight(); held < buffer*9/10 || held > buffer {
					t.Errorf("held %d bytes, want the buffer of %d full", held, buffer)
				}
				phase := func(what string, dialsMost, linesMost int64) {
					t.Helper()
					dials.Store(0)
					said.take()
					var most int64
					for range 4 {
						time.Sleep(5 * time.Minute)
						most = max(most, liveHeap()-before)
						if held := p.InFlight(); held > buffer {
							t.Errorf("%s: held %d bytes, want at most %d", what, held, buffer)
						}
					}
					tried, told := dials.Load(), said.take()
					t.Logf("20 minutes, %s: %d connections tried, %d log lines, %d KiB more heap with a buffer of %d", what, tried, len(told), most>>10, buffer>>10)
					if tried > dialsMost {
						t.Errorf("%s: tried to connect %d times in 20 minutes, want at most %d", what, tried, dialsMost)
					}
					if int64(len(told)) > linesMost {
						t.Errorf("%s: logged %d lines, want at most %d:\n%s", what, len(told), linesMost, strings.Join(told[:linesMost], "\n"))
					}
					if most > 2*buffer+2<<20 {
						t.Errorf("%s: %d bytes more heap than before, with a buffer of %d", what, most, buffer)
					}
					if n := fed.Load(); n != stood {
						t.Errorf("%s: %d records were taken, want none while the buffer is full", what, n-stood)
					}
					if n := acked(); n != start {
						t.Errorf("%s: %d records were acknowledged", what, n-start)
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					if err := p.Append(ctx, "logs", 0, Record{Value: make([]byte, 1000)}, Tag{}); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%s: append to a full buffer = %v, want %v", what, err, context.DeadlineExceeded)
					}
					if down, err := c.Health.Down(); down < time.Minute || err == nil {
						t.Errorf("%s: health = %v, %v, want down", what, down, err)
					}
				}
				phase("connections are refused", 5400, 5)
				swallow.Store(true)
				refuse.Store(false)
				phase("connections time out", 5400, 5)
				mute.Store(true)
				swallow.Store(false)
				phase("answers time out", 5400, 5)

				mute.Store(false)
				back := time.Now()
				<-rest
				drain(t, p)
				t.Logf("all was stored %v after the outage; %d log lines", time.Since(back).Round(time.Millisecond), len(said.take()))
				if n := acked(); n != 2*each*partitions {
					t.Errorf("acked %d, want %d", n, 2*each*partitions)
				}
				time.Sleep(time.Minute) // a question that nobody answers is given up after 30 s
				if down, err := c.Health.Down(); down != 0 {
					t.Errorf("health = %v, %v, want ok", down, err)
				}
				p.Close()
				wantInOrder(t, c.Config.Brokers, "logs", 1, 2*each, partitions, kgo.Dialer(network.DialContext))
				k.Close()
				w.cut(true)
			})
		})
	}
}
