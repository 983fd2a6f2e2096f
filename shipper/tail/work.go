package tail

import "github.com/sluicelog/sluice/shipper/send"

// work reads once from the file whose turn it is.
func (t *reader) work(out *send.Batch) {
	q := t.finder.queue
	f := q.head()
	if n := f.src.next(); n != nil && n != f && !f.extent.drained && !f.problem.Failing() { // an older file comes first
		q.park()
		q.add(n)
		return
	}
	if f.turn.read == 0 {
		f.turn.from = f.safe()
	}
	switch more := !f.waits() && !f.src.sent.Delayed(t.now) && t.step(out, f); {
	case !more:
		q.park()
		if f.extent.eof {
			t.finder.fds.rests(f)
		}
	case !t.turnOver(f):
	case t.finder.giveWay(f):
		q.park()
	default:
		q.rotate()
	}
	t.finder.serve()
	if t.maker.Memory > maxHeld {
		t.shed()
	}
}

// turnOver reports whether it is the next file's turn: f had its budget and came a line
// further, so that it gets on even if its buffers are given back between its turns.
func (t *reader) turnOver(f *file) bool {
	budget := int64(t.cfg.ReadBudget)
	return f.turn.read >= budget && (f.safe() > f.turn.from || f.turn.read >= budget+2*int64(t.maker.RawLimit(&f.src.lines)))
}

// shed gives the memory of unfinished lines back: files go back to where their oldest
// line begins, first those that are not being read, then those that wait for their
// turn. Lines of the other stream in between are then sent again, under the same ids.
func (t *reader) shed() {
	for _, queued := range []bool{false, true} {
		for _, f := range t.finder.files {
			if f.turn.queued != queued || f.fd < 0 || queued && f == t.finder.queue.head() {
				continue
			}
			f.rewind(t.maker, f.src.lines.Back(&f.text))
			if t.maker.Memory <= maxHeld/2 {
				return
			}
		}
	}
}
