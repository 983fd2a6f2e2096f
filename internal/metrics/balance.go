package metrics

import (
	"fmt"
	"slices"

	dto "github.com/prometheus/client_model/go"
)

// Balance declares a sum that a stage's figures keep: each event that In has counted is
// counted by one of Out, or is in InFlight.
type Balance struct {
	In       *Def
	Out      []*Def // counters of what became of an event
	InFlight *Def   // gauge: nothing has yet
}

var (
	balances []*Balance // both guarded by defsMu
	losses   []*Def
)

// NewBalance declares the balance of a stage beside its metrics; call it for package
// variables only.
func NewBalance(in, inFlight *Def, out ...*Def) *Balance {
	b := &Balance{In: in, Out: out, InFlight: inFlight}
	defsMu.Lock()
	defer defsMu.Unlock()
	balances = append(balances, b)
	return b
}

// NewLosses declares counters of what was given up, or needs a person to get on: while they
// are 0, all that was read goes on. Call it for package variables only.
func NewLosses(counters ...*Def) []*Def {
	defsMu.Lock()
	defer defsMu.Unlock()
	losses = append(losses, counters...)
	return counters
}

// Figure is a metric's value, summed over its labels.
type Figure struct {
	Name  string  `json:"name"` // as /metrics has it
	Value float64 `json:"value"`
}

// Sum is a Balance with its figures.
type Sum struct {
	In       Figure   `json:"in"`
	Out      []Figure `json:"out"`
	InFlight Figure   `json:"in_flight"`
	// Missing is In less all others. It is 0 when the stage is at rest; figures are read one
	// after another, so with events on their way it may be off by those of this moment.
	Missing float64 `json:"missing"`
}

// Account is how a role's figures add up.
type Account struct {
	Sums   []Sum    `json:"sums"`
	Losses []Figure `json:"losses"` // those above 0
}

// Account reads the declared balances and losses of the metrics that are live here.
func (r *Registry) Account() (Account, error) {
	a := Account{Sums: []Sum{}, Losses: []Figure{}}
	families, err := r.reg.Gather()
	if err != nil {
		return a, fmt.Errorf("read the figures of %s: %w", r.Role, err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			values[f.GetName()] += level(m)
		}
	}
	figure := func(d *Def) Figure { return Figure{d.full(), values[d.full()]} }
	live := r.defs()
	defsMu.Lock()
	defer defsMu.Unlock()
	for _, b := range balances {
		if live[b.In.full()] != b.In {
			continue
		}
		s := Sum{In: figure(b.In), InFlight: figure(b.InFlight)}
		s.Missing = s.In.Value - s.InFlight.Value
		for _, d := range b.Out {
			f := figure(d)
			s.Out = append(s.Out, f)
			s.Missing -= f.Value
		}
		a.Sums = append(a.Sums, s)
	}
	for _, d := range losses {
		if f := figure(d); live[f.Name] == d && f.Value > 0 {
			a.Losses = append(a.Losses, f)
		}
	}
	slices.SortFunc(a.Losses, func(x, y Figure) int { return int(y.Value - x.Value) })
	return a, nil
}

func level(m *dto.Metric) float64 {
	if m.Counter != nil {
		return m.Counter.GetValue()
	}
	return m.Gauge.GetValue()
}
