package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/config"
)

var (
	testLines   = NewCounter("test_lines", "lines", "Lines of a test", "source", "file")
	testPlain   = NewCounter("test_plain", "lines", "Lines without labels")
	testLevel   = NewGauge("test_level", "bytes", "A level", "partition")
	testSeconds = NewHistogram("test_seconds", "seconds", "Times", "target")
)

// wire is what a test's statsd is sent.
type wire struct {
	packets []string
	dials   int
	fail    error // of the next writes
	refuse  error // of the next dials
}

func (w *wire) Write(p []byte) (int, error) {
	if w.fail != nil {
		return 0, w.fail
	}
	w.packets = append(w.packets, string(p))
	return len(p), nil
}

func (w *wire) Close() error { return nil }

// take is the lines sent since the last call, sorted.
func (w *wire) take() []string {
	var lines []string
	for _, p := range w.packets {
		lines = append(lines, strings.Split(p, "\n")...)
	}
	w.packets = nil
	slices.Sort(lines)
	return lines
}

func bridge(w *wire, log io.Writer, tags string, regs ...*Registry) *Statsd {
	cfg := config.Default().Statsd
	cfg.Address, cfg.Tags = "statsd.test:8125", tags
	s := NewStatsd(cfg, slog.New(slog.NewTextHandler(log, nil)), regs...)
	s.dial = func(string) (io.WriteCloser, error) { w.dials++; return w, w.refuse }
	return s
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("sent\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestStatsdLines(t *testing.T) {
	count := func(r *Registry) {
		r.Counter(testPlain).Add(3)
		r.Counter(testLines, "docker", "a b:c|d@e#f.log").Add(2)
		r.Counter(testLines, "", "é").Inc()
		r.Gauge(testLevel, "7").Set(1.5)
		r.Gauge(testLevel, "8").Set(-2)
		r.Gauge(testLevel, "9").Set(math.NaN())
		for range 4 {
			r.Histogram(testSeconds, "es:9200").Observe(0.003)
		}
	}
	t.Run("none", func(t *testing.T) {
		r, w := New("shipper", "web1.dc1.example"), &wire{}
		s := bridge(w, io.Discard, "none", r)
		count(r)
		s.Flush()
		p := "sluice.shipper.web1_dc1_example."
		same(t, w.take(),
			p+"test_plain:3|c",
			p+"test_lines.docker.a_b_c_d_e_f_log:2|c",
			p+"test_lines.none._:1|c",
			p+"test_level.7:1.5|g",
			p+"test_level.8:0|g",
			p+"test_level.8:-2|g",
			p+"test_seconds.es_9200.p50:0.003|g",
			p+"test_seconds.es_9200.p95:0.0039|g",
			p+"test_seconds.es_9200.p99:0.00398|g",
			p+"test_seconds.es_9200.count:4|c")

		r.Counter(testPlain).Add(0.75)
		s.Flush()
		same(t, w.take(), p+"test_level.7:1.5|g", p+"test_level.8:0|g", p+"test_level.8:-2|g")
		r.Counter(testPlain).Add(0.75) // 1.5 more than was told
		r.Forget(testLines, "docker", "a b:c|d@e#f.log")
		r.Counter(testLines, "docker", "a b:c|d@e#f.log").Inc()
		r.Histogram(testSeconds, "es:9200").Observe(0.1)
		s.Flush()
		same(t, w.take(),
			p+"test_plain:1|c",
			p+"test_lines.docker.a_b_c_d_e_f_log:1|c",
			p+"test_level.7:1.5|g", p+"test_level.8:0|g", p+"test_level.8:-2|g",
			p+"test_seconds.es_9200.p50:0.096|g",
			p+"test_seconds.es_9200.p95:0.1248|g",
			p+"test_seconds.es_9200.p99:0.12736|g",
			p+"test_seconds.es_9200.count:1|c")
	})
	t.Run("datadog", func(t *testing.T) {
		r, w := New("shipper", "web1"), &wire{}
		s := bridge(w, io.Discard, "datadog", r)
		r.Counter(testLines, "docker", "/var/log/a,b.log").Add(2)
		r.Gauge(testLevel, "7").Set(5)
		s.Flush()
		same(t, w.take(),
			"sluice.shipper.web1.test_lines:2|c|#source:docker,file:/var/log/a_b.log",
			"sluice.shipper.web1.test_level:5|g|#partition:7")
	})
}

func TestStatsdOff(t *testing.T) {
	w, r := &wire{}, New("shipper", "h")
	r.Counter(testPlain).Inc()
	s := bridge(w, io.Discard, "none", r)
	s.cfg.Address = ""
	s.Run(t.Context()) // returns at once
	s.Flush()
	if w.dials != 0 {
		t.Errorf("dialled %d times", w.dials)
	}
}

// Rises whose packet could not be written are told later, and the log tells changes only.
func TestStatsdUnreachableLosesNoRise(t *testing.T) {
	var log bytes.Buffer
	w, r := &wire{}, New("shipper", "h")
	s := bridge(w, &log, "none", r)
	said := func(want ...string) {
		t.Helper()
		var got []string
		for line := range strings.Lines(log.String()) {
			_, msg, _ := strings.Cut(line, "msg=")
			msg, _, _ = strings.Cut(msg, " address=")
			got = append(got, msg)
		}
		if !slices.Equal(got, want) {
			t.Errorf("logged %q, want %q", got, want)
		}
	}
	c := r.Counter(testPlain)

	w.refuse = errors.New("no such host")
	c.Add(5)
	s.Flush()
	s.Flush()
	said(`"statsd is unreachable"`)
	w.refuse = nil
	s.Flush()
	same(t, w.take(), "sluice.shipper.h.test_plain:5|c")
	said(`"statsd is unreachable"`)

	w.fail = errors.New("connection refused") // before the second good sending
	c.Add(2)
	s.Flush()
	said(`"statsd is unreachable"`)
	w.fail = nil
	c.Add(1)
	s.Flush()
	same(t, w.take(), "sluice.shipper.h.test_plain:3|c")
	s.Flush()
	said(`"statsd is unreachable"`, `"statsd is reachable again"`)
}

func TestStatsdPacketsKeepTheMTUAndSplitNoMetric(t *testing.T) {
	w, r := &wire{}, New("shipper", "h")
	s := bridge(w, io.Discard, "none", r)
	s.cfg.MTU = 100
	for i := range 50 {
		r.Counter(testLines, "docker", fmt.Sprint("f", i)).Inc()
	}
	r.Counter(testLines, "docker", strings.Repeat("long", 50)).Inc()
	s.Flush()
	lines := 0
	for _, p := range w.packets {
		if len(p) > 100 && strings.Contains(p, "\n") {
			t.Errorf("packet of %d bytes: %q", len(p), p)
		}
		for line := range strings.SplitSeq(p, "\n") {
			if lines++; !strings.HasPrefix(line, "sluice.shipper.h.test_lines.docker.") || !strings.HasSuffix(line, ":1|c") {
				t.Errorf("line %q", line)
			}
		}
	}
	if lines != 51 || len(w.packets) < 20 || len(w.packets) > 40 {
		t.Errorf("%d lines in %d packets, want 51 in about 26", lines, len(w.packets))
	}
}

// The sum of what statsd was told is what was counted, over a real socket and while
// others count.
func TestStatsdSumsAddUp(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := New("indexer", "h")
	cfg := config.Default().Statsd
	cfg.Address, cfg.Interval, cfg.MTU = l.LocalAddr().String(), config.Duration(time.Millisecond), 200
	s := NewStatsd(cfg, slog.Default(), r)
	got := make(chan map[string]int64)
	go func() {
		sums, buf := map[string]int64{}, make([]byte, 64<<10)
		for {
			n, _, err := l.ReadFrom(buf)
			if err != nil || string(buf[:n]) == "end" {
				got <- sums
				return
			}
			for line := range strings.SplitSeq(string(buf[:n]), "\n") {
				name, rest, _ := strings.Cut(line, ":")
				if v, ok := strings.CutSuffix(rest, "|c"); ok {
					d, err := strconv.ParseInt(v, 10, 64)
					if err != nil || d <= 0 {
						t.Errorf("line %q", line)
					}
					sums[name] += d
				}
			}
		}
	}()

	ctx, stop := context.WithCancel(t.Context())
	var running, counting sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	for i := range 4 {
		counting.Go(func() {
			c, h := r.Counter(testLines, "w", fmt.Sprint(i%2)), r.Histogram(testSeconds, "t")
			for n := range 20_000 {
				c.Add(3)
				h.Observe(float64(n) / 1000)
			}
		})
	}
	counting.Wait()
	stop()
	running.Wait()
	s.Flush()
	end, err := net.Dial("udp", cfg.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer end.Close()
	fmt.Fprint(end, "end")
	sums := <-got
	for name, want := range map[string]int64{"test_lines.w.0": 120_000, "test_lines.w.1": 120_000, "test_seconds.t.count": 80_000} {
		if got := sums["sluice.indexer.h."+name]; got != want {
			t.Errorf("%s adds up to %d, want %d", name, got, want)
		}
	}
}

// A server that is not there shows as a refusal at a later write, and not as a
// recovery each time the socket is new.
func TestStatsdRefusedOverUDP(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default().Statsd
	cfg.Address = l.LocalAddr().String()
	l.Close()
	var log bytes.Buffer
	r := New("indexer", "h")
	s := NewStatsd(cfg, slog.New(slog.NewTextHandler(&log, nil)), r)
	for range 10 {
		r.Counter(testPlain).Inc()
		s.Flush()
		time.Sleep(time.Millisecond) // lets the refusal come back
	}
	if got := strings.Count(log.String(), "\n"); got != 1 || !strings.Contains(log.String(), "refused") {
		t.Errorf("logged %d lines, want 1 that tells the refusal:\n%s", got, log.String())
	}
}

func TestStatsdRunSendsEachInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := &wire{}, New("shipper", "h")
		s := bridge(w, io.Discard, "none", r)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.Run(ctx) })
		time.Sleep(5 * time.Second)
		for range 13 { // one for each interval, dialled at 10, 70 and 130 s
			r.Counter(testPlain).Inc()
			time.Sleep(10 * time.Second)
		}
		synctest.Wait()
		stop()
		wg.Wait()
		if len(w.packets) != 13 || w.dials != 3 {
			t.Errorf("%d packets over %d sockets, want 13 over 3", len(w.packets), w.dials)
		}
		r.Counter(testPlain).Add(4)
		s.Flush()
		if last := w.packets[len(w.packets)-1]; last != "sluice.shipper.h.test_plain:4|c" {
			t.Errorf("last packet %q", last)
		}
	})
}

