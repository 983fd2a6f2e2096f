package tail

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/sluicelog/sluice/internal/logonce"
	"github.com/sluicelog/sluice/schemas"
	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/line"
	"github.com/sluicelog/sluice/shipper/position"
	"github.com/sluicelog/sluice/shipper/send"
	"github.com/sluicelog/sluice/shipper/source"
)

type (
	lines = line.Log[*send.Window]
	text  = line.Text[*send.Window]
	maker = line.Maker[*send.Window]
)

// origin is one source that is followed: a log as its writer sees it, with all the files
// it was rotated into.
type origin struct {
	spec  source.Spec
	id    string         // 16 hex digits
	info  schemas.Source // as its events have it
	lines lines
	sent  *send.Source
	read  *kindTally

	files      []*file       // oldest first
	spool      []string      // copies of files of it
	live       *file         // under spec.Path now; nil if there is none
	compressed int           // most compressed rotated files seen
	open       int           // files that are open
	waits      bool          // one is to be opened once there is a descriptor for it
	gone       bool          // its writer is gone
	opened     bool          // a file of it could be opened
	problem    logonce.State // it cannot be followed
	lost       line.Lost     // replaced by dockerd so far
}

// next is the file to be read before all others: the oldest that may have unread bytes
// and for which no later one may be read yet.
func (s *origin) next() *file {
	for _, f := range s.files {
		if f.fd >= 0 && !f.extent.drained && !f.problem.Failing() && f.copy.of == nil {
			return f
		}
	}
	return nil
}

// lives reports whether its files will go when its writer does.
func (s *origin) lives() bool {
	return s.spec.Hints.EndReported && !s.spec.Hints.Ended && !s.gone
}

// has reports whether a file of it was last seen under a path.
func (s *origin) has(path string) bool {
	return slices.ContainsFunc(s.files, func(f *file) bool { return f.path == path })
}

// after reports whether a younger file of the source exists.
func (s *origin) after(f *file) bool { return len(s.files) > 0 && s.files[len(s.files)-1] != f }

// copies reports whether a file of the source is read as a copy of a generation.
func (s *origin) copies(of position.Generation) bool {
	return slices.ContainsFunc(s.files, func(f *file) bool { return f.at.Of != nil && *f.at.Of == of })
}

func (s *origin) remove(f *file) {
	s.files = slices.DeleteFunc(s.files, func(g *file) bool { return g == f })
	if s.live == f {
		s.live = nil
	}
}

// file is one generation of one file: the same inode from its birth, or from its last
// truncation, on.
type file struct {
	src  *origin
	id   disk.ID
	key  string // of its record
	path string // where it was last seen

	at      position.Record
	stored  int64 // the position as it is on disk; -1: no record
	durable bool  // its record is stored, so its lines may be sent

	fd       int   // -1: closed
	watch    int32 // inotify watch, 0: not armed
	text     text
	last     trail // of the bytes before text.Read
	turn     turn
	rest     rest
	copy     likeness
	extent   extent
	times    times
	finished bool
	problem  logonce.State // it cannot be read
}

// turn is of a file that is to be read.
type turn struct {
	queued bool
	ending bool  // where its last line ends is being stored; it is not read before
	read   int64 // bytes, in this turn
	from   int64 // up to where all lines were finished when it began
}

// likeness is of a file that may be a copy of another; it is not read until that is known.
type likeness struct {
	of   *file
	same int64 // up to where it was found to be one
}

// extent is how long a file was when it was last looked at.
type extent struct {
	size    int64
	end     int64 // up to where it was read when it was read to its end
	eof     bool  // read to the end when last looked
	drained bool  // read to the end after a younger file was there
	recheck bool  // armed; to be read once more before it is parked
	blank   int64 // up to here it ends in NULs, from where it was read to; 0: it does not
	written int64 // when it was last written to before that was looked at
	text    int64 // up to here at least are bytes that are no NULs to come
}

type times struct {
	grew    time.Time // when there was last something to read
	seen    time.Time // when its path was last looked at
	deleted time.Time // when its last name was found gone
}

