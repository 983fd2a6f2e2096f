package tail

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"

	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/position"
	"github.com/sluicelog/sluice/shipper/source"
)

// finder finds the files of sources and opens them: under their path, rotated, copied,
// and as they were at the last stop.
type finder struct {
	*room
	files   map[disk.ID]*file          // all that are followed, open or not
	resume  map[string]position.Record // of files not found yet
	watches *watches
	queue   *queue
	saver   *saver
	closer  *closer
	fds     *descriptors
	stems   stems
	keys    keys
	left    leftovers
	writers *writers
}

// serve opens files that waited for a descriptor, as long as there are any to be had.
func (t *finder) serve() {
	d := t.fds
	for range len(d.waiting) {
		s := d.waiting[0]
		if s.waits && !t.spare(s) {
			return
		}
		d.waiting = d.waiting[1:]
		if s.waits { // else it is not followed any more
			s.waits = false
			t.discover(s)
			t.queue.all(s)
		}
	}
}

// candidate is a file found under a name of a source.
type candidate struct {
	path string
	stat disk.Stat
}

// discover finds the files of a source, rotated ones first, and opens those it does not
// know. It looks again as long as it found any, since names may move meanwhile. A source
// that waits for a descriptor is looked for when it is its turn.
func (t *finder) discover(s *origin) {
	if s.waits {
		return
	}
	for range 10 {
		if !t.discoverOnce(s) {
			break
		}
	}
}

func (t *finder) discoverOnce(s *origin) (opened bool) {
	if s.spec.Path == "" {
		return false
	}
	found, err := t.candidates(s)
	if err != nil {
		t.trouble(s, err)
		for _, f := range s.files {
			f.times.seen = t.now // it may be there: not to be forgotten yet
		}
		return false
	}
	var order []*file
	var live *file
	if n := len(found) - 1; n >= 0 && found[n].path == s.spec.Path { // first, since the others may be copies of it
		live, opened = t.follow(s, found[n], nil)
		found = found[:n]
	}
	for _, c := range found {
		f, o := t.follow(s, c, live)
		opened = opened || o
		if f != nil && f != live {
			order = append(order, f)
		}
	}
	if live != nil {
		order = append(order, live)
	}
	if live != nil && s.live != nil && live != s.live {
		t.m.rotated.Inc()
	}
	s.live = live
	// Files whose names are gone come before those that have one.
	var all []*file
	for _, f := range s.files {
		if !slices.Contains(order, f) {
			all = append(all, f)
		}
	}
	s.files = append(all, order...)
	if f := s.next(); f != nil {
		t.queue.add(f)
	}
	return opened
}

// follow is the file of a candidate; nil if it is another source's, or cannot be opened.
func (t *finder) follow(s *origin, c candidate, live *file) (f *file, opened bool) {
	f = t.files[c.stat.ID]
	if f != nil && !f.is(c.stat) {
		if f.fd < 0 { // the inode is another file's now, or an overlay file system copied it up
			at, ok := f.stand(t.now)
			t.forget(f)
			if ok && c.path == f.path {
				t.resume[f.key] = at
			}
			f = nil
		} else if !t.copiedUp(f) {
			return nil, false // cannot be while we hold it; look again
		}
	}
	if f != nil {
		f.path, f.times.seen, f.extent.size = c.path, t.now, c.stat.Size
		if f.fd < 0 && c.stat.Size != f.extent.end {
			t.reopen(f)
		}
	} else {
		f = t.open(s, c.path, live)
		opened = f != nil
	}
	if f != nil && f.src != s { // renamed from a path that is followed as well: that goes on
		f = nil
	}
	return f, opened
}

// candidates are the files under the names of a source, oldest first: siblings that its
// discoverer knows, path.0, path.1 and so on until the first that is missing, path.
func (t *finder) candidates(s *origin) (out []candidate, err error) {
	look := func(path string) (there bool, err error) {
		stat := disk.StatPath
		if h := &s.spec.Hints; !h.FollowLinks && (path != s.spec.Path || h.Root != "") {
			stat = disk.LstatPath
		}
		st, err := stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err == nil && st.Regular && !s.spec.Hints.Exclude.Match(path) {
			out = append(out, candidate{path, st})
		}
		return true, err
	}
	for _, path := range s.spec.Hints.Siblings {
		if _, err := look(path); err != nil {
			return nil, err
		}
	}
	known, gz := len(out), 0
	n := 0
	if s.spec.Hints.Sealed {
		n = 1 // dockerd begins with it
	}
	for ; n <= maxRotated; n++ {
		path := s.spec.Path + "." + strconv.Itoa(n)
		if slices.ContainsFunc(out[:known], func(c candidate) bool { return c.path == path }) {
			continue
		}
		there, err := look(path)
		if err != nil {
			return nil, err
		}
		if !there && n > 0 {
			if _, err := os.Lstat(path + ".gz"); err != nil {
				break
			}
			gz++
		}
	}
	if gz > s.compressed {
		t.m.gz.Add(float64(gz - s.compressed))
		s.compressed = gz
	}
	oldestFirst(s.spec.Path, out)
	if len(s.spool) > 0 { // what was deleted is older
		rotated := out
		out = nil
		for _, path := range s.spool {
			if _, err := look(path); err != nil {
				return nil, err
			}
		}
		out = append(out, rotated...)
	}
	_, err = look(s.spec.Path)
	return out, err
}

const maxRotated = 999 // path.1 to path.999 are looked for

// oldestFirst sorts the rotated files of a path: by number if all have one above 0, else,
// since a JVM begins with 0 and counts up, by when they were last written to.
func oldestFirst(path string, all []candidate) {
	number := func(c candidate) int {
		if base, n, ok := source.Numbered(c.path); ok && base == path {
			return n
		}
		return 0
	}
	if slices.ContainsFunc(all, func(c candidate) bool { return number(c) == 0 }) {
		slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.stat.Written, b.stat.Written) })
	} else {
		slices.SortFunc(all, func(a, b candidate) int { return cmp.Compare(number(b), number(a)) })
	}
}

// changed reports whether another file than the known one is under the source's path, and
// has the known one read if it grew.
func (t *finder) changed(s *origin) bool {
	if s.spec.Path == "" || s.live == nil {
		return s.spec.Path != ""
	}
	st, err := disk.StatPath(s.spec.Path)
	if err != nil || !s.live.is(st) {
		return true
	}
	f := s.live
	f.extent.size, f.times.seen = st.Size, t.now
	return f.fd < 0 && st.Size != f.extent.end
}

// vanished reports whether there is no file under the source's path.
func vanished(s *origin) bool {
	_, err := disk.StatPath(s.spec.Path)
	return errors.Is(err, fs.ErrNotExist)
}
