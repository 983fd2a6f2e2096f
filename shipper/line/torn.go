package line

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// After a crash of the host, or of the daemon, a file may hold what nobody wrote: a line
// that breaks off, with the next one right after it, and holes, which are read as NULs. A
// file that was cut under a writer that goes on at its old place begins with a hole.
//
//	{"log":"GET /{"log":"started\n","stream":"stdout","time":"..."}
//	torn ------->|a line, as any other
//
//	GET / 200\nGET /ca\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0started\n
//	partial --->------|hole --------------------------|its offset and size are in this event
//
// A hole ends a line. It is in no message and in no id, but in offset and size of the
// event after it, so that sizes add up.

// leastHole is how many NULs in a row are a hole in text: fewer may be meant.
const leastHole = 16

// bom is U+FEFF as files and streams begin with it: a mark that says UTF-8, no text.
var bom = []byte("\uFEFF")

// hole finds the first hole in b; n is 0 if there is none.
func hole(b []byte) (at, n int) {
	for {
		k := bytes.IndexByte(b[at:], 0)
		if k < 0 {
			return 0, 0
		}
		at += k
		if n = nuls(b[at:]); n >= leastHole {
			return at, n
		}
		at += n
	}
}

// nuls is how many NULs b begins with.
func nuls(b []byte) (n int) {
	for ; n+8 <= len(b); n += 8 {
		if w := binary.LittleEndian.Uint64(b[n:]); w != 0 {
			return n + bits.TrailingZeros64(w)/8
		}
	}
	for n < len(b) && b[n] == 0 {
		n++
	}
	return n
}

// trailing is how many NULs b ends with, of those that are no hole.
func trailing(b []byte) (n int) {
	for n < min(len(b), leastHole) && b[len(b)-1-n] == 0 {
		n++
	}
	return n
}

// holes sends what is before holes in a line, and returns the rest with where it starts.
// In the first bytes, so many, there is none that ends there.
func (m *Maker[W]) holes(out Sink[W], l *Log[W], t *Text[W], line []byte, first int, start int64, ended bool) (rest []byte, offset int64) {
	for {
		content := line
		if ended {
			content = line[:len(line)-1]
		}
		from := max(0, first-leastHole+1)
		at, n := hole(content[from:])
		if n == 0 {
			return line, start
		}
		at, first = at+from, 0
		if before, from := m.cut(out, l, t, line[:at], start, false); len(before) > 0 {
			m.ends(out, l, t, before, len(before), from, Partial)
		}
		t.mid = false
		t.hole += int64(n)
		line, start = line[at+n:], start+int64(at+n)
	}
}

// apart makes the events of a line that has holes: what is before each, and the rest.
// It reports whether there was one.
func (m *Maker[W]) apart(out Sink[W], l *Log[W], t *Text[W], raw []byte, n int, offset int64, how Flags) bool {
	if _, k := hole(raw[:n]); k == 0 {
		return false
	}
	newline := len(raw) - n
	rest, start := m.holes(out, l, t, raw, 0, offset, newline > 0)
	if len(rest) > 0 {
		m.ends(out, l, t, rest, len(rest)-newline, start, how)
	}
	return true
}

// torn makes the events of a raw line that is none of its format: of the lines that are
// in it after all, and of what is between them as it is.
func (m *Maker[W]) torn(out Sink[W], l *Log[W], t *Text[W], raw []byte, length int, start int64, how Flags) {
	if m.apart(out, l, t, raw, length, start, how) {
		return
	}
	if !t.mid {
		n := nuls(raw[:length])
		t.hole, raw, length, start = t.hole+int64(n), raw[n:], length-n, start+int64(n)
	}
	for from := 0; len(raw) > 0; {
		// A line from `from` on, up to where the next may begin.
		next := from + l.Decoder.Next(raw[from:length])
		end := next
		if next == length {
			end = len(raw) // with its newline
		}
		if !l.Decoder.Decode(&m.piece, bytes.TrimRight(raw[from:next], "\x00")) {
			if from = next; next < length {
				continue
			}
			m.tornText(out, l, t, raw, length, start, how)
			return
		}
		if from > 0 {
			p := m.piece // it is used again
			m.tornText(out, l, t, raw[:from], from, start, how)
			m.piece = p
			t.mid = false
		}
		m.decoded(out, l, t, raw[from:end], start+int64(from))
		raw, length, start, from = raw[end:], length-end, start+int64(end), 0
	}
}

// tornText makes the event of what is no line of its format.
func (m *Maker[W]) tornText(out Sink[W], l *Log[W], t *Text[W], raw []byte, length int, start int64, how Flags) {
	set := how | Torn
	if t.mid {
		set |= Cut
	}
	content := bytes.TrimRight(raw[:length], "\x00")
	m.text(out, l, t, raw, len(content), start, set)
}

// skipped counts the hole before an event, which has it now.
func (m *Maker[W]) skipped(t *Text[W]) {
	m.Holes += t.hole
	t.hole = 0
}
