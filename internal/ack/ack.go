// Package ack keeps the low-water mark of work that finishes out of order.
package ack

import "math/bits"

// Tracker follows the offsets of one partition (or any rising sequence) that were
// taken and not yet finished, and knows the offset below which all is finished: the
// only one that may be committed. Offsets that never come (compacted away, or
// transaction markers) count as finished as soon as a later one is taken.
//
// It costs one bit an offset between the mark and the newest one taken. A Tracker
// is not safe for concurrent use; its owner locks.
type Tracker struct {
	mark int64    // all below is finished
	next int64    // first offset not yet taken
	done []uint64 // ring of bits, one for each offset in [mark, next); len is a power of two
}

// New starts at the offset that will be taken first.
func New(from int64) *Tracker {
	return &Tracker{mark: from, next: from, done: make([]uint64, 16)}
}

// Take notes that the offset was handed out. Offsets must rise; one below those
// already taken is ignored and reported false, since it was taken before.
func (t *Tracker) Take(offset int64) bool {
	if offset < t.next {
		return false
	}
	if t.mark == t.next { // nothing is pending, so a gap of any size costs nothing
		t.mark, t.next = offset, offset
	}
	t.reserve(offset + 1)
	for o := t.next; o < offset; o++ {
		t.set(o)
	}
	t.next = offset + 1
	t.advance()
	return true
}

// Skip notes that no offset below end will be taken any more: those that were not are
// finished. It reports whether the mark moved.
func (t *Tracker) Skip(end int64) bool {
	from := t.mark
	if end <= t.next {
		return false
	}
	if t.mark == t.next {
		t.mark, t.next = end, end
		return true
	}
	t.reserve(end)
	for o := t.next; o < end; o++ {
		t.set(o)
	}
	t.next = end
	t.advance()
	return t.mark != from
}

// Done notes that the offset is finished, once or again, in any order. It reports
// whether the mark moved. Offsets that were not taken are ignored.
func (t *Tracker) Done(offset int64) bool {
	if offset < t.mark || offset >= t.next {
		return false
	}
	t.set(offset)
	return t.advance()
}

// Mark is the offset to resume from: all below it is finished.
func (t *Tracker) Mark() int64 { return t.mark }

// Next is the first offset not yet taken.
func (t *Tracker) Next() int64 { return t.next }

// Pending is how many offsets from the mark on were taken, finished ones after an
// unfinished one included.
func (t *Tracker) Pending() int64 { return t.next - t.mark }

func (t *Tracker) word(o int64) (*uint64, uint) {
	return &t.done[uint64(o)/64&uint64(len(t.done)-1)], uint(uint64(o) % 64)
}

func (t *Tracker) set(o int64) {
	w, b := t.word(o)
	*w |= 1 << b
}

// advance moves the mark over finished offsets, clearing their bits for reuse.
func (t *Tracker) advance() bool {
	from := t.mark
	for t.mark < t.next {
		w, b := t.word(t.mark)
		run := min(int64(bits.TrailingZeros64(^(*w >> b))), int64(64-b), t.next-t.mark)
		if run == 0 {
			break
		}
		*w &^= (1<<run - 1) << b
		t.mark += run
	}
	return t.mark != from
}

// reserve grows the ring until [mark, end) fits.
func (t *Tracker) reserve(end int64) {
	// A word may hold the end of the range and its start at once, so one is kept free.
	size := int64(len(t.done))
	for end-t.mark > (size-1)*64 {
		size *= 2
	}
	if size == int64(len(t.done)) {
		return
	}
	old := *t
	t.done = make([]uint64, size)
	for o := t.mark; o < t.next; o++ {
		if w, b := old.word(o); *w>>b&1 == 1 {
			t.set(o)
		}
	}
}
