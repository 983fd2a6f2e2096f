package shipper

import (
	"bytes"
	"slices"

	"github.com/sluicelog/sluice/schemas"
	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/source"
)

// step reads once from f and reports whether there may be more.
func (t *tailer) step(f *file) (more bool) {
	if f.fd < 0 || f.finished {
		return false
	}
	younger := f.src.after(f)
	n, err := disk.Pread(f.fd, t.buf, f.read-int64(f.prior))
	if err != nil {
		t.m.readErrs.Inc()
		t.trouble(f, err)
		return false
	}
	if n < f.prior || !bytes.Equal(t.buf[:f.prior], f.before[:f.prior]) {
		t.truncated(f)
		return false
	}
	t.recovered(f)
	if n == f.prior {
		return t.atEnd(f, younger)
	}
	used := t.feed(f, t.buf[f.prior:n])
	f.eof, f.recheck, f.grew = false, false, t.now
	f.turn += int64(used)
	f.src.n.bytes += int64(used)
	return true
}

// atEnd is where f has nothing to read. It is watched, then looked at once more, since
// it may have grown before the watch was there.
func (t *tailer) atEnd(f *file, younger bool) (again bool) {
	f.eof, f.size, f.end = true, f.read, f.read
	if younger && !f.drained {
		f.drained = true
		if n := f.src.next(); n != nil {
			defer t.enqueue(n)
		}
	}
	if t.watch == nil || f.recheck || f.watch != 0 {
		f.recheck = false
		return false
	}
	wd, err := t.watch.Arm(f.fd)
	if err != nil {
		if !t.noWatch {
			t.noWatch = true
			t.log.Warn("no inotify watch for more files; they are looked at by the poll alone", "path", f.path, "err", err)
		}
		return false
	}
	f.watch, f.recheck = wd, true
	t.armed[wd] = f
	return true
}

// feed makes events of the lines in data, which starts at f.read, and reports how much
// it used: all, unless the batch is full. The unfinished last line is carried over.
func (t *tailer) feed(f *file, data []byte) (used int) {
	limit := t.rawLimit(f.src)
	if t.apart {
		t.ahead = len(f.carry) + len(data) + (bytes.Count(data, []byte{'\n'})+1)*f.src.tailLen
	}
	for used < len(data) && !t.cur.full() {
		n := bytes.IndexByte(data[used:], '\n') + 1
		ended := n > 0
		if !ended {
			n = len(data) - used
		}
		line := data[used : used+n]
		start := f.read + int64(used) - int64(len(f.carry))
		if len(f.carry) > 0 || !ended {
			t.carry(f, line)
			line = f.carry
		}
		used += n
		if len(line) > limit {
			line, start = t.cut(f, line, start, ended)
		}
		if ended {
			t.lineEnds(f, line, start)
			line = nil
		}
		if len(f.carry) > 0 {
			f.carry = f.carry[:copy(f.carry, line)]
		}
	}
	t.ahead = 0
	f.remember(data[:used])
	f.read += int64(used)
	if len(f.carry) == 0 && cap(f.carry) > 64<<10 {
		t.drop(f)
	}
	return used
}

// cut sends a line over the limit in pieces but for the last, which it returns with
// where it starts. They hang on the line's bytes alone, not on how it was read.
func (t *tailer) cut(f *file, line []byte, start int64, ended bool) (rest []byte, at int64) {
	limit := t.rawLimit(f.src)
	most := limit
	if ended {
		most++ // its newline
	}
	for len(line) > most {
		n := cutRunes(line, limit)
		t.textLine(f, line[:n], n, start, split|rawFlag(f.src))
		f.mid = true
		start, line = start+int64(n), line[n:]
	}
	return line, start
}

// lineEnds makes the event of a line, or of its last piece, with its newline.
func (t *tailer) lineEnds(f *file, line []byte, start int64) {
	switch {
	case f.mid:
		t.textLine(f, line, len(line)-1, start, split|rawFlag(f.src))
		f.mid = false
	case f.src.Decoder == source.JSONFile:
		t.dockerLine(f, line, start)
	default:
		t.textLine(f, line, len(line)-1, start, 0)
	}
}

// carry adds to the unfinished line of f.
func (t *tailer) carry(f *file, b []byte) {
	was := cap(f.carry)
	f.carry = append(f.carry, b...)
	t.buffered += int64(cap(f.carry) - was)
}

