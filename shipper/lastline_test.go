package shipper

import (
	"slices"
	"testing"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/shipper/internal/shiptest"
	"github.com/sluicelog/sluice/shipper/position"
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

// A prompt, or the last words of a program that hangs, are not waited for without end.
func TestALastLineWithoutNewlineIsSentAfterAWhile(t *testing.T) {
	s := newSite(t).plain()
	s.cfg.Shipper.PartialAfter = config.Duration(200 * time.Millisecond)
	d := s.docker()
	d.add(fakeContainer{ID: fakeID(1), Name: "web"}, true)
	shiptest.Append(t, d.log(fakeID(1)), dockerJSON("stdout", "Password: ", time.Now()))
	s.append("web.log", "whole\nno end")
	s.start()
	s.wait(3)
	for _, m := range []string{"no end", "Password: "} {
		if e := s.only(m); !slices.Equal(e.Log.Flags, []string{"partial"}) {
			t.Errorf("%q: %q", m, e.Log.Flags)
		}
	}
	s.positionsDone()
	s.append("web.log", " of this\nnext\n")
	shiptest.Append(t, d.log(fakeID(1)), dockerJSON("stdout", "wrong\n", time.Now()))
	s.wait(6)
	if e := s.only(" of this"); len(e.Log.Flags) > 0 || e.Log.Offset != int64(len("whole\nno end")) || e.Log.Size != int64(len(" of this\n")) {
		t.Errorf("%+v", e.Log)
	}
	s.only("wrong")
	s.positionsDone()
	s.stop()
	n := len(s.order)
	s.append("web.log", "x")
	s.start()
	s.wait(7)
	s.settle()
	if len(s.order) != n+1 {
		t.Errorf("%d records, want %d", len(s.order), n+1)
	}
}

// Where a line was cut is stored before it is sent, so what is read again is cut alike,
// whatever was written after it.
func TestALineThatWasCutIsCutAlikeAgain(t *testing.T) {
	s := newSite(t).plain()
	s.cfg.Shipper.PartialAfter = config.Duration(100 * time.Millisecond)
	d := s.docker()
	d.add(fakeContainer{ID: fakeID(1), Name: "web"}, true)
	at := time.Now()
	shiptest.Append(t, d.log(fakeID(1)), dockerJSON("stdout", "first ", at))
	s.append("web.log", "a\nfirst")
	s.start()
	s.wait(3)
	s.positionsDone()
	s.stop()
	rewritePositions(t, s, func(p position.Record) position.Record { // as if it had been killed before they were acknowledged
		if p.Ends = []int64{p.Offset}; p.Offset > 0 {
			p.Offset, p.Marker = 0, position.Marker(nil)
		}
		return p
	})
	s.append("web.log", " and second\nthird")
	shiptest.Append(t, d.log(fakeID(1)), dockerJSON("stdout", "second\n", at))
	s.start()
	s.wait(6)
	s.settle()
	s.want("a", "first", " and second", "third", "first ", "second")
}

// The line of a file that was put away is sent all the same.
func TestALineIsCutThoughItsMemoryWasGivenBack(t *testing.T) {
	s := newSite(t).plain()
	s.cfg.Shipper.PartialAfter = config.Duration(7 * time.Second) // after 5 s memory is given back
	s.append("web.log", "a\nno end")
	s.start()
	s.wait(2)
	s.positionsDone()
	if n := s.counter("shipper_unfinished_bytes"); n != 0 {
		t.Errorf("%v bytes are held", n)
	}
}
