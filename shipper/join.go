package shipper

import (
	"time"

	"github.com/sluicelog/sluice/schemas"
)

// join is the line of one stream that dockerd cut into pieces of 16 KiB, as far as it
// was read. It survives rotation, since its pieces may lie in two files. Until it is
// finished no position passes its first piece.
type join struct {
	stream  string
	holds   []hold // where its pieces begin, first one a file; empty: no line is unfinished
	message []byte // joined so far, escaped
	hash    schemas.LineHash
	at      time.Time // of the first piece
	offset  int64     // of the first piece in its file
	size    int64     // raw bytes of the pieces
	flags   flags
	more    bool   // pieces of this line were already sent, since it is longer than the limit
	name    []byte // file name that stood before the line
}

// hold keeps the position of a file from passing offset.
type hold struct {
	file   *file
	offset int64
}

// flags of an event; flagSets has the texts.
type flags uint8

const (
	partial flags = 1 << iota
	split
	cleaned
	torn
)

var flagSets = func() (sets [16][]string) {
	for i := range sets {
		for b, text := range []string{schemas.FlagPartial, schemas.FlagSplit, schemas.FlagCleaned, schemas.FlagTorn} {
			if i>>b&1 == 1 {
				sets[i] = append(sets[i], text)
			}
		}
	}
	return sets
}()

func (s *origin) join(stream string) *join {
	for _, j := range s.joins {
		if j.stream == stream {
			return j
		}
	}
	return nil
}

// dockerLine makes the event of a raw json-file line that starts at offset, or joins it
// to the ones before.
func (t *tailer) dockerLine(f *file, raw []byte, offset int64) {
	d := &t.line
	if !d.decode(raw[:len(raw)-1]) {
		t.textLine(f, raw, len(raw)-1, offset, torn)
		return
	}
	s := f.src
	j := s.join(d.stream)
	var fl flags
	if d.cleaned {
		fl = cleaned
	}
	if d.whole && len(d.inside) <= t.maxLine && (j == nil || len(j.holds) == 0 && !j.more) {
		l := &t.event
		l.ID = s.place(d.stream).Line(offset).Add(raw).ID(d.time)
		l.Time, l.Message, l.Stream, l.Offset, l.Size = d.time, d.inside, d.stream, offset, int64(len(raw))
		l.FileName = nil
		if s.Hints.FilePrefix {
			if n := filePrefix(d.inside); n > 0 {
				l.FileName, l.Message = d.inside[:n], d.inside[n+2:]
			}
		}
		t.emit(f, l, fl, s.safe(f, offset+int64(len(raw))))
		return
	}
	if j == nil {
		j = &join{stream: d.stream}
		s.joins = append(s.joins, j)
	}
	t.joinLine(f, j, raw, offset, fl)
}

// joinLine adds the decoded line to an unfinished one. What would grow over the limit
// is sent before it does, flagged split; a single line over the limit is cut.
func (t *tailer) joinLine(f *file, j *join, raw []byte, offset int64, fl flags) {
	d := &t.line
	inside, start := d.inside, offset // start: of the raw line, where reading could begin again
	head := 0
	if d.direct {
		head = len(headLog)
	}
	for len(inside) > t.maxLine {
		t.finish(j, f, start, split)
		n := cutEscaped(inside, t.maxLine)
		if n == 0 {
			n = len(inside) // the limit is smaller than an escape
		}
		rawCut := min(head+n, len(raw)-1)
		t.addPiece(j, f, inside[:n], raw[:rawCut], offset, start, fl)
		t.finish(j, f, start, split)
		raw, offset, inside, head = raw[rawCut:], offset+int64(rawCut), inside[n:], 0
	}
	if len(j.message)+len(inside) > t.maxLine {
		t.finish(j, f, start, split)
	}
	t.addPiece(j, f, inside, raw, offset, start, fl)
	if d.whole {
		t.finish(j, f, offset+int64(len(raw)), 0)
	}
}

func (t *tailer) addPiece(j *join, f *file, inside, raw []byte, offset, start int64, fl flags) {
	d := &t.line
	if len(j.holds) == 0 {
		j.hash, j.at, j.offset, j.size, j.flags = f.src.place(j.stream).Line(offset), d.time, offset, 0, 0
		j.message = j.message[:0]
	}
	if n := len(j.holds); n == 0 || j.holds[n-1].file != f {
		j.holds = append(j.holds, hold{f, start})
	}
	was := cap(j.message)
	j.message = append(j.message, inside...)
	t.buffered += int64(cap(j.message) - was)
	j.hash = j.hash.Add(raw)
	j.size += int64(len(raw))
	j.flags |= fl
}

// finish makes the event of what was joined, if anything. how is 0 at the line's end,
// split if more of it follows, partial if no end will come. end is up to where f is
// then used up.
func (t *tailer) finish(j *join, f *file, end int64, how flags) {
	if len(j.holds) == 0 {
		if how != split {
			j.more = false
		}
		return
	}
	fl := j.flags | how
	if j.more {
		fl |= split
	}
	l := &t.event
	l.ID, l.Time, l.Stream, l.Offset, l.Size = j.hash.ID(j.at), j.at, j.stream, j.offset, j.size
	l.Message = j.message
	if f.src.Hints.FilePrefix {
		if !j.more {
			j.name = j.name[:0]
			if n := filePrefix(l.Message); n > 0 {
				j.name = append(j.name, l.Message[:n]...)
				l.Message = l.Message[n+2:]
			}
		}
		l.FileName = j.name
	} else {
		l.FileName = nil
	}
	j.more = how == split
	if how == 0 {
		t.n.joined++
	}

	// From here on the line holds nothing back any more.
	holds := j.holds
	j.holds = j.holds[:0]
	if len(holds) == 1 {
		o := holds[0].file
		t.emit(o, l, fl, f.src.safe(o, endOf(o, f, end)))
	} else {
		sp := &span{}
		for _, h := range holds {
			sp.parts = append(sp.parts, place{h.file, h.file.seq})
		}
		t.emitOwned(sp, f.src, l, fl)
		for _, h := range holds {
			t.push(h.file, f.src.safe(h.file, endOf(h.file, f, end)))
		}
	}
	clear(holds)
	if cap(j.message) > 256<<10 {
		t.buffered -= int64(cap(j.message))
		j.message = nil
	}
}

// endOf is up to where file o is used up while f is at end.
func endOf(o, f *file, end int64) int64 {
	if o == f {
		return end
	}
	return o.lineStart()
}
