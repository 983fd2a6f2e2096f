package shipper

import (
	"slices"

	"github.com/sluicelog/sluice/shipper/disk"
)

// copytruncate, as logrotate does it, copies app.log to app.log.1 and then cuts it:
//
//	app.log    aaaa\nbbbb\n|cc      generation 0, read up to |     then:  dd   generation 1
//	app.log.1  aaaa\nbbbb\n|cc      born later, the same before |
//
// The copy is the past of app.log. It takes generation and position over from it, so its
// lines have the ids that they had or would have had in app.log, and what was written
// between our last read and the cut is read from the copy.

// mayCopy tells whether f may be a copy of the live file beside it: a predecessor that
// was renamed is older than the file that took its place. Lines with a time of their own have
// the same ids in a copy anyway.
func mayCopy(f, live *file) bool {
	return live != nil && !f.src.Decoder.Timed() && live.at.Birth != 0 && f.at.Birth > live.at.Birth
}

// compare finds out whether f is a copy of f.like: it has what stood where that file was
// last recorded, in its present generation or the one before. If f is shorter but the
// same so far, it is still being made, or all of it was read; then the poll looks again.
// It returns what f is replaced by.
func (t *tailer) compare(f *file) *file {
	st, err := disk.StatOpen(f.fd)
	if err != nil {
		t.trouble(f, err)
		return f
	}
	if st.Size != f.size {
		f.size, f.grew = st.Size, t.now
	}
	o := f.like
	p := o.proof()
	if f.has(p) {
		return t.adopt(f, st, p.Of, p.From)
	}
	if past := o.at.Past; past != nil && f.has(*past) && !f.src.adopted(past.Of) { // a second one may have the same text by chance
		return t.adopt(f, st, past.Of, past.From)
	}
	if !o.finished && o.untouched() { // else it was cut, so nothing is copied any more
		f.same = 0
		if (p.At == 0 || f.size < p.At) && f.isLike(o) {
			f.same = f.size
			if st.Links > 0 && t.now.Sub(f.grew) < quiet {
				return f
			}
		}
	}
	if f.same > 0 {
		return t.adopt(f, st, p.Of, min(f.same, p.From))
	}
	f.like = nil
	if f.durable {
		t.enqueue(f)
	} else {
		t.save()
	}
	return f
}

// has tells whether what p says stands in f.
func (f *file) has(p proof) bool {
	if p.At == 0 || f.size < p.At {
		return false
	}
	var b [markerLen]byte
	n, err := preceding(f.fd, &b, p.At)
	return err == nil && marker(b[:n]) == p.Marker
}

// isLike tells whether the last bytes of f stand at their place in o as well.
func (f *file) isLike(o *file) bool {
	var a, b [markerLen]byte
	_, errA := preceding(f.fd, &a, f.size)
	_, errB := preceding(o.fd, &b, f.size)
	return errA == nil && errB == nil && a == b
}

// adopted tells whether a file of the source is read as a copy of a generation.
func (s *origin) adopted(of generation) bool {
	return slices.ContainsFunc(s.files, func(f *file) bool { return f.at.Of != nil && *f.at.Of == of })
}

// adopt has f read from a position on as the generation that it is a copy of, once that
// is on disk.
func (t *tailer) adopt(f *file, st disk.Stat, of generation, from int64) *file {
	at := f.at
	at.Of, at.Offset = &of, from
	g := newFile(f.src, f.fd, st, f.path, at, -1)
	if g.load() != nil { // it changes: to be looked at again
		return f
	}
	t.replace(f, g)
	t.log.Info("file is a copy", "path", f.path, "of", f.src.Path, "from", from)
	t.save()
	return g
}

// copied tells whether a copy of f, which was cut, has more than was read of f.
func (t *tailer) copied(f *file) (more bool) {
	t.discover(f.src)
	for _, c := range slices.Clone(f.src.files) {
		switch {
		case c == f:
			continue
		case c.like == f:
			c = t.compare(c)
		case c.at.Of != nil && c.fd >= 0 && !c.untouched(): // the copy was made in place of an older one
			t.truncated(c)
			c = t.files[c.id]
		}
		if c.at.Of != nil && *c.at.Of == f.at.generation() && c.fd >= 0 {
			st, err := disk.StatOpen(c.fd)
			more = more || err == nil && st.Size > f.read
		}
	}
	return more
}

// unread forgets the unfinished lines that lie in f alone: they are read from its copy.
func (t *tailer) unread(f *file) {
	for _, j := range f.src.joins {
		if len(j.holds) == 1 && j.holds[0].file == f {
			t.unjoin(j)
		}
	}
	t.drop(f)
}
