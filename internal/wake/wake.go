// Package wake is how one goroutine lets another know that there is something to do.
package wake

// Signal is raised by any number of goroutines and taken by one. Raised several times
// before it is taken, it is taken once: who takes it looks for all there is to do.
//
//	s.Raise()               // after the work was put where the other looks
//	case <-s:               // in the other's select
type Signal chan struct{}

// New is a signal that is not raised.
func New() Signal { return make(Signal, 1) }

// Raise does not block.
func (s Signal) Raise() {
	select {
	case s <- struct{}{}:
	default:
	}
}
