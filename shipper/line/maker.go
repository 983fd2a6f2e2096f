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

	piece   Piece
	event   Event[W]
	cleaned []byte
}

// Feed makes events of the lines in data, which starts at t.Read, and reports how much
// it used: all, unless out is full. The unfinished last line is carried over.
func (m *Maker[W]) Feed(out Sink[W], l *Log[W], t *Text[W], data []byte) (used int) {
	limit := m.rawLimit(l)
	for used < len(data) && !out.Full() {
		n := bytes.IndexByte(data[used:], '\n') + 1
		ended := n > 0
		if !ended {
			n = len(data) - used
		}
		line := data[used : used+n]
		start := t.Read + int64(used) - int64(len(t.carry))
		if len(t.carry) > 0 || !ended {
			m.carry(t, line)
			line = t.carry
		}
		used += n
		if len(line) > limit {
			line, start = m.cut(out, l, t, line, start, ended)
		}
		if ended {
			m.lineEnds(out, l, t, line, start)
			line = nil
		}
		if len(t.carry) > 0 {
			t.carry = t.carry[:copy(t.carry, line)]
		}
	}
	t.Read += int64(used)
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
	}
	for len(line) > most {
		n := jsontext.CutRunes(line, limit)
		m.text(out, l, t, line[:n], n, start, Cut|l.rawFlag())
		t.mid = true
		start, line = start+int64(n), line[n:]
	}
	return line, start
}

// lineEnds makes the event of a line, or of its last piece, with its newline.
func (m *Maker[W]) lineEnds(out Sink[W], l *Log[W], t *Text[W], line []byte, start int64) {
	switch {
	case t.mid:
		m.text(out, l, t, line, len(line)-1, start, Cut|l.rawFlag())
		t.mid = false
	case l.Decoder == nil:
		m.text(out, l, t, line, len(line)-1, start, 0)
	case !l.Decoder.Decode(&m.piece, line[:len(line)-1]):
		m.text(out, l, t, line, len(line)-1, start, Torn)
	default:
		m.decoded(out, l, t, line, start)
	}
}

// text makes the event of a line, or piece of one, that is taken as it is: raw with its
// newline if it has one, n bytes without.
func (m *Maker[W]) text(out Sink[W], l *Log[W], t *Text[W], raw []byte, n int, offset int64, set Flags) {
	content, message := raw[:n], raw[:n]
	if !jsontext.Plain(content) {
		var invalid int
		m.cleaned, invalid = jsontext.AppendCleaned(m.cleaned[:0], content)
		message = m.cleaned
		if invalid > 0 {
			set |= Cleaned
		}
	}
	e := &m.event
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
	if !p.Whole || len(p.Inside) > m.Limit || j != nil && j.begun() {
		m.joinLine(out, l, t, j, raw, offset, set)
		return
	}
	e := &m.event
	e.ID = l.place(p.Stream).Line(offset).Add(raw).ID(p.Time)
	e.Time, e.Message, e.Stream, e.Offset, e.Size = p.Time, p.Inside, p.Stream, offset, int64(len(raw))
	e.FileName, e.Generation = nil, t.Generation
	if l.Prefix {
		if n := filePrefix(p.Inside); n > 0 {
			e.FileName, e.Message = p.Inside[:n], p.Inside[n+2:]
		}
	}
	t.used = offset + int64(len(raw))
	m.emit(out, l, t, set)
}

// emit sends the event, whose bytes lie in t alone.
func (m *Maker[W]) emit(out Sink[W], l *Log[W], t *Text[W], set Flags) {
	e := &m.event
	e.Set = set
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
	t.mid = false
}

// FlushCarry sends the beginning of a raw line as partial.
func (m *Maker[W]) FlushCarry(out Sink[W], l *Log[W], t *Text[W]) {
	if len(t.carry) == 0 {
		return
	}
	set := Partial | l.rawFlag()
	if t.mid {
		set |= Cut
	}
	carry, start := t.carry, t.Start()
	t.carry = nil
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
	}
	t.Read, t.used = to, min(t.used, to)
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
	m.Drop(t)
}

// End gives the memory of a log back that is not followed any more.
func (m *Maker[W]) End(l *Log[W]) {
	for _, j := range l.joins {
		m.unjoin(j)
	}
	l.joins = nil
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
