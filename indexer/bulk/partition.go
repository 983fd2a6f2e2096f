package bulk

import (
	"sync/atomic"

	"github.com/sluicelog/sluice/internal/wake"
)

// Marker is what is needed of a partition that was assigned; *kafka.Claim is one.
type Marker interface {
	Topic() string
	Partition() int32
	// DoneAll marks the records from one offset to another, exclusive, as finished.
	DoneAll(from, to int64)
}

// Partition is a partition while it is ours, and how much of it is in bulks. Its
// methods are safe for concurrent use.
type Partition struct {
	Marker
	Held bool // its events were refused before, and are tried once more; set before its use

	open atomic.Int64 // events taken and not finished
	idle wake.Signal  // open came to 0
	lost atomic.Bool  // it is another's now: what is refused is not sent again
}

// NewPartition is one of which nothing was taken yet.
func NewPartition(m Marker) *Partition {
	return &Partition{Marker: m, idle: wake.New()}
}

// Take notes events that are taken past the bulks.
func (p *Partition) Take(events int) { p.open.Add(int64(events)) }

// Finish marks the records from one offset to another, exclusive, as finished.
func (p *Partition) Finish(from, to int64) {
	p.DoneAll(from, to)
	p.Return(int(to - from))
}

// Return gives up events without an outcome: their records are read again.
func (p *Partition) Return(events int) {
	if p.open.Add(-int64(events)) == 0 {
		p.idle.Raise()
	}
}

// Open is how many events were taken and not finished.
func (p *Partition) Open() int { return int(p.open.Load()) }

// Idle gets a value when the last open event was finished.
func (p *Partition) Idle() <-chan struct{} { return p.idle }

// Lose makes the partition another's: what is refused from now on is given up.
func (p *Partition) Lose() { p.lost.Store(true) }

// Lost reports whether the partition is another's.
func (p *Partition) Lost() bool { return p.lost.Load() }
