package tail

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/sluicelog/sluice/internal/logonce"
	"github.com/sluicelog/sluice/shipper/disk"
)

// descriptors are those that files may have. When they run short, the file longest at
// rest is closed for one that is to be read, and opened again when it grows; sources with
// files that cannot be opened wait for their turn. A file that has no name any more, or
// that goes with its container, could not be opened again, so it is kept: the former
// always, the latter as long as anything else is at rest.
type descriptors struct {
	limit   int // of files open at a time
	open    int
	closer  *closer   // what it has not closed yet counts
	resting restList  // read to their end, longest at rest first
	living  restList  // of those, the files of containers that run
	waiting []*origin // in turn
	short   logonce.State
}

// family is how many files may be open above the limit, all of sources that have one
// open: the files of a source are read in their order.
const family = 16

func newDescriptors(c *closer) *descriptors {
	most, _ := disk.Shares()
	return &descriptors{limit: most, closer: c}
}

func (d *descriptors) used() int { return d.open + int(d.closer.under.Load()) }

// rests notes that a file was read to its end and is not looked at until it grows.
func (d *descriptors) rests(f *file) {
	if f.rest.list != nil {
		f.rest.list.remove(f)
	}
	if f.src.lives() {
		d.living.add(f)
	} else {
		d.resting.add(f)
	}
}

// wait has a source's files opened when it is its turn.
func (d *descriptors) wait(s *origin) {
	if !s.waits {
		s.waits = true
		d.waiting = append(d.waiting, s)
	}
}

// spare reports whether a file of s may be opened, for which another may be closed.
func (t *finder) spare(s *origin) bool {
	d := t.fds
	for d.used() >= d.limit && (t.closeOne(&d.resting) || t.closeOne(&d.living)) {
	}
	return d.used() < d.limit || s.open > 0 && d.used() < d.limit+family
}

// closeOne closes the file of a list that has been at rest for longest and is found again
// when it grows; false: there is none.
func (t *finder) closeOne(l *restList) bool {
	for f := l.first; f != nil; f = l.first {
		l.remove(f)
		if !f.turn.queued && f.extent.eof && t.putAway(f, f.text.Start()) {
			return true
		}
	}
	return false
}

// putAway closes a file that is under its path, to be read on from there or from an
// earlier offset; false: it is to stay open, or it grew.
func (t *finder) putAway(f *file, from int64) bool {
	if f.fd < 0 || f.finished || f.copy.of != nil || !f.durable || !f.times.deleted.IsZero() {
		return false
	}
	st, err := disk.StatPath(f.path)
	if err != nil || !f.is(st) {
		return false
	}
	f.extent.size = st.Size
	if f.extent.eof && st.Size != f.extent.end {
		t.queue.add(f)
		return false
	}
	if f.text.Keeps() && !f.rewind(t.maker, from) {
		return false
	}
	_ = unix.Close(f.fd) // not by the closer: it has a name, and its descriptor is needed now
	f.fd = -1
	f.src.open--
	t.fds.open--
	t.m.rested.Inc()
	return true
}

// reopen takes up a closed file that has grown.
func (t *finder) reopen(f *file) {
	if !t.spare(f.src) {
		t.lacks(f.src, errLimit)
		return
	}
	fd, st, err := openFile(f.src, f.path)
	if err != nil {
		t.trouble(f.src, err)
		return
	}
	if !f.is(st) {
		t.closer.close(fd)
		return
	}
	t.counted(f.src)
	f.fd, f.extent.eof, f.extent.drained = fd, false, false
}

// giveWay has a file closed that would go on being read, so that another is: it takes its
// place after all that wait. It must be the last of its source, or that would be read out
// of its order.
func (t *finder) giveWay(f *file) bool {
	s := f.src
	if len(t.fds.waiting) == 0 || s.lives() || f != s.live || s.next() != f || !t.putAway(f, s.lines.Back(&f.text)) {
		return false
	}
	f.extent.eof, f.extent.end = false, f.text.Read
	t.fds.wait(s)
	return true
}

// lacks has a source wait whose file cannot be opened for want of a descriptor.
func (t *finder) lacks(s *origin, err error) {
	d := t.fds
	if errors.Is(err, unix.EMFILE) { // others of this process need more than was left to them
		d.limit = max(min(d.limit, d.used())-family, family)
	}
	d.wait(s)
	if d.short.Failed("") {
		t.log.Warn("file descriptors run short: files at rest are closed until they grow, others wait for their turn; raise the limit (LimitNOFILE)",
			"open", d.open, "limit", d.limit, "error", err)
	}
}

// trouble notes that a file of a source cannot be followed now; the poll tries again.
func (t *finder) trouble(s *origin, err error) {
	t.m.openErrs.Inc()
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		t.lacks(s, err)
		return
	}
	if s.problem.Failed(err.Error()) {
		t.log.Error("cannot follow file", "path", s.spec.Path, "error", err)
	}
}

// enough notes that there are descriptors for all files.
func (t *finder) enough() {
	d := t.fds
	if len(d.waiting) > 0 || d.used() > d.limit-d.limit/8 {
		return
	}
	if down, ended := d.short.OK(); ended {
		t.log.Info("there are file descriptors for all files again", "after", down)
	}
}

// counted notes that a file of s was opened.
func (t *finder) counted(s *origin) {
	t.fds.open++
	s.open++
}

// close gives the descriptor back.
func (t *finder) close(f *file) {
	t.watches.disarm(f)
	if f.fd >= 0 {
		t.closer.close(f.fd)
		f.fd = -1
		f.src.open--
		t.fds.open--
	}
	if f.text.Keeps() {
		t.maker.Drop(&f.text)
	}
	if f.rest.list != nil {
		f.rest.list.remove(f)
	}
}

// restList is files in the order in which they came to rest; each is in one list.
type restList struct{ first, last *file }

// rest is a file's place in a restList.
type rest struct {
	list       *restList // nil: it is in none
	prev, next *file
}

func (l *restList) add(f *file) {
	f.rest = rest{list: l, prev: l.last}
	if l.last != nil {
		l.last.rest.next = f
	} else {
		l.first = f
	}
	l.last = f
}

func (l *restList) remove(f *file) {
	r := f.rest
	if r.prev != nil {
		r.prev.rest.next = r.next
	} else {
		l.first = r.next
	}
	if r.next != nil {
		r.next.rest.prev = r.prev
	} else {
		l.last = r.prev
	}
	f.rest = rest{}
}
