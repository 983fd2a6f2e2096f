package line

import (
	"bytes"
	"time"

	"github.com/sluicelog/sluice/internal/jsontext"
)

// Maker makes events of bytes. One serves all logs; it is for one goroutine.
type Maker[W any] struct {
	Limit  int       // of a line, in bytes; MinLimit at least
	Now    time.Time // of reading: the time of lines without one
	Memory int64     // held by lines without end, in bytes
	Joined int       // lines put together of pieces
	Holes  int64     // NULs that are in no message, in bytes

	piece   Piece
	event   *Event[W] // being made; every field of it is set for each line
	passing bool      // what event points to is used again before the end of Feed
	cleaned []byte
	spare   []byte // as cleaned: the line before may be in it
}

// Feed makes events of the lines in data, which starts at t.Read, and reports how much
// it used: all, unless out is full. The unfinished last line is carried over.
func (m *Maker[W]) Feed(out Sink[W], l *Log[W], t *Text[W], data []byte) (used int) {
	limit := m.rawLimit(l)
	for used < len(data) && !out.Full() {
		if t.hole > 0 && len(t.carry) == 0 && data[used] == 0 { // it goes on
			n := nuls(data[used:])
			t.hole, used = t.hole+int64(n), used+n
			continue
		}
		n := bytes.IndexByte(data[used:], '\n') + 1
		ended := n > 0
		if !ended {
			n = len(data) - used
		}
		m.passing = len(t.carry) > 0 || !ended
		line := data[used : used+n]
		start := t.Read + int64(used) - int64(len(t.carry))
		before := len(t.carry)
		carried := before > 0 || !ended
		if carried {
			m.carry(t, line)
			line = t.carry
		}
		used += n
		if carried || len(line) > limit {
			line, start = m.holes(out, l, t, line, before, start, ended)
			line, start = m.cut(out, l, t, line, start, ended)
		}
		if ended {
			m.ends(out, l, t, line, len(line)-1, start, 0)
			line = nil
		}
		if carried {
			t.carry = t.carry[:copy(t.carry, line)]
		}
	}
	t.Read += int64(used)
	if l.Several != nil {
		m.hold(out, l)
	}
	if len(t.carry) == 0 && cap(t.carry) > 64<<10 {
		m.Drop(t)
	}
	return used
}

// cut sends a line over the limit in pieces but for the last, which it returns with
// where it starts. They hang on the line's bytes alone, not on how it was read.
func (m *Maker[W]) cut(out Sink[W], l *Log[W], t *Text[W], line []byte, start int64, ended bool) (rest []byte, at int64) {
	limit := m.rawLimit(l)
	most := limit
	if ended {
		most++ // its newline
	} else {
		most += trailing(line) // a hole may begin there
	}
	for len(line) > most {
		n := jsontext.CutRunes(line, limit)
		if l.Decoder != nil {
			n = l.Decoder.Next(line[:n])
		}
		m.text(out, l, t, line[:n], n, start, Cut|l.rawFlag())
		t.mid = true
		start, line = start+int64(n), line[n:]
	}
	return line, start
}

// ends makes the event of a line, or of its last piece: raw with its newline, n bytes
// without. how is Partial if a hole ends it.
func (m *Maker[W]) ends(out Sink[W], l *Log[W], t *Text[W], raw []byte, n int, start int64, how Flags) {
	switch {
	case l.Decoder == nil:
		if t.mid {
			how |= Cut
		}
		m.text(out, l, t, raw, n, start, how)
	case l.Decoder.Decode(&m.piece, raw[:n]): // a line in itself, also after pieces of what is none
		m.decoded(out, l, t, raw, start)
	default:
		m.torn(out, l, t, raw, n, start, how)
	}
	t.mid = false
}

// text makes the event of a line, or piece of one, that is taken as it is: raw with its
// newline if it has one, n bytes without.
func (m *Maker[W]) text(out Sink[W], l *Log[W], t *Text[W], raw []byte, n int, offset int64, set Flags) {
	content := raw[:n]
	if !t.mid && bytes.HasPrefix(content, bom) {
		content = content[len(bom):]
	}
	message := content
	if !jsontext.Plain(content) {
		if m.apart(out, l, t, raw, n, offset, set&^Cut) {
			return
		}
		var invalid int
		m.cleaned, m.spare = m.spare, m.cleaned
		m.cleaned, invalid = jsontext.AppendCleaned(m.cleaned[:0], content)
		message = m.cleaned
		if invalid > 0 {
			set |= Cleaned
		}
	}
	e := made(m)
	e.FileName = nil
	if l.Prefix {
		if !t.mid {
			t.name = t.name[:0]
			if k := filePrefix(message); k > 0 {
				t.name = append(t.name, message[:k]...)
				message = message[k+2:]
			}
		}
		e.FileName = t.name
	}
	e.ID = t.Place.Line(offset).Add(raw).ID(t.IDTime)
	e.Time, e.Message, e.Stream, e.Offset, e.Size = m.Now, message, "", offset, int64(len(raw))
	e.Generation = t.Generation
	t.used = offset + int64(len(raw))
	m.emit(out, l, t, set)
	if cap(m.cleaned) > 4<<20 {
		m.cleaned = nil
	}
}

