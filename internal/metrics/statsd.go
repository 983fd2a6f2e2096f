package metrics

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cactus/go-statsd-client/v5/statsd"
	dto "github.com/prometheus/client_model/go"

	"github.com/sluicelog/sluice/config"
)

// A host name is looked up again this often, and after every error.
const redial = time.Minute

// Statsd sends the figures of registries to a statsd server over UDP: counters as
// what they rose since the last sending (nothing when they did not), gauges as they
// are, histograms as p50, p95 and p99 of the observations since the last sending
// together with their count.
//
// A rise is forgotten only when its packet left this host, so an error that is seen
// delays figures and loses none. What UDP loses on the way is lost.
//
// All methods are safe for concurrent use.
type Statsd struct {
	cfg  config.Statsd
	log  *slog.Logger
	regs []*Registry
	dial func(address string) (io.WriteCloser, error)

	mu      sync.Mutex // held during a whole Flush; guards all below
	clients []statsd.ExtendedStatSender
	conn    io.WriteCloser // nil: dial before writing
	dialled time.Time
	packet  []byte               // lines gathered, not yet written
	held    []sum                // the sums in that packet
	sent    map[string][]float64 // by series: the sums sent so far
	failing bool                 // logged as such
	good    int                  // sendings without an error since the last one with
}

// sum is the level of a series: a counter's value, or a histogram's count and buckets.
type sum struct {
	series string
	now    []float64
}

// NewStatsd is a bridge for these registries. With an empty address it does nothing.
func NewStatsd(cfg config.Statsd, log *slog.Logger, regs ...*Registry) *Statsd {
	s := &Statsd{cfg: cfg, log: log, regs: regs, dial: dialUDP, sent: map[string][]float64{}}
	for _, r := range regs {
		parts := []string{clean(r.Role, ""), clean(r.Host, "")}
		if cfg.Prefix != "" {
			parts = slices.Insert(parts, 0, clean(cfg.Prefix, "."))
		}
		c, err := statsd.NewClientWithSender(packets{s}, strings.Join(parts, "."), statsd.SuffixOctothorpe)
		if err != nil {
			panic(err) // only a nil sender is an error
		}
		s.clients = append(s.clients, c.(statsd.ExtendedStatSender))
	}
	return s
}

func dialUDP(address string) (io.WriteCloser, error) {
	return (&net.Dialer{Timeout: time.Second}).Dial("udp", address)
}

// Run sends every interval until ctx ends. The last sending, of what was counted
// since, is the caller's: Flush once nothing counts any more.
func (s *Statsd) Run(ctx context.Context) {
	if s.cfg.Address == "" {
		return
	}
	tick := time.NewTicker(s.cfg.Interval.D())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.Flush()
		}
	}
}

// Flush sends now. It takes a second at most, when a host name cannot be looked up.
func (s *Statsd) Flush() {
	if s.cfg.Address == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.send()
	if err == nil {
		err = s.write()
	}
	s.packet, s.held = s.packet[:0], s.held[:0]
	if err != nil && s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
	s.tell(err)
}

// tell logs a change. A refusal over UDP shows only at a later write, and never on a
// fresh socket, so it takes two good sendings in a row to call it a recovery.
func (s *Statsd) tell(err error) {
	if err != nil {
		if s.good = 0; !s.failing {
			s.log.Warn("statsd is unreachable", "address", s.cfg.Address, "error", err)
		}
		s.failing = true
		return
	}
	if s.good++; s.failing && s.good >= 2 {
		s.failing = false
		s.log.Info("statsd is reachable again", "address", s.cfg.Address)
	}
}

func (s *Statsd) send() error {
	live := map[string]bool{}
	for i, r := range s.regs {
		families, err := r.reg.Gather()
		if err != nil {
			s.log.Error("reading metrics for statsd", "role", r.Role, "error", err)
		}
		defs := r.defs()
		for _, f := range families {
			for _, m := range f.Metric {
				name, tags, series := s.name(defs[f.GetName()], f.GetName(), m)
				series = r.Role + "\xff" + series
				live[series] = true
				if err := s.one(s.clients[i], name, tags, series, m); err != nil {
					return err
				}
			}
		}
	}
	for series := range s.sent {
		if !live[series] {
			delete(s.sent, series)
		}
	}
	return nil
}

// one gathers the lines of one metric.
func (s *Statsd) one(c statsd.ExtendedStatSender, name string, tags []statsd.Tag, series string, m *dto.Metric) error {
	switch {
	case m.Counter != nil:
		return s.count(c, name, tags, series, []float64{m.Counter.GetValue()})
	case m.Gauge != nil:
		return gauge(c, name, tags, m.Gauge.GetValue())
	case m.Histogram == nil || m.Histogram.GetSampleCount() == 0:
		return nil
	}
	h := m.Histogram
	now, bounds := []float64{float64(h.GetSampleCount())}, make([]float64, len(h.Bucket))
	for i, b := range h.Bucket {
		now, bounds[i] = append(now, float64(b.GetCumulativeCount())), b.GetUpperBound()
	}
	rose := s.rose(series, now)
	if rose[0] == 0 {
		return nil
	}
	for _, q := range []struct {
		name string
		q    float64
	}{{".p50", 0.50}, {".p95", 0.95}, {".p99", 0.99}} {
		if err := gauge(c, name+q.name, tags, quantile(q.q, rose[0], bounds, rose[1:])); err != nil {
			return err
		}
	}
	return s.count(c, name+".count", tags, series, now)
}

