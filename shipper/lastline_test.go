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

// A container that cannot start says why again and again, without a newline each time.
func TestEachRunOfAContainerSaysItsLastLine(t *testing.T) {
	s := newSite(t)
	d := s.docker()
	d.add(fakeContainer{ID: fakeID(1), Name: "web", State: "exited"}, true)
	at := time.Now().Add(-time.Minute)
	for i := range 7 {
		shiptest.Append(t, d.log(fakeID(1)), dockerJSON("stderr", "fatal: no config", at.Add(time.Duration(i)*time.Second)))
	}
	s.start()
	s.wait(7)
	for _, e := range s.events {
		if e.Message != "fatal: no config" || !slices.Equal(e.Log.Flags, []string{"partial"}) {
			t.Errorf("%q %q", e.Message, e.Log.Flags)
		}
	}
	s.positionsDone()
	s.stop()
	s.start()
	s.settle()
	if len(s.order) != 7 {
		t.Errorf("%d records, want 7", len(s.order))
	}
}
