package tail

import (
	"time"

	"github.com/sluicelog/sluice/shipper/disk"
)

// writers finds out which files without a name a process still has open for writing, in a
// goroutine of its own, since that takes a look at every process.
type writers struct {
	jobs    chan map[disk.ID]bool // cap 1
	results chan sighting         // cap 1

	wanted map[disk.ID]bool // to be looked for next
	under  bool
	last   sighting
}

// sighting is what was seen of the files that were looked for.
type sighting struct {
	asked map[disk.ID]bool
	found map[disk.ID]disk.Process
	all   bool // every process could be looked at
	begun time.Time
	took  time.Duration
}

const (
	sightFor    = 5 * time.Second // what was seen is believed for this long
	sightPause  = time.Second     // between two looks
	sightShare  = 20              // a look may take this part of the time
	longestWait = 24 * time.Hour  // a file without a name that does not grow is closed after this long, whoever has it open
)

func newWriters() *writers {
	return &writers{jobs: make(chan map[disk.ID]bool, 1), results: make(chan sighting, 1), wanted: map[disk.ID]bool{}}
}

// run looks until jobs is closed.
func (w *writers) run() {
	for ids := range w.jobs {
		begun := time.Now()
		found, all := disk.Writers(ids)
		w.results <- sighting{ids, found, all, begun, time.Since(begun)}
	}
}

// ask has those looked for that somebody wants to know of.
func (w *writers) ask(now time.Time) {
	if w.under || len(w.wanted) == 0 || now.Sub(w.last.begun) < max(sightPause, sightShare*w.last.took) {
		return
	}
	w.under = true
	w.jobs <- w.wanted
	w.wanted = map[disk.ID]bool{}
}

func (w *writers) take(s sighting) { w.under, w.last = false, s }

// of reports whether a process has f open for writing. known is false until that was
// looked for since it last grew; sure, if none was seen, that there is none.
func (w *writers) of(f *file, now time.Time) (p disk.Process, open, sure, known bool) {
	if now.Sub(w.last.begun) >= sightFor {
		w.wanted[f.id] = true
	}
	if !w.last.asked[f.id] || w.last.begun.Before(f.times.grew) || now.Sub(w.last.begun) >= 2*sightFor {
		w.wanted[f.id] = true
		return p, false, false, false
	}
	p, open = w.last.found[f.id]
	return p, open, w.last.all, true
}

func (w *writers) end() { close(w.jobs) }
