package elastic

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimiterFollowsTheAnswers(t *testing.T) {
	changed := 0
	l := newLimiter(2, 5, func(n int) { changed = n })
	ctx := context.Background()
	take := func(n int) (ps []permit) {
		for range n {
			p, err := l.acquire(ctx)
			if err != nil {
				t.Fatal(err)
			}
			ps = append(ps, p)
		}
		return ps
	}
	f := func(what string, want int) {
		t.Helper()
		if got, _, _ := l.state(); got != want || changed != want {
			t.Errorf("%s: limit %d, changed to %d, want %d", what, got, changed, want)
		}
	}
	f("start", 2)
	p := take(1)
	l.good(p[0])
	l.release()
	f("good, but not all permits were in use", 2)
	for want := 3; want <= 5; want++ {
		p = take(want - 1)
		l.good(p[len(p)-1])
		f("good and full", want)
		for range p {
			l.release()
		}
	}
	p = take(5)
	l.good(p[4])
	f("not above the maximum", 5)
	l.pushback(p[0])
	f("pushback", 2)
	l.pushback(p[1])
	f("pushback of a request sent before the last one", 2)
	l.good(p[2])
	f("good, but sent before the pushback", 2)
	for range p {
		l.release()
	}
	p = take(1)
	l.pushback(p[0])
	l.release()
	f("pushback again", 1)
	p = take(1)
	l.pushback(p[0])
	l.release()
	f("never below one", 1)
}

// However many come, no more are under way than allowed, all have their turn, and one
// that gives up takes nobody's place.
func TestLimiterBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(3, 3, func(int) {})
		var mu sync.Mutex
		busy, most, turns := 0, 0, 0
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				ctx := context.Background()
				if i%5 == 0 {
					c, cancel := context.WithTimeout(ctx, time.Millisecond)
					defer cancel()
					ctx = c
				}
				if _, err := l.acquire(ctx); err != nil {
					return
				}
				mu.Lock()
				busy++
				turns++
				most = max(most, busy)
				mu.Unlock()
				time.Sleep(10 * time.Millisecond)
				mu.Lock()
				busy--
				mu.Unlock()
				l.release()
			})
		}
		all.Wait()
		if _, left, waiting := l.state(); most != 3 || turns < 40 || left != 0 || waiting != 0 {
			t.Errorf("%d at once, %d turns, %d left, %d waiting", most, turns, left, waiting)
		}
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := l.acquire(ended); err == nil {
			t.Error("a permit after the end")
		}
	})
}
