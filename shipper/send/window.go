package send

import "sync"

// Window is the events of one file that are under way, in the order of the file, and the
// position that may be stored: all below it is stored by Kafka. Events are acknowledged
// in any order. It costs eight bytes an event.
type Window struct {
	source *Source
	made   int64 // sequence number of the next event; owned by who makes events
	last   int64 // Next of the last one; owned by who makes events

	mu       sync.Mutex
	position int64 // guarded by mu, as all that follows
	ring     ring
}

// NewWindow is the window of a file of a source, below whose offset all is stored.
func NewWindow(s *Source, offset int64) *Window {
	return &Window{source: s, position: offset, last: offset}
}

// Position is up to where all is stored, and how many events are under way; of those,
// the ones in batches that were not handed over yet are not counted.
func (w *Window) Position() (offset, underWay int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.position, w.ring.len()
}

// UnderWay is how many events are made and not stored, those of batches that were not
// handed over yet too. It is for who makes events.
func (w *Window) UnderWay() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.made - w.ring.base
}

// Shrink gives memory back that is not needed while nothing is under way.
func (w *Window) Shrink() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ring.len() == 0 {
		w.ring.slots = nil
	}
}

// Source is that of the file.
func (w *Window) Source() *Source { return w.source }

// Stored learns that n events in a row are stored.
func (w *Window) Stored(seq int64, n int) (finished int) {
	w.mu.Lock()
	for i := range int64(n) {
		w.finish(seq + i)
	}
	w.mu.Unlock()
	return n
}

// finish lets the position pass an event if all before it are finished; the lock is held.
func (w *Window) finish(seq int64) {
	if at := w.ring.done(seq); at >= 0 {
		w.position = at
	}
}

// Refused learns that Kafka does not take an event as it is.
func (w *Window) Refused(err error) (news bool) { return w.source.refuse(err) }

// ring is events by sequence number, with the position that holds once all up to one are
// acknowledged.
type ring struct {
	base  int64   // sequence number of the oldest event under way
	next  int64   // sequence number of the next event
	slots []int64 // by sequence number: the position, or its complement once acknowledged; len is a power of two
}

func (r *ring) len() int64 { return r.next - r.base }

// push adds the next event: next is the position that holds once it and all before it
// are acknowledged. Positions never fall.
func (r *ring) push(next int64) {
	if r.len() == int64(len(r.slots)) {
		old := *r
		r.slots = make([]int64, max(16, 2*len(old.slots)))
		for s := r.base; s < r.next; s++ {
			r.slots[s&int64(len(r.slots)-1)] = old.slots[s&int64(len(old.slots)-1)]
		}
	}
	r.slots[r.next&int64(len(r.slots)-1)] = next
	r.next++
}

// done notes that an event is acknowledged, and gives the position to store; -1 if it
// did not move.
func (r *ring) done(seq int64) int64 {
	if seq < r.base || seq >= r.next {
		return -1
	}
	mask := int64(len(r.slots) - 1)
	if r.slots[seq&mask] >= 0 {
		r.slots[seq&mask] = ^r.slots[seq&mask]
	}
	at := int64(-1)
	for r.base < r.next && r.slots[r.base&mask] < 0 {
		at = ^r.slots[r.base&mask]
		r.base++
	}
	return at
}
