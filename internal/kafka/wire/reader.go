package wire

import (
	"cmp"
	"fmt"
	"io"
	"slices"
)

// Set is what a fetch has returned of one partition: batches, of which the last may be
// cut off.
type Set struct {
	Batches []byte
	Aborted []Aborted
}

// Aborted is a transaction whose records are not to be read.
type Aborted struct{ Producer, First int64 }

// Reader makes records of what was fetched of one partition, block by block, so that it
// never holds more than a block unpacked, however small it was packed. Batches of aborted
// transactions and the ends of transactions are left out. One goroutine uses it.
type Reader struct {
	Limit int // most bytes of one record unpacked, headerCost a header, and of a codec's own block or window

	// Big, if any, is asked before more than 1 MiB is taken at once, which may wait, and
	// hears with a negative number that it is given back, from any goroutine.
	Big func(n int) error

	Produced bool // records have the times of their producer, also where the log has times of its own

	set     []byte
	aborted []Aborted // to come, in the order of their first offsets
	gone    map[int64]bool
	next    int64 // after all that was read or left out

	batch  []byte // that is being read; nil: none
	found  bool   // batch is the next of set, of which only the header was read
	h      Header
	src    unpacker
	left   int // records of it to come
	base   Record
	block  *Block
	from   int   // in block, of what is not read yet
	factor int   // unpacked size of the last batches by packed size, in 16ths
	bytes  int   // unpacked, of the batch
	last   int64 // offset of its last record that was read
	err    error // why no more of it can be read
	epoch  int32
}

// headerCost is what a header takes in memory where records are made of views, however
// few bytes it is on the wire.
const headerCost = 48

// Piece is what holds the records of one Read.
type Piece struct {
	Block *Block // to be given back with Free; nil: there are no records
	Bytes int    // of the records
}

// Begin starts on a set; records below the offset are left out, which a batch may begin
// with.
func (r *Reader) Begin(s Set, next int64) {
	r.drop()
	r.set, r.next, r.gone = s.Batches, next, nil
	r.aborted = append(r.aborted[:0], s.Aborted...)
	slices.SortFunc(r.aborted, func(a, b Aborted) int { return cmp.Compare(a.First, b.First) })
}

// Next is the offset after all that was read or left out.
func (r *Reader) Next() int64 { return r.next }

// Epoch is the leader epoch of the batch that the last records are from.
func (r *Reader) Epoch() int32 { return r.epoch }

// Batch is the batch that is being read or could not be, and its offsets, the last one
// included.
func (r *Reader) Batch() (b []byte, from, to int64) {
	if len(r.batch) < HeaderSize || Magic(r.batch) != 2 {
		return r.batch, r.next, r.next
	}
	from = int64(be.Uint64(r.batch))
	to = from + int64(max(0, int32(be.Uint32(r.batch[atLastDelta:]))))
	if r.src == nil { // what it says of its last offset may be what is damaged
		if rest := r.set[len(r.batch):]; len(rest) >= 8 {
			if next := int64(be.Uint64(rest)); next > from {
				to = min(to, next-1)
			}
		}
	}
	return r.batch, from, to
}

// Skip leaves out the rest of the batch.
func (r *Reader) Skip() {
	batch, _, to := r.Batch()
	if r.src == nil { // it could not even be begun
		r.set = r.set[len(batch):]
	}
	r.next = max(r.next, to+1)
	r.drop()
}

// drop forgets the batch.
func (r *Reader) drop() {
	if r.src != nil {
		r.src.close()
		r.src = nil
	}
	if r.block != nil {
		r.block.Free()
		r.block = nil
	}
	r.batch, r.err, r.found = nil, nil, false
}

// Read appends records to dst, up to its capacity and of one batch. No records and no
// error: the set is read, as far as it is whole. An error is about Batch alone, which
// Skip leaves out; until then it comes again.
func (r *Reader) Read(dst []Record) (Piece, []Record, error) {
	for {
		if r.err != nil {
			return Piece{}, dst, r.err
		}
		if r.src == nil {
			ok, err := r.begin()
			if r.err = err; !ok || err != nil {
				return Piece{}, dst, err
			}
		}
		n, at := len(dst), r.from
		dst, r.err = r.fill(dst, &at)
		var p Piece
		if len(dst) > n { // what came before an error is good
			p = Piece{r.block, r.from - at}
			p.Block.Hold()
		}
		if r.err == nil && r.left == 0 {
			r.finish()
		}
		if p.Block != nil {
			return p, dst, nil
		}
	}
}