// decoded makes the event of a decoded line that starts at offset, or joins it to the
// ones before.
func (m *Maker[W]) decoded(out Sink[W], l *Log[W], t *Text[W], raw []byte, offset int64) {
	p := &m.piece
	var set Flags
	if p.Cleaned {
		set = Cleaned
	}
	j := l.join(p.Stream)
	if p.Replaced > 0 {
		n := p.cut(j != nil && j.begun() && j.goesOn(p))
		l.Lost.Cut += int64(n)
		l.Lost.Encoding += int64(p.Replaced - n)
	}
	if !p.Whole || len(p.Inside) > m.Limit || j != nil && j.begun() {
		m.joinLine(out, l, t, j, raw, offset, set)
		return
	}
	e := made(m)
	e.ID = l.place(p.Stream).Line(offset).Add(raw).ID(p.Time)
	e.Time, e.Message, e.Stream, e.Offset, e.Size = p.Time, bytes.TrimPrefix(p.Inside, bom), p.Stream, offset, int64(len(raw))
	e.FileName, e.Generation = nil, t.Generation
	if l.Prefix {
		if n := filePrefix(e.Message); n > 0 {
			e.FileName, e.Message = e.Message[:n], e.Message[n+2:]
		}
	}
	t.used = offset + int64(len(raw))
	m.emit(out, l, t, set)
}

// made is the event that is being made.
func made[W any](m *Maker[W]) *Event[W] {
	if m.event == nil {
		m.event = &Event[W]{}
	}
	return m.event
}

// emit sends the event, whose bytes lie in t alone.
func (m *Maker[W]) emit(out Sink[W], l *Log[W], t *Text[W], set Flags) {
	e := made(m)
	if t.hole > 0 {
		e.Offset, e.Size, set = e.Offset-t.hole, e.Size+t.hole, set|Hole
		m.skipped(t)
	}
	e.Set = set
	if l.Several != nil {
		if len(e.FileName) > 0 && l.Decoder == nil { // in memory of t
			m.passing = true
		}
		if m.grouped(out, l, t, e.Offset) {
			return
		}
	}
	e.Holds = append(e.Holds[:0], Hold[W]{t.Window, l.Safe(t)})
	out.Emit(e)
}

// Flush sends what is unfinished in t as partial: no end will come.
func (m *Maker[W]) Flush(out Sink[W], l *Log[W], t *Text[W]) {
	for _, j := range l.joins {
		if n := len(j.parts); n > 0 && j.parts[n-1].text == t {
			m.finish(out, l, j, Partial)
		}
		j.more = false
	}
	m.FlushCarry(out, l, t)
	m.sendGroups(out, l, t)
	t.mid = false
}

// FlushCarry sends the beginning of a raw line as partial, and a hole after which nothing
// came as an event of its own.
func (m *Maker[W]) FlushCarry(out Sink[W], l *Log[W], t *Text[W]) {
	if len(t.carry) == 0 && t.hole == 0 {
		return
	}
	set := Partial | l.rawFlag()
	if t.mid {
		set |= Cut
	}
	carry, start := t.carry, t.Read-int64(len(t.carry))
	t.carry, m.passing = nil, true
	m.text(out, l, t, carry, len(carry), start, set)
	m.Memory -= int64(cap(carry))
	t.mid = false
}

// Forget gives the memory of t's unfinished lines back; to is where t has to be read
// again from: the log's Back, or t's Start, which keeps what is joined.
func (m *Maker[W]) Forget(l *Log[W], t *Text[W], to int64) {
	if to < t.Start() {
		t.mid = false
		for _, j := range l.joins {
			if len(j.parts) == 1 {
				m.unjoin(j)
			}
		}
		freeGroups(m, l, t)
	}
	t.Read, t.used, t.hole = to, min(t.used, to), 0
	m.Drop(t)
}

// Unread forgets the unfinished lines that lie in t alone, which is not read again: they
// are read from elsewhere.
func (m *Maker[W]) Unread(l *Log[W], t *Text[W]) {
	for _, j := range l.joins {
		if len(j.parts) == 1 && j.parts[0].text == t {
			m.unjoin(j)
		}
	}
	freeGroups(m, l, t)
	t.hole = 0
	m.Drop(t)
}

// End gives the memory of a log back that is not followed any more.
func (m *Maker[W]) End(l *Log[W]) {
	for _, j := range l.joins {
		m.unjoin(j)
	}
	freeGroups(m, l, nil)
	l.joins, l.groups = nil, nil
}

// carry adds to the unfinished line of t.
func (m *Maker[W]) carry(t *Text[W], b []byte) {
	was := cap(t.carry)
	t.carry = append(t.carry, b...)
	m.Memory += int64(cap(t.carry) - was)
}

// Drop gives the buffer of the unfinished raw line back.
func (m *Maker[W]) Drop(t *Text[W]) {
	m.Memory -= int64(cap(t.carry))
	t.carry = nil
}

// rawLimit is how long a raw line may be.
func (m *Maker[W]) rawLimit(l *Log[W]) int {
	if l.Decoder != nil {
		return max(m.Limit, l.Decoder.MaxRaw())
	}
	return m.Limit
}

// RawLimit is how long a raw line of the log may be, in bytes; a longer one is sent in
// pieces as text.
func (m *Maker[W]) RawLimit(l *Log[W]) int { return m.rawLimit(l) }
