package line

import (
	"slices"
	"time"
)

// Lines that belong together, such as those of a stack trace, become one event: a group.
// Which do hangs on their bytes alone, and streams are apart:
//
//	line  ->  Rule.GoesOn: yes  ->  joins the group of its stream
//	                       no   ->  the group is sent; the line begins the next one
//
// What is known of a line is what comes after it, so the last line of what was read is
// held, if its Rule says that more may follow; it is sent when the next line is there, or
// where its file ends for now, which is stored before. Before a group, and after it,
// nothing is remembered of other lines: so reading may begin at each.

// Rule says which lines belong together. It is for one goroutine, and allocates nothing.
type Rule interface {
	// GoesOn reports whether a line goes on with those before it. state is what the rule
	// remembers of them, 0 after the first one; before is the line before it. Both are
	// insides of JSON strings.
	GoesOn(state *uint8, first, before, message []byte) bool
	// Opens reports whether a line that is the last for now may have others after it.
	Opens(message []byte) bool
}

// Several is how lines become one.
type Several struct {
	Rule     Rule
	MaxLines int // of a group; the rest makes another
	MaxBytes int // of its message, in bytes; not over the limit of a line

	Timeout time.Duration // for who looks at the clock: how long the last line waits for more
}

// group is the lines of one stream that are held. It is owned by its log.
type group[W any] struct {
	event  *Event[W] // of the first line, with size, id and flags of all
	stream string
	text   *Text[W]
	start  int64 // where reading could begin again
	end    int64 // of the last line
	lines  int   // 0: none
	state  uint8
	kept   bool // what event points to is in memory of its own
	first  int  // length of the first line, if there are more
	last   int  // where the last line begins in the message

	message []byte // memory of its own
	name    []byte
}

// grouped has the line of m.event join the group of its stream, or begin one; false: it is
// to be sent by itself. It lies in t alone; start is where reading could begin again.
func (m *Maker[W]) grouped(out Sink[W], l *Log[W], t *Text[W], start int64) bool {
	e := m.event
	apart := e.Set&(Cut|Torn) != 0
	g := l.group(e.Stream)
	if g != nil && g.lines > 0 {
		if !apart && g.text == t && e.Set&Hole == 0 && g.event.Set&Partial == 0 && m.joins(l, g) {
			m.add(g)
			g.end = t.used
			ended(m, out, l, g)
			return true
		}
		used := t.used
		t.used = min(used, start)
		m.sendGroup(out, l, g)
		t.used = used
	}
	if apart {
		return false
	}
	if g == nil {
		g = &group[W]{stream: e.Stream, event: &Event[W]{}}
		l.groups = append(l.groups, g)
	}
	g.event, m.event = e, g.event
	g.text, g.start, g.end, g.lines, g.state, g.last, g.kept = t, start, t.used, 1, 0, 0, false
	if g.event.Set&Partial != 0 {
		ended(m, out, l, g)
	} else if m.passing {
		keep(m, g)
	}
	return true
}

// ended sends a group whose last line has no end, so that none goes on with it.
func ended[W any](m *Maker[W], out Sink[W], l *Log[W], g *group[W]) {
	if g.event.Set&Partial != 0 {
		m.sendGroup(out, l, g)
	}
}

// joins reports whether the line of m.event goes on with a group.
func (m *Maker[W]) joins(l *Log[W], g *group[W]) bool {
	e := m.event
	if g.lines >= l.Several.MaxLines || len(g.event.Message)+len(`\n`)+len(e.Message) > min(l.Several.MaxBytes, m.Limit) || string(g.event.FileName) != string(e.FileName) {
		return false
	}
	first := g.event.Message
	if g.lines > 1 {
		first = first[:g.first]
	}
	return l.Several.Rule.GoesOn(&g.state, first, g.event.Message[g.last:], e.Message)
}

