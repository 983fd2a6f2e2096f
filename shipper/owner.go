package shipper

import (
	"sync/atomic"

	"github.com/sluicelog/sluice/internal/kafka"
)

// Owners of an event that are not simply a file.
type (
	// place is an event in the window of a file.
	place struct {
		file *file
		seq  int64
	}
	// span is a line with pieces in several files.
	span struct{ parts []place }
	// pieces is an event that Kafka refused as too large and that was sent in parts.
	pieces struct {
		of   kafka.Tag
		left atomic.Int32
	}
	// held is an event that Kafka refused and that is sent again and again.
	held struct {
		of    kafka.Tag
		src   *origin
		size  int64
		total *atomic.Int64 // as it is in the tailer
	}
)

// advance notes an acknowledgement; mu is held.
func (f *file) advance(seq int64) {
	if at := f.window.done(seq); at >= 0 {
		f.committed = at
	}
}

// finished notes that a record is acknowledged, whoever owns it, and tells whether that
// finishes an event.
func finished(tag kafka.Tag) bool {
	switch o := tag.Owner.(type) {
	case *file:
		o.mu.Lock()
		o.advance(tag.Pos)
		o.mu.Unlock()
	case *span:
		for _, p := range o.parts {
			p.file.mu.Lock()
			p.file.advance(p.seq)
			p.file.mu.Unlock()
		}
	case *pieces:
		return o.left.Add(-1) == 0 && finished(o.of)
	case *held:
		o.src.refused.Add(-o.size)
		o.total.Add(-o.size)
		return finished(o.of)
	}
	return true
}

// sourceOf is the source whose event this is.
func sourceOf(tag kafka.Tag) *origin {
	switch o := tag.Owner.(type) {
	case *file:
		return o.src
	case *span:
		return o.parts[0].file.src
	case *pieces:
		return sourceOf(o.of)
	case *held:
		return o.src
	}
	return nil
}
