package shipper

import (
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/schemas"
)

const (
	chunkSize    = 512 << 10
	batchRecords = 4096
)

// batch is events on their way from the tailer to the sender. Three of them go round,
// so the tailer makes the next one while the sender waits for the producer, and stops
// reading when all are full. Their bytes lie in chunks that live until the events in
// them are acknowledged.
type batch struct {
	out    []outgoing
	pushes []push
	bytes  int
}

type outgoing struct {
	rec  kafka.Record
	tag  kafka.Tag
	hash uint32
}

// push is an event's entry for the window of its file.
type push struct {
	file *file
	safe int64
}

func (b *batch) full() bool { return b.bytes >= chunkSize || len(b.out) >= batchRecords }

// register enters the events into the windows of their files; before they are sent.
func (b *batch) register() {
	for i := 0; i < len(b.pushes); {
		f := b.pushes[i].file
		f.mu.Lock()
		for ; i < len(b.pushes) && b.pushes[i].file == f; i++ {
			f.window.push(b.pushes[i].safe)
		}
		f.mu.Unlock()
	}
}

func (b *batch) reset() {
	clear(b.out)
	clear(b.pushes)
	b.out, b.pushes, b.bytes = b.out[:0], b.pushes[:0], 0
}

// emit puts an event of f into the batch; safe is the position of f that holds once it
// and all before it are acknowledged.
func (t *tailer) emit(f *file, l *schemas.Line, fl flags, safe int64) {
	t.put(f.src, l, fl, kafka.Tag{Owner: f, Pos: f.seq})
	t.push(f, safe)
}

// emitOwned is emit for an event that is not in the window of one file alone.
func (t *tailer) emitOwned(owner any, s *origin, l *schemas.Line, fl flags) {
	t.put(s, l, fl, kafka.Tag{Owner: owner})
}

func (t *tailer) push(f *file, safe int64) {
	f.seq++
	t.cur.pushes = append(t.cur.pushes, push{f, safe})
}

func (t *tailer) put(s *origin, l *schemas.Line, fl flags, tag kafka.Tag) {
	l.Flags = flagSets[fl]
	need := s.tailLen + len(l.Message) + len(l.FileName) + len(l.Stream)
	if cap(t.chunk)-len(t.chunk) < need || t.apart && t.chunkOf != s {
		t.newChunk(s, need)
	}
	at := len(t.chunk)
	t.chunk = schemas.AppendEvent(t.chunk, l, s.tail)
	value := t.chunk[at:len(t.chunk):len(t.chunk)]
	b := t.cur
	b.bytes += len(value)
	b.out = append(b.out, outgoing{
		rec:  kafka.Record{Key: s.key, Value: value, Headers: s.headers, Time: t.now},
		tag:  tag,
		hash: s.hash,
	})
	s.n.events++
	t.n.flags(fl)
}

// newChunk makes room for events. Where sources go to partitions of their own, a chunk
// is one source's: else the few events of a partition that cannot be written would keep
// those of all others in memory.
func (t *tailer) newChunk(s *origin, need int) {
	size := chunkSize
	if t.apart {
		size, t.chunkOf = min(t.ahead, chunkSize), s
	}
	t.chunk = make([]byte, 0, max(size, need))
}
