package shipper

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicelog/sluice/shipper/internal/shiptest"
)

// A file may be made long before it is written, and pages of a network file system come in
// any order: NULs at its end may be filled in yet.
func TestNULsAtTheEndAreNotReadBeforeTheyAreFilledIn(t *testing.T) {
	s := newSite(t).plain()
	s.append("web.log", "a\n"+strings.Repeat("\x00", 5000)) // written
	s.append("big.log", "big\n")
	if err := os.Truncate(s.path("big.log"), 9<<20); err != nil { // a hole
		t.Fatal(err)
	}
	fill := func(name, text string, at int64) {
		t.Helper()
		f, err := os.OpenFile(s.path(name), os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteAt([]byte(text), at)
			err = joinErr(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.start()
	s.wait(2)
	s.positionsDone()
	fill("web.log", "b\nhal", 2)
	fill("big.log", "one\n", 4)
	s.wait(4)
	fill("web.log", "f\n", 7)
	fill("big.log", "two\n", 8)
	s.wait(6)
	s.positionsDone()
	s.stop()
	fill("web.log", "c\n", 9)
	s.start()
	s.wait(7)
	fill("big.log", "far\n", 8<<20) // what is before it will not be filled in
	s.wait(8)
	s.settle()
	s.want("a", "b", "half", "c", "big", "one", "two", "far")
	if n := s.counter("shipper_truncations_total"); n != 0 || len(s.order) != 8 {
		t.Errorf("%v truncations, %d records", n, len(s.order))
	}
	if err := os.Remove(s.path("web.log")); err != nil { // now nobody writes to it
		t.Fatal(err)
	}
}

// On an overlay file system a file of a lower layer is another once it is written to, with
// another birth; an open descriptor shows what was there before.
func TestAFileThatIsCopiedUpGoesOn(t *testing.T) {
	s := newSite(t).plain()
	for _, d := range []string{"lower", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(s.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"web.log", "later.log"} {
		shiptest.Append(t, filepath.Join(s.dir, "lower", name), name+" one\n"+name+" two\n")
	}
	layers := "lowerdir=" + s.dir + "/lower,upperdir=" + s.dir + "/upper,workdir=" + s.dir + "/work"
	if err := unix.Mount("overlay", s.path(""), "overlay", 0, layers); err != nil {
		t.Skip("no overlay file system can be mounted here: ", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(s.path(""), unix.MNT_DETACH) })
	time.Sleep(20 * time.Millisecond) // another birth
	s.start()
	s.wait(4)
	s.positionsDone()
	s.append("web.log", "three\n") // copied up under an open descriptor
	s.wait(5)
	s.positionsDone()
	s.append("web.log", "four\n")
	s.wait(6)
	s.positionsDone()
	s.stop()
	s.append("later.log", "five\n") // and while nobody looks
	s.start()
	s.wait(7)
	s.positionsDone()
	s.stop()
	s.start()
	s.settle()
	if len(s.order) != 7 {
		t.Errorf("%d records, want 7", len(s.order))
	}
}
