package shipper

import (
	"encoding/json"
	"fmt"
	"github.com/sluicelog/sluice/shipper/internal/shiptest"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/position"
)

func TestRotationThreeTimesWithinOnePollLosesNothing(t *testing.T) {
	s := newSite(t).plain()
	s.cfg.Shipper.Poll = config.Duration(time.Second)
	s.append("web.log", "first\n")
	s.start()
	s.wait(1)
	want := []string{"first"}
	for i := range 3 {
		for n := 2; n > 0; n-- {
			if _, err := os.Stat(s.path(fmt.Sprintf("web.log.%d", n))); err == nil {
				s.rename(fmt.Sprintf("web.log.%d", n), fmt.Sprintf("web.log.%d", n+1))
			}
		}
		s.append("web.log", fmt.Sprintf("end of %d\n", i))
		s.rename("web.log", "web.log.1")
		s.append("web.log", fmt.Sprintf("start of %d\n", i+1))
		want = append(want, fmt.Sprintf("end of %d", i), fmt.Sprintf("start of %d", i+1))
	}
	s.wait(7)
	s.want(want...)
	s.append("web.log.1", "late, by a writer that has the old file open\n")
	s.wait(8)
	s.positionsDone()
	s.settle()
	if len(s.order) != 8 {
		t.Errorf("%d records, want 8", len(s.order))
	}
}

func TestRotationWhileStoppedLosesNothing(t *testing.T) {
	s := newSite(t).plain()
	s.append("web.log", "one\n")
	s.start()
	s.wait(1)
	s.positionsDone()
	s.stop()
	s.append("web.log", "two\n")
	s.rename("web.log", "web.log.1")
	s.append("web.log", "three\n")
	s.rename("web.log.1", "web.log.2")
	s.rename("web.log", "web.log.1")
	s.append("web.log", "four\n")
	s.start()
	s.wait(4)
	s.settle()
	s.want("one", "two", "three", "four")
	if len(s.order) != 4 {
		t.Errorf("%d records, want 4", len(s.order))
	}
	var order []string
	for _, id := range s.order {
		order = append(order, s.events[id].Message)
	}
	if want := []string{"one", "two", "three", "four"}; !slices.Equal(order, want) {
		t.Errorf("order %q, want %q", order, want)
	}
}

func TestDatedRotationLosesNothing(t *testing.T) {
	s := newSite(t).plain()
	s.append("web.log", "one\n")
	s.start()
	s.wait(1)
	s.positionsDone()
	s.stop()
	s.append("web.log", "two\n")
	s.rename("web.log", "web.log-20261121")
	s.append("web.log", "three\n")
	s.cfg.Shipper.Files[0].Paths = []string{s.path("*.log*")}
	s.start()
	s.wait(3)
	s.settle()
	s.want("one", "two", "three")
	if e := s.only("two"); e.Log.File.Path != s.path("web.log") {
		t.Errorf("path %s", e.Log.File.Path)
	}
}

