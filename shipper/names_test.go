package shipper

import (
	"github.com/sluicelog/sluice/shipper/internal/shiptest"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/sluicelog/sluice/config"
)

// A rotation that keeps the ending gives a name that the glob matches as well.
func TestFileRenamedToAnotherFollowedNameIsNotSentAgain(t *testing.T) {
	s := newSite(t).plain()
	s.cfg.Shipper.HoldDeleted = config.Duration(50 * time.Millisecond)
	s.append("web.log", lines("a", 0, 20))
	s.start()
	s.wait(20)
	s.rename("web.log", "web-1.log")
	s.append("web.log", "new\n")
	s.wait(21)
	s.until("closed file", func() bool { return s.counter("shipper_open_files") == 1 })
	time.Sleep(10 * s.cfg.Shipper.Scan.D())
	s.settle()
	if len(s.order) != 21 {
		t.Errorf("%d records, want 21", len(s.order))
	}
	s.append("web-1.log", "late, by a writer that has the old file open\n")
	s.wait(22)
}

func TestFilesAreNotForgottenWhileTheirNamesCannotBeLookedAt(t *testing.T) {
	s := newSite(t).plain()
	s.cfg.Shipper.Files[0].FollowLinks = true // else the loop below is not looked at
	s.cfg.Shipper.HoldDeleted = config.Duration(50 * time.Millisecond)
	s.append("web.log", lines("a", 0, 20))
	s.start()
	s.wait(20)
	s.rename("web.log", "web.log.1")
	s.append("web.log", "new\n")
	s.wait(21)
	s.until("closed file", func() bool { return s.counter("shipper_open_files") == 1 })
	s.rename("web.log", "kept")
	if err := os.Symlink("web.log", s.path("web.log")); err != nil { // a loop: neither there nor not there
		t.Fatal(err)
	}
	s.until("error", func() bool { return s.logged("cannot follow file") })
	time.Sleep(10 * s.cfg.Shipper.Scan.D())
	if err := os.Remove(s.path("web.log")); err != nil {
		t.Fatal(err)
	}
	s.rename("kept", "web.log")
	s.append("web.log", "end\n")
	s.wait(22)
	s.settle()
	if len(s.order) != 22 {
		t.Errorf("%d records, want 22", len(s.order))
	}
}

// A crash of the host may leave half a line at the end of a json-file that is rotated
// afterwards.
func TestTornEndOfARotatedJSONFileIsSentAndTheFileClosed(t *testing.T) {
	s := newSite(t)
	d := s.docker()
	id := fakeID(1)
	d.add(fakeContainer{ID: id, Name: "web"}, true)
	log := d.log(id)
	shiptest.Append(t, log, dockerJSON("stdout", "whole\n", time.Now())+`{"log":"to`)
	s.start()
	s.wait(1)
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	shiptest.Append(t, log, dockerJSON("stdout", "next\n", time.Now()))
	s.wait(3)
	if e := s.only(`{"log":"to`); !slices.Contains(e.Log.Flags, "torn") || !slices.Contains(e.Log.Flags, "partial") {
		t.Errorf("flags %q", e.Log.Flags)
	}
	s.until("closed file", func() bool { return s.counter("shipper_open_files") == 1 })
}
