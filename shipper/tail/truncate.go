package tail

import (
	"slices"

	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/send"
)

// truncated begins a new generation of f: what is before the offset is not what was read
// there, or nothing is.
func (t *reader) truncated(out *send.Batch, f *file) {
	st, err := disk.StatOpen(f.fd)
	if err != nil {
		f.trouble(t.log, err)
		return
	}
	t.m.truncated.Inc()
	t.log.Warn("file was truncated, reading it from the start", "path", f.path, "read", f.text.Read)
	live := f.src.live
	if live == f && t.copied(out, f) {
		t.maker.Unread(&f.src.lines, &f.text)
	}
	t.flush(out, f)
	g := newFile(f.src, f.fd, st, f.path, f.at.Cut(f.proof()), -1)
	t.finder.replace(f, g)
	t.finder.begin(g, live)
}

// copied reports whether a copy of f, which was cut, has more than was read of f.
func (t *reader) copied(out *send.Batch, f *file) (more bool) {
	t.finder.discover(f.src)
	copies := slices.Clone(f.src.files)
	for _, c := range t.finder.files {
		if c.copy.of == f && c.src != f.src {
			copies = append(copies, c)
		}
	}
	for _, c := range copies {
		switch {
		case c == f:
			continue
		case c.copy.of == f:
			c = t.finder.compare(c)
		case c.at.Of != nil && c.fd >= 0 && !c.untouched(): // the copy was made in place of an older one
			t.truncated(out, c)
			c = t.finder.files[c.id]
		}
		if c.at.Of != nil && *c.at.Of == f.at.Generation() && c.fd >= 0 {
			st, err := disk.StatOpen(c.fd)
			more = more || err == nil && st.Size > f.text.Read
		}
	}
	return more
}