func (t *tailer) drop(f *file) {
	t.buffered -= int64(cap(f.carry))
	f.carry = nil
}

// rawLimit is how long a raw line may be.
func (t *tailer) rawLimit(s *origin) int { return s.Decoder.RawLimit(t.maxLine) }

// rawFlag is of a line that is not what its decoder takes.
func rawFlag(s *origin) flags {
	if s.Decoder != source.Text {
		return torn
	}
	return 0
}

// textLine makes the event of a line, or piece of one, that is taken as it is: raw
// with its newline if it has one, n bytes without.
func (t *tailer) textLine(f *file, raw []byte, n int, offset int64, fl flags) {
	content, message := raw[:n], raw[:n]
	if !standsForItself(content) {
		var invalid int
		t.scratch, invalid = schemas.AppendCleaned(t.scratch[:0], content)
		message = t.scratch
		if invalid > 0 {
			fl |= cleaned
		}
	}
	l := &t.event
	l.FileName = nil
	if f.src.Hints.FilePrefix {
		if !f.mid {
			f.name = f.name[:0]
			if k := filePrefix(message); k > 0 {
				f.name = append(f.name, message[:k]...)
				message = message[k+2:]
			}
		}
		l.FileName = f.name
	}
	l.ID = f.place.Line(offset).Add(raw).ID(f.idTime)
	l.Time, l.Message, l.Stream, l.Offset, l.Size = t.now, message, "", offset, int64(len(raw))
	t.emit(f, l, fl, f.src.safe(f, offset+int64(len(raw))))
	if cap(t.scratch) > 4<<20 {
		t.scratch = nil
	}
}

// truncated begins a new generation of f: what stands before the offset is not what was
// read there, or nothing does.
func (t *tailer) truncated(f *file) {
	st, err := disk.StatOpen(f.fd)
	if err != nil {
		t.trouble(f, err)
		return
	}
	t.m.truncated.Inc()
	t.log.Warn("file was truncated, reading it from the start", "path", f.path, "read", f.read)
	live := f.src.live
	if live == f && t.copied(f) {
		t.unread(f)
	}
	t.flush(f)
	g := newFile(f.src, f.fd, st, f.path, f.at.cut(f.proof()), -1)
	t.replace(f, g)
	t.begin(g, live)
}

// begin has a file read that is new, or is a new generation: at once, when its record
// is stored, or when it is known whether it is a copy of the live file.
func (t *tailer) begin(f, live *file) *file {
	switch {
	case mayCopy(f, live):
		f.like = live
		return t.compare(f)
	case !f.durable:
		t.save()
	}
	return f
}

// replace goes on with g for f: the same open file in another generation.
func (t *tailer) replace(f, g *file) {
	g.deleted, g.seen, g.grew = f.deleted, t.now, t.now
	g.watch, f.watch = f.watch, 0
	if g.watch != 0 {
		t.armed[g.watch] = g
	}
	f.fd, f.finished = -1, true
	t.files[g.id] = g
	f.src.files[slices.Index(f.src.files, f)] = g
	if f.src.live == f {
		f.src.live = g
	}
}

// flush sends what is unfinished in f as partial: no end will come. There must be a
// batch to write to.
func (t *tailer) flush(f *file) {
	for _, j := range f.src.joins {
		if len(j.holds) > 0 && j.holds[len(j.holds)-1].file == f {
			t.finish(j, f, f.lineStart(), partial)
		}
		j.more = false
	}
	t.flushCarry(f)
	f.mid = false
}

// flushCarry sends the beginning of a line as partial.
func (t *tailer) flushCarry(f *file) {
	if len(f.carry) == 0 {
		return
	}
	fl := partial | rawFlag(f.src)
	if f.mid {
		fl |= split
	}
	carry, start := f.carry, f.lineStart()
	f.carry = nil
	t.textLine(f, carry, len(carry), start, fl)
	t.buffered -= int64(cap(carry))
	f.mid = false
}

// trouble notes that f cannot be read now; the poll tries again.
func (t *tailer) trouble(f *file, err error) {
	if f.problem != err.Error() {
		f.problem = err.Error()
		t.log.Error("cannot read file", "path", f.path, "offset", f.read, "err", err)
	}
}

func (t *tailer) recovered(f *file) {
	if f.problem != "" {
		f.problem = ""
		t.log.Info("file can be read again", "path", f.path)
	}
}
