package tail

import (
	"bytes"

	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/position"
	"github.com/sluicelog/sluice/shipper/send"
)

// reader reads files and makes events of what is in them. What makes events is given the
// batch that they go to.
type reader struct {
	*room
	finder *finder
	spool  *spooler
	buf    []byte
}

func newReader(r *room, f *finder, s *spooler) *reader {
	return &reader{room: r, finder: f, spool: s, buf: make([]byte, position.MarkerLen+readSize)}
}

// step reads once from f and reports whether there may be more.
func (t *reader) step(out *send.Batch, f *file) (more bool) {
	if f.fd < 0 || f.finished {
		return false
	}
	if f.turn.ending {
		return false
	}
	if f.endsAt(f.text.Read) && f.unfinished() {
		t.flush(out, f)
	}
	younger := f.src.after(f)
	prior := f.last.n
	n, err := disk.Pread(f.fd, t.buf[:prior+f.untilEnd(len(t.buf)-prior)], f.text.Read-int64(prior))
	if err != nil {
		t.m.readErrs.Inc()
		f.trouble(t.log, err)
		return false
	}
	if n < prior || !bytes.Equal(t.buf[:prior], f.last.text()) {
		t.truncated(out, f)
		return false
	}
	f.recovered(t.log)
	data := t.buf[prior:n]
	if n > prior && data[len(data)-1] == 0 {
		var more bool
		if data, more = t.filled(f, data); more {
			return true
		}
	}
	if len(data) == 0 {
		return t.atEnd(f, younger)
	}
	used := t.feed(out, f, data)
	f.extent.eof, f.extent.recheck, f.extent.blank = false, false, 0
	if f.text.Read > f.extent.end { // else it was read before
		f.times.grew = t.now
	}
	f.turn.read += int64(used)
	f.src.read.bytes += int64(used)
	return true
}

// atEnd is where f has nothing to read. It is watched, then looked at once more, since
// it may have grown before the watch was there.
func (t *reader) atEnd(f *file, younger bool) (again bool) {
	e := &f.extent
	if e.size > f.text.Read && e.blank == 0 && f == f.src.live && t.finder.copiedUp(f) {
		return true
	}
	e.eof, e.size, e.end = true, max(f.text.Read, e.blank), f.text.Read
	if younger && !e.drained {
		e.drained = true
		if n := f.src.next(); n != nil {
			defer t.finder.queue.add(n)
		}
	}
	if e.recheck || !t.finder.watches.arm(f) {
		e.recheck = false
		return false
	}
	e.recheck = true
	return true
}
