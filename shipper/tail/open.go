package tail

import (
	"errors"
	"io"
	"io/fs"

	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/position"
)

var errLimit = errors.New("the limit of open files is reached")

// open begins to follow the file under path, where its record says, where the live file
// was of which it is a copy, or from its start.
func (t *finder) open(s *origin, path string, live *file) *file {
	if !t.spare(s) {
		t.lacks(s, errLimit)
		return nil
	}
	fd, st, err := openFile(s, path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			t.trouble(s, err)
		}
		return nil
	}
	if known := t.files[st.ID]; known != nil { // moved here since it was looked for
		t.closer.close(fd)
		return nil
	}
	return t.opened(s, fd, st, path, live)
}

// opened is open for a file that is open.
func (t *finder) opened(s *origin, fd int, st disk.Stat, path string, live *file) *file {
	s.opened = true
	s.problem.OK()
	t.m.opened.Inc()
	t.counted(s)
	f := t.resumed(s, fd, st, path)
	f.times.seen, f.times.grew = t.now, t.now
	s.files = append(s.files, f)
	t.files[f.id] = f
	t.keys[f.key] = f.id
	if f.stored < 0 {
		f = t.begin(f, live)
	}
	return f
}

// resumed takes the file up where its record says, or as one that has none yet.
func (t *finder) resumed(s *origin, fd int, st disk.Stat, path string) *file {
	key, clone := t.keys.of(st, path, t.resume)
	at, ok := t.resume[key]
	moved := false
	if !ok {
		key, at, ok = t.recordBefore(fd, st, path)
		moved = ok
	}
	if !ok {
		at = position.Record{Path: path, Dev: st.Dev, Ino: st.Ino, Birth: st.Birth, Seen: t.now.UnixNano(), Clone: clone}
		f := newFile(s, fd, st, path, at, -1)
		f.durable = st.Birth != 0 && clone == 0 // else its generation is the moment we saw it, or a number, to be stored first
		return f
	}
	delete(t.resume, key)
	at.Path, at.Dev = path, st.Dev
	f := newFile(s, fd, st, path, at, at.Offset)
	if err := f.load(); errors.Is(err, io.ErrUnexpectedEOF) || err == nil && f.last.marker() != at.Marker {
		t.m.truncated.Inc()
		t.log.Warn("file is not what it was, reading it from the start", "path", path, "offset", at.Offset, "size", st.Size)
		past := position.Proof{Of: at.Generation(), At: at.Offset, Marker: at.Marker, From: at.Offset, Ends: at.Ends}
		return newFile(s, fd, st, path, at.Cut(past), -1)
	}
	f.durable = true
	if moved {
		f.stored = -1
	}
	return f
}

// forget follows a file no more, and has its record deleted.
func (t *finder) forget(f *file) {
	f.finished = true
	t.left.add(f)
	t.watches.disarm(f)
	f.src.remove(f)
	if t.files[f.id] == f {
		delete(t.files, f.id)
		delete(t.keys, f.key)
	}
	t.saver.note(position.Change{Bucket: position.Files, Key: f.key})
}
