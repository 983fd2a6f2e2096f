// Package metrics is the one registry of figures. A stage declares its metrics as
// package variables (so that the documentation can list them all), takes live ones
// from the Registry of its role, and counts; /metrics serves the registry and the
// statsd bridge sends the same figures.
package metrics

import (
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Kind is what a metric's figure means.
type Kind int

// Kinds of metric.
const (
	KindCounter   Kind = iota // only rises
	KindGauge                 // a level
	KindHistogram             // a distribution, sent as p50, p95, p99 to statsd
)

func (k Kind) String() string { return [...]string{"counter", "gauge", "histogram"}[k] }

// Def declares a metric. Name is without the prefix sluice_ and, for counters,
// without _total.
type Def struct {
	Name   string
	Kind   Kind
	Unit   string // lines, events, bytes, seconds, ...
	Help   string
	Labels []string

	from string // the stage or package that declared it; empty for tests
}

var (
	defsMu sync.Mutex
	defs   []*Def
)

func declare(kind Kind, name, unit, help string, labels []string) *Def {
	d := &Def{Name: name, Kind: kind, Unit: unit, Help: help, Labels: labels}
	if pc, file, _, ok := runtime.Caller(2); ok && !strings.HasSuffix(file, "_test.go") {
		d.from = stage(runtime.FuncForPC(pc).Name())
	}
	defsMu.Lock()
	defer defsMu.Unlock()
	defs = append(defs, d)
	return d
}

// stage is the first folder, besides internal, of the package that a function is in:
// shipper of github.com/sluicelog/sluice/shipper/send.init.
func stage(function string) string {
	dir, name := path.Split(function)
	pkg, _, _ := strings.Cut(name, ".")
	parts := strings.Split(strings.TrimPrefix(dir+pkg, module), "/")
	if parts[0] == "internal" && len(parts) > 1 {
		return parts[1]
	}
	return parts[0]
}

const module = "github.com/sluicelog/sluice/"

// NewCounter declares a counter; call it for package variables only.
func NewCounter(name, unit, help string, labels ...string) *Def {
	return declare(KindCounter, name, unit, help, labels)
}

// NewGauge declares a gauge; call it for package variables only.
func NewGauge(name, unit, help string, labels ...string) *Def {
	return declare(KindGauge, name, unit, help, labels)
}

// NewHistogram declares a histogram of seconds or bytes; call it for package
// variables only.
func NewHistogram(name, unit, help string, labels ...string) *Def {
	return declare(KindHistogram, name, unit, help, labels)
}

// Defs lists every declared metric by name.
func Defs() []*Def {
	defsMu.Lock()
	defer defsMu.Unlock()
	out := slices.Clone(defs)
	slices.SortFunc(out, func(a, b *Def) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Registry holds the live metrics of one role. All methods are safe for concurrent
// use; take a metric once and keep it, since looking it up costs a lock.
type Registry struct {
	Role string
	Host string

	reg  *prometheus.Registry
	mu   sync.Mutex
	vecs map[*Def]prometheus.Collector
}

// New makes the registry of a role; every metric of it has the label role.
func New(role, host string) *Registry {
	return &Registry{Role: role, Host: host, reg: prometheus.NewRegistry(), vecs: map[*Def]prometheus.Collector{}}
}

// Counter is safe for concurrent use; Add costs an atomic addition and no memory.
type Counter interface {
	Inc()
	Add(float64)
}

// Gauge is safe for concurrent use.
type Gauge interface {
	Set(float64)
	Add(float64)
}

// Histogram is safe for concurrent use.
type Histogram interface{ Observe(float64) }

// Counter is the live counter of a definition for these label values.
func (r *Registry) Counter(d *Def, labels ...string) Counter {
	return r.vec(d).(*prometheus.CounterVec).WithLabelValues(labels...)
}

// Gauge is the live gauge of a definition for these label values.
func (r *Registry) Gauge(d *Def, labels ...string) Gauge {
	return r.vec(d).(*prometheus.GaugeVec).WithLabelValues(labels...)
}

// Histogram is the live histogram of a definition for these label values.
func (r *Registry) Histogram(d *Def, labels ...string) Histogram {
	return r.vec(d).(*prometheus.HistogramVec).WithLabelValues(labels...)
}

// Forget drops the figures of a label combination that is gone for good, such as a
// revoked partition's lag. It is for gauges: what a counter rose since statsd was
// last sent would be lost.
func (r *Registry) Forget(d *Def, labels ...string) {
	switch v := r.vec(d).(type) {
	case *prometheus.CounterVec:
		v.DeleteLabelValues(labels...)
	case *prometheus.GaugeVec:
		v.DeleteLabelValues(labels...)
	case *prometheus.HistogramVec:
		v.DeleteLabelValues(labels...)
	}
}

// Gatherer reads the figures, for /metrics.
func (r *Registry) Gatherer() prometheus.Gatherer { return r.reg }

// Handler serves the figures of registries to Prometheus.
func Handler(log *slog.Logger, regs ...*Registry) http.Handler {
	var all prometheus.Gatherers
	for _, r := range regs {
		all = append(all, r.reg)
	}
	return promhttp.HandlerFor(all, promhttp.HandlerOpts{
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelError),
		ErrorHandling: promhttp.ContinueOnError,
	})
}

func (r *Registry) vec(d *Def) prometheus.Collector {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v, ok := r.vecs[d]; ok {
		return v
	}
	v := d.vec(prometheus.Labels{"role": r.Role})
	r.reg.MustRegister(v)
	r.vecs[d] = v
	return v
}

// defs maps the live metrics' Prometheus names to their definitions.
func (r *Registry) defs() map[string]*Def {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := make(map[string]*Def, len(r.vecs))
	for d := range r.vecs {
		m[d.full()] = d
	}
	return m
}

// full is the name as Prometheus has it.
func (d *Def) full() string {
	if d.Kind == KindCounter {
		return "sluice_" + d.Name + "_total"
	}
	return "sluice_" + d.Name
}

// short is the name without that of the stage that declared it, which statsd's prefix
// says already.
func (d *Def) short() string { return strings.TrimPrefix(d.Name, d.from+"_") }

// vec is the definition as the Prometheus library wants it.
func (d *Def) vec(constant prometheus.Labels) prometheus.Collector {
	name, help := d.full(), fmt.Sprintf("%s (%s)", d.Help, d.Unit)
	switch d.Kind {
	case KindCounter:
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: constant}, d.Labels)
	case KindGauge:
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: constant}, d.Labels)
	}
	buckets := prometheus.ExponentialBuckets(0.001, 2, 18) // 1 ms to 131 s
	if d.Unit == "bytes" {
		buckets = prometheus.ExponentialBuckets(256, 4, 12) // 256 B to 1 GiB
	}
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, ConstLabels: constant, Buckets: buckets}, d.Labels)
}
