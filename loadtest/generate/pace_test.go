package generate

import (
	"testing"
	"testing/quick"
	"time"
)

func TestPace(t *testing.T) {
	f := func(p Pace, elapsed time.Duration, sent int64, wait time.Duration, stop bool) {
		t.Helper()
		if w, s := p.Next(elapsed, sent); w != wait || s != stop {
			t.Errorf("%+v.Next(%v, %d) = %v, %v, want %v, %v", p, elapsed, sent, w, s, wait, stop)
		}
	}
	f(Pace{Rate: 10}, 0, 0, 0, false)
	f(Pace{Rate: 10}, 0, 1, 100*time.Millisecond, false)
	f(Pace{Rate: 10}, time.Second, 1, 0, false) // late: at once
	f(Pace{Rate: 10}, time.Second, 10, 0, false)
	f(Pace{Rate: 10}, time.Second, 12, 200*time.Millisecond, false)
	f(Pace{Rate: 10, Lines: 5}, 0, 5, 0, true)
	f(Pace{Rate: 10, For: time.Second}, time.Second, 2, 0, true)
	f(Pace{Rate: 10, For: time.Second}, 900*time.Millisecond, 10, 100*time.Millisecond, false) // then it stops
	f(Pace{}, time.Hour, 1<<40, 0, false)
	f(Pace{Lines: 7}, time.Hour, 6, 0, false)
	f(Pace{Lines: 7}, 0, 7, 0, true)
}

// Waiting as told never sends a line before it is due, nor the next one late.
func TestPaceKeepsTheRate(t *testing.T) {
	if err := quick.Check(func(rate uint16, sent uint32, late uint32) bool {
		p := Pace{Rate: float64(rate) + 1}
		elapsed := time.Duration(late)
		wait, stop := p.Next(elapsed, int64(sent))
		due := p.Due(int64(sent))
		return !stop && elapsed+wait == max(due, elapsed)
	}, &quick.Config{MaxCount: 10_000}); err != nil {
		t.Error(err)
	}
}

func TestPaceShare(t *testing.T) {
	f := func(p Pace, sent int64, elapsed time.Duration, want float64) {
		t.Helper()
		if got := p.Share(sent, elapsed); got != want {
			t.Errorf("%+v after %d lines, %v: %v, want %v", p, sent, elapsed, got, want)
		}
	}
	f(Pace{}, 5, time.Second, -1)
	f(Pace{Lines: 10}, 5, time.Second, 0.5)
	f(Pace{For: 4 * time.Second}, 5, time.Second, 0.25)
	f(Pace{Lines: 10, For: 4 * time.Second}, 5, time.Second, 0.5)
}
