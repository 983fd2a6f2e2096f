package document

import (
	"sync"
	"time"
)

// OpenIndices bounds how many indices an output writes to at a time. An index is open
// while it was written to within the last hour. What is one too many is not written
// elsewhere, since an event read again would then be there twice: it waits. Any number of
// goroutines may use it.
type OpenIndices struct {
	most int

	mu    sync.Mutex
	used  map[string]time.Time // when an index was written to last, about; guarded by mu
	swept time.Time            // when those were forgotten that are not open any more; guarded by mu
}

const (
	openFor  = time.Hour
	openNote = time.Minute // a partition notes an index that it writes to this often
)

// NewOpenIndices lets so many indices be open at a time.
func NewOpenIndices(most int) *OpenIndices {
	return &OpenIndices{most: most, used: map[string]time.Time{}}
}

// Most is how many indices may be open.
func (x *OpenIndices) Most() int { return x.most }

// use notes that an index is written to, if it may be.
func (x *OpenIndices) use(name string, now time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, ok := x.used[name]; !ok && len(x.used) >= x.most {
		if x.sweep(now); len(x.used) >= x.most {
			return false
		}
	}
	x.used[name] = now
	return true
}

// sweep forgets the indices that are not open any more, once a second at most. The caller
// holds mu.
func (x *OpenIndices) sweep(now time.Time) {
	if now.Sub(x.swept) < time.Second {
		return
	}
	x.swept = now
	for name, at := range x.used {
		if now.Sub(at) > openFor {
			delete(x.used, name)
		}
	}
}

// Len is how many indices are open.
func (x *OpenIndices) Len() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sweep(time.Now())
	return len(x.used)
}
