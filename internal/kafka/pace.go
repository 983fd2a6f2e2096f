package kafka

import (
	"sync"
	"time"
)

// pace keeps what is fetched from all brokers of a cluster below a rate, by putting off the
// next request after each answer.
type pace struct {
	rate int64 // bytes a second; 0: any

	mu   sync.Mutex
	next time.Time // guarded by mu
}

// took notes what came.
func (p *pace) took(n int) {
	if p.rate <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
}

// pause is how long to wait before the next request.
func (p *pace) pause() time.Duration {
	if p.rate <= 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Until(p.next)
}
