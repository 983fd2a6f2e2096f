// Package bulk holds documents from when they are made until each has its outcome. It
// owns the bodies of requests and their memory: arenas of lines, the tables of what the
// lines are, and the permits to fill one. It knows neither how documents are made nor
// who takes them.
//
//	Chunk -> Filler: the bulk being filled -> send -> Bulk.Keep what is to be sent again
//	            ^                                          |
//	            +------------------ Free <-----------------+
package bulk

import (
	"bytes"

	"github.com/klauspost/compress/gzip"

	"github.com/sluicelog/sluice/internal/kafka"
)

// Verdict is what becomes of a document, or of a request with all of its documents.
type Verdict uint8

// The verdicts.
const (
	Pending   Verdict = iota
	Stored            // it is finished
	Duplicate         // stored before, by the same id: finished
	Again             // refused for now: sent again
	Mend              // refused until an operator mends what the cause is: alarm, sent again
	Unknown           // an error that is not known: sent again a few times, then a dead letter
	Dead              // refused for good
	Split             // too large: sent again in halves
)

// Item is one document of a bulk and the record it was made of, which is kept for the
// dead letter that may become of it. The record's memory is the consumer's until it is
// finished.
type Item struct {
	End       int // in the buffer, after the document's line end; it starts where the item before ends
	Partition *Partition
	Record    kafka.View
	Verdict   Verdict
	Tries     uint8 // with the verdict Unknown
}

// Bulk is the body of a request: an arena of lines and the table of what they are.
//
//	Buf    {"create":...}\n{"@timestamp":...}\n{"create":...}\n{...}\n
//	Items                                     ^End of Items[0]       ^End of Items[1]
//
// It belongs to the Filler while it is filled, then to the goroutine that sends it.
type Bulk struct {
	Buf   []byte
	Items []Item

	packed bytes.Buffer // the body compressed
	zip    *gzip.Writer
}

// From is where the lines of an item start.
func (b *Bulk) From(i int) int {
	if i == 0 {
		return 0
	}
	return b.Items[i-1].End
}

// Lines are those of the items from lo to hi, exclusive.
func (b *Bulk) Lines(lo, hi int) []byte { return b.Buf[b.From(lo):b.Items[hi-1].End] }

// Gzip is lines of the bulk compressed, valid until it is called again.
func (b *Bulk) Gzip(lines []byte, level int) []byte {
	if b.zip == nil {
		b.zip, _ = gzip.NewWriterLevel(nil, min(level, gzip.BestCompression))
	}
	b.packed.Reset()
	b.zip.Reset(&b.packed)
	b.zip.Write(lines) // to memory: no error
	b.zip.Close()
	return b.packed.Bytes()
}

// Keep makes the bulk hold the items that are not stored, alone.
func (b *Bulk) Keep() {
	size, n, from := 0, 0, 0
	for i := range b.Items {
		it := b.Items[i]
		if it.Verdict != Stored {
			size += copy(b.Buf[size:], b.Buf[from:it.End])
			from = it.End
			it.End = size
			b.Items[n] = it
			n++
			continue
		}
		from = it.End
	}
	clear(b.Items[n:]) // lets go of the records
	b.Buf, b.Items = b.Buf[:size], b.Items[:n]
}

// take appends all that another bulk holds.
func (b *Bulk) take(o *Bulk) {
	size := len(b.Buf)
	b.Buf = append(b.Buf, o.Buf...)
	for _, it := range o.Items {
		it.End += size
		b.Items = append(b.Items, it)
	}
}

// reset empties the bulk. An arena that one huge document has blown up is let go.
func (b *Bulk) reset(most int) {
	clear(b.Items)
	b.Buf, b.Items = b.Buf[:0], b.Items[:0]
	if cap(b.Buf) > 2*most {
		b.Buf = nil
	}
	if b.packed.Cap() > 2*most {
		b.packed = bytes.Buffer{}
	}
}
