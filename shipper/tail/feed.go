package tail

import (
	"github.com/sluicelog/sluice/shipper/line"
	"github.com/sluicelog/sluice/shipper/send"
)

// feed makes events of what follows in f, and reports how much of it was used.
func (t *reader) feed(out *send.Batch, f *file, data []byte) (used int) {
	out.Now, t.maker.Now = t.now, t.now
	used = t.maker.Feed(out, &f.src.lines, &f.text, data)
	f.last.remember(data[:used])
	if lost := f.src.lines.Lost; lost != (line.Lost{}) {
		f.src.lines.Lost = line.Lost{}
		t.replaced(f, lost)
	}
	return used
}

// replaced counts what dockerd made U+FFFD of.
func (t *reader) replaced(f *file, n line.Lost) {
	s := f.src
	s.lost.Encoding += n.Encoding
	s.lost.Cut += n.Cut
	t.m.lostEncoding.Add(float64(n.Encoding))
	t.m.lostCut.Add(float64(n.Cut))
	if n.Encoding > 0 && s.lost.Encoding == n.Encoding {
		t.log.Warn("dockerd replaced bytes of a container that are not UTF-8 by U+FFFD, what they were is in no file; have the program write UTF-8, or write to a file",
			"container", s.info.ContainerID, "container_name", s.info.ContainerName, "bytes", n.Encoding)
	}
}

// flush sends what is unfinished in f as partial: no end will come.
func (t *reader) flush(out *send.Batch, f *file) {
	out.Now, t.maker.Now = t.now, t.now
	t.maker.Flush(out, &f.src.lines, &f.text)
}

// flushCarry sends the beginning of a raw line as partial.
func (t *reader) flushCarry(out *send.Batch, f *file) {
	out.Now, t.maker.Now = t.now, t.now
	t.maker.FlushCarry(out, &f.src.lines, &f.text)
}
