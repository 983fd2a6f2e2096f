package shipper

import (
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/sluicelog/sluice/schemas"
	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/source"
)

// file is one generation of one file: the same inode from its birth, or from its last
// truncation, on. The tailer owns all but what mu guards.
type file struct {
	src  *origin
	id   disk.ID
	key  string // of its record
	path string // where it was last seen
	at   position
	like *file // the one that this may be a copy of; it is not read until that is known
	same int64 // up to where it was found to be one

	place  schemas.Place // of lines without a time of their own
	idTime time.Time     // of their ids

	fd       int // -1: closed
	read     int64
	before   [markerLen]byte // the bytes before read; beforeLen of them
	prior    int             // how many
	carry    []byte          // an unfinished line: the last bytes before read
	mid      bool            // the carry goes on with a line of which pieces were sent
	name     []byte          // file name that stood before that line
	seq      int64           // of the next event
	size     int64           // when last looked
	end      int64           // up to where it was read when it was read to its end
	watch    int32           // inotify watch, 0: not armed
	queued   bool
	eof      bool      // read to the end when last looked
	drained  bool      // read to the end after a younger file was there
	recheck  bool      // armed; to be read once more before it is parked
	durable  bool      // its record is stored, so its lines may be sent
	turn     int64     // bytes read in this turn
	turnFrom int64     // up to where all lines were finished when it began
	grew     time.Time // last time there was something to read
	seen     time.Time // last time its path was looked at
	deleted  time.Time // when its last name was found gone
	finished bool
	problem  string

	mu        sync.Mutex
	window    window
	committed int64 // all below is acknowledged
	stored    int64 // owned by the tailer: committed as it is on disk; -1: no record
}

// newFile takes up an open file at a position; the position says the generation.
func newFile(s *origin, fd int, st disk.Stat, path string, at position, stored int64) *file {
	f := &file{
		src: s, id: st.ID, key: st.Key(), path: path, at: at,
		fd: fd, read: at.Offset, size: st.Size, committed: at.Offset, stored: stored,
	}
	g := at.generation()
	f.idTime = time.Unix(0, g.Since)
	generation := fmt.Sprintf("%d-%d-%d", g.Ino, g.Since, g.Cuts)
	if s.Decoder.Timed() {
		f.place = schemas.NewPlace(s.id, generation, "")
	} else {
		// Inode and birth name the file whatever it is called now, so that a lost
		// positions file and a rotation together do not give its lines new ids.
		f.place = schemas.NewPlace(schemas.SourceID(s.info.Host, source.KindFile, ""), generation, "")
	}
	return f
}

// lineStart is where the first byte stands that is in no event yet.
func (f *file) lineStart() int64 { return f.read - int64(len(f.carry)) }

// mark is up to where all is acknowledged, and whether events are under way.
func (f *file) mark() (committed int64, underWay bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.committed, !f.window.empty()
}

// remember keeps the last bytes that were read, to see later that they still stand
// before f.read.
func (f *file) remember(b []byte) {
	if len(b) >= markerLen {
		f.prior = copy(f.before[:], b[len(b)-markerLen:])
		return
	}
	keep := min(f.prior, markerLen-len(b))
	copy(f.before[:], f.before[f.prior-keep:f.prior])
	f.prior = keep + copy(f.before[keep:], b)
}

// load fills what remember keeps from the file itself.
func (f *file) load() (err error) {
	f.prior, err = preceding(f.fd, &f.before, f.read)
	f.mid = f.prior > 0 && f.before[f.prior-1] != '\n'
	return err
}

// untouched tells whether the bytes before f.read are still those that were read.
func (f *file) untouched() bool {
	var b [markerLen]byte
	k, err := disk.Pread(f.fd, b[:f.prior], f.read-int64(f.prior))
	return err == nil && string(b[:k]) == string(f.before[:f.prior])
}

// record is the file's position as it is to be stored; false: not now, the file cannot
// be read there, or it is not known what it is.
func (f *file) record(now time.Time) (record, int64, bool) {
	if f.like != nil {
		return record{}, 0, false
	}
	committed, _ := f.mark()
	at := f.at
	at.Path, at.Offset, at.Stored = f.path, committed, now.Unix()
	if committed == f.read {
		at.Marker = marker(f.before[:f.prior])
	} else {
		var b [markerLen]byte
		n, err := preceding(f.fd, &b, committed)
		if err != nil || !f.untouched() { // rewritten meanwhile: no marker of its new content
			return record{}, 0, false
		}
		at.Marker = marker(b[:n])
	}
	f.at = at
	v, err := json.Marshal(at)
	return record{bucket: bucketFiles, key: f.key, value: v}, committed, err == nil
}

// proof is of what was last recorded of f, which a copy has even if f was read on after
// it was made; if nothing was, of what was read.
func (f *file) proof() proof {
	p := proof{Of: f.at.generation(), At: f.at.Offset, Marker: f.at.Marker, From: f.at.Offset}
	if p.At == 0 {
		p.At, p.Marker = f.read, marker(f.before[:f.prior])
	}
	return p
}

// lag is what is not acknowledged; mu is held. What may be a copy has none: its lines
// are counted in the file that it may be a copy of.
func (f *file) lag() int64 {
	if f.like != nil {
		return 0
	}
	return max(0, f.size-f.committed)
}

// fileStatus is a file in /status.
type fileStatus struct {
	Path    string `json:"path"`
	Inode   string `json:"inode"`
	Offset  int64  `json:"offset"` // acknowledged
	Read    int64  `json:"read"`
	Size    int64  `json:"size"`
	Lag     int64  `json:"lag_bytes"` // not acknowledged
	Open    bool   `json:"open"`
	Deleted bool   `json:"deleted,omitempty"`
	Error   string `json:"error,omitempty"`
}

func (f *file) status() fileStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fileStatus{
		Path: f.path, Inode: strconv.FormatUint(f.id.Ino, 10), Offset: f.committed, Read: f.read, Size: f.size,
		Lag: f.lag(), Open: f.fd >= 0, Deleted: !f.deleted.IsZero(), Error: f.problem,
	}
}
