package tail

import (
	"bytes"

	"github.com/sluicelog/sluice/shipper/send"
)

// feed makes events of what follows in f, and reports how much of it was used.
func (t *reader) feed(out *send.Batch, f *file, data []byte) (used int) {
	out.Now, t.maker.Now = t.now, t.now
	if t.apart {
		out.Expect(f.text.Carried() + len(data) + (bytes.Count(data, []byte{'\n'})+1)*f.src.sent.Width())
		defer out.Expect(0)
	}
	used = t.maker.Feed(out, &f.src.lines, &f.text, data)
	f.last.remember(data[:used])
	return used
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
