package send

import (
	"time"

	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/schemas"
	"github.com/sluicelog/sluice/shipper/line"
)

const (
	chunkSize    = 512 << 10
	batchRecords = 4096
)

// Batch is events on their way to the Sender, and the one place where events are made:
// who has a batch has room for them. Three go round, so that the next one is filled while
// the sender waits for the producer, and reading stops when all are full. Their bytes lie
// in chunks that live until the events in them are acknowledged.
type Batch struct {
	Now time.Time // of reading: the time of the records that are made

	out     []outgoing
	entries []entry
	bytes   int
	press   *press // of all batches; used by who fills one
}

type outgoing struct {
	rec  kafka.Record
	tag  kafka.Tag
	hash uint32
}

// entry is an event's entry for the window of its file.
type entry struct {
	window *Window
	next   int64
	done   bool // it is not sent
}

// press is where events are written. One goroutine makes events, so it is used for one
// batch at a time.
type press struct {
	chunk   []byte
	apart   bool // partition_by source: a chunk is of one source
	of      *Source
	ahead   int // about what the events of the bytes at hand will take
	flagged [line.NumFlags]int64
	topic   string
	rules   *Rules // nil: none
}

// Full reports that no line is to be begun any more.
func (b *Batch) Full() bool { return b.bytes >= chunkSize || len(b.out) >= batchRecords }

// Empty reports that there is nothing to send.
func (b *Batch) Empty() bool { return len(b.out) == 0 }

// Expect announces about how many bytes of events follow for one source; 0: that is not
// known.
func (b *Batch) Expect(bytes int) { b.press.ahead = bytes }

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
	p := b.press
	need := s.width + len(e.Message) + len(e.FileName) + len(e.Stream)
	if cap(p.chunk)-len(p.chunk) < need || p.apart && p.of != s {
		p.renew(s, need)
	}
	at := len(p.chunk)
	p.chunk = schemas.AppendEvent(p.chunk, &e.Line, s.tail)
	value := p.chunk[at:len(p.chunk):len(p.chunk)]
	b.put(kafka.Record{Key: s.key, Value: value, Headers: s.headers, Time: b.Now}, tag, s.hash)
	*s.made++
	if e.Set != 0 {
		for i := range p.flagged {
			p.flagged[i] += int64(e.Set >> i & 1)
		}
	}
}

func (b *Batch) put(r kafka.Record, tag kafka.Tag, hash uint32) {
	b.bytes += len(r.Value)
	b.out = append(b.out, outgoing{r, tag, hash})
}

// renew makes room for events. Where sources go to partitions of their own, a chunk is
// one source's: else the few events of a partition that cannot be written would keep
// those of all others in memory.
func (p *press) renew(s *Source, need int) {
	size := chunkSize
	if p.apart {
		size, p.of = min(p.ahead, chunkSize), s
	}
	p.chunk = make([]byte, 0, max(size, need))
}

// Pending reports that positions do not know of events in the batch yet.
func (b *Batch) Pending() bool { return len(b.entries) > 0 }

// Enter has positions wait for the events in the batch; it is called before the sender is
// given them.
func (b *Batch) Enter() {
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
}

func (b *Batch) reset() {
	clear(b.out)
	clear(b.entries)
	b.out, b.entries, b.bytes = b.out[:0], b.entries[:0], 0
}
