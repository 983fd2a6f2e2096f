package tail

import (
	"slices"
	"time"

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
	return live != nil && live != f && !f.src.spec.Decoder.Timed() && live.at.Birth != 0 && f.at.Birth > live.at.Birth
}

// settles is how long a file that has what another has is not read, since it may be a
// copy of it that is about to be cut.
const settles = 5 * time.Second

// begin has a file read that is new, or is a new generation: at once, when its record is
// stored, or when it is known whether it is a copy of the live file, or of one whose name
// it has in its own.
func (t *finder) begin(f, live *file) *file {
	originals := []*file{live}
	if live == nil {
		originals = t.stems.originals(f)
	}
	for _, o := range originals {
		if mayCopy(f, o) {
			f.copy.of = o
			if g := t.judge(f); g.copy.of != nil || g != f {
				return g
			}
		}
	}
	if !f.durable {
		t.saver.save(t.now)
	}
	return f
}

// compare finds out once more whether f is a copy of f.copy.of, and returns what it is
// replaced by. If it is none it is read.
func (t *finder) compare(f *file) *file {
	g := t.judge(f)
	switch {
	case g != f || f.copy.of != nil:
	case f.durable:
		t.queue.add(f)
	default:
		t.saver.save(t.now)
	}
	return g
}

// judge says whether f is a copy of f.copy.of. Once that file was cut, a copy has what was
// at its position. Before, it has nothing that the file has not; whether it will be cut is
// waited for, or the same lines of another program would be taken for a copy. If nothing is
// cut, only a rotated name makes it a copy, and only if it has the position. It returns what
// f is replaced by; f.copy.of is nil once f is known to be none.
func (t *finder) judge(f *file) *file {
	st, ok := t.measure(f)
	if !ok {
		return f
	}
	o := f.copy.of
	early := st.Links > 0 && t.now.Sub(f.times.grew) < settles
	if o.fd < 0 && !o.finished {
		t.reopen(o)
		t.queue.add(o)
		if o.fd < 0 { // there is no descriptor now
			if !early {
				f.copy.of = nil
			}
			return f
		}
	}
	p := o.proof()
	uncut, begins := !o.finished && o.untouched(), false
	if uncut {
		begins = f.beginsAs(o)
		uncut = begins || o.untouched() // it may be cut while it is compared
	}
	if uncut {
		f.copy.same = 0
		if begins {
			f.copy.same = f.extent.size
		}
		if early && (f.copy.same == f.extent.size || f.has(p)) {
			t.watches.arm(f)
			return f
		}
		if f.copy.same > 0 && f.src == o.src && f.has(p) {
			return t.adopt(f, st, p, p.From)
		}
		f.copy.same = 0
	} else { // all was copied before the cut: what is there by now counts
		if st, ok = t.measure(f); !ok {
			return f
		}
		if f.has(p) {
			return t.adopt(f, st, p, p.From)
		}
	}
	if past := o.at.Past; past != nil && f.has(*past) && !f.src.copies(past.Of) { // a second one may have the same text by chance
		return t.adopt(f, st, *past, past.From)
	}
	if f.copy.same > 0 {
		return t.adopt(f, st, p, min(f.copy.same, p.From))
	}
	f.copy.of = nil
	return f
}

// measure sees how long f is.
func (t *finder) measure(f *file) (disk.Stat, bool) {
	st, err := disk.StatOpen(f.fd)
	if err != nil {
		f.trouble(t.log, err)
		return st, false
	}
	if st.Size != f.extent.size {
		f.extent.size, f.times.grew = st.Size, t.now
	}
	return st, true
}

// adopt has f read from a position on as the generation that it is a copy of, once that
// is on disk.
func (t *finder) adopt(f *file, st disk.Stat, of position.Proof, from int64) *file {
	at := f.at
	at.Of, at.Offset, at.Ends = &of.Of, from, slices.Clone(of.Ends)
	g := newFile(f.src, f.fd, st, f.path, at, -1)
	if g.load() != nil { // it changes: to be looked at again
		return f
	}
	t.replace(f, g)
	t.m.skipped.Add(float64(from))
	t.log.Info("file is a copy", "path", f.path, "of", f.copy.of.path, "from", from)
	t.saver.save(t.now)
	return g
}

// replace goes on with g for f: the same open file in another generation.
func (t *finder) replace(f, g *file) {
	g.times = times{deleted: f.times.deleted, seen: t.now, grew: t.now}
	t.watches.hand(f, g)
	f.fd, f.finished = -1, true
	t.left.add(f)
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
