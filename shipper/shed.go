package shipper

// shed gives the memory of unfinished lines back: files go back to where their oldest
// line begins, first those that are not being read, then those that wait for their
// turn. Lines of the other stream in between are then sent again, under the same ids.
func (t *tailer) shed() {
	for _, queued := range []bool{false, true} {
		for _, f := range t.files {
			if f.queued != queued || f.fd < 0 || queued && f == t.queue[0] {
				continue
			}
			t.giveBack(f)
			if t.buffered <= maxHeld/2 {
				return
			}
		}
	}
}

// giveBack gives the memory of f's unfinished lines back if they lie in f alone, else
// of the last one.
func (t *tailer) giveBack(f *file) {
	joins := f.src.joins
	for _, j := range joins {
		if len(j.holds) > 0 && (len(j.holds) > 1 || j.holds[0].file != f || j.more) {
			joins = nil
			break
		}
	}
	start := f.lineStart()
	back := start
	for _, j := range joins {
		if len(j.holds) == 1 {
			back = min(back, j.holds[0].offset)
		}
	}
	if !t.rewind(f, back) {
		return
	}
	if back < start {
		f.mid = false
	}
	for _, j := range joins {
		if len(j.holds) == 1 {
			t.unjoin(j)
		}
	}
}

// unjoin forgets an unfinished line.
func (t *tailer) unjoin(j *join) {
	j.holds = j.holds[:0]
	t.buffered -= int64(cap(j.message))
	j.message = nil
}

// rewind gives the buffer of an unfinished line back and has f read from an earlier
// position when it grows. It does not if the file is not what was read: that is found
// out by comparing what stands before f.read.
func (t *tailer) rewind(f *file, to int64) bool {
	if to < f.read {
		var b [markerLen]byte
		n, err := preceding(f.fd, &b, to)
		if err != nil || !f.untouched() {
			return false
		}
		f.read, f.before, f.prior = to, b, n
	}
	t.drop(f)
	return true
}
