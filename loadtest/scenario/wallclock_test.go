//go:build linux

package scenario

import (
	"strings"
	"testing"
	"time"
)

// A step of nothing goes the whole way where the clock may be set, and is refused elsewhere.
func TestStepClock(t *testing.T) {
	var out strings.Builder
	before := time.Now()
	err := StepClock(0, strings.NewReader(""), &out)
	steady, wall := time.Since(before), time.Now().Round(0).Sub(before.Round(0))
	if why := clockKept(); why != "" {
		if err == nil || out.Len() > 0 {
			t.Errorf("%s, yet it said %q, %v", why, out.String(), err)
		}
		return
	}
	if err != nil || out.String() != "stepped\n" {
		t.Errorf("said %q, %v", out.String(), err)
	}
	if d := (wall - steady).Abs(); d > time.Second {
		t.Errorf("the clock was right before, and is %v off", d)
	}
}
