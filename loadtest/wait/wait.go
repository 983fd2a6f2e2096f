// Package wait waits for what others bring about, no longer than a context lasts.
package wait

import (
	"context"
	"time"
)

// Patient is how long something may take that is sure to come; a slow machine at work needs some of it.
const Patient = 2 * time.Minute

// Until tries until it is nil or the time is over.
func Until(ctx context.Context, within time.Duration, try func() error) error {
	for end := time.Now().Add(within); ; Sleep(ctx, 50*time.Millisecond) {
		err := try()
		if err == nil || time.Now().After(end) || ctx.Err() != nil {
			return err
		}
	}
}

// Sleep ends early with ctx.
func Sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
