package schemas

import (
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/zeebo/xxh3"
)

// IDLen is the length of an id in text.
const IDLen = 24

// ID is the identity of a line: 6 bytes of its time in milliseconds, big endian, so
// that ids rise with time and Lucene prunes segments; then 12 bytes of a hash of
// where the line is and what it says. The same line read again has the same id.
//
//	0      6                  18 bytes = 24 characters of base64url
//	| ms   | xxh3-128, first 12 |
type ID [18]byte

// Place is where a line is: the source and, in it, the file's generation and the
// stream. It is made once a file and stream.
type Place struct{ seed uint64 }

// NewPlace of a source. Generation distinguishes a file from an earlier one under the same
// name and inode; lines that carry their own time (docker json-file) leave it empty.
func NewPlace(sourceID, generation, stream string) Place {
	var h xxh3.Hasher
	for _, s := range []string{sourceID, generation, stream} {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.WriteString(s)
	}
	return Place{seed: h.Sum64()}
}

// LineHash gathers the hash of a line's raw bytes over its pieces; it is a value, no
// memory is taken.
type LineHash struct {
	seed uint64
	sum  xxh3.Uint128
}

// Line starts the hash of the line whose first raw byte is at offset.
func (p Place) Line(offset int64) LineHash {
	// SplitMix64's finaliser (Steele, Lea, Flood 2014): neighbouring offsets give unlike seeds.
	z := p.seed + uint64(offset)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return LineHash{seed: z ^ z>>31}
}

// Add is the hash with one more raw piece of the line: each seeds the next.
func (h LineHash) Add(raw []byte) LineHash {
	sum := xxh3.Hash128Seed(raw, h.seed)
	return LineHash{seed: h.seed ^ sum.Lo ^ sum.Hi, sum: sum}
}

// ID of the line gathered so far, at the line's time.
func (h LineHash) ID(t time.Time) ID {
	var id ID
	binary.BigEndian.PutUint64(id[:8], uint64(t.UnixMilli())<<16)
	binary.BigEndian.PutUint64(id[6:14], h.sum.Hi)
	binary.BigEndian.PutUint32(id[14:], uint32(h.sum.Lo>>32))
	return id
}

// With is the id of an event of several lines: that of the first, then those of the others,
// each by the id that it would have by itself.
func (id ID) With(next ID) ID {
	var both [36]byte
	copy(both[:], id[:])
	copy(both[18:], next[:])
	sum := xxh3.Hash128Seed(both[:], 2)
	binary.BigEndian.PutUint64(id[6:14], sum.Hi)
	binary.BigEndian.PutUint32(id[14:], uint32(sum.Lo>>32))
	return id
}

// AppendText appends the 24 characters of the id.
func (id ID) AppendText(dst []byte) []byte {
	return base64.RawURLEncoding.AppendEncode(dst, id[:])
}

// String is the id in text.
func (id ID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// SourceID is the 16 hex digits that name a source: the key of its records. Kind is
// docker or file, name what is unique in that kind on that host.
func SourceID(host, kind, name string) string {
	p := NewPlace(host, kind, name)
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], p.seed)
	const hex = "0123456789abcdef"
	out := make([]byte, 0, 16)
	for _, c := range b {
		out = append(out, hex[c>>4], hex[c&15])
	}
	return string(out)
}
