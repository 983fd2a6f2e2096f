package line

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"github.com/zeebo/xxh3"

	"github.com/sluicelog/sluice/internal/jsontext"
	"github.com/sluicelog/sluice/schemas"
)

// Split cuts the message of an event in two and makes an event of each half, both
// flagged split. Offset and size are shared out in proportion, so they add up; the ids
// come from the event's own and where it was cut, so the same refusal gives the same
// halves. ok is false for a message too short to be cut.
func Split(value []byte) (a, b []byte, ok bool) {
	h, ok := schemas.ParseHead(value)
	if !ok || len(h.Message) < 2 {
		return nil, nil, false
	}
	cut := jsontext.Cut(h.Message, len(h.Message)/2)
	if cut == 0 {
		return nil, nil, false
	}
	l, ok := parseLog(h.Rest)
	if !ok {
		return nil, nil, false
	}
	size := l.size * int64(cut) / int64(len(h.Message))
	half := func(message []byte, offset, size int64, from int) []byte {
		out := make([]byte, 0, len(value)-len(h.Message)+len(message)+64)
		out = append(out, value[:len(`{"@metadata":{"_id":"`)]...)
		out = append(out, pieceID(h.ID, from, len(message))...)
		out = append(out, `"},"@timestamp":"`...)
		out = append(out, h.Time...)
		out = append(out, `","message":"`...)
		out = append(append(out, message...), '"')
		out = append(out, h.Rest[:l.offsetAt]...)
		out = strconv.AppendInt(out, offset, 10)
		out = append(out, `,"size":`...)
		out = strconv.AppendInt(out, size, 10)
		switch {
		case !l.flagged:
			out = append(out, `,"flags":["split"]`...)
		case !l.split:
			out = append(out, `,"flags":["split",`...)
		default:
			out = append(out, `,"flags":[`...)
		}
		return append(out, h.Rest[l.restAt:]...)
	}
	return half(h.Message[:cut], l.offset, size, 0), half(h.Message[cut:], l.offset+size, l.size-size, cut), true
}

// pieceID keeps the time of an id and hashes the rest with the piece.
func pieceID(id []byte, from, n int) []byte {
	const timeChars = 8 // 6 bytes
	var at [16]byte
	binary.BigEndian.PutUint64(at[:], uint64(from))
	binary.BigEndian.PutUint64(at[8:], uint64(n))
	sum := xxh3.Hash128Seed(append(at[:], id...), 1)
	var p schemas.ID
	binary.BigEndian.PutUint64(p[6:14], sum.Hi)
	binary.BigEndian.PutUint32(p[14:], uint32(sum.Lo>>32))
	text := p.AppendText(nil)
	copy(text[:timeChars], id[:timeChars])
	return text
}

// logPart is where offset, size and flags stand in the rest of an event.
//
//	,"stream":"stdout","log":{"offset":7,"size":9,"flags":["cleaned"],"file":...
//	                                   ^offsetAt  ^                  ^
//	                            restAt after the size, or after "flags":[
type logPart struct {
	offset, size     int64
	offsetAt, restAt int
	flagged, split   bool
}

func parseLog(rest []byte) (l logPart, ok bool) {
	const member, next, flags = `,"log":{"offset":`, `,"size":`, `,"flags":[`
	i := bytes.Index(rest, []byte(member))
	if i < 0 {
		return l, false
	}
	number := func(at int) (n int64, end int, ok bool) {
		end = at
		for end < len(rest) && '0' <= rest[end] && rest[end] <= '9' {
			end++
		}
		n, err := strconv.ParseInt(string(rest[at:end]), 10, 64)
		return n, end, err == nil
	}
	l.offsetAt = i + len(member)
	n, end, ok := number(l.offsetAt)
	if !ok || !bytes.HasPrefix(rest[end:], []byte(next)) {
		return l, false
	}
	l.offset = n
	l.size, end, ok = number(end + len(next))
	l.restAt = end
	if bytes.HasPrefix(rest[end:], []byte(flags)) {
		l.flagged = true
		l.restAt = end + len(flags)
		set := rest[l.restAt:]
		l.split = bytes.Contains(set[:max(0, bytes.IndexByte(set, ']'))], []byte(`"split"`))
	}
	return l, ok
}
