package line

import (
	"time"

	"github.com/sluicelog/sluice/schemas"
)

// Text is one generation of a file, as far as its bytes were made into events. It is
// owned by one goroutine.
type Text[W any] struct {
	Window     W             // where its events are waited for; only handed on
	Read       int64         // offset of the next byte to be fed
	Place      schemas.Place // of lines without a time of their own
	IDTime     time.Time     // of their ids
	Generation string        // log.generation

	carry []byte // an unfinished line: the last bytes before Read
	hole  int64  // so many NULs are before that line, or before Read, and in no event yet
	mid   bool   // the carry goes on with a line of which pieces were sent
	name  []byte // file name that stood before that line
	used  int64  // all below is in events, or in unfinished lines of the Log
}

// Resume has the text read on from an offset; mid: in the middle of a line of which
// pieces were sent.
func (t *Text[W]) Resume(offset int64, mid bool) {
	t.Read, t.used, t.mid, t.hole = offset, offset, mid, 0
}

// Start is where the first byte is that is in no event or unfinished line of the log
// yet.
func (t *Text[W]) Start() int64 { return t.Read - int64(len(t.carry)) - t.hole }

// Carried is how many bytes before Read are the beginning of a line.
func (t *Text[W]) Carried() int { return len(t.carry) }

// Keeps reports whether the text has a buffer for a line without end yet.
func (t *Text[W]) Keeps() bool { return cap(t.carry) > 0 }

// Log is the lines of one source, whose files follow one another. It is owned by one
// goroutine.
type Log[W any] struct {
	Decoder Decoder // nil: plain text
	Prefix  bool    // file names stand before lines

	Several *Several // how several lines become one; nil: they do not
	Lost    Lost     // of its lines; who counts it sets it back

	id       string
	out, err schemas.Place
	joins    []*join[W]  // unfinished lines, one a stream that ever had one
	groups   []*group[W] // held lines, one a stream
}

// Lost is how many bytes of lines their runtime replaced by U+FFFD, since they are not
// UTF-8. What they were is not in the file.
type Lost struct {
	Encoding int64 // of text in another encoding
	Cut      int64 // of a character that the runtime cut in two, since its line is long
}

// NewLog is the log of a source with this id.
func NewLog[W any](id string) Log[W] {
	return Log[W]{id: id, out: schemas.NewPlace(id, "", Stdout), err: schemas.NewPlace(id, "", Stderr)}
}

func (l *Log[W]) place(stream string) schemas.Place {
	switch stream {
	case Stdout:
		return l.out
	case Stderr:
		return l.err
	}
	return schemas.NewPlace(l.id, "", stream)
}

func (l *Log[W]) join(stream string) *join[W] {
	for _, j := range l.joins {
		if j.stream == stream {
			return j
		}
	}
	return nil
}

// rawFlag is of text that is sent though the log has another format.
func (l *Log[W]) rawFlag() Flags {
	if l.Decoder != nil {
		return Torn
	}
	return 0
}

// Safe is the lowest offset of t that is not in events: there an unfinished line begins,
// or t is to be read on.
func (l *Log[W]) Safe(t *Text[W]) int64 {
	low := t.used
	for _, j := range l.joins {
		for i := range j.parts {
			if p := &j.parts[i]; p.text == t && p.offset < low {
				low = p.offset
			}
		}
	}
	for _, g := range l.groups {
		if g.lines > 0 && g.text == t && g.start < low {
			low = g.start
		}
	}
	return low
}

// Unfinished reports whether an unfinished line has pieces in t, or lines of it are held.
func (l *Log[W]) Unfinished(t *Text[W]) bool {
	for _, g := range l.groups {
		if g.lines > 0 && g.text == t {
			return true
		}
	}
	return l.joining(t)
}

func (l *Log[W]) joining(t *Text[W]) bool {
	for _, j := range l.joins {
		for i := range j.parts {
			if j.parts[i].text == t {
				return true
			}
		}
	}
	return false
}

// Back is from where t has to be read again if its unfinished lines are forgotten: where
// the first of those begins that lie in t alone. If one lies elsewhere too, or was sent
// in part, only the beginning of a raw line can be forgotten.
func (l *Log[W]) Back(t *Text[W]) int64 {
	back := t.Start()
	for _, j := range l.joins {
		if len(j.parts) == 0 {
			continue
		}
		if len(j.parts) > 1 || j.parts[0].text != t || j.more {
			return t.Start()
		}
		back = min(back, j.parts[0].offset)
	}
	for _, g := range l.groups {
		if g.lines > 0 && g.text == t {
			back = min(back, g.start)
		}
	}
	return back
}
