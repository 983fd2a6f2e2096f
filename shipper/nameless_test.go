package shipper

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/shipper/internal/shiptest"
)

// Who has a file open writes on when its name is gone; age counts from the last growth, and
// not even that while the process can be seen.
func TestAFileWithoutANameIsReadAsLongAsSomebodyWrites(t *testing.T) {
	f := func(name string, lose func(s *site) error) {
		t.Run(name, func(t *testing.T) {
			s := newSite(t).plain()
			s.cfg.Shipper.HoldDeleted = config.Duration(200 * time.Millisecond)
			s.start()
			s.append("web.log", "first\n")
			s.wait(1)
			w, err := os.OpenFile(s.path("web.log"), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			if err := lose(s); err != nil {
				t.Fatal(err)
			}
			s.append("web.log", "the next file\n")
			s.wait(2)
			want := []string{"first", "the next file"}
			for i := range 8 {
				time.Sleep(time.Duration(50*i) * time.Millisecond) // at last longer than hold_deleted
				line := fmt.Sprintf("written without a name %d", i)
				if _, err := w.WriteString(line + "\n"); err != nil {
					t.Fatal(err)
				}
				want = append(want, line)
			}
			s.wait(len(want))
			s.want(want...)
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			s.until("closed file", func() bool { return s.counter("shipper_open_files") == 1 })
			if n := s.counter("shipper_given_up_files_total") + s.counter("shipper_left_open_files_total"); n != 0 {
				t.Errorf("%v files given up", n)
			}
		})
	}
	f("deleted", func(s *site) error { return os.Remove(s.path("web.log")) })
	f("renamed to what nothing matches", func(s *site) error { return os.Rename(s.path("web.log"), s.path("gone")) })
	f("moved away", func(s *site) error { return os.Rename(s.path("web.log"), s.dir+"/web.log") })
}

// dockerd has the log of a container open as long as that runs.
func TestTheDeletedLogOfARunningContainerIsReadUntilItEnds(t *testing.T) {
	s := newSite(t)
	s.cfg.Shipper.HoldDeleted = config.Duration(100 * time.Millisecond)
	d := s.docker()
	id := fakeID(1)
	d.add(fakeContainer{ID: id, Name: "web"}, true)
	shiptest.Append(t, d.log(id), dockerJSON("stdout", "first\n", time.Now()))
	s.start()
	s.wait(1)
	w, err := os.OpenFile(d.log(id), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := os.Remove(d.log(id)); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		time.Sleep(300 * time.Millisecond)
		if _, err := w.WriteString(dockerJSON("stdout", fmt.Sprintf("line %d\n", i), time.Now())); err != nil {
			t.Fatal(err)
		}
		s.wait(2 + i)
	}
	d.mu.Lock()
	d.containers[id].State = "exited"
	d.mu.Unlock()
	d.event("die", id)
	s.until("closed file", func() bool { return s.counter("shipper_open_files") == 0 })
}
