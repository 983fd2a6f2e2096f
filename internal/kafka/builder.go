package kafka

import (
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

// What a record costs beside its bytes: on the wire at most (lengths, time, offset),
// and in memory (the entries of a batch's slabs and their spare room).
const (
	wireOverhead   = 24
	headerOverhead = 8
	heldOverhead   = 256
)

// batch is the records of one partition that are sent and acknowledged together. It
// belongs to the partition while it is filled, then to the sender and, between send
// and answer, to the link.
type batch struct {
	p *partition

	recs []sarama.Record
	in   []Record
	tags []Tag

	// Headers as sarama wants them. The last ones are kept, since neighbours share theirs.
	headers  []sarama.RecordHeader
	pointers []*sarama.RecordHeader
	lastIn   *Header
	lastOut  []*sarama.RecordHeader

	bytes  int64     // on the wire before compression, at most
	held   int64     // taken from the budget
	opened time.Time // when the first record came

	generation int64 // of the transaction it belongs to; 0 without transactions
	first      int64 // time of the first record in ms
	last       int64 // newest time in ms

	// Set when it is sent.
	ptrs  []*sarama.Record
	wire  sarama.RecordBatch
	built bool      // wire holds the records, compressed once it was encoded
	tries int       // how often it was sent
	maybe bool      // an earlier try may have been stored
	alone bool      // may not share a request
	sent  time.Time // first time
}

// wireSize is what the record takes in a batch at most.
func wireSize(r *Record) int64 {
	n := int64(len(r.Key) + len(r.Value) + wireOverhead)
	for i := range r.Headers {
		n += int64(len(r.Headers[i].Key) + len(r.Headers[i].Value) + headerOverhead)
	}
	return n
}

func (b *batch) add(r *Record, tag Tag, size int64) {
	ms := r.Time.UnixMilli()
	if ms <= 0 { // no time of its own
		ms = time.Now().UnixMilli()
	}
	if len(b.recs) == 0 {
		b.first, b.last = ms, ms
	}
	b.last = max(b.last, ms)
	b.recs = append(b.recs, sarama.Record{
		Key: r.Key, Value: r.Value, Headers: b.convert(r.Headers),
		OffsetDelta: int64(len(b.recs)), TimestampDelta: time.Duration(ms-b.first) * time.Millisecond,
	})
	b.in = append(b.in, *r)
	b.tags = append(b.tags, tag)
	b.bytes += size
	b.held += size + heldOverhead
}

func (b *batch) convert(in []Header) []*sarama.RecordHeader {
	if len(in) == 0 {
		return nil
	}
	if &in[0] == b.lastIn && len(in) == len(b.lastOut) {
		return b.lastOut
	}
	from := len(b.pointers)
	for i := range in {
		b.headers = append(b.headers, sarama.RecordHeader(in[i]))
		// Should headers move when it grows, older pointers keep the old array alive.
		b.pointers = append(b.pointers, &b.headers[len(b.headers)-1])
	}
	b.lastIn, b.lastOut = &in[0], b.pointers[from:len(b.pointers):len(b.pointers)]
	return b.lastOut
}

// build makes the batch as it goes out, the first time from its records and after
// that with another identity: what was compressed once is kept.
func (b *batch) build(codec sarama.CompressionCodec, id identity, transactional bool) *sarama.RecordBatch {
	if !b.built {
		b.ptrs = b.ptrs[:0]
		for i := range b.recs {
			b.ptrs = append(b.ptrs, &b.recs[i])
		}
		b.wire = sarama.RecordBatch{
			Version: 2, Codec: codec, CompressionLevel: sarama.CompressionLevelDefault,
			FirstTimestamp: time.UnixMilli(b.first), MaxTimestamp: time.UnixMilli(b.last),
			LastOffsetDelta: int32(len(b.recs) - 1), Records: b.ptrs, IsTransactional: transactional,
		}
		b.built = true
	}
	b.wire.ProducerID, b.wire.ProducerEpoch, b.wire.FirstSequence = id.producer, id.epoch, id.sequence
	return &b.wire
}

// split makes two batches of one that has several records.
func (b *batch) split() (*batch, *batch) {
	n := len(b.recs) / 2
	return b.part(0, n), b.part(n, len(b.recs))
}

func (b *batch) part(from, to int) *batch {
	nb := newBatch(b.p, to-from)
	nb.opened, nb.sent, nb.generation = b.opened, b.sent, b.generation
	for i := from; i < to; i++ {
		nb.add(&b.in[i], b.tags[i], wireSize(&b.in[i]))
	}
	return nb
}

// identity is what makes a batch sent twice stored once: the broker stores a
// sequence of a (producer, epoch) only if it follows the last one it has.
type identity struct {
	producer int64
	epoch    int16
	sequence int32 // of the next record
}

// next is the identity after n records more. Sequences wrap to 0.
func (id identity) next(n int) identity {
	s := int64(id.sequence) + int64(n)
	if s > 1<<31-1 {
		s -= 1 << 31
	}
	id.sequence = int32(s)
	return id
}

func (id identity) String() string {
	return fmt.Sprintf("%d/%d/%d", id.producer, id.epoch, id.sequence)
}

// Slabs are reused by size, so that a partition with little to say does not hold the
// slabs of a busy one.
var slabs [4]sync.Pool

var slabSizes = [len(slabs)]int{64, 512, 4096, 32768}

func slabClass(n int) int {
	for i, size := range slabSizes {
		if n <= size {
			return i
		}
	}
	return len(slabs) - 1
}

func newBatch(p *partition, records int) *batch {
	class := slabClass(records)
	b, _ := slabs[class].Get().(*batch)
	if b == nil {
		n := slabSizes[class]
		b = &batch{recs: make([]sarama.Record, 0, n), in: make([]Record, 0, n), tags: make([]Tag, 0, n), ptrs: make([]*sarama.Record, 0, n)}
	}
	b.p = p
	return b
}

// recycle drops every reference to what the caller handed over.
func (b *batch) recycle() {
	clear(b.recs)
	clear(b.in)
	clear(b.tags)
	clear(b.headers)
	clear(b.pointers)
	clear(b.ptrs)
	*b = batch{recs: b.recs[:0], in: b.in[:0], tags: b.tags[:0], headers: b.headers[:0], pointers: b.pointers[:0], ptrs: b.ptrs[:0]}
	// One that grew goes where it is large enough; one larger than all is let go.
	for i := len(slabs) - 1; i >= 0; i-- {
		if cap(b.recs) >= slabSizes[i] {
			if cap(b.recs) <= 2*slabSizes[len(slabs)-1] {
				slabs[i].Put(b)
			}
			return
		}
	}
}
