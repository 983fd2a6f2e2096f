package generate

import "time"

// Pace says when the next line is due.
type Pace struct {
	Rate  float64       // lines a second; 0: flat out
	Lines int64         // stop after so many; 0: no limit
	For   time.Duration // stop after this time; 0: no limit
}

// Next is a pure function of the time since the start and of the lines sent so far.
// What is late is caught up: the n-th line is due at n/Rate, however long others took.
// Wait is 0 when a line is due now.
func (p Pace) Next(elapsed time.Duration, sent int64) (wait time.Duration, stop bool) {
	if p.Lines > 0 && sent >= p.Lines || p.For > 0 && elapsed >= p.For {
		return 0, true
	}
	if p.Rate <= 0 {
		return 0, false
	}
	due := p.Due(sent)
	if p.For > 0 && due >= p.For {
		return max(0, p.For-elapsed), elapsed >= p.For
	}
	return max(0, due-elapsed), false
}

// Due is when line n is due after the start; 0 when flat out.
func (p Pace) Due(n int64) time.Duration {
	if p.Rate <= 0 {
		return 0
	}
	return time.Duration(float64(n) / p.Rate * float64(time.Second))
}

// Share is how much is done after so many lines and such a time; below 0 without a limit.
func (p Pace) Share(sent int64, elapsed time.Duration) float64 {
	share := -1.0
	if p.Lines > 0 {
		share = float64(sent) / float64(p.Lines)
	}
	if p.For > 0 {
		share = max(share, float64(elapsed)/float64(p.For))
	}
	return share
}
