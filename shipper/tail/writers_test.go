package tail

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/shipper/disk"
)

// A process that does not write for a day is not waited for; that is reported, with bytes.
func TestAFileThatIsLeftOpenIsReported(t *testing.T) {
	b := newBench(t)
	f := b.write("a\n")
	w, err := os.OpenFile(f.path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	b.readAll()
	b.finder.saver.save(b.now)
	b.finder.saver.saved(<-b.finder.saver.storer.Results, b.now)
	if err := os.Remove(f.path); err != nil {
		t.Fatal(err)
	}
	later := func(by time.Duration) {
		t.Helper()
		now := time.Now().Add(by)
		b.now = now
		b.poller.poll(b.batch) // asks
		if b.finder.writers.under {
			seen := <-b.finder.writers.results
			seen.begun = now
			b.finder.writers.take(seen)
		}
		b.readAll()
		b.now = now
		b.poller.poll(b.batch) // acts
		b.readAll()
	}
	later(time.Hour)
	if f.fd < 0 {
		t.Fatal("closed though it is open for writing")
	}
	if _, err := w.WriteString("late\n"); err != nil {
		t.Fatal(err)
	}
	b.poller.poll(b.batch)
	if got := b.readAll(); len(got) != 1 || got[0] != "late" {
		t.Errorf("%q", got)
	}
	later(48 * time.Hour)
	if log := b.log.String(); f.fd >= 0 || !strings.Contains(log, "bytes=7") || !strings.Contains(log, "process=") {
		t.Errorf("open %v, %s", f.fd >= 0, log)
	}
}

func TestWhoIsNotSeenIsNotSure(t *testing.T) {
	w, now := newWriters(), time.Now()
	f := &file{id: disk.ID{Dev: 1, Ino: 2}}
	f.times.grew = now
	if _, _, _, known := w.of(f, now.Add(time.Second)); known || !w.wanted[f.id] {
		t.Error("it is known what was never looked for")
	}
	w.take(sighting{asked: map[disk.ID]bool{f.id: true}, begun: now.Add(time.Second)})
	if _, open, sure, known := w.of(f, now.Add(2*time.Second)); open || sure || !known {
		t.Errorf("open %v, sure %v, known %v", open, sure, known)
	}
	f.times.grew = now.Add(3 * time.Second)
	if _, _, _, known := w.of(f, now.Add(4*time.Second)); known {
		t.Error("what was seen before it grew is believed")
	}
}