// Whole is the next batch as it is stored, its CRC found right, instead of its records:
// for who sends it on. Its first offset may be below Next of before. No batch and no
// error: the set is read. An error is as of Read.
func (r *Reader) Whole() (batch []byte, h Header, err error) {
	if batch, h, err = r.Ahead(); batch != nil && err == nil {
		r.set, r.next, r.batch, r.found = r.set[len(batch):], h.LastOffset()+1, nil, false
	}
	return batch, h, err
}

// Ahead is the batch that Whole takes next, and Read opens. It is not for the middle of a
// batch: see Opened.
func (r *Reader) Ahead() (batch []byte, h Header, err error) {
	if r.err != nil {
		return nil, Header{}, r.err
	}
	ok, err := r.find()
	if r.err = err; !ok || err != nil {
		return nil, Header{}, err
	}
	return r.batch, r.h, nil
}

// Opened says whether a batch was opened of which not all was read.
func (r *Reader) Opened() bool { return r.src != nil }

// find finds the next batch with records that are to be read; false: there is none.
func (r *Reader) find() (bool, error) {
	for !r.found {
		batch, rest, err := Cut(r.set)
		if err != nil {
			r.batch = r.set
			return false, fmt.Errorf("after offset %d: %w (%w)", r.next, err, ErrFraming)
		}
		if batch == nil {
			r.drop() // no memory is held for what may come
			return false, nil
		}
		r.batch = batch
		if Magic(batch) < 2 {
			return false, ErrOldFormat
		}
		h, err := ReadHeader(batch)
		if err != nil {
			return false, err
		}
		r.h, r.epoch = h, h.LeaderEpoch
		// In this order: the end of a transaction counts, though it was read before.
		if r.leftOut(&h) || h.LastOffset() < r.next || h.Count == 0 {
			r.set, r.next, r.batch = rest, max(r.next, h.LastOffset()+1), nil
			continue
		}
		r.found = true
	}
	return true, nil
}

// begin begins the next batch with records; false: there is none.
func (r *Reader) begin() (bool, error) {
	ok, err := r.find()
	if !ok || err != nil {
		return false, err
	}
	src, err := unpack(r.h.Codec(), r.batch[HeaderSize:], r.Limit, r.Big)
	if err != nil {
		return false, fmt.Errorf("batch at offset %d: %w", r.h.BaseOffset, err)
	}
	r.choose()
	r.set, r.found = r.set[len(r.batch):], false
	r.left, r.bytes, r.last = int(r.h.Count), 0, r.h.BaseOffset-1
	r.base = Record{Offset: r.h.BaseOffset, Time: r.h.FirstTime}
	r.src = src
	return true, nil
}

// leftOut says whether the batch is not to be read: it ends a transaction, or is part
// of one that was aborted. Each aborted transaction is taken once, when its first batch
// comes, and is over when its end comes: what its producer writes later is read.
func (r *Reader) leftOut(h *Header) bool {
	for len(r.aborted) > 0 && r.aborted[0].First <= h.LastOffset() {
		if r.gone == nil {
			r.gone = map[int64]bool{}
		}
		r.gone[r.aborted[0].Producer] = true
		r.aborted = r.aborted[1:]
	}
	if h.Control() {
		delete(r.gone, h.ProducerID)
		return true
	}
	return h.Transactional() && r.gone[h.ProducerID]
}

// choose gives the batch a block in which it should fit: what is left of the last one,
// or a new one.
func (r *Reader) choose() {
	packed := len(r.batch) - HeaderSize
	want := packed
	if r.h.Codec() != None {
		if r.factor == 0 {
			r.factor = 5 * 16
		}
		want = packed * r.factor / 16
		want += want / 8
	}
	want = min(max(want, 1<<10), 1<<blockUsual)
	if r.block != nil && len(r.block.room()) >= want {
		r.from = r.block.used
		return
	}
	if r.block != nil {
		r.block.Free()
	}
	r.block, r.from = newBlock(want), 0
}

