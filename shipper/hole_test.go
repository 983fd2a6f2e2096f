package shipper

import (
	"os"
	"slices"
	"testing"

	"github.com/sluicelog/sluice/shipper/internal/shiptest"
)

// A file that was truncated under a writer that goes on at its old offset begins with a
// hole, which is nobody's text.
func TestAHoleIsNoText(t *testing.T) {
	s := newSite(t).plain()
	const n = 3 << 20
	s.append("web.log", "before\ncut")
	if err := os.Truncate(s.path("web.log"), n); err != nil {
		t.Fatal(err)
	}
	shiptest.Append(t, s.path("web.log"), "after\n")
	s.start()
	s.wait(3)
	s.settle()
	s.want("before", "cut", "after")
	after := s.only("after")
	if after.Log.Offset != int64(len("before\ncut")) || after.Log.Size != n-int64(len("before\ncut"))+int64(len("after\n")) || !slices.Equal(after.Log.Flags, []string{"hole"}) {
		t.Errorf("%+v", after.Log)
	}
	if got, want := s.counter("shipper_hole_bytes_total"), float64(n-len("before\ncut")); got != want {
		t.Errorf("%v bytes of holes, want %v", got, want)
	}
}