// add joins the line of m.event to a group.
func (m *Maker[W]) add(g *group[W]) {
	e := m.event
	keep(m, g)
	if g.lines == 1 {
		g.first = len(g.message)
	}
	was := cap(g.message)
	g.message = append(g.message, `\n`...)
	g.last = len(g.message)
	g.message = append(g.message, e.Message...)
	m.Memory += int64(cap(g.message) - was)
	g.event.Message = g.message
	g.event.ID = g.event.ID.With(e.ID)
	g.event.Size += e.Size
	g.event.Set |= e.Set | Multiline
	g.lines++
}

// keep gives a group memory of its own.
func keep[W any](m *Maker[W], g *group[W]) {
	if g.kept {
		return
	}
	was := cap(g.message) + cap(g.name)
	g.message, g.name = append(g.message[:0], g.event.Message...), append(g.name[:0], g.event.FileName...)
	m.Memory += int64(cap(g.message) + cap(g.name) - was)
	g.event.Message, g.event.FileName, g.kept = g.message, g.name, true
}

// sendGroup makes the event of a group, whatever follows.
func (m *Maker[W]) sendGroup(out Sink[W], l *Log[W], g *group[W]) {
	e := g.event
	if e.Size != g.end-g.start { // lines of others are between
		l.span(g.text, g.start, g.end)
	}
	g.lines = 0
	e.Holds = append(e.Holds[:0], Hold[W]{g.text.Window, l.Safe(g.text)})
	out.Emit(e)
	if cap(g.message) > 64<<10 {
		freeGroup(m, g)
	}
}

// hold keeps groups whose next line is not known and that may go on, and sends the others:
// what was read is gone after that.
func (m *Maker[W]) hold(out Sink[W], l *Log[W]) {
	for _, g := range l.groups {
		switch {
		case g.lines == 0 && cap(g.message) > 0: // an idle log keeps no memory
			freeGroup(m, g)
		case g.lines == 0 || g.kept && g.lines > 1:
		case !l.Several.Rule.Opens(g.event.Message):
			m.sendGroup(out, l, g)
			freeGroup(m, g)
		default:
			keep(m, g)
		}
	}
}

// sendGroups sends the groups of a text.
func (m *Maker[W]) sendGroups(out Sink[W], l *Log[W], t *Text[W]) {
	for _, g := range l.groups {
		if g.lines > 0 && g.text == t {
			m.sendGroup(out, l, g)
		}
		if g.lines == 0 {
			freeGroup(m, g)
		}
	}
}

// freeGroup forgets a group and gives its memory back.
func freeGroup[W any](m *Maker[W], g *group[W]) {
	m.Memory -= int64(cap(g.message) + cap(g.name))
	g.message, g.name, g.lines, g.kept = nil, nil, 0, false
}

// freeGroups forgets the groups of a text; nil: all.
func freeGroups[W any](m *Maker[W], l *Log[W], t *Text[W]) {
	for _, g := range l.groups {
		if t == nil || g.text == t {
			freeGroup(m, g)
		}
	}
}

func (l *Log[W]) group(stream string) *group[W] {
	for _, g := range l.groups {
		if g.stream == stream {
			return g
		}
	}
	return nil
}

// Held reports whether lines of t that have ended wait for what follows, and no others do.
func (l *Log[W]) Held(t *Text[W]) bool {
	held := slices.ContainsFunc(l.groups, func(g *group[W]) bool { return g.lines > 0 && g.text == t })
	return held && len(t.carry) == 0 && t.hole == 0 && !l.joining(t)
}

// span notes that an event is made of bytes of t from start to end: for unfinished lines
// that begin in its midst no position may be between.
func (l *Log[W]) span(t *Text[W], start, end int64) {
	for _, j := range l.joins {
		for i := range j.parts {
			if p := &j.parts[i]; p.text == t && start < p.offset && p.offset < end {
				p.offset = start
			}
		}
	}
	for _, g := range l.groups {
		if g.lines > 0 && g.text == t && start < g.start && g.start < end {
			g.start = start
		}
	}
}
