package elastic

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// refusing remembers which indices refuse documents until that is mended, and how much
// is taken beside what is refused. Any number of goroutines may use it; the zero value is
// ready for use.
type refusing struct {
	some atomic.Bool // there is an index that refuses

	mu      sync.Mutex
	indices map[string]*indexTrouble // guarded by mu
	began   time.Time                // of the window; guarded by mu
	window  [2]share                 // this one and the one before; guarded by mu
}

// indexTrouble is an index that refuses documents.
type indexTrouble struct {
	since, last time.Time
	why         *Refusal
}

// share is what became of documents that were sent for the first time.
type share struct{ taken, refused int }

const (
	shareWindow   = 10 * time.Second
	mostRefusing  = 1000 // indices that are remembered
	shownRefusing = 20   // of them in /status
)

// note notes that an index refuses a document.
func (r *refusing) note(index string, why *Refusal) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.indices[index]
	if t == nil {
		if r.indices == nil || len(r.indices) >= mostRefusing {
			r.indices = map[string]*indexTrouble{}
		}
		t = &indexTrouble{since: now}
		r.indices[index] = t
		r.some.Store(true)
	}
	t.last, t.why = now, why
}

// took notes that an index has taken a document, and reports for how long it refused
// them; 0: it did not.
func (r *refusing) took(index string) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.indices[index]
	if t == nil {
		return 0
	}
	delete(r.indices, index)
	r.some.Store(len(r.indices) > 0)
	return max(time.Since(t.since), 1)
}

// count notes how many documents were taken and refused of those that were sent for the
// first time.
func (r *refusing) count(taken, refused int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn()
	r.window[0].taken += taken
	r.window[0].refused += refused
}

// turn begins a new window when this one is over. The caller holds mu.
func (r *refusing) turn() {
	now := time.Now()
	switch past := now.Sub(r.began); {
	case past > 2*shareWindow:
		r.window, r.began = [2]share{}, now
	case past > shareWindow:
		r.window, r.began = [2]share{{}, r.window[0]}, now
	}
}

// mostTaken reports whether most documents were taken lately.
func (r *refusing) mostTaken() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn()
	return r.window[0].taken+r.window[1].taken > r.window[0].refused+r.window[1].refused
}

// lately is why an index has refused a document since a time and taken none; nil: it has
// not.
func (r *refusing) lately(index string, since time.Time) *Refusal {
	if !r.some.Load() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.indices[index]; t != nil && t.last.After(since) {
		return t.why
	}
	return nil
}

// IndexTrouble is an index that refuses documents, in /status.
type IndexTrouble struct {
	Index string    `json:"index"`
	Since time.Time `json:"since"`
	Error string    `json:"error"`
}

// len is how many indices refuse documents.
func (r *refusing) len() int {
	if !r.some.Load() {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.indices)
}

// list is some of the indices that refuse, those first that do so longest.
func (r *refusing) list() (some []IndexTrouble) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for index, t := range r.indices {
		some = append(some, IndexTrouble{index, t.since, t.why.Error()})
	}
	slices.SortFunc(some, func(a, b IndexTrouble) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Index, b.Index)) })
	return some[:min(len(some), shownRefusing)]
}