// trail is the last bytes that were read of a file, to see later that they are still
// there.
type trail struct {
	bytes [position.MarkerLen]byte
	n     int // how many
}

func (t *trail) text() []byte   { return t.bytes[:t.n] }
func (t *trail) marker() uint64 { return position.Marker(t.text()) }

// remember keeps the last bytes of what was read.
func (t *trail) remember(b []byte) {
	if len(b) >= len(t.bytes) {
		t.n = copy(t.bytes[:], b[len(b)-len(t.bytes):])
		return
	}
	keep := min(t.n, len(t.bytes)-len(b))
	copy(t.bytes[:], t.bytes[t.n-keep:t.n])
	t.n = keep + copy(t.bytes[keep:], b)
}

// newFile takes up an open file of a source at a position; the position says the
// generation.
func newFile(s *origin, fd int, st disk.Stat, path string, at position.Record, stored int64) *file {
	f := &file{src: s, id: st.ID, key: position.Key(st.Key(), at.Clone), path: path, at: at, fd: fd, stored: stored, extent: extent{size: st.Size}}
	g := at.Generation()
	f.text.Window, f.text.Generation, f.text.IDTime = send.NewWindow(s.sent, at.Offset), g.String(), time.Unix(0, g.Since)
	if s.spec.Decoder.Timed() {
		f.text.Place = schemas.NewPlace(s.id, f.text.Generation, "")
	} else {
		// Inode and birth name the file whatever it is called now, so that a lost
		// positions file and a rotation together do not give its lines new ids.
		f.text.Place = schemas.NewPlace(schemas.SourceID(s.info.Host, source.KindFile, ""), f.text.Generation, "")
	}
	f.text.Resume(at.Offset, false)
	return f
}

// openFile opens a file of a source; links are followed only where its discoverer says so.
func openFile(s *origin, path string) (int, disk.Stat, error) {
	h := &s.spec.Hints
	switch {
	case path == s.spec.Path && h.Root == "", slices.Contains(s.spool, path):
		return disk.Open(path)
	case h.Root == "":
		return disk.OpenBelow(filepath.Dir(path), path, h.FollowLinks)
	}
	return disk.OpenBelow(h.Root, path, h.FollowLinks)
}

// is reports whether a file that was looked at is f.
func (f *file) is(st disk.Stat) bool {
	return st.ID == f.id && position.Key(st.Key(), f.at.Clone) == f.key
}

// window is where the file's events are waited for.
func (f *file) window() *send.Window { return f.text.Window }

// load fills what is remembered of the bytes before the position from the file itself.
func (f *file) load() (err error) {
	f.last.n, err = position.Preceding(f.fd, &f.last.bytes, f.text.Read)
	f.text.Resume(f.text.Read, f.last.n > 0 && f.last.bytes[f.last.n-1] != '\n' && !f.endsAt(f.text.Read))
	return err
}

// untouched reports whether the bytes before text.Read are still those that were read.
func (f *file) untouched() bool {
	var b [position.MarkerLen]byte
	k, err := disk.Pread(f.fd, b[:f.last.n], f.text.Read-int64(f.last.n))
	return err == nil && string(b[:k]) == string(f.last.text())
}

// unfinished reports whether a line has begun before text.Read that has not ended.
func (f *file) unfinished() bool { return f.text.Carried() > 0 || f.src.lines.Unfinished(&f.text) }

// endsAt reports whether a line ends at an offset though it has no newline.
func (f *file) endsAt(offset int64) bool { return slices.Contains(f.at.Ends, offset) }

// untilEnd is how much of n bytes may be read before a line ends that has no newline.
func (f *file) untilEnd(n int) int {
	for _, end := range f.at.Ends {
		if more := end - f.text.Read; more > 0 {
			n = int(min(int64(n), more))
		}
	}
	return n
}

// safe is up to where all of the file is in events.
func (f *file) safe() int64 { return f.src.lines.Safe(&f.text) }

// waits reports whether the file is not to be read on, since Kafka refuses too much of it.
func (f *file) waits() bool { return f.src.sent.Waits(f.window()) }

