package shipper

import (
	"slices"
	"time"

	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/source"
)

// lookAt reads what grew of a source's files and closes what is finished.
func (t *tailer) lookAt(s *origin) {
	for _, f := range slices.Clone(s.files) {
		if f.like != nil {
			t.compare(f)
			continue
		}
		if f.fd >= 0 {
			if f != s.live {
				if st, err := disk.StatOpen(f.fd); err == nil {
					f.size = st.Size
					if st.Links == 0 && f.deleted.IsZero() {
						f.deleted = t.now
					}
				}
			}
			if f.size != f.end || !f.eof {
				t.enqueue(f)
			} else if cap(f.carry) > 0 && t.now.Sub(f.grew) > 5*time.Second && f == s.live {
				t.rewind(f, f.lineStart())
			}
		}
		t.settle(f)
	}
}

// settle closes f when nothing more will come of it, or when it was kept for long
// enough after it was deleted.
func (t *tailer) settle(f *file) {
	s := f.src
	if f.fd < 0 {
		t.settleClosed(f)
		return
	}
	if !f.deleted.IsZero() && t.now.Sub(f.deleted) >= t.cfg.HoldDeleted.D() {
		t.giveUp(f)
		return
	}
	if !f.eof || f.size > f.end || !t.over(f) || t.cur == nil {
		return
	}
	if f.read < f.end { // the unfinished line was given back
		t.enqueue(f)
		return
	}
	if !s.after(f) || s.Joiner != source.Pieces {
		t.flush(f) // no end will come of what is unfinished
	}
	t.flushCarry(f) // pieces go on in the next file, a raw line never does
	committed, underWay := f.mark()
	if len(f.carry) > 0 || s.holds(f) || underWay || committed != f.read || len(t.cur.pushes) > 0 {
		return
	}
	if f == s.live && !s.gone {
		if f.stored == committed {
			t.close(f) // its writer has ended: opened again when it grows
		}
		return
	}
	t.close(f)
	if !f.deleted.IsZero() {
		t.finished(f)
	}
}

// over tells whether a file that was read to its end will not grow any more.
func (t *tailer) over(f *file) bool {
	s, still := f.src, t.now.Sub(f.grew)
	switch {
	case s.Hints.Sealed && s.after(f):
		return f.drained
	case s.gone || s.Hints.Ended:
		return still >= 2*t.cfg.Poll.D()
	case f == s.live:
		return false
	}
	return still >= min(quiet, t.cfg.HoldDeleted.D())
}

// settleClosed forgets a closed file that has no name any more.
func (t *tailer) settleClosed(f *file) {
	if f == f.src.live || t.now.Sub(f.seen) < 3*t.cfg.Scan.D()+t.cfg.Poll.D() {
		return
	}
	t.finished(f)
}

// finished forgets a file and its record.
func (t *tailer) finished(f *file) {
	f.finished = true
	f.src.files = remove(f.src.files, f)
	if f.src.live == f {
		f.src.live = nil
	}
	if t.files[f.id] == f {
		delete(t.files, f.id)
	}
	t.later = append(t.later, record{bucket: bucketFiles, key: f.key})
}

// giveUp closes a deleted file with what is unread in it.
func (t *tailer) giveUp(f *file) {
	if t.cur == nil {
		return
	}
	t.flush(f)
	if lost := f.size - f.read; lost > 0 {
		t.m.givenFiles.Inc()
		t.m.givenBytes.Add(float64(lost))
		t.log.Error("deleted file given up with bytes unread", "path", f.path, "bytes", lost, "held", t.now.Sub(f.deleted).Round(time.Second))
	}
	t.close(f)
	t.finished(f)
}

// sweep deletes the records of files that were not found for long.
func (t *tailer) sweep() {
	t.swept = t.now
	if t.now.Sub(t.started) < time.Hour {
		return
	}
	var gone []record
	for key, p := range t.resume {
		if t.now.Sub(time.Unix(p.Stored, 0)) < forget {
			continue
		}
		if st, err := disk.StatPath(p.Path); err == nil && st.Key() == key {
			continue
		}
		gone = append(gone, record{bucket: bucketFiles, key: key})
		delete(t.resume, key)
	}
	t.later = append(t.later, gone...)
}
