package shipper

import (
	"bytes"
	"context"
	"encoding/binary"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/schemas"
)

const (
	chunkSize    = 512 << 10
	batchRecords = 4096
)

// producer is what the shipper needs of kafka.Producer.
type producer interface {
	Append(ctx context.Context, topic string, partition int32, r kafka.Record, tag kafka.Tag) error
	Partitions(ctx context.Context, topic string) (int32, error)
}

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
		src   *source
		size  int64
		total *atomic.Int64 // as it is in the tailer
	}
)

// emit puts an event of f into the batch; safe is the position of f that holds once it
// and all before it are acknowledged.
func (t *tailer) emit(f *file, l *schemas.Line, fl flags, safe int64) {
	t.put(f.src, l, fl, kafka.Tag{Owner: f, Pos: f.seq})
	t.push(f, safe)
}

// emitOwned is emit for an event that is not in the window of one file alone.
func (t *tailer) emitOwned(owner any, s *source, l *schemas.Line, fl flags) {
	t.put(s, l, fl, kafka.Tag{Owner: owner})
}

func (t *tailer) push(f *file, safe int64) {
	f.seq++
	t.cur.pushes = append(t.cur.pushes, push{f, safe})
}

func (t *tailer) put(s *source, l *schemas.Line, fl flags, tag kafka.Tag) {
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
func (t *tailer) newChunk(s *source, need int) {
	size := chunkSize
	if t.apart {
		size, t.chunkOf = min(t.ahead, chunkSize), s
	}
	t.chunk = make([]byte, 0, max(size, need))
}

// sender appends batches to the producer. It is the one that waits when the producer's
// buffer is full, so the tailer can go on opening new files meanwhile.
type sender struct {
	topic string
	by    string // partition_by
	every int    // spread: bytes before the next partition's turn
	p     producer
	in    chan *batch // closed by the tailer
	free  chan *batch
	m     *meters

	refused chan struct{} // cap 1: there is something in refusals
	mu      sync.Mutex
	refusal []refusal

	turn     int32 // spread: the partition that has its turn
	turnLeft int
}

type refusal struct {
	rec   kafka.Record
	tag   kafka.Tag
	err   error
	again time.Time
}

func newSender(p producer, topic, by string, every int, m *meters) *sender {
	s := &sender{topic: topic, by: by, every: every, p: p, m: m, in: make(chan *batch, 1), free: make(chan *batch, 3), refused: make(chan struct{}, 1)}
	for range 3 {
		s.free <- &batch{}
	}
	return s
}

// run ends when in is closed; once ctx has ended it sends no more: what is left was not
// acknowledged, so it comes again.
func (s *sender) run(ctx context.Context) {
	for b := range s.in {
		s.send(ctx, b)
		b.reset()
		s.free <- b
	}
}

func (s *sender) send(ctx context.Context, b *batch) {
	n, err := s.p.Partitions(ctx, s.topic)
	if err != nil || n <= 0 {
		return
	}
	sent, bytes := 0, 0
	defer func() { s.m.appended(sent, bytes) }()
	for i := range b.out {
		o := &b.out[i]
		if err := s.p.Append(ctx, s.topic, s.partition(o, n), o.rec, o.tag); err != nil {
			return
		}
		sent++
		bytes += len(o.rec.Value)
	}
}

func (s *sender) partition(o *outgoing, n int32) int32 {
	if s.by != "spread" {
		return int32(o.hash % uint32(n))
	}
	if s.turnLeft -= len(o.rec.Value); s.turnLeft < 0 {
		s.turn, s.turnLeft = s.turn+1, s.every
	}
	s.turn %= n
	return s.turn
}

// done is the producer's callback: the batch is stored, or its one record is refused.
func (s *sender) done(r *kafka.Result) {
	if r.Err != nil {
		s.mu.Lock()
		for i, tag := range r.Tags {
			s.refusal = append(s.refusal, refusal{rec: r.Records[i], tag: tag, err: r.Err})
		}
		s.mu.Unlock()
		select {
		case s.refused <- struct{}{}:
		default:
		}
		return
	}
	acked, bytes := 0, 0
	for i := range r.Records {
		bytes += len(r.Records[i].Value)
	}
	for i := 0; i < len(r.Tags); {
		f, ok := r.Tags[i].Owner.(*file)
		if !ok {
			if finished(r.Tags[i]) {
				acked++
			}
			i++
			continue
		}
		f.mu.Lock()
		for ; i < len(r.Tags) && r.Tags[i].Owner == any(f); i++ {
			f.advance(r.Tags[i].Pos)
			acked++
		}
		f.mu.Unlock()
	}
	s.m.acked(acked, bytes)
}

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
func sourceOf(tag kafka.Tag) *source {
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

// takeRefused hands over what Kafka refused since the last call.
func (s *sender) takeRefused() []refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.refusal
	s.refusal = nil
	return r
}

// splitEvent cuts the message of an event in two and makes an event of each half, both
// flagged split. Offset and size are shared out in proportion, so they add up; the ids
// come from the event's own and where it was cut, so the same refusal gives the same
// halves. ok is false for a message too short to be cut.
func splitEvent(value []byte) (a, b []byte, ok bool) {
	h, ok := schemas.ParseHead(value)
	if !ok || len(h.Message) < 2 {
		return nil, nil, false
	}
	cut := cutEscaped(h.Message, len(h.Message)/2)
	if cut == 0 {
		return nil, nil, false
	}
	l, ok := parseLog(h.Rest)
	if !ok {
		return nil, nil, false
	}
	size := l.size * int64(cut) / int64(len(h.Message))
	half := func(message []byte, offset, size int64, from int) []byte {
		out := make([]byte, 0, len(value)-len(h.Message)+len(message)+64)
		out = append(out, value[:len(`{"@metadata":{"_id":"`)]...)
		out = append(out, pieceID(h.ID, from, len(message))...)
		out = append(out, `"},"@timestamp":"`...)
		out = append(out, h.Time...)
		out = append(out, `","message":"`...)
		out = append(append(out, message...), '"')
		out = append(out, h.Rest[:l.offsetAt]...)
		out = strconv.AppendInt(out, offset, 10)
		out = append(out, `,"size":`...)
		out = strconv.AppendInt(out, size, 10)
		switch {
		case !l.flagged:
			out = append(out, `,"flags":["split"]`...)
		case !l.split:
			out = append(out, `,"flags":["split",`...)
		default:
			out = append(out, `,"flags":[`...)
		}
		return append(out, h.Rest[l.restAt:]...)
	}
	return half(h.Message[:cut], l.offset, size, 0), half(h.Message[cut:], l.offset+size, l.size-size, cut), true
}

// pieceID keeps the time of an id and hashes the rest with the piece.
func pieceID(id []byte, from, n int) []byte {
	const timeChars = 8 // 6 bytes
	var at [16]byte
	binary.BigEndian.PutUint64(at[:], uint64(from))
	binary.BigEndian.PutUint64(at[8:], uint64(n))
	sum := xxh3.Hash128Seed(append(at[:], id...), 1)
	var p schemas.ID
	binary.BigEndian.PutUint64(p[6:14], sum.Hi)
	binary.BigEndian.PutUint32(p[14:], uint32(sum.Lo>>32))
	text := p.AppendText(nil)
	copy(text[:timeChars], id[:timeChars])
	return text
}

// logPart is where offset, size and flags stand in the rest of an event.
//
//	,"stream":"stdout","log":{"offset":7,"size":9,"flags":["cleaned"],"file":...
//	                                   ^offsetAt  ^                  ^
//	                            restAt behind the size, or behind "flags":[
type logPart struct {
	offset, size     int64
	offsetAt, restAt int
	flagged, split   bool
}

func parseLog(rest []byte) (l logPart, ok bool) {
	const member, next, flags = `,"log":{"offset":`, `,"size":`, `,"flags":[`
	i := bytes.Index(rest, []byte(member))
	if i < 0 {
		return l, false
	}
	number := func(at int) (n int64, end int, ok bool) {
		end = at
		for end < len(rest) && '0' <= rest[end] && rest[end] <= '9' {
			end++
		}
		n, err := strconv.ParseInt(string(rest[at:end]), 10, 64)
		return n, end, err == nil
	}
	l.offsetAt = i + len(member)
	n, end, ok := number(l.offsetAt)
	if !ok || !bytes.HasPrefix(rest[end:], []byte(next)) {
		return l, false
	}
	l.offset = n
	l.size, end, ok = number(end + len(next))
	l.restAt = end
	if bytes.HasPrefix(rest[end:], []byte(flags)) {
		l.flagged = true
		l.restAt = end + len(flags)
		set := rest[l.restAt:]
		l.split = bytes.Contains(set[:max(0, bytes.IndexByte(set, ']'))], []byte(`"split"`))
	}
	return l, ok
}
