package send

import (
	"time"

	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/schemas"
	"github.com/sluicelog/sluice/shipper/line"
)

// Batch is room for events in the producer's memory, and the one place where events are
// made: straight into what travels to Kafka. Who has a batch need not wait to make events
// and to Send them. Two go round, so that there is room for the next events when that of
// one is used up, and reading stops while the producer has none. What must be sent all the
// same, such as the rest of a line, a full one takes as well.
type Batch struct {
	Now time.Time // of reading: the time of the records that are made

	press      *press
	writer     Writer
	partitions int32
	entries    []entry
	events     int // since the last Send
	bytes      int // of those
}

// entry is an event's entry for the window of its file.
type entry struct {
	window *Window
	next   int64
	done   bool // it is not sent
}

// Full reports that no line is to be begun any more.
func (b *Batch) Full() bool { return b.writer.Left() <= 0 }

// Empty reports that there is nothing to send.
func (b *Batch) Empty() bool { return b.events == 0 }

// Emit adds an event, unless a rule drops it. The positions of its files pass it once it
// is stored, or dropped.
func (b *Batch) Emit(e *line.Event[*Window]) {
	if r := b.press.rules; r != nil && !r.apply(e.Holds[0].Window.source, e, b.press.topic, b.Now) {
		b.skip(e)
		return
	}
	b.emit(e)
}

func (b *Batch) emit(e *line.Event[*Window]) {
	w := e.Holds[0].Window
	tag := kafka.Tag{Owner: w, Pos: w.made}
	if len(e.Holds) > 1 {
		o := &span{}
		for _, h := range e.Holds {
			o.parts = append(o.parts, place{h.Window, h.Window.made})
		}
		tag = kafka.Tag{Owner: o}
	}
	b.add(w.source, e, tag)
	for _, h := range e.Holds {
		h.Window.made++
		h.Window.last = h.Next
		b.entries = append(b.entries, entry{h.Window, h.Next, false})
	}
}

func (b *Batch) add(s *Source, e *line.Event[*Window], tag kafka.Tag) {
	e.Flags = e.Set.Texts()
	value := b.begin(s, s.key, b.Now, s.width+len(e.Message)+len(e.FileName))
	at := len(value)
	value = schemas.AppendEvent(value, &e.Line, s.tail)
	b.commit(value, len(value)-at, s.headers, tag)
	*s.made++
	if e.Set != 0 {
		for i := range b.press.flagged {
			b.press.flagged[i] += int64(e.Set >> i & 1)
		}
	}
}

// put adds an event that was made before.
func (b *Batch) put(s *Source, r *kafka.Record, tag kafka.Tag) {
	b.commit(append(b.begin(s, r.Key, r.Time, len(r.Value)), r.Value...), len(r.Value), kafka.RenderHeaders(r.Headers), tag)
}

func (b *Batch) begin(s *Source, key []byte, at time.Time, expect int) []byte {
	return b.writer.Begin(b.partition(s), key, at, expect)
}

func (b *Batch) commit(value []byte, size int, headers []byte, tag kafka.Tag) {
	b.writer.Commit(value, headers, tag)
	b.events++
	b.bytes += size
	b.press.turnLeft -= size
}

// Pending reports that positions do not know of events in the batch yet.
func (b *Batch) Pending() bool { return len(b.entries) > 0 }

// Send has positions wait for the events in the batch, and the producer send them.
func (b *Batch) Send() {
	if b.Empty() {
		return
	}
	for i := 0; i < len(b.entries); {
		w := b.entries[i].window
		w.mu.Lock()
		for ; i < len(b.entries) && b.entries[i].window == w; i++ {
			w.ring.push(b.entries[i].next)
			if b.entries[i].done {
				w.finish(w.ring.next - 1)
			}
		}
		w.mu.Unlock()
	}
	clear(b.entries)
	b.entries = b.entries[:0]
	b.writer.Flush()
	b.press.m.appended(b.events, b.bytes)
	b.events, b.bytes = 0, 0
}