// move goes on in a new block, of the size that is needed at least, with what is not
// read yet.
func (r *Reader) move(need int) error {
	need = max(need, 1<<blockUsual)
	big := need > 1<<blockUsual && r.Big != nil
	if big {
		if err := r.Big(blockSize(need)); err != nil {
			return err
		}
	}
	b := newBlock(need)
	if big {
		b.big = func(n int) { _ = r.Big(-n) }
	}
	b.used = copy(b.mem, r.block.mem[r.from:r.block.used])
	r.block.Free()
	r.block, r.from = b, 0
	return nil
}

// finish ends a batch of which all records were read.
func (r *Reader) finish() {
	r.src.close()
	r.src = nil
	r.next = max(r.next, r.h.LastOffset()+1)
	if packed := len(r.batch) - HeaderSize; packed > 0 && r.h.Codec() != None {
		f := r.bytes * 16 / packed
		r.factor = max(16, (3*r.factor+f)/4)
	}
	r.batch = nil
}

// fill reads records until dst is full, the block is, or the batch is at its end; at
// becomes where in the block they begin.
func (r *Reader) fill(dst []Record, at *int) ([]Record, error) {
	had, idle := len(dst), 0
	logTime := r.h.Attributes&attrLogAppendTime != 0 && !r.Produced
	for {
		mem := r.block.mem[:r.block.used]
		for r.left > 0 && len(dst) < cap(dst) {
			size, n := readVarint(mem[r.from:])
			switch {
			case n < 0 || n > 0 && (size < 6 || size > 1<<31):
				return dst, r.broken("a record of %d bytes: %w", size, ErrBroken)
			case n > 0 && size > int64(r.Limit):
				return dst, r.broken("a record of %d bytes: %w", size, ErrTooLarge)
			}
			if n == 0 || int64(len(mem)-r.from-n) < size {
				break // not all of it is here
			}
			rec, end := r.base, r.from+n+int(size)
			if !readRecord(mem[r.from+n:end:end], &rec) {
				return dst, r.broken("record %d: %w", int(r.h.Count)-r.left, ErrBroken)
			}
			if rec.Offset <= r.last || rec.Offset > r.h.LastOffset() {
				return dst, r.broken("a record with offset %d after %d: %w", rec.Offset, r.last, ErrBroken)
			}
			if n := rec.Headers.Len(); n > r.Limit/headerCost {
				return dst, r.broken("a record with %d headers: %w", n, ErrTooLarge)
			}
			if logTime {
				rec.Time, rec.Appended = r.h.MaxTime, true
			}
			r.from, r.last = end, rec.Offset
			r.left--
			if rec.Offset >= r.next {
				dst = append(dst, rec)
				r.next = rec.Offset + 1
			}
		}
		if r.left == 0 || len(dst) == cap(dst) {
			return dst, nil
		}
		if len(r.block.room()) == 0 {
			if len(dst) > had {
				return dst, nil // the rest goes into another block
			}
			need := 0
			if size, n := readVarint(mem[r.from:]); n > 0 {
				need = n + int(size)
			}
			if err := r.move(need); err != nil {
				return dst, err
			}
			*at = 0
		}
		n, err := r.src.Read(r.block.room())
		r.block.used += n
		r.bytes += n
		if idle++; n > 0 {
			idle = 0
		}
		switch {
		case n > 0:
		case err == io.EOF:
			return dst, r.broken("%d records less than it says: %w", r.left, ErrBroken)
		case err != nil:
			return dst, r.broken("%w", err)
		case idle > 100:
			return dst, r.broken("nothing comes out of it: %w", ErrBroken)
		}
	}
}

func (r *Reader) broken(format string, args ...any) error {
	return fmt.Errorf("batch at offset %d: "+format, append([]any{r.h.BaseOffset}, args...)...)
}
