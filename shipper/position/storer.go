package position

import (
	"time"

	"github.com/sluicelog/sluice/internal/metrics"
)

var (
	storeErrors  = metrics.NewCounter("shipper_store_errors", "errors", "Writes of positions that failed and are tried again")
	storeSeconds = metrics.NewHistogram("shipper_store_seconds", "seconds", "Time to make positions durable")
)

// Storer makes changes durable in a goroutine of its own, one set at a time, since a
// disk may take its time. After a set was put into Jobs, its result comes from Results,
// before the next set.
type Storer struct {
	Jobs    chan []Change // cap 1; closed by who ends it
	Results chan error    // cap 1

	store   *Store
	errors  metrics.Counter
	seconds metrics.Histogram
}

// NewStorer writes to a store.
func NewStorer(s *Store, reg *metrics.Registry) *Storer {
	return &Storer{Jobs: make(chan []Change, 1), Results: make(chan error, 1), store: s, errors: reg.Counter(storeErrors), seconds: reg.Histogram(storeSeconds)}
}

// Run stores until Jobs is closed.
func (s *Storer) Run() {
	for changes := range s.Jobs {
		s.Results <- s.Put(changes)
	}
}

// Put stores at once; it is for when Run has ended.
func (s *Storer) Put(changes []Change) error {
	start := time.Now()
	err := s.store.Put(changes)
	s.seconds.Observe(time.Since(start).Seconds())
	if err != nil {
		s.errors.Inc()
	}
	return err
}

// Broken counts a store that could not be read.
func (s *Storer) Broken() { s.errors.Inc() }
