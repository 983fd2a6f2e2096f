package shipper

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/sluicelog/sluice/shipper/disk"
)

// candidate is a file found under a name of a source.
type candidate struct {
	path string
	stat disk.Stat
}

// discover finds the files of a source, rotated ones first, and opens those it does not
// know. It looks again as long as it found any, since names may move meanwhile.
func (t *tailer) discover(s *origin) {
	for range 10 {
		if !t.discoverOnce(s) {
			break
		}
	}
}

func (t *tailer) discoverOnce(s *origin) (opened bool) {
	if s.Path == "" {
		return false
	}
	found, err := t.candidates(s)
	if err != nil {
		t.sourceTrouble(s, err)
		for _, f := range s.files {
			f.seen = t.now // it may be there: not to be forgotten yet
		}
		return false
	}
	var order []*file
	var live *file
	if n := len(found) - 1; n >= 0 && found[n].path == s.Path { // first, since the others may be copies of it
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
		t.enqueue(f)
	}
	return opened
}

// follow is the file of a candidate; nil if it is another source's, or cannot be opened.
func (t *tailer) follow(s *origin, c candidate, live *file) (f *file, opened bool) {
	f = t.files[c.stat.ID]
	if f != nil && f.key != c.stat.Key() { // the inode is another file's now
		if f.fd >= 0 {
			return nil, false // cannot be while we hold it; look again
		}
		t.finished(f)
		f = nil
	}
	if f != nil {
		f.path, f.seen, f.size = c.path, t.now, c.stat.Size
		if f.fd < 0 && c.stat.Size != f.end {
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

func remove(files []*file, f *file) []*file {
	return slices.DeleteFunc(files, func(g *file) bool { return g == f })
}

// candidates are the files under the names of a source, oldest first: dated siblings,
// path.N to path.1, path.
func (t *tailer) candidates(s *origin) ([]candidate, error) {
	var out []candidate
	gz := 0
	look := func(path string) error {
		st, err := disk.StatPath(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && st.Regular && !s.Hints.Exclude.Match(path) {
			out = append(out, candidate{path, st})
		}
		return err
	}
	for n := 1; n <= maxRotated; n++ {
		path := s.Path + "." + strconv.Itoa(n)
		had := len(out)
		if err := look(path); err != nil {
			return nil, err
		}
		if len(out) == had {
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
	slices.Reverse(out)
	numbered := out
	out = nil
	for _, path := range s.Hints.Siblings {
		if err := look(path); err != nil {
			return nil, err
		}
	}
	out = append(out, numbered...)
	err := look(s.Path)
	return out, err
}

func (t *tailer) sourceTrouble(s *origin, err error) {
	t.m.openErrs.Inc()
	if exhausted(err) {
		if !t.noFD {
			t.noFD = true
			t.log.Error("no more file descriptors, files wait", "open", t.nFD, "err", err)
		}
		return
	}
	if s.problem != err.Error() {
		s.problem = err.Error()
		t.log.Error("cannot follow file", "path", s.Path, "err", err)
	}
}

func exhausted(err error) bool { return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) }

// open begins to follow the file under path, where its record says, where the live file
// stood of which it is a copy, or from its start.
func (t *tailer) open(s *origin, path string, live *file) *file {
	fd, st, err := disk.Open(path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			t.sourceTrouble(s, err)
		}
		return nil
	}
	if known := t.files[st.ID]; known != nil { // moved here since it was looked for
		t.closer.close(fd)
		return nil
	}
	return t.opened(s, fd, st, path, live)
}

func (t *tailer) opened(s *origin, fd int, st disk.Stat, path string, live *file) *file {
	s.problem, s.opened, t.noFD = "", true, false
	t.m.opened.Inc()
	t.nFD++
	f := t.resumeFile(s, fd, st, path)
	f.seen, f.grew = t.now, t.now
	s.files = append(s.files, f)
	t.files[f.id] = f
	if d, ok := t.departed[s.Key()]; ok {
		d.opened = true
		t.departed[s.Key()] = d
	}
	if f.stored < 0 {
		f = t.begin(f, live)
	}
	return f
}

// resumeFile takes the file up where its record says, or as one that has none yet.
func (t *tailer) resumeFile(s *origin, fd int, st disk.Stat, path string) *file {
	at, ok := t.resume[st.Key()]
	if !ok {
		at = position{Path: path, Dev: st.Dev, Ino: st.Ino, Birth: st.Birth, Seen: t.now.UnixNano()}
		f := newFile(s, fd, st, path, at, -1)
		f.durable = st.Birth != 0 // else its generation is the moment we saw it, to be stored first
		return f
	}
	delete(t.resume, st.Key())
	at.Path, at.Dev = path, st.Dev
	f := newFile(s, fd, st, path, at, at.Offset)
	if err := f.load(); errors.Is(err, io.ErrUnexpectedEOF) || err == nil && marker(f.before[:f.prior]) != at.Marker {
		t.m.truncated.Inc()
		t.log.Warn("file is not what it was, reading it from the start", "path", path, "offset", at.Offset, "size", st.Size)
		return newFile(s, fd, st, path, at.cut(proof{at.generation(), at.Offset, at.Marker, at.Offset}), -1)
	}
	f.durable = true
	return f
}

// reopen takes up a closed file that has grown.
func (t *tailer) reopen(f *file) {
	fd, st, err := disk.Open(f.path)
	if err != nil {
		t.sourceTrouble(f.src, err)
		return
	}
	if st.Key() != f.key || st.ID != f.id {
		t.closer.close(fd)
		return
	}
	t.nFD++
	f.fd, f.eof, f.drained = fd, false, false
}

// close gives the descriptor back.
func (t *tailer) close(f *file) {
	if f.watch != 0 {
		t.watch.Remove(f.watch)
		delete(t.armed, f.watch)
		f.watch = 0
	}
	if f.fd >= 0 {
		t.closer.close(f.fd)
		f.fd = -1
		t.nFD--
	}
	if cap(f.carry) > 0 {
		t.drop(f)
	}
}

// changed tells whether another file than the known one is under the source's path, and
// has the known one read if it grew.
func (t *tailer) changed(s *origin) bool {
	if s.Path == "" || s.live == nil {
		return s.Path != ""
	}
	st, err := disk.StatPath(s.Path)
	if err != nil || st.ID != s.live.id || st.Key() != s.live.key {
		return true
	}
	f := s.live
	f.size, f.seen = st.Size, t.now
	return f.fd < 0 && st.Size != f.end
}

func (t *tailer) vanished(s *origin) bool {
	_, err := disk.StatPath(s.Path)
	return errors.Is(err, fs.ErrNotExist)
}
