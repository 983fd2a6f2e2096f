package retry

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPauseDoubles(t *testing.T) {
	f := func(b Backoff, failed int, want time.Duration) {
		t.Helper()
		lowest, highest := time.Duration(1<<63-1), time.Duration(0)
		for range 1000 {
			d := b.Pause(failed)
			lowest, highest = min(lowest, d), max(highest, d)
		}
		if lowest < want/2 || highest > want || highest-lowest < want/4 {
			t.Errorf("%v after %d: %v to %v, want %v to %v", b, failed, lowest, highest, want/2, want)
		}
	}
	b := Backoff{50 * time.Millisecond, 5 * time.Second}
	f(b, 0, b.First)
	f(b, 1, b.First)
	f(b, 2, 2*b.First)
	f(b, 7, 64*b.First)
	f(b, 8, b.Longest)
	f(b, 1<<30, b.Longest)
	f(Backoff{time.Hour, time.Second}, 1, time.Second)
	f(Backoff{time.Second, 1<<63 - 1}, 20, time.Second<<19)
	f(Backoff{time.Second, 1<<63 - 1}, 1<<30, 1<<63-1)
	if d := (Backoff{}).Pause(1 << 62); d != 0 {
		t.Errorf("without times: %v", d)
	}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := Wait(t.Context(), time.Minute); err != nil || time.Since(began) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := Wait(ctx, time.Minute); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute+time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestBackoff(t *testing.T) {
	b := Backoff{10 * time.Millisecond, time.Second}
	for failed := 1; failed < 200; failed++ {
		most := time.Second
		if failed < 8 {
			most = min(most, 10*time.Millisecond<<(failed-1))
		}
		if d := b.Pause(failed); d < most/2 || d > most {
			t.Fatalf("Pause(%d) = %v, want %v to %v", failed, d, most/2, most)
		}
	}
}