func TestTruncatedFileIsReadFromItsStart(t *testing.T) {
	s := newSite(t).plain()
	s.append("web.log", lines("old", 0, 100))
	s.start()
	s.wait(100)
	truncate := func(content string) {
		t.Helper()
		f, err := os.OpenFile(s.path("web.log"), os.O_TRUNC|os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString(content)
			err = joinErr(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	old, regrown, stopped := split1(lines("old", 0, 100)), lines("regrown over the old offset", 0, 100), lines("while stopped", 0, 100)
	truncate("short\n")
	s.wait(101)
	s.want(append(old, "short")...)
	truncate(regrown)
	s.wait(201)
	truncate("short\n") // the same line at the same place of a new generation is another line
	s.wait(202)
	s.positionsDone()
	s.stop()
	truncate(stopped)
	s.start()
	s.wait(302)
	want := append(append(old, "short", "short"), split1(regrown)...)
	s.want(append(want, split1(stopped)...)...)
	s.positionsDone()
	s.stop()
	s.start()
	s.settle()
	if len(s.order) != 302 {
		t.Errorf("%d records, want 302", len(s.order))
	}
}

func TestDeletedFileIsShippedToItsEnd(t *testing.T) {
	s := newSite(t).plain()
	s.cfg.Shipper.HoldDeleted = config.Duration(3 * time.Second)
	s.append("web.log", "one\n")
	s.start()
	s.wait(1)
	f, err := os.OpenFile(s.path("web.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.path("web.log")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("written after the deletion\nno end"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s.wait(3)
	if e := s.only("no end"); !slices.Equal(e.Log.Flags, []string{"partial"}) {
		t.Errorf("flags %q", e.Log.Flags)
	}
	s.until("closed file", func() bool { return s.counter("shipper_open_files") == 0 && s.counter("shipper_sources") == 0 })
	if n := s.counter("shipper_given_up_bytes_total"); n != 0 {
		t.Errorf("%v bytes given up", n)
	}
	s.append("web.log", "a new file, perhaps of the same inode\n")
	s.wait(4)
}

func TestReusedInodeIsAnotherFile(t *testing.T) {
	s := newSite(t).plain()
	s.cfg.Shipper.HoldDeleted = config.Duration(50 * time.Millisecond)
	s.append("a.log", "same text\n")
	s.start()
	s.wait(1)
	s.positionsDone()
	s.stop()
	reused := false
	for i := 2; i < 6; i++ { // ext4 gives the inode to the next file at once
		old, err := disk.StatPath(s.path("a.log"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(s.path("a.log")); err != nil {
			t.Fatal(err)
		}
		s.append("a.log", "same text\n")
		now, err := disk.StatPath(s.path("a.log"))
		if err != nil {
			t.Fatal(err)
		}
		reused = reused || now.Ino == old.Ino
		s.start()
		s.wait(i)
		s.positionsDone()
		s.stop()
	}
	t.Logf("an inode was used again: %v", reused)
}

// Everything at once, at random, against what was written.
func TestRotationStorm(t *testing.T) {
	s := newSite(t).plain()
	s.cfg.Shipper.ReadBudget = 4 << 10
	s.start()
	rnd := rand.New(rand.NewPCG(1, 2))
	var want []string
	for i := range 600 {
		name := fmt.Sprintf("f%d.log", rnd.IntN(4))
		line := fmt.Sprintf("%s line %d %s", name, i, strings.Repeat("x", rnd.IntN(300)))
		s.append(name, line+"\n")
		want = append(want, line)
		if rnd.IntN(12) == 0 {
			for n := 40; n >= 1; n-- { // none is deleted: what was gone before it could be opened would be lost
				from := fmt.Sprintf("%s.%d", name, n)
				if _, err := os.Stat(s.path(from)); err == nil {
					s.rename(from, fmt.Sprintf("%s.%d", name, n+1))
				}
			}
			s.rename(name, name+".1")
			time.Sleep(time.Duration(rnd.IntN(5)) * time.Millisecond)
		}
		if i == 300 {
			s.stop()
			s.start()
		}
	}
	s.wait(len(want))
	s.settle()
	s.want(want...)
}

func TestRotatedJSONFilesKeepTheirPartialLine(t *testing.T) {
	s := newSite(t)
	d := s.docker()
	id := fakeID(1)
	d.add(fakeContainer{ID: id, Name: "web"}, true)
	long := strings.Repeat("x", 50_000)
	pieces := strings.SplitAfter(pieces16("stdout", long+"\n", time.Now()), "\n")
	other := func() string { return dockerJSON("stderr", "in between\n", time.Now()) }
	log := d.log(id)
	total := 0
	write := func(text string) { shiptest.Append(t, log, text); total += len(text) }
	rotate := func() {
		t.Helper()
		if err := os.Rename(log, log+".1"); err != nil {
			t.Fatal(err)
		}
		shiptest.Append(t, log, "")
	}
	write(pieces[0])
	s.start()
	write(other())
	s.wait(1)
	rotate()
	write(pieces[1])
	time.Sleep(150 * time.Millisecond)
	s.stop() // in the middle of the line, which lies in two files
	s.start()
	write(other() + pieces[2] + pieces[3])
	s.wait(3)
	write(dockerJSON("stdout", "next\n", time.Now()))
	s.wait(4)
	s.positionsDone()
	s.settle()
	s.want("in between", "in between", long, "next")
	if s.sizes() != int64(total) {
		t.Errorf("sizes add up to %d, written were %d", s.sizes(), total)
	}
	s.stop()
	n := len(s.order)
	s.start()
	s.settle()
	if len(s.order) != n {
		t.Errorf("%d records sent again after everything was stored", len(s.order)-n)
	}
}

// Without birth times the moment a file was first seen stands in; it is on disk before
// the first line is sent, so a crash right after does not change ids.
func TestFilesWithoutBirthTimeKeepTheirIDs(t *testing.T) {
	ask := disk.AskBirth
	disk.AskBirth = 0
	t.Cleanup(func() { disk.AskBirth = ask })
	s := newSiteAlone(t).plain()
	s.cfg.Shipper.StoreEvery = config.Duration(time.Hour)
	s.append("web.log", lines("a", 0, 20))
	s.start()
	s.wait(20)
	all, err := os.ReadFile(s.cfg.DataDir + "/positions.db")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(all), `"seen":`) {
		t.Error("lines were sent before the file's record was stored")
	}
	s.stop()
	f := func(p position.Record) position.Record { p.Offset, p.Marker = 0, position.Marker(nil); return p }
	rewritePositions(t, s, f) // as if it had been killed before an acknowledgement was stored
	s.start()
	s.until("second copies", func() bool { return len(s.order) >= 40 })
	if len(s.events) != 20 {
		t.Errorf("%d ids, want 20", len(s.events))
	}
	s.stop()
	if err := os.Remove(s.path("web.log")); err != nil {
		t.Fatal(err)
	}
	s.append("web.log", lines("b", 0, 5)) // perhaps the same inode: other content, so another file
	s.start()
	s.wait(25)
}

func rewritePositions(t *testing.T, s *site, f func(position.Record) position.Record) {
	t.Helper()
	p, all, _, err := position.Open(s.cfg.DataDir + "/positions.db")
	if err != nil {
		t.Fatal(err)
	}
	var changes []position.Change
	for key, at := range position.Decode(all[position.Files]) {
		v, err := json.Marshal(f(at))
		if err != nil {
			t.Fatal(err)
		}
		changes = append(changes, position.Change{Bucket: position.Files, Key: key, Value: v})
	}
	if err := joinErr(p.Put(changes), p.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestDeletedFileIsGivenUpInTheEndAndCounted(t *testing.T) {
	s := newSite(t).plain()
	s.failProduce(kerr.NotEnoughReplicas.Code, func() bool { return true })
	s.cfg.Shipper.HoldDeleted = config.Duration(200 * time.Millisecond)
	s.cfg.Shipper.Produce.Buffer = config.MiB
	s.cfg.Shipper.Produce.Compression = "none" // else all of it is held in a few KiB
	s.append("web.log", strings.Repeat(strings.Repeat("x", 999)+"\n", 6000))
	s.start()
	s.until("back-pressure", func() bool { return s.counter("shipper_made_events_total") > 500 })
	if err := os.Remove(s.path("web.log")); err != nil {
		t.Fatal(err)
	}
	s.until("file given up", func() bool { return s.counter("shipper_given_up_files_total") == 1 })
	lost, read := s.counter("shipper_given_up_bytes_total"), s.counter("shipper_read_bytes_total")
	s.until("the last figures", func() bool { read = s.counter("shipper_read_bytes_total"); return lost+read >= 6_000_000 })
	if lost+read != 6_000_000 || lost == 0 || !s.logged("deleted file given up") {
		t.Errorf("%v bytes given up, %v read, of 6000000; told: %v", lost, read, s.logged("deleted file given up"))
	}
	s.until("closed file", func() bool { return s.counter("shipper_open_files") == 0 }) // a level is reported later than a counter
}

// Numbers may begin with 0, and be missing; a name that no glob matches is read if it is a
// rotated file's.
func TestNumberedFilesAreReadWhateverNumbersThereAre(t *testing.T) {
	s := newSite(t).plain()
	var want []string
	write := func(name string) {
		s.append(name, name+"\n")
		want = append(want, name)
	}
	write("jvm.log")
	write("jvm.log.0")
	write("gap.log")
	write("gap.log.3")
	write("gap.log.7")
	write("year.log.365")
	write("year.log")
	s.start()
	s.wait(len(want))
	write("late.log")
	s.wait(len(want))
	s.rename("late.log", "late.log.0")
	write("late.log")
	s.rename("gap.log", "gap.log.12")
	write("gap.log")
	s.append("late.log.0", "the end of the first\n")
	s.append("gap.log.12", "the end of the gap's\n")
	s.wait(len(want) + 2)
	s.positionsDone()
	s.stop()
	s.rename("late.log", "late.log.1")
	write("late.log")
	write("late.log.9")
	s.start()
	s.wait(len(want) + 2)
	s.settle()
	s.want(append(want, "the end of the first", "the end of the gap's")...)
	if len(s.order) != len(want)+2 {
		t.Errorf("%d records, want %d", len(s.order), len(want)+2)
	}
}

// A JVM counts up and begins again with 0.
func TestFilesOfAJVMAreReadOldestFirst(t *testing.T) {
	s := newSite(t).plain()
	for i, name := range []string{"gc.log.2", "gc.log.0", "gc.log.1", "gc.log"} {
		s.append(name, name+"\n")
		at := time.Now().Add(time.Duration(i-4) * time.Minute)
		if err := os.Chtimes(s.path(name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	s.start()
	s.wait(4)
	var order []string
	for _, id := range s.order {
		order = append(order, s.events[id].Message)
	}
	if want := []string{"gc.log.2", "gc.log.0", "gc.log.1", "gc.log"}; !slices.Equal(order, want) {
		t.Errorf("order %q, want %q", order, want)
	}
}
