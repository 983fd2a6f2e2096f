package tail

import (
	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/position"
)

// copytruncate, as logrotate does it, copies app.log to app.log.1 and then cuts it:
//
//	app.log    aaaa\nbbbb\n|cc      generation 0, read up to |     then:  dd   generation 1
//	app.log.1  aaaa\nbbbb\n|cc      born later, the same before |
//
// The copy is the past of app.log. It takes generation and position over from it, so its
// lines have the ids that they had or would have had in app.log, and what was written
// between our last read and the cut is read from the copy.

// mayCopy reports whether f may be a copy of the live file beside it: a predecessor that
// was renamed is older than the file that took its place. Lines with a time of their own
// have the same ids in a copy anyway.
func mayCopy(f, live *file) bool {
	return live != nil && !f.src.spec.Decoder.Timed() && live.at.Birth != 0 && f.at.Birth > live.at.Birth
}

// begin has a file read that is new, or is a new generation: at once, when its record is
// stored, or when it is known whether it is a copy of the live file.
func (t *finder) begin(f, live *file) *file {
	switch {
	case mayCopy(f, live):
		f.copy.of = live
		return t.compare(f)
	case !f.durable:
		t.saver.save(t.now)
	}
	return f
}

// compare finds out whether f is a copy of f.copy.of: it has what was where that file was
// last recorded, in its present generation or the one before. If f is shorter but the
// same so far, it is still being made, or all of it was read; then the poll looks again.
// It returns what f is replaced by.
func (t *finder) compare(f *file) *file {
	st, err := disk.StatOpen(f.fd)
	if err != nil {
		f.trouble(t.log, err)
		return f
	}
	if st.Size != f.extent.size {
		f.extent.size, f.times.grew = st.Size, t.now
	}
	o := f.copy.of
	p := o.proof()
	if f.has(p) {
		return t.adopt(f, st, p.Of, p.From)
	}
	if past := o.at.Past; past != nil && f.has(*past) && !f.src.copies(past.Of) { // a second one may have the same text by chance
		return t.adopt(f, st, past.Of, past.From)
	}
	if !o.finished && o.untouched() { // else it was cut, so nothing is copied any more
		f.copy.same = 0
		if (p.At == 0 || f.extent.size < p.At) && f.isLike(o) {
			f.copy.same = f.extent.size
			if st.Links > 0 && t.now.Sub(f.times.grew) < quiet {
				return f
			}
		}
	}
	if f.copy.same > 0 {
		return t.adopt(f, st, p.Of, min(f.copy.same, p.From))
	}
	f.copy.of = nil
	if f.durable {
		t.queue.add(f)
	} else {
		t.saver.save(t.now)
	}
	return f
}

// adopt has f read from a position on as the generation that it is a copy of, once that
// is on disk.
func (t *finder) adopt(f *file, st disk.Stat, of position.Generation, from int64) *file {
	at := f.at
	at.Of, at.Offset = &of, from
	g := newFile(f.src, f.fd, st, f.path, at, -1)
	if g.load() != nil { // it changes: to be looked at again
		return f
	}
	t.replace(f, g)
	t.log.Info("file is a copy", "path", f.path, "of", f.src.spec.Path, "from", from)
	t.saver.save(t.now)
	return g
}

// replace goes on with g for f: the same open file in another generation.
func (t *finder) replace(f, g *file) {
	g.times = times{deleted: f.times.deleted, seen: t.now, grew: t.now}
	t.watches.hand(f, g)
	f.fd, f.finished = -1, true
	if f.rest.list != nil {
		f.rest.list.remove(f)
	}
	t.files[g.id] = g
	for i, o := range f.src.files {
		if o == f {
			f.src.files[i] = g
		}
	}
	if f.src.live == f {
		f.src.live = g
	}
}
