//go:build linux

package scenario

import (
	"context"
	"fmt"

	"github.com/sluicelog/sluice/loadtest/balance"
	"github.com/sluicelog/sluice/loadtest/site"
	"github.com/sluicelog/sluice/loadtest/wait"
)

// rise is how far the counters of stages rise while a scenario plays. A life of a process
// takes its counters with it when it ends, so they are read just before. It is for one
// goroutine.
type rise struct {
	start map[int]balance.Figures // by life, which is a process: when the play began
	past  balance.Figures         // of lives that are over
}

// begin is at the start of the play.
func (r *rise) begin(ctx context.Context, stages map[string]*site.Stage) error {
	r.start, r.past = map[int]balance.Figures{}, balance.Figures{}
	for _, g := range stages {
		if err := wait.Until(ctx, wait.Patient, func() (err error) {
			r.start[g.PID()], err = g.Figures(ctx)
			return err
		}); err != nil {
			return fmt.Errorf("read the counters of %s: %w", g.Name, err)
		}
	}
	return nil
}

// ends is before a life ends. One that does not answer has not shown anything.
func (r *rise) ends(ctx context.Context, g *site.Stage) {
	if g.Running() {
		r.add(ctx, r.past, g)
	}
}

// figures are the sums over all stages and their lives so far.
func (r *rise) figures(ctx context.Context, stages map[string]*site.Stage) balance.Figures {
	sum := balance.Figures{}
	for name, n := range r.past {
		sum[name] = n
	}
	for _, g := range stages {
		r.add(ctx, sum, g)
	}
	return sum
}

// add is for counters: a life that began during the play has all that it counts from then.
func (r *rise) add(ctx context.Context, to balance.Figures, g *site.Stage) {
	f, err := g.Figures(ctx)
	if err != nil {
		return // Finish reports it
	}
	before := r.start[g.PID()]
	for name, n := range f {
		to[name] += n - before[name]
	}
}
