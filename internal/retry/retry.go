// Package retry says how long to wait before something that failed is tried again.
package retry

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is a pause that doubles from First to Longest, with jitter, so that those who
// failed together do not return together. It is a value: any number of goroutines may
// use it.
type Backoff struct{ First, Longest time.Duration }

// Pause is how long to wait after so many failed tries in a row (from 1): half of it is
// fixed, the other half random.
func (b Backoff) Pause(failed int) time.Duration {
	d := min(b.First, b.Longest)
	for n := 1; n < failed && 0 < d && d < b.Longest; n++ {
		d += min(d, b.Longest-d)
	}
	return Jitter(d)
}

// Jitter is between half of d and d.
func Jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}

// Wait returns after d, or when ctx ends, which is the error.
func Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