// count reports by how much the first of now rose. The protocol's counts are whole, so
// a fraction waits for the next time.
func (s *Statsd) count(c statsd.ExtendedStatSender, name string, tags []statsd.Tag, series string, now []float64) error {
	now[0] = math.Floor(now[0])
	n := s.rose(series, now)[0]
	if n == 0 {
		return nil
	}
	if err := c.Inc(name, int64(n), 1, tags...); err != nil {
		return err
	}
	s.held = append(s.held, sum{series, now})
	return nil
}

// rose is now less what was sent. A series that was dropped and began anew, and so
// is lower than what was sent, rose from nothing.
func (s *Statsd) rose(series string, now []float64) []float64 {
	told := s.sent[series]
	if told == nil || now[0] < told[0] {
		return now
	}
	d := make([]float64, len(now))
	for i := range now {
		d[i] = now[i] - told[i]
	}
	return d
}

func gauge(c statsd.ExtendedStatSender, name string, tags []statsd.Tag, v float64) error {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	if v < 0 { // a sign makes it a change of the gauge, so start it from 0
		if err := c.Gauge(name, 0, 1, tags...); err != nil {
			return err
		}
	}
	return c.GaugeFloat(name, v, 1, tags...)
}

// quantile estimates the q-quantile of total observations from the number of them
// that are not above each bound, as if they lay evenly inside each bucket. Those
// above the last bound count as that bound.
func quantile(q, total float64, bounds, notAbove []float64) float64 {
	rank, low, below := q*total, 0.0, 0.0
	for i, n := range notAbove {
		if n >= rank && n > below {
			return low + (bounds[i]-low)*(rank-below)/(n-below)
		}
		low, below = bounds[i], n
	}
	return low
}

// name is how a metric is called in statsd, with its tags, and the key under which
// its sums are kept.
func (s *Statsd) name(d *Def, full string, m *dto.Metric) (name string, tags []statsd.Tag, series string) {
	name = clean(full, "")
	labels := slices.Clone(m.Label)
	if d != nil { // as declared, not as Prometheus sorts them
		name = d.short()
		slices.SortStableFunc(labels, func(a, b *dto.LabelPair) int {
			return cmp.Compare(slices.Index(d.Labels, a.GetName()), slices.Index(d.Labels, b.GetName()))
		})
	}
	series = full
	for _, l := range labels {
		if l.GetName() == "role" { // part of the prefix
			continue
		}
		series += "\xff" + l.GetValue()
		if s.cfg.Tags == "datadog" {
			tags = append(tags, statsd.Tag{clean(l.GetName(), ""), clean(l.GetValue(), "./")})
		} else {
			name += "." + clean(l.GetValue(), "")
		}
	}
	return name, tags, series
}

// clean makes a name part: whatever is no ASCII letter, digit, _ or - and not in
// allowed becomes _, and an empty part becomes none.
func clean(part, allowed string) string {
	if part == "" {
		return "none"
	}
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' || strings.ContainsRune(allowed, r) {
			return r
		}
		return '_'
	}, part)
}

// packets is what the statsd client writes its lines to.
type packets struct{ s *Statsd }

// Send adds a line to the packet, writing the packet first if the line does not fit.
func (p packets) Send(line []byte) (int, error) {
	s := p.s
	if len(s.packet) > 0 && len(s.packet)+1+len(line) > int(s.cfg.MTU) {
		if err := s.write(); err != nil {
			return 0, err
		}
	}
	if len(s.packet) > 0 {
		s.packet = append(s.packet, '\n')
	}
	s.packet = append(s.packet, line...)
	return len(line), nil
}

func (packets) Close() error { return nil }

// write sends the packet and notes what it sent.
func (s *Statsd) write() error {
	if len(s.packet) == 0 {
		return nil
	}
	if s.conn != nil && time.Since(s.dialled) >= redial {
		s.conn.Close()
		s.conn = nil
	}
	if s.conn == nil {
		c, err := s.dial(s.cfg.Address)
		if err != nil {
			return fmt.Errorf("reach statsd %s: %w", s.cfg.Address, err)
		}
		s.conn, s.dialled = c, time.Now()
	}
	if _, err := s.conn.Write(s.packet); err != nil {
		return fmt.Errorf("write to statsd %s: %w", s.cfg.Address, err)
	}
	for _, h := range s.held {
		s.sent[h.series] = h.now
	}
	s.packet, s.held = s.packet[:0], s.held[:0]
	return nil
}
