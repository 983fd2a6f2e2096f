package elastic

import (
	"context"
	"sync"
)

// limiter bounds the requests under way. The bound follows the answers: one more after
// a request that went well while all permits were in use, half after a pushback
// (additive increase, multiplicative decrease). Safe for concurrent use.
type limiter struct {
	mu      sync.Mutex
	limit   int
	max     int
	busy    int
	halved  int // how often the bound was halved
	waiting []chan struct{}
	changed func(limit int) // called with every change, under the lock
}

// permit is the right to have one request under way.
type permit struct {
	halved int  // when it was given
	full   bool // all permits were in use then
}

func newLimiter(start, most int, changed func(int)) *limiter {
	l := &limiter{limit: min(max(start, 1), max(most, 1)), max: max(most, 1), changed: changed}
	changed(l.limit)
	return l
}

// acquire waits for a permit, in the order of the callers.
func (l *limiter) acquire(ctx context.Context) (permit, error) {
	if err := ctx.Err(); err != nil {
		return permit{}, err
	}
	l.mu.Lock()
	if l.busy < l.limit && len(l.waiting) == 0 {
		p := l.take()
		l.mu.Unlock()
		return p, nil
	}
	turn := make(chan struct{})
	l.waiting = append(l.waiting, turn)
	l.mu.Unlock()
	select {
	case <-turn: // busy was raised for us
		l.mu.Lock()
		defer l.mu.Unlock()
		return permit{l.halved, true}, nil
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		for i, w := range l.waiting {
			if w == turn {
				l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
				return permit{}, ctx.Err()
			}
		}
		l.busy-- // it was our turn at the same moment
		l.wake()
		return permit{}, ctx.Err()
	}
}

func (l *limiter) take() permit {
	l.busy++
	return permit{l.halved, l.busy >= l.limit}
}

// wake lets those go on for whom there is room; the lock is held.
func (l *limiter) wake() {
	for l.busy < l.limit && len(l.waiting) > 0 {
		close(l.waiting[0])
		l.waiting = l.waiting[1:]
		l.busy++
	}
}

// release gives the permit back.
func (l *limiter) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy--
	l.wake()
}

// good notes that a request under this permit was taken whole.
func (l *limiter) good(p permit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.full && p.halved == l.halved && l.limit < l.max {
		l.limit++
		l.changed(l.limit)
		l.wake()
	}
}

// pushback notes that the cluster asked for less. Requests that were sent before the
// bound was halved do not halve it again.
func (l *limiter) pushback(p permit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.halved != l.halved {
		return
	}
	l.halved++
	if l.limit > 1 {
		l.limit = l.limit / 2
		l.changed(l.limit)
	}
}

func (l *limiter) state() (limit, busy, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limit, l.busy, len(l.waiting)
}
