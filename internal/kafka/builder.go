package kafka

import (
	"bytes"
	"fmt"
	"math/bits"
	"sync"
	"time"

	"github.com/sluicelog/sluice/internal/kafka/wire"
)

// What a record costs beside its bytes: on the wire (sizes, time, number), and in
// memory (its tag and size, and the spare room of the slabs that hold them).
const (
	wireOverhead   = 24
	headerOverhead = 8
	heldOverhead   = 64
)

// batch is the records of one partition that are sent and acknowledged together. It
// belongs to the partition while it is filled and packed, then to the sender and,
// between send and answer, to the link.
type batch struct {
	p *partition

	records wire.Records // until it is packed
	packed  wire.Batch   // from then on
	tags    []Tag
	sizes   []Size
	whole   int    // records of a batch that was received; 0: it is ours, and has a tag for each
	scratch []byte // for headers that are changed

	bytes  int64     // of records
	first  time.Time // time of the first record
	held   int64     // taken from the budget
	opened time.Time // when the first record came

	generation int64 // of the transaction it belongs to; 0 without transactions
	ready      bool  // it was packed; guarded by the partition's mu
	part       bool  // of one that was split; set before it is packed

	// Set when it is sent.
	id    identity
	tries int       // how often it was sent
	maybe bool      // an earlier try may have been stored
	sent  time.Time // first time
}

// count is how many records it has.
func (b *batch) count() int {
	if b.whole > 0 {
		return b.whole
	}
	return len(b.tags)
}

// tag is what is to be known of its record i.
func (b *batch) tag(i int, r *wire.Record) (Tag, Size) {
	if b.whole > 0 {
		return Tag{b.tags[0].Owner, b.tags[0].Pos + int64(i)}, Size{int32(len(r.Key)), int32(len(r.Value))}
	}
	return b.tags[i], b.sizes[i]
}

// wireSize is about what the record takes in a batch.
func wireSize(r *Record) int64 {
	n := int64(len(r.Key) + len(r.Value) + wireOverhead)
	for i := range r.Headers {
		n += int64(len(r.Headers[i].Key) + len(r.Headers[i].Value) + headerOverhead)
	}
	return n
}

func (b *batch) add(r *Record, tag Tag, held int64) {
	ms := r.Time.UnixMilli()
	if ms <= 0 { // no time of its own
		ms = time.Now().UnixMilli()
	}
	b.records.Append(ms, r.Key, r.Value, r.Headers)
	b.note(tag, Size{int32(len(r.Key)), int32(len(r.Value))}, held)
}

// note takes down what is to be known of a record that was added.
func (b *batch) note(tag Tag, size Size, held int64) {
	if len(b.tags) == cap(b.tags) {
		b.grow()
	}
	b.tags = append(b.tags, tag)
	b.sizes = append(b.sizes, size)
	b.bytes = int64(b.records.Size())
	b.held += held
}

// pack compresses what was filled; what is held less is returned.
func (b *batch) pack(packer *wire.Packer, codec wire.Codec, transactional bool) (freed int64) {
	b.bytes, b.first = int64(b.records.Size()), b.records.First()
	b.packed = packer.Pack(&b.records, codec, transactional)
	if codec == wire.None {
		return 0
	}
	freed = max(0, b.held-int64(b.packed.Size())-heldOverhead*int64(len(b.tags)))
	b.held -= freed
	return freed
}

// split makes two batches of one that has several records.
func (b *batch) split() (*batch, *batch, error) {
	n := b.count() / 2
	parts, err := b.parts([]int{n, b.count()})
	if err != nil {
		return nil, nil, err
	}
	return parts[0], parts[1], nil
}

// parts makes batches of the records up to each of the numbers, for packing anew.
func (b *batch) parts(until []int) ([]*batch, error) {
	parts := make([]*batch, 0, len(until))
	from, count := 0, b.count()
	share := b.held / int64(count)
	err := b.packed.Records(func(r *wire.Record) {
		i := int(r.Offset)
		if i >= count || len(parts) == 0 || i == until[len(parts)-1] {
			if len(parts) == len(until) {
				return
			}
			nb := newBatch(b.p, until[len(parts)]-from, int(b.bytes)/len(until))
			nb.opened, nb.sent, nb.generation, nb.part = b.opened, b.sent, b.generation, true
			parts, from = append(parts, nb), until[len(parts)]
		}
		nb := parts[len(parts)-1]
		nb.records.AppendRaw(r.Time, r.Key, r.Value, r.Headers)
		tag, size := b.tag(i, r)
		nb.note(tag, size, share)
	})
	if err == nil && (len(parts) != len(until) || from != count) {
		err = fmt.Errorf("%d records in a batch of %d: %w", from, count, wire.ErrBroken)
	}
	if err != nil {
		return nil, err
	}
	parts[0].held += b.held - share*int64(count)
	return parts, nil
}

// record is a copy of the one record of a batch.
func (b *batch) record() (r Record) {
	_ = b.packed.Records(func(v *wire.Record) {
		r = Record{Key: bytes.Clone(v.Key), Value: bytes.Clone(v.Value), Headers: v.Headers.Pairs(), Time: time.UnixMilli(v.Time)}
	})
	return r
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

// newBatch has room for about so many records and bytes; both may become more.
func newBatch(p *partition, records, bytes int) *batch {
	b := slab(slabClass(min(records, slabMost)))
	b.p = p
	b.records.Reserve(bytes)
	return b
}

// slab is an empty batch with room for a class of records.
func slab(class int) *batch {
	if b, _ := slabs[class].Get().(*batch); b != nil {
		return b
	}
	return &batch{tags: make([]Tag, 0, 64<<class), sizes: make([]Size, 0, 64<<class)}
}

// grow moves the tags to the next larger slab. Beyond the largest, append does it.
func (b *batch) grow() {
	class := slabClass(cap(b.tags) + 1)
	if 64<<class <= cap(b.tags) {
		return
	}
	larger := slab(class)
	larger.tags, larger.sizes = append(larger.tags, b.tags...), append(larger.sizes, b.sizes...)
	b.tags, b.sizes, larger.tags, larger.sizes = larger.tags, larger.sizes, b.tags, b.sizes
	larger.recycle()
}

// recycle drops every reference to what the caller handed over, and gives back what
// held the records.
func (b *batch) recycle() {
	clear(b.tags)
	b.records.Release()
	b.packed.Release()
	*b = batch{tags: b.tags[:0], sizes: b.sizes[:0], scratch: b.scratch[:0]}
	if n := min(cap(b.tags), cap(b.sizes)); n <= 64<<len(slabs) { // else it is let go
		slabs[min(bits.Len(uint(n)>>6), len(slabs))-1].Put(b)
	}
}
