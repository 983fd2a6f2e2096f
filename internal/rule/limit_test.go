package rule

import (
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	now := time.Unix(1000, 0)
	b := NewBucket(Rate{Events: 10, Burst: 2}, now)
	for i := range 20 {
		if w := b.Take(100, now); w != 0 {
			t.Fatalf("event %d waits %v, with 20 at once allowed", i, w)
		}
	}
	if w := b.Take(100, now); w < 99*time.Millisecond || w > 101*time.Millisecond {
		t.Errorf("event 21 waits %v, want 100ms", w)
	}
	if now = now.Add(101 * time.Millisecond); b.Take(1, now) != 0 || b.Take(1, now) == 0 {
		t.Error("not one event more after 100 ms")
	}
	if now = now.Add(time.Hour); !b.Idle(now) {
		t.Error("not full after an hour")
	}
	taken := 0
	for end := now.Add(100 * time.Second); now.Before(end); now = now.Add(time.Millisecond) {
		if b.Take(1, now) == 0 {
			taken++
		}
	}
	if taken < 1018 || taken > 1021 {
		t.Errorf("%d events in 100 s at 10 a second and 20 at once, want 1,020", taken)
	}
	if b.Take(1, now.Add(-time.Hour)) == 0 || b.Take(1, now.Add(-time.Hour+time.Second)) != 0 {
		t.Error("after the clock was set back the bucket does not fill")
	}
}

func TestBucketOwes(t *testing.T) {
	now := time.Unix(1000, 0)
	b := NewBucket(Rate{Events: 10, Bytes: 1000}, now)
	for range 10 {
		if w := b.Owe(50, now); w != 0 {
			t.Fatalf("an event waits %v within the burst", w)
		}
	}
	if w := b.Owe(50, now); w < 99*time.Millisecond || w > 101*time.Millisecond {
		t.Errorf("one more waits %v, want 100ms", w)
	}
	if w := b.Owe(2450, now); w < 1999*time.Millisecond || w > 2001*time.Millisecond {
		t.Errorf("2,000 bytes too many wait %v, want 2s", w)
	}
}

func TestBucketOfBytes(t *testing.T) {
	now := time.Unix(1000, 0)
	b := NewBucket(Rate{Bytes: 1000}, now)
	if b.Take(5000, now) != 0 {
		t.Error("an event larger than a full bucket has to wait for ever")
	}
	if w := b.Take(1000, now); w < 4999*time.Millisecond || w > 5001*time.Millisecond {
		t.Errorf("after 5,000 bytes at 1,000 a second the next waits %v, want 5s", w)
	}
	if now = now.Add(4500 * time.Millisecond); b.Take(400, now) != 0 {
		t.Error("500 bytes came in and 400 are not taken")
	}
}
