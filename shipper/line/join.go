package line

import (
	"bytes"
	"time"
	"unicode/utf8"

	"github.com/sluicelog/sluice/internal/jsontext"
	"github.com/sluicelog/sluice/schemas"
)

// join is the line of one stream that its runtime cut into pieces, as far as it was
// read. It survives rotation, since its pieces may lie in two files. Until it is
// finished no position passes its first piece.
type join[W any] struct {
	stream     string
	parts      []part[W] // where its pieces begin, first one a file; empty: no line is unfinished
	message    []byte    // joined so far, escaped
	hash       schemas.LineHash
	at         time.Time // of the first piece
	generation string    // of the file of the first piece
	offset     int64     // of the first piece in its file
	size       int64     // raw bytes of the pieces
	set        Flags
	more       bool   // pieces of this line were already sent, since it is longer than the limit
	name       []byte // file name that stood before the line

	last  time.Time // of the piece before the next
	full  bool      // that piece is as long as dockerd's are
	alike bool      // two pieces of message have one time
}

// part is the beginning of an unfinished line in one text.
type part[W any] struct {
	text   *Text[W]
	offset int64
}

// fullPiece is the length in bytes of the text that dockerd takes for a line that does
// not end.
const fullPiece = 16 << 10

// begun reports whether a line has begun and not ended.
func (j *join[W]) begun() bool { return len(j.parts) > 0 || j.more }

// goesOn reports whether a piece belongs to the line that was begun. The pieces of a line
// have the time of its first; older daemons gave each its own, and there a piece goes on
// if it is as long as a piece can be. Any other is the last of its pipe: what follows was
// printed by the next run of the container.
func (j *join[W]) goesOn(p *Piece) bool { return p.Time.Equal(j.last) || j.full && !j.alike }

// cut is how many of the replaced bytes are at the ends of the piece where its runtime cut
// it, and its neighbour has the rest of their character; on: there is a piece before it.
func (p *Piece) cut(on bool) (n int) {
	const most = utf8.UTFMax - 1
	in := p.Inside
	for k := 0; on && k < most && bytes.HasPrefix(in, []byte(jsontext.Replaced)); k++ {
		in, n = in[len(jsontext.Replaced):], n+1
	}
	if p.Whole || p.textLen() != fullPiece {
		return n
	}
	for k := 0; k < most && bytes.HasSuffix(in, []byte(jsontext.Replaced)); k++ {
		in, n = in[:len(in)-len(jsontext.Replaced)], n+1
	}
	return n
}

// joinLine adds the decoded line to an unfinished one; j is nil if its stream never had
// one. What would grow over the limit is sent before it does, flagged split; a single
// line over the limit is cut.
func (m *Maker[W]) joinLine(out Sink[W], l *Log[W], t *Text[W], j *join[W], raw []byte, offset int64, set Flags) {
	p := &m.piece
	if j == nil {
		j = &join[W]{stream: p.Stream}
		l.joins = append(l.joins, j)
	}
	inside, start, head := p.Inside, offset, p.At // start: of the raw line, where reading could begin again
	end := offset + int64(len(raw))
	t.used = start - t.hole
	if j.begun() && !j.goesOn(p) {
		m.finish(out, l, j, Partial)
		j.more = false
	}
	if !j.begun() && bytes.HasPrefix(inside, bom) {
		inside = inside[len(bom):]
		if head > 0 {
			head += len(bom)
		}
	}
	for len(inside) > m.Limit {
		m.finish(out, l, j, Cut)
		n := jsontext.Cut(inside, m.Limit)
		if n == 0 {
			n = len(inside) // the limit is smaller than an escape
		}
		rawCut := min(head+n, len(raw)-1)
		m.addPiece(l, t, j, inside[:n], raw[:rawCut], offset, start, set)
		m.finish(out, l, j, Cut)
		raw, offset, inside, head = raw[rawCut:], offset+int64(rawCut), inside[n:], 0
	}
	if len(j.message)+len(inside) > m.Limit {
		m.finish(out, l, j, Cut)
	}
	m.addPiece(l, t, j, inside, raw, offset, start, set)
	j.last, j.full = p.Time, !p.Whole && p.textLen() == fullPiece
	t.used = end
	if p.Whole {
		m.finish(out, l, j, 0)
	}
}

func (m *Maker[W]) addPiece(l *Log[W], t *Text[W], j *join[W], inside, raw []byte, offset, start int64, set Flags) {
	if len(j.parts) == 0 {
		j.hash, j.at, j.offset, j.size, j.set = l.place(j.stream).Line(offset), m.piece.Time, offset, 0, 0
		j.generation, j.message, j.alike = t.Generation, j.message[:0], false
	} else {
		j.alike = j.alike || m.piece.Time.Equal(j.last)
	}
	if n := len(j.parts); n == 0 || j.parts[n-1].text != t {
		j.parts = append(j.parts, part[W]{t, start - t.hole})
	}
	if t.hole > 0 {
		if j.size == 0 {
			j.offset -= t.hole
		}
		j.size, j.set = j.size+t.hole, j.set|Hole
		m.skipped(t)
	}
	was := cap(j.message)
	j.message = append(j.message, inside...)
	m.Memory += int64(cap(j.message) - was)
	j.hash = j.hash.Add(raw)
	j.size += int64(len(raw))
	j.set |= set
}

// finish makes the event of what was joined, if anything. how is 0 at the line's end,
// Cut if more of it follows, Partial if no end will come.
func (m *Maker[W]) finish(out Sink[W], l *Log[W], j *join[W], how Flags) {
	if len(j.parts) == 0 {
		if how != Cut {
			j.more = false
		}
		return
	}
	e := made(m)
	e.Set = j.set | how
	if j.more {
		e.Set |= Cut
	}
	e.ID, e.Time, e.Stream, e.Offset, e.Size = j.hash.ID(j.at), j.at, j.stream, j.offset, j.size
	e.Message, e.FileName, e.Generation = j.message, nil, j.generation
	if l.Prefix {
		if !j.more {
			j.name = j.name[:0]
			if n := filePrefix(e.Message); n > 0 {
				j.name = append(j.name, e.Message[:n]...)
				e.Message = e.Message[n+2:]
			}
		}
		e.FileName = j.name
	}
	j.more = how == Cut
	if how == 0 {
		m.Joined++
	}

	// From here on the line holds nothing back any more; the event does.
	parts := j.parts
	j.parts = j.parts[:0]
	if l.Several != nil {
		m.passing = true
		if len(parts) == 1 && m.grouped(out, l, parts[0].text, parts[0].offset) {
			clear(parts)
			return
		}
	}
	for _, p := range parts {
		l.span(p.text, p.offset, p.text.used)
	}
	e.Holds = e.Holds[:0]
	for _, p := range parts {
		e.Holds = append(e.Holds, Hold[W]{p.text.Window, l.Safe(p.text)})
	}
	out.Emit(e)
	clear(parts)
	if cap(j.message) > 256<<10 {
		m.Memory -= int64(cap(j.message))
		j.message = nil
	}
}

// unjoin forgets an unfinished line.
func (m *Maker[W]) unjoin(j *join[W]) {
	j.parts = j.parts[:0]
	m.Memory -= int64(cap(j.message))
	j.message = nil
}
