package tail

import (
	"bytes"

	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/position"
)

// keys are the files that are followed by the names of their records. Inode and birth are
// the name, without the device, whose number may change when the host starts. Of two
// copies of one file system the files have the same: the second that is found has a number
// besides, which is stored before its first line is sent.
type keys map[string]disk.ID

// of is the name of a file's record, and its number. Who was there before keeps what it
// had: by its path, or since the file that has the record's path is no more.
func (k keys) of(st disk.Stat, path string, resume map[string]position.Record) (key string, clone int) {
	base := st.Key()
	if st.Birth == 0 {
		return base, 0 // the device is in it
	}
	known := func(n int) (p position.Record, ok bool) {
		p, ok = resume[position.Key(base, n)]
		return p, ok
	}
	taken := func(n int) bool {
		id, ok := k[position.Key(base, n)]
		return ok && id != st.ID
	}
	if !taken(0) {
		if _, ok := known(1); !ok { // the usual case
			if p, ok := known(0); !ok || p.Path == path || p.Dev == st.Dev || !elsewhere(p.Path, st) {
				return base, 0
			}
		}
	}
	free, renamed := -1, -1
	for n := 0; ; n++ {
		p, ok := known(n)
		switch {
		case ok && p.Path == path:
			return position.Key(base, n), n
		case ok && p.Dev == st.Dev && !taken(n) && renamed < 0:
			renamed = n
		case !ok && !taken(n):
			if free < 0 {
				free = n
			}
			if n > free { // numbers have no gaps of more than one
				if renamed >= 0 {
					free = renamed
				}
				return position.Key(base, free), free
			}
		}
	}
}

// elsewhere reports whether the file under a path is another than st with the same inode and birth.
func elsewhere(path string, st disk.Stat) bool {
	o, err := disk.StatPath(path)
	return err == nil && o.Key() == st.Key() && o.ID != st.ID
}

// copiedUp goes on with the file under the path of f in place of its descriptor, if that is
// what an overlay file system made of it when it was first written to: another birth, or
// another content than an open descriptor shows, but the same inode, and the bytes before
// the position. The generation stays.
func (t *finder) copiedUp(f *file) bool {
	fd, st, err := openFile(f.src, f.path)
	if err != nil {
		return false
	}
	if st.ID != f.id || f.is(st) && st.Size <= f.text.Read || !follows(fd, f) {
		t.closer.close(fd)
		return false
	}
	t.watches.disarm(f)
	t.closer.close(f.fd)
	f.fd = fd
	if key := position.Key(st.Key(), f.at.Clone); key != f.key {
		t.saver.note(position.Change{Bucket: position.Files, Key: f.key})
		delete(t.keys, f.key)
		t.keys[key], f.key, f.stored = f.id, key, -1
		t.log.Info("file was copied up by an overlay file system, and goes on", "path", f.path, "offset", f.text.Read)
	}
	f.extent.size, f.extent.eof = st.Size, false
	t.queue.add(f)
	return true
}

// follows reports whether an open file has more than was read of f, and the same before.
func follows(fd int, f *file) bool {
	b := make([]byte, f.last.n+1)
	n, err := disk.Pread(fd, b, f.text.Read-int64(f.last.n))
	return err == nil && n >= f.last.n && bytes.Equal(b[:f.last.n], f.last.text())
}

// recordBefore is the record of a file from before an overlay file system copied it up.
func (t *finder) recordBefore(fd int, st disk.Stat, path string) (key string, at position.Record, ok bool) {
	if len(t.resume) == 0 || !disk.Overlay(fd) {
		return "", at, false
	}
	for key, p := range t.resume {
		if p.Path != path || p.Ino != st.Ino {
			continue
		}
		var b [position.MarkerLen]byte
		if n, err := position.Preceding(fd, &b, p.Offset); err == nil && position.Marker(b[:n]) == p.Marker {
			t.saver.note(position.Change{Bucket: position.Files, Key: key})
			return key, p, true
		}
	}
	return "", at, false
}
