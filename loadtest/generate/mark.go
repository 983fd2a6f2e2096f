package generate

import (
	"bytes"
	"time"
)

// Mark is what every line says of itself in its text, whatever its format:
//
//	~lt:01020304:00002a:0000000007:5f8a1b2c3d4e5~
//	    run      source sequence   planned time, microseconds since 1970; all in hex
//
// Nothing in it is escaped in JSON, and it is long enough not to come by chance.
type Mark struct {
	Run    uint32
	Source int   // 0 to 2^24-1
	Seq    int64 // from 0 in each source, without gaps; below 2^40
	Time   int64 // when the line was to be written, in microseconds since 1970
}

const (
	markStart = "~lt:"
	markLen   = len(markStart) + 8 + 1 + 6 + 1 + 10 + 1 + 13 + 1
)

// At is the planned time.
func (m Mark) At() time.Time { return time.UnixMicro(m.Time) }

// Append appends the text of the mark.
func (m Mark) Append(dst []byte) []byte {
	dst = append(dst, markStart...)
	dst = append(appendHex(dst, uint64(m.Run), 8), ':')
	dst = append(appendHex(dst, uint64(m.Source), 6), ':')
	dst = append(appendHex(dst, uint64(m.Seq), 10), ':')
	return append(appendHex(dst, uint64(m.Time), 13), '~')
}

// FindMark finds the first mark in a text.
func FindMark(text []byte) (m Mark, ok bool) {
	m, _, ok = CutMark(text)
	return m, ok
}

// CutMark finds the first mark, and what follows it.
func CutMark(text []byte) (m Mark, behind []byte, ok bool) {
	for {
		i := bytes.Index(text, []byte(markStart))
		if i < 0 || len(text)-i < markLen {
			return Mark{}, nil, false
		}
		if m, ok := parseMark(text[i+len(markStart) : i+markLen]); ok {
			return m, text[i+markLen:], true
		}
		text = text[i+len(markStart):]
	}
}

func parseMark(b []byte) (m Mark, ok bool) {
	run, ok1 := parseHex(b[0:8])
	source, ok2 := parseHex(b[9:15])
	seq, ok3 := parseHex(b[16:26])
	at, ok4 := parseHex(b[27:40])
	if !ok1 || !ok2 || !ok3 || !ok4 || b[8] != ':' || b[15] != ':' || b[26] != ':' || b[40] != '~' {
		return Mark{}, false
	}
	return Mark{Run: uint32(run), Source: int(source), Seq: int64(seq), Time: int64(at)}, true
}

func appendHex(dst []byte, v uint64, digits int) []byte {
	const hex = "0123456789abcdef"
	for s := 4 * (digits - 1); s >= 0; s -= 4 {
		dst = append(dst, hex[v>>s&15])
	}
	return dst
}

func parseHex(b []byte) (v uint64, ok bool) {
	for _, c := range b {
		switch {
		case '0' <= c && c <= '9':
			v = v<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
