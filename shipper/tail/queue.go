package tail

// queue is the files that are to be read, in turn.
type queue struct{ files []*file }

// add has the file, or the one of its source that comes before, read soon.
func (q *queue) add(f *file) {
	if n := f.src.next(); n != nil && !f.extent.drained && !f.problem.Failing() {
		f = n
	}
	if f.turn.queued || f.fd < 0 || !f.durable || f.copy.of != nil || f.src.spec.Hints.Pending || f.finished || f.waits() {
		return
	}
	f.turn.queued, f.extent.recheck = true, false
	q.files = append(q.files, f)
}

// all adds the files of a source.
func (q *queue) all(s *origin) {
	for _, f := range s.files {
		q.add(f)
	}
}

func (q *queue) empty() bool { return len(q.files) == 0 }

func (q *queue) head() *file { return q.files[0] }

// rotate puts the head at the end.
func (q *queue) rotate() {
	f := q.files[0]
	f.turn.read = 0
	q.files = append(q.files[1:], f)
}

// park takes the head off the queue.
func (q *queue) park() {
	f := q.files[0]
	q.files = q.files[1:]
	f.turn.queued, f.turn.read = false, 0
	if len(q.files) == 0 {
		q.files = nil
	}
}
