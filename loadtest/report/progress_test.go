//go:build linux

package report

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

func TestBarLine(t *testing.T) {
	f := func(share float64, spent time.Duration, width int, want string) {
		t.Helper()
		if got := barLine(share, spent, "shipper: 5 of 9", width); got != want {
			t.Errorf("%v after %v:\n got %q\nwant %q", share, spent, got, want)
		}
	}
	f(-1, 3*time.Second, 100, "3s  shipper: 5 of 9")
	f(0, 3*time.Second, 100, "[........................]   0%  shipper: 5 of 9")
	f(0.25, 30*time.Second, 100, "[######..................]  25%, 1m30s left  shipper: 5 of 9")
	f(0.75, 30*time.Minute, 100, "[##################......]  75%, 10m0s left  shipper: 5 of 9")
	f(1, time.Minute, 100, "[########################] 100%  shipper: 5 of 9")
	f(1.5, time.Minute, 40, "[########################] 100%  shipper")
}

// Where there is no terminal, a line comes each few seconds, and each result at once.
func TestBarWithoutTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := NewBar(&out)
		for i := range 12 {
			b.Show(float64(i)/12, "working")
			time.Sleep(time.Second)
		}
		b.Show(1, "done\n")
		b.End()
		const want = "0s  0%  working\n5s  42%, 7s left  working\n10s  83%, 2s left  working\n12s  done\n"
		if got := out.String(); got != want {
			t.Errorf("got %q\nwant %q", got, want)
		}
	})
}
