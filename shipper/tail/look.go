package tail

import (
	"slices"
	"time"

	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/send"
	"github.com/sluicelog/sluice/shipper/source"
)

// lookAt reads what grew of a source's files and closes what is finished; out is nil
// while no batch is free, then what would make events waits.
func (t *reader) lookAt(s *origin, out *send.Batch) {
	for _, f := range slices.Clone(s.files) {
		if f.copy.of != nil {
			t.finder.compare(f)
			continue
		}
		if f.fd >= 0 {
			if f != s.live {
				if st, err := disk.StatOpen(f.fd); err == nil {
					if st.Size > f.extent.size {
						f.times.grew = t.now
					}
					f.extent.size = st.Size
					if st.Links == 0 && f.times.deleted.IsZero() {
						f.times.deleted = t.now
					}
				}
			}
			switch {
			case f.extent.blank > 0 && f.extent.eof && t.endless(f) && !t.endLine(f):
			case f.extent.size != f.extent.end || !f.extent.eof:
				t.finder.queue.add(f)
			case t.endless(f):
				if f.text.Read < f.extent.end { // the unfinished line was given back
					t.finder.queue.add(f)
				} else {
					t.endLine(f)
				}
			case f.text.Keeps() && t.now.Sub(f.times.grew) > 5*time.Second && f == s.live:
				f.rewind(t.maker, f.text.Start())
			}
		}
		if f.fd < 0 && f.text.Read < f.extent.end && t.endless(f) {
			t.finder.reopen(f)
			t.finder.queue.add(f)
		}
		t.settle(f, out)
	}
}

// endless reports whether the last line of a file has had no newline for so long that it is
// taken for one.
func (t *reader) endless(f *file) bool {
	after := t.cfg.PartialAfter.D()
	if f.src.lines.Held(&f.text) {
		after = f.src.lines.Several.Timeout
	}
	return after > 0 && t.now.Sub(f.times.grew) >= after && (f.unfinished() || f.text.Read < f.extent.end)
}

// endLine has what is unfinished at the end of a file sent as partial, and reports whether
// it is. Where the line ends is stored before, so that it is cut alike if it is read again
// after the file has grown.
func (t *reader) endLine(f *file) bool {
	switch at := f.text.Read; {
	case !f.unfinished():
		return true
	case f.turn.ending && !f.untouched(): // it was truncated meanwhile
		f.turn.ending = false
		f.at.Ends = slices.DeleteFunc(f.at.Ends, func(end int64) bool { return end == at })
		t.finder.queue.add(f)
	case f.turn.ending:
		t.finder.saver.save(t.now)
	case f.endsAt(at):
		t.finder.queue.add(f)
	default:
		f.at.Ends = append(slices.Clone(f.at.Ends), at)
		f.turn.ending, f.stored = true, -1
		t.finder.saver.save(t.now)
	}
	return false
}

// settle closes f when nothing more will come of it, or when it was kept for long enough
// after it was deleted.
func (t *reader) settle(f *file, out *send.Batch) {
	if !f.times.deleted.IsZero() && t.spool.wants(f, t.quietFor(f)) {
		t.spool.begin(f)
	}
	switch {
	case t.spool.under.file == f:
	case f.fd < 0:
		// A closed file that has no name any more is forgotten.
		if f != f.src.live && t.now.Sub(f.times.seen) >= 3*t.cfg.Scan.D()+t.cfg.Poll.D() {
			t.finder.forget(f)
		}
	case out == nil:
	case f.extent.eof && f.extent.size <= f.extent.end && t.over(f):
		t.finish(f, out)
	case !f.times.deleted.IsZero() && !f.src.lives() && t.quietFor(f) >= t.cfg.HoldDeleted.D() && !t.written(f):
		t.giveUp(f, out)
	}
}

// quietFor is how long ago a file without a name last grew.
func (t *reader) quietFor(f *file) time.Duration {
	since := f.times.grew
	if f.times.deleted.After(since) {
		since = f.times.deleted
	}
	return t.now.Sub(since)
}

// nameless reports whether a file is under no name that it was found under.
func nameless(f *file) bool {
	if f == f.src.live {
		return false
	}
	st, err := disk.StatPath(f.path)
	return err != nil || st.ID != f.id
}

// written reports whether a file without a name is to be kept open, since a process may
// write to it still. One that does not write for a day is not waited for.
func (t *reader) written(f *file) bool {
	if f.src.gone || f.src.spec.Hints.Ended || !nameless(f) {
		return false
	}
	p, open, sure, known := t.finder.writers.of(f, t.now)
	switch {
	case !known:
		return true
	case open && t.quietFor(f) < longestWait:
		return true
	case open:
		t.m.leftOpen.Inc()
		t.log.Warn("file without a name is closed though a process has it open; what that writes will not be read", "path", f.path, "bytes", f.extent.size,
			"unread", max(0, f.extent.size-f.text.Read), "pid", p.PID, "process", p.Name, "grew", t.quietFor(f).Round(time.Second))
	case !sure:
		return t.quietFor(f) < t.cfg.HoldDeleted.D()
	}
	return false
}

// over reports whether a file that was read to its end will not grow any more.
func (t *reader) over(f *file) bool {
	s, still := f.src, t.now.Sub(f.times.grew)
	switch h := s.spec.Hints; {
	case h.Sealed && s.after(f):
		return f.extent.drained
	case f.spooled():
		return true // nobody writes to it
	case s.lives():
		return false // it goes with its container
	case s.gone || h.Ended:
		return still >= 2*t.cfg.Poll.D()
	case f == s.live:
		return false
	}
	return still >= min(quiet, t.cfg.HoldDeleted.D())
}

// finish closes f, which is over, once all of it is stored.
func (t *reader) finish(f *file, out *send.Batch) {
	s := f.src
	if f.text.Read < f.extent.end { // the unfinished line was given back
		t.finder.queue.add(f)
		return
	}
	if t.written(f) {
		return
	}
	if (!s.after(f) || s.spec.Joiner != source.Pieces) && !t.endLine(f) {
		return // no end will come of what is unfinished
	}
	t.flushCarry(out, f) // a line may go on in the next file, but never a raw line
	stored, underWay := f.window().Position()
	if f.text.Carried() > 0 || s.lines.Unfinished(&f.text) || underWay > 0 || stored != f.text.Read || out.Pending() {
		return
	}
	if f == s.live && !s.gone {
		if f.stored == stored {
			t.finder.close(f) // its writer has ended: opened again when it grows
		}
		return
	}
	t.finder.close(f)
	if f.spooled() {
		t.spool.shipped(f)
	} else if !f.times.deleted.IsZero() {
		t.finder.forget(f)
	}
}

// giveUp closes a deleted file with what is unread in it.
func (t *reader) giveUp(f *file, out *send.Batch) {
	t.flush(out, f)
	if lost := f.extent.size - f.text.Read; lost > 0 {
		t.m.givenFiles.Inc()
		t.m.givenBytes.Add(float64(lost))
		t.log.Error("deleted file given up with bytes unread", "path", f.path, "bytes", lost, "held", t.quietFor(f).Round(time.Second))
	}
	t.finder.close(f)
	t.finder.forget(f)
}
