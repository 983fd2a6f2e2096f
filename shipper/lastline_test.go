package shipper

import (
	"slices"
	"testing"
	"time"

	"github.com/sluicelog/sluice/shipper/internal/shiptest"
)

// A container's last words have no newline if it was killed while it wrote them.
func TestLastLineOfAnEndedContainerIsSentAsPartial(t *testing.T) {
	s := newSite(t)
	d := s.docker()
	d.add(fakeContainer{ID: fakeID(1), Name: "web"}, true)
	shiptest.Append(t, d.log(fakeID(1)), dockerJSON("stdout", "a line\n", time.Now())+dockerJSON("stdout", "no end", time.Now()))
	s.start()
	s.wait(1)
	s.settle()
	s.wait(1) // it may still go on
	d.mu.Lock()
	d.containers[fakeID(1)].State = "exited"
	d.mu.Unlock()
	d.event("die", fakeID(1))
	s.wait(2)
	if e := s.only("no end"); !slices.Equal(e.Log.Flags, []string{"partial"}) || e.Stream != "stdout" {
		t.Errorf("%+v", e)
	}
	s.until("closed file", func() bool { return s.counter("shipper_open_files") == 0 })
	d.mu.Lock()
	d.containers[fakeID(1)].State = "running"
	d.mu.Unlock()
	d.event("start", fakeID(1))
	d.write(fakeID(1), "stdout", "started again")
	s.wait(3)
	s.positionsDone()
	s.settle()
	if len(s.order) != 3 {
		t.Errorf("%d records, want 3", len(s.order))
	}
}
