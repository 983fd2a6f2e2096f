// Package position remembers up to where each file is shipped, and what proves that a
// file is still the one that was read: its record, the marker before the position, and
// the store that survives a crash.
package position

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/zeebo/xxh3"

	"github.com/sluicelog/sluice/shipper/disk"
)

// Record is what is remembered of a file: up to where its lines are acknowledged, and
// what shows that it is still the same file with the same content.
type Record struct {
	Path   string `json:"path"` // where it was last seen; for people and for the sweep
	Dev    uint64 `json:"dev"`
	Ino    uint64 `json:"ino"`
	Birth  int64  `json:"birth,omitempty"` // nanoseconds; 0: the file system does not tell
	Seen   int64  `json:"seen"`            // nanoseconds, when we first saw it
	Cuts   int    `json:"cuts,omitempty"`  // truncations seen
	Clone  int    `json:"clone,omitempty"` // not 0: another file has its inode and birth, on a copy of the file system
	Offset int64  `json:"offset"`          // all below is acknowledged
	Marker uint64 `json:"marker"`          // hash of the MarkerLen bytes before Offset
	Stored int64  `json:"stored"`          // seconds, of this record

	Ends []int64 `json:"ends,omitempty"` // from Offset on, where a line was ended that has no newline: to be cut alike if it is read again

	Of   *Generation `json:"of,omitempty"`   // of the file that this one is a copy of
	Past *Proof      `json:"past,omitempty"` // of the generation before the last truncation
}

// Generation is what the ids of a file's lines hang on.
type Generation struct {
	Ino   uint64 `json:"ino"`
	Since int64  `json:"since"` // birth, or when it was first seen; nanoseconds
	Cuts  int    `json:"cuts,omitempty"`
	Clone int    `json:"clone,omitempty"`
}

// Generation is that of the file, or of the one that it is a copy of.
func (p *Record) Generation() Generation {
	if p.Of != nil {
		return *p.Of
	}
	since := p.Birth
	if since == 0 {
		since = p.Seen
	}
	return Generation{p.Ino, since, p.Cuts, p.Clone}
}

// Proof is by what a copy of a generation is known, and from where the copy is read.
type Proof struct {
	Of     Generation `json:"of"`
	At     int64      `json:"at"`
	Marker uint64     `json:"marker"` // hash of the MarkerLen bytes before At
	From   int64      `json:"from"`   // all below is acknowledged
	Ends   []int64    `json:"ends,omitempty"`
}

// Cut is where the file is after a truncation.
func (p Record) Cut(past Proof) Record {
	p.Cuts, p.Offset, p.Marker, p.Ends, p.Of, p.Past = p.Cuts+1, 0, 0, nil, nil, &past
	return p
}

// String is the generation as log.generation has it.
func (g Generation) String() string {
	if g.Clone > 0 {
		return fmt.Sprintf("%d-%d-%d-%d", g.Ino, g.Since, g.Cuts, g.Clone)
	}
	return fmt.Sprintf("%d-%d-%d", g.Ino, g.Since, g.Cuts)
}

// Key is the name of the record of a file whose disk.Stat has a key.
func Key(stat string, clone int) string {
	if clone == 0 {
		return stat
	}
	return stat + "+" + strconv.Itoa(clone)
}

// MarkerLen bytes before an offset prove that the file is the same up to there.
const MarkerLen = 64

// Marker is what is remembered of them.
func Marker(b []byte) uint64 { return xxh3.Hash(b) }

// Preceding reads the MarkerLen bytes before off, or all there are. The error is
// io.ErrUnexpectedEOF if the file ends before off.
func Preceding(fd int, b *[MarkerLen]byte, off int64) (n int, err error) {
	want := int(min(off, MarkerLen))
	n, err = disk.Pread(fd, b[:want], off-int64(want))
	if err == nil && n < want {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Decode reads the Records of files; those that cannot be read are left out, their files
// are read again.
func Decode(raw map[string][]byte) map[string]Record {
	out := make(map[string]Record, len(raw))
	for k, v := range raw {
		var p Record
		if json.Unmarshal(v, &p) == nil && p.Offset >= 0 {
			out[k] = p
		}
	}
	return out
}
