package shipper

// window is the events of one file that are under way, in the order of the file, and
// the position that may be stored when all up to one are acknowledged. Acks may come in
// any order. It costs eight bytes an event and is owned by the file's lock.
type window struct {
	base int64   // sequence number of the oldest event under way
	next int64   // sequence number of the next event
	ring []int64 // by sequence number: the position, or its complement once acknowledged; len is a power of two
}

// push adds the next event: safe is the position that holds once it and all before it
// are acknowledged. Positions never fall.
func (w *window) push(safe int64) {
	if w.next-w.base == int64(len(w.ring)) {
		old := *w
		w.ring = make([]int64, max(16, 2*len(old.ring)))
		for s := w.base; s < w.next; s++ {
			w.ring[s&int64(len(w.ring)-1)] = old.ring[s&int64(len(old.ring)-1)]
		}
	}
	w.ring[w.next&int64(len(w.ring)-1)] = safe
	w.next++
}

// done notes that an event is acknowledged, and gives the position to store; -1 if it
// did not move.
func (w *window) done(seq int64) int64 {
	if seq < w.base || seq >= w.next {
		return -1
	}
	mask := int64(len(w.ring) - 1)
	if w.ring[seq&mask] >= 0 {
		w.ring[seq&mask] = ^w.ring[seq&mask]
	}
	at := int64(-1)
	for w.base < w.next && w.ring[w.base&mask] < 0 {
		at = ^w.ring[w.base&mask]
		w.base++
	}
	return at
}

func (w *window) empty() bool { return w.base == w.next }
