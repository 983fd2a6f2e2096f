package bulk

import (
	"slices"
	"sync"
)

// Waiting is bulks whose documents were refused and wait to be sent again, joined into as
// few as they fill. The zero Waiting is ready for use, by any number of goroutines.
type Waiting struct {
	mu    sync.Mutex
	bulks []*Bulk // they and what they hold are guarded by mu
}

// Join adds what a bulk holds to one that waits, if there is one with room for it within
// so many bytes and documents, and reports whether it did; the caller may then free it.
// If not, the bulk is now one that waits, until it leaves, and others may join it.
func (w *Waiting) Join(b *Bulk, bytes, count int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.bulks {
		if len(o.Items)+len(b.Items) <= count && len(o.Buf)+len(b.Buf) <= bytes {
			o.take(b)
			return true
		}
	}
	w.bulks = append(w.bulks, b)
	return false
}

// Leave makes the bulk its sender's alone again.
func (w *Waiting) Leave(b *Bulk) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bulks = slices.DeleteFunc(w.bulks, func(o *Bulk) bool { return o == b })
}