// rewind gives the buffers of unfinished lines back and has the file read from an earlier
// position when it grows. It does not if the file is not what was read: that is found out
// by comparing what is before text.Read.
func (f *file) rewind(m *maker, to int64) bool {
	if to < f.text.Read {
		var t trail
		var err error
		t.n, err = position.Preceding(f.fd, &t.bytes, to)
		if err != nil || !f.untouched() {
			return false
		}
		f.last = t
	}
	m.Forget(&f.src.lines, &f.text, to)
	return true
}

// record is the file's position as it is to be stored; false: not now, the file cannot
// be read there, or it is not known what it is.
func (f *file) record(now time.Time) (position.Change, int64, bool) {
	if f.copy.of != nil {
		return position.Change{}, 0, false
	}
	committed, _ := f.window().Position()
	at := f.at
	at.Path, at.Offset, at.Stored = f.path, committed, now.Unix()
	if committed == f.text.Read {
		at.Marker = f.last.marker()
	} else {
		var t trail
		var err error
		t.n, err = position.Preceding(f.fd, &t.bytes, committed)
		if err != nil || !f.untouched() { // rewritten meanwhile: no marker of its new content
			return position.Change{}, 0, false
		}
		at.Marker = t.marker()
	}
	at.Ends = slices.DeleteFunc(slices.Clone(at.Ends), func(end int64) bool { return end < committed })
	f.at = at
	v, err := json.Marshal(at)
	return position.Change{Bucket: position.Files, Key: f.key, Value: v}, committed, err == nil
}

// stand is the file's position as it could be stored.
func (f *file) stand(now time.Time) (at position.Record, ok bool) {
	c, _, ok := f.record(now)
	return at, ok && json.Unmarshal(c.Value, &at) == nil
}

// proof is of what was last recorded of f, which a copy has even if f was read on after
// it was made; if nothing was, of what was read.
func (f *file) proof() position.Proof {
	p := position.Proof{Of: f.at.Generation(), At: f.at.Offset, Marker: f.at.Marker, From: f.at.Offset, Ends: f.at.Ends}
	if p.At == 0 {
		p.At, p.Marker = f.text.Read, f.last.marker()
	}
	return p
}

// has reports whether what p says is in f.
func (f *file) has(p position.Proof) bool {
	if p.At == 0 || f.extent.size < p.At {
		return false
	}
	var t trail
	var err error
	t.n, err = position.Preceding(f.fd, &t.bytes, p.At)
	return err == nil && t.marker() == p.Marker
}

// beginsAs reports whether all of f is the beginning of o: byte by byte if it is short, else
// by blocks over all its length and its end.
func (f *file) beginsAs(o *file) bool {
	const block, blocks = 64 << 10, 16
	var a, b [block]byte
	size := f.extent.size
	same := func(from int64) bool {
		n := min(block, size-from)
		k, errA := disk.Pread(f.fd, a[:n], from)
		l, errB := disk.Pread(o.fd, b[:n], from)
		return errA == nil && errB == nil && int64(k) == n && bytes.Equal(a[:k], b[:l])
	}
	step := max(block, size/blocks)
	for at := int64(0); at < size; at += step {
		if !same(at) {
			return false
		}
	}
	return size <= block || same(size-block)
}

// trouble notes that the file cannot be read now; the poll tries again.
func (f *file) trouble(log *slog.Logger, err error) {
	if f.problem.Failed(err.Error()) {
		log.Error("cannot read file", "path", f.path, "offset", f.text.Read, "error", err)
	}
}

func (f *file) recovered(log *slog.Logger) {
	if down, ended := f.problem.OK(); ended {
		log.Info("file can be read again", "path", f.path, "after", down)
	}
}

// lag is what is not acknowledged, in bytes. What may be a copy has none: its lines are
// counted in the file that it may be a copy of.
func (f *file) lag() int64 {
	if f.copy.of != nil {
		return 0
	}
	committed, _ := f.window().Position()
	if f.extent.blank > 0 {
		return max(0, f.text.Read-committed)
	}
	return max(0, f.extent.size-committed)
}
