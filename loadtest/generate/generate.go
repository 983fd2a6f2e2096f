// Package generate writes lines whose text says which source wrote them and with which
// sequence number, as Docker's logs, as plain files or as events in Kafka, at a pace or flat
// out, and keeps a ledger of what was written.
package generate

import (
	"context"
	"time"

	"github.com/sluicelog/sluice/loadtest/wait"
)

// Writer puts lines where a stage reads them. It is for one goroutine.
type Writer interface {
	// WriteNext draws the next line and writes it, maybe to memory.
	WriteNext(l *Lines) error
	// Flush hands over what is held in memory. It is called often.
	Flush(now time.Time) error
	// Close flushes all and ends.
	Close() error
	// Ledger is what was written so far.
	Ledger() *Ledger
}

// Generated is what Generate did.
type Generated struct {
	Lines   int64
	Bytes   int64 // with all that the format puts around lines
	Elapsed time.Duration
	Late    time.Duration // the most that a line was late; 0 when flat out
}

const (
	flushEvery = 10 * time.Millisecond // so much later than due a line may reach its file
	checkEvery = 64                    // lines between two looks at the clock, flat out
)

// Run draws lines at a pace and writes them until the pace or ctx ends, which is
// no error. Progress may be nil; it is called about ten times a second.
func Run(ctx context.Context, l *Lines, p Pace, w Writer, progress func(Generated)) (Generated, error) {
	var g Generated
	start := time.Now()
	flushed, told := start, start
	for now, n := start, int64(0); ctx.Err() == nil; n++ {
		if p.Rate > 0 || n%checkEvery == 0 {
			now = time.Now()
		}
		elapsed := now.Sub(start)
		rest, stop := p.Next(elapsed, n)
		if rest > 0 || stop || now.Sub(flushed) >= flushEvery {
			if err := w.Flush(now); err != nil {
				return g, err
			}
			flushed = now
		}
		if stop {
			break
		}
		if p.Rate > 0 {
			g.Late = max(g.Late, elapsed-p.Due(n))
		}
		if progress != nil && now.Sub(told) >= 100*time.Millisecond {
			told = now
			progress(g.so(n, elapsed))
		}
		if rest > 0 {
			wait.Sleep(ctx, max(rest, flushEvery/2))
			n--
			continue
		}
		if err := w.WriteNext(l); err != nil {
			return g, err
		}
	}
	err := w.Close()
	g = g.so(l.Sent(), time.Since(start))
	_, _, g.Bytes = w.Ledger().Total()
	return g, err
}

func (g Generated) so(lines int64, elapsed time.Duration) Generated {
	g.Lines, g.Elapsed = lines, elapsed
	return g
}
