package kafka

import (
	"fmt"
	"math/bits"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

// What a record costs beside its bytes: on the wire at most (lengths, time, offset),
// and in memory (the entries of a batch's slabs, 128 bytes, and their spare room).
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

	in   []Record
	tags []Tag

	bytes  int64     // on the wire before compression, at most
	held   int64     // taken from the budget
	opened time.Time // when the first record came

	generation int64 // of the transaction it belongs to; 0 without transactions
	first      int64 // time of the first record in ms
	last       int64 // newest time in ms

	// Set when it is sent.
	wire  sarama.RecordBatch // holds the records, compressed, once it was encoded
	built bool
	tries int       // how often it was sent
	maybe bool      // an earlier try may have been stored
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
	if len(b.in) == cap(b.in) {
		b.grow()
	}
	b.in = append(b.in, *r)
	ms := r.Time.UnixMilli()
	if ms <= 0 { // no time of its own
		now := time.Now()
		b.in[len(b.in)-1].Time, ms = now, now.UnixMilli()
	}
	if len(b.in) == 1 {
		b.first, b.last = ms, ms
	}
	b.last = max(b.last, ms)
	b.tags = append(b.tags, tag)
	b.bytes += size
	b.held += size + heldOverhead
}

// build makes the batch ready to be packed and sent under an identity. What was
// compressed once is kept.
func (b *batch) build(codec sarama.CompressionCodec, id identity, transactional bool) {
	if !b.built {
		b.wire = sarama.RecordBatch{
			Version: 2, Codec: codec, CompressionLevel: sarama.CompressionLevelDefault,
			FirstTimestamp: time.UnixMilli(b.first), MaxTimestamp: time.UnixMilli(b.last),
			LastOffsetDelta: int32(len(b.in) - 1), IsTransactional: transactional,
		}
		b.built = true
	}
	b.wire.ProducerID, b.wire.ProducerEpoch, b.wire.FirstSequence = id.producer, id.epoch, id.sequence
}

// packer makes sarama's records of a request's batches. Its slabs are used for one
// request after the other: sarama has encoded one when it returns from sending it. So
// what waits is held in one form only.
type packer struct {
	recs []sarama.Record
	ptrs []*sarama.Record

	// The last ones are kept, since neighbours share their headers.
	headers  []sarama.RecordHeader
	pointers []*sarama.RecordHeader
	lastIn   *Header
	lastOut  []*sarama.RecordHeader
}

// pack gives the batches, which were built, their records.
func (k *packer) pack(batches []*batch) {
	n := 0
	for _, b := range batches {
		n += len(b.in)
	}
	if n > cap(k.recs) {
		k.recs, k.ptrs = make([]sarama.Record, 0, n), make([]*sarama.Record, 0, n)
	}
	for _, b := range batches {
		from := len(k.recs)
		for i := range b.in {
			r := &b.in[i]
			k.recs = append(k.recs, sarama.Record{
				Key: r.Key, Value: r.Value, Headers: k.convert(r.Headers),
				OffsetDelta: int64(i), TimestampDelta: time.Duration(r.Time.UnixMilli()-b.first) * time.Millisecond,
			})
			k.ptrs = append(k.ptrs, &k.recs[from+i])
		}
		b.wire.Records = k.ptrs[from:len(k.ptrs):len(k.ptrs)]
	}
}

func (k *packer) convert(in []Header) []*sarama.RecordHeader {
	if len(in) == 0 {
		return nil
	}
	if &in[0] == k.lastIn && len(in) == len(k.lastOut) {
		return k.lastOut
	}
	from := len(k.pointers)
	for i := range in {
		k.headers = append(k.headers, sarama.RecordHeader(in[i]))
		// Should headers move when it grows, older pointers keep the old array alive.
		k.pointers = append(k.pointers, &k.headers[len(k.headers)-1])
	}
	k.lastIn, k.lastOut = &in[0], k.pointers[from:len(k.pointers):len(k.pointers)]
	return k.lastOut
}

// reset drops every reference to what was packed.
func (k *packer) reset() {
	clear(k.recs)
	clear(k.ptrs)
	clear(k.headers)
	clear(k.pointers)
	*k = packer{recs: k.recs[:0], ptrs: k.ptrs[:0], headers: k.headers[:0], pointers: k.pointers[:0]}
}

// split makes two batches of one that has several records.
func (b *batch) split() (*batch, *batch) {
	n := len(b.in) / 2
	return b.part(0, n), b.part(n, len(b.in))
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

// Slabs are reused by size, 64 records doubled so many times, so that a partition with
// little to say does not hold the slabs of a busy one.
var slabs [10]sync.Pool

// slabMost is the largest slab that a batch begins with, however large the last one was.
const slabMost = 4096

func slabClass(n int) int { return min(bits.Len(uint(max(n, 1)-1)>>6), len(slabs)-1) }

func newBatch(p *partition, records int) *batch {
	b := slab(slabClass(min(records, slabMost)))
	b.p = p
	return b
}

// slab is an empty batch with room for a class of records.
func slab(class int) *batch {
	if b, _ := slabs[class].Get().(*batch); b != nil {
		return b
	}
	return &batch{in: make([]Record, 0, 64<<class), tags: make([]Tag, 0, 64<<class)}
}

// grow moves the records to the next larger slab. Beyond the largest, append does it.
func (b *batch) grow() {
	class := slabClass(cap(b.in) + 1)
	if 64<<class <= cap(b.in) {
		return
	}
	larger := slab(class)
	larger.in, larger.tags = append(larger.in, b.in...), append(larger.tags, b.tags...)
	b.in, b.tags, larger.in, larger.tags = larger.in, larger.tags, b.in, b.tags
	larger.recycle()
}

// recycle drops every reference to what the caller handed over.
func (b *batch) recycle() {
	clear(b.in)
	clear(b.tags)
	*b = batch{in: b.in[:0], tags: b.tags[:0]}
	if n := min(cap(b.in), cap(b.tags)); n <= 64<<len(slabs) { // else it is let go
		slabs[min(bits.Len(uint(n)>>6), len(slabs))-1].Put(b)
	}
}