func TestQuantile(t *testing.T) {
	bounds := []float64{1, 2, 4}
	f := func(q, total float64, want float64, notAbove ...float64) {
		t.Helper()
		if got := quantile(q, total, bounds, notAbove); math.Abs(got-want) > 1e-9 {
			t.Errorf("quantile %v of %v in %v = %v, want %v", q, total, notAbove, got, want)
		}
	}
	f(0.5, 10, 0.5, 10, 10, 10)
	f(0.5, 10, 1.5, 0, 10, 10)
	f(0.5, 4, 2, 1, 2, 4)
	f(0.75, 4, 3, 1, 2, 4)
	f(0.99, 100, 4, 10, 20, 30) // above the last bound
	f(0.5, 2, 4, 0, 0, 0)
}

func TestHandlerServesEveryRegistry(t *testing.T) {
	a, b := New("shipper", "h"), New("indexer", "h")
	a.Counter(testPlain).Add(2)
	b.Counter(testPlain).Add(3)
	rec := httptest.NewRecorder()
	Handler(slog.Default(), a, b, Process("h", "v1.2.3")).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		"# HELP sluice_test_plain_total Lines without labels (lines)",
		`sluice_test_plain_total{role="shipper"} 2`,
		`sluice_test_plain_total{role="indexer"} 3`,
		`version="v1.2.3"`, "go_goroutines ", "process_cpu_seconds_total ", "process_resident_memory_bytes ", "go_gc_duration_seconds_count ",
	} {
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}

func TestReferenceListsWhatIsDeclared(t *testing.T) {
	want := "\n## metrics\n\n| Prometheus | statsd | type | unit | labels | meaning |\n|---|---|---|---|---|---|\n" +
		"| `sluice_build_info` | `build_info.<version>.<revision>.<go>` | gauge | always 1 | version, revision, go | Which build this is |\n"
	if got := Reference(); !strings.HasSuffix(got, want) {
		t.Errorf("reference does not end in %s:\n%s", want, got)
	}
}

func BenchmarkCounter(b *testing.B) {
	c := New("shipper", "h").Counter(testPlain)
	b.ReportAllocs()
	for b.Loop() {
		c.Add(1)
	}
}

func BenchmarkFlush1000Series(b *testing.B) {
	r, w := New("shipper", "h"), &wire{}
	s := bridge(w, io.Discard, "none", r)
	counters := make([]Counter, 1000)
	for i := range counters {
		counters[i] = r.Counter(testLines, "docker", fmt.Sprint(i))
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, c := range counters {
			c.Inc()
		}
		s.Flush()
		w.packets = w.packets[:0]
	}
}
