package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// batchOf is a batch of records, packed; change, if any, may change its header before
// the CRC is made.
func batchOf(t testing.TB, codec string, base int64, records []Record, change func([]byte)) []byte {
	t.Helper()
	var plain []byte
	for _, r := range records {
		body := append([]byte{0}, appendVarint(nil, r.Time)...)
		body = appendVarint(body, r.Offset-base)
		for _, b := range [][]byte{r.Key, r.Value} {
			if b == nil {
				body = appendVarint(body, -1)
			} else {
				body = append(appendVarint(body, int64(len(b))), b...)
			}
		}
		if r.Headers == nil {
			r.Headers = Headers{0}
		}
		body = append(body, r.Headers...)
		plain = append(appendVarint(plain, int64(len(body))), body...)
	}
	last := base
	if len(records) > 0 {
		last = records[len(records)-1].Offset
	}
	return wrap(t, codec, base, int32(last-base), int32(len(records)), pack(t, codec, plain), change)
}

func wrap(t testing.TB, codec string, base int64, lastDelta, count int32, packed []byte, change func([]byte)) []byte {
	b := make([]byte, HeaderSize, HeaderSize+len(packed))
	be.PutUint64(b, uint64(base))
	be.PutUint32(b[atLength:], uint32(HeaderSize-12+len(packed)))
	be.PutUint32(b[atEpoch:], 7)
	b[atMagic] = 2
	be.PutUint16(b[atAttributes:], map[string]uint16{"none": 0, "gzip": 1, "snappy": 2, "xerial": 2, "lz4": 3, "lz4-linked": 3, "lz4-4m": 3, "zstd": 4, "zstd-stream": 4}[codec])
	be.PutUint32(b[atLastDelta:], uint32(lastDelta))
	be.PutUint64(b[atProducer:], 1<<64-1)
	be.PutUint32(b[atCount:], uint32(count))
	b = append(b, packed...)
	if change != nil {
		change(b)
	}
	be.PutUint32(b[atCRC:], crc32.Checksum(b[atAttributes:], castagnoli))
	return b
}

var codecs = []string{"none", "gzip", "snappy", "xerial", "lz4", "lz4-linked", "lz4-4m", "zstd", "zstd-stream"}

func pack(t testing.TB, codec string, plain []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var err error
	switch codec {
	case "none":
		return plain
	case "gzip":
		w := gzip.NewWriter(&out)
		_, err = w.Write(plain)
		err = errors.Join(err, w.Close())
	case "snappy":
		return s2.EncodeSnappy(nil, plain)
	case "xerial":
		out.WriteString(xerialMagic + "\x00\x00\x00\x01\x00\x00\x00\x01")
		for len(plain) > 0 {
			n := min(32<<10, len(plain))
			c := s2.EncodeSnappy(nil, plain[:n])
			out.Write(be.AppendUint32(nil, uint32(len(c))))
			out.Write(c)
			plain = plain[n:]
		}
	case "lz4", "lz4-linked", "lz4-4m":
		w := lz4.NewWriter(&out)
		size := lz4.Block64Kb
		if codec == "lz4-4m" {
			size = lz4.Block4Mb
		}
		err = w.Apply(lz4.BlockSizeOption(size), lz4.ChecksumOption(true), lz4.BlockChecksumOption(codec == "lz4-4m"))
		_, e := w.Write(plain)
		err = errors.Join(err, e, w.Close())
		if codec == "lz4-linked" { // pierrec writes none: the flag makes our reader take the other path
			b := out.Bytes()
			b[4] &^= 0x20
			b[6] = byte(lz4HeaderSum(b[4:6]) >> 8)
		}
	case "zstd":
		w, e := zstd.NewWriter(nil)
		if e != nil {
			t.Fatal(e)
		}
		return w.EncodeAll(plain, nil)
	case "zstd-stream":
		w, e := zstd.NewWriter(&out, zstd.WithWindowSize(256<<10))
		if e != nil {
			t.Fatal(e)
		}
		_, err = w.Write(plain)
		err = errors.Join(err, w.Flush(), w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// lz4HeaderSum is xxh32 of two bytes, whose second byte a frame's header ends with.
func lz4HeaderSum(b []byte) uint32 {
	const p1, p2, p3, p5 = 2654435761, 2246822519, 3266489917, 374761393
	h := uint32(p5) + uint32(len(b))
	for _, c := range b {
		h += uint32(c) * p5
		h = (h<<11 | h>>21) * p1
	}
	h ^= h >> 15
	h *= p2
	h ^= h >> 13
	h *= p3
	return h ^ h>>16
}

func headers(kv ...string) Headers {
	h := appendVarint(nil, int64(len(kv)/2))
	for _, s := range kv {
		h = append(appendVarint(h, int64(len(s))), s...)
	}
	return h
}

func logLines(from int64, n int) []Record {
	out := make([]Record, n)
	for i := range out {
		out[i] = Record{Offset: from + int64(i), Time: int64(i), Value: fmt.Appendf(nil, `{"message":"GET /item/%d took %d ms","host":"web-%d"}`, i*7919, i%977, i%13)}
		if i%3 == 0 {
			out[i].Key, out[i].Headers = []byte("k"), headers("dc", "dc1", "app", fmt.Sprint("app", i%5))
		}
	}
	return out
}

// all reads a set to its end; each error is followed by a Skip.
func all(t testing.TB, r *Reader, s Set, from int64, most int) (got []Record, errs []error) {
	t.Helper()
	r.Begin(s, from)
	for {
		p, recs, err := r.Read(make([]Record, 0, most))
		for _, rec := range recs { // they are views
			rec.Key, rec.Value, rec.Headers = bytes.Clone(rec.Key), bytes.Clone(rec.Value), bytes.Clone(rec.Headers)
			got = append(got, rec)
		}
		if p.Block != nil {
			clear(p.Block.mem[:0])
			p.Block.Free()
		}
		switch {
		case err != nil:
			errs = append(errs, err)
			r.Skip()
		case len(recs) == 0:
			return got, errs
		}
		if len(errs) > 100_000 {
			t.Fatal("it never ends")
		}
	}
}

func same(t testing.TB, got, want []Record) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range got {
		g, w := got[i], want[i]
		if w.Headers == nil {
			w.Headers = Headers{0}
		}
		if g.Offset != w.Offset || g.Time != w.Time || !bytes.Equal(g.Key, w.Key) || !bytes.Equal(g.Value, w.Value) || !bytes.Equal(g.Headers, w.Headers) || (g.Key == nil) != (w.Key == nil) {
			t.Fatalf("record %d = %+v, want %+v", i, g, w)
		}
	}
}

// Every codec's records come as they were written, also of batches that are many times
// a block, and from the middle of a batch on.
func TestRecordsOfEveryCodec(t *testing.T) {
	for _, codec := range codecs {
		for _, n := range []int{2, 9, 3000, 20_000} {
			want := logLines(1000, n)
			set := batchOf(t, codec, 1000, want[:(n+1)/2], nil)
			set = append(set, batchOf(t, codec, 1000+int64((n+1)/2), want[(n+1)/2:], nil)...)
			set = append(set, set[:40]...) // what is cut off
			for _, from := range []int64{0, 1000, 1000 + int64(n/3)} {
				r := &Reader{Limit: 16 << 20}
				got, errs := all(t, r, Set{Batches: set}, from, 1024)
				if errs != nil {
					t.Fatalf("%s, %d records from %d: %v", codec, n, from, errs)
				}
				same(t, got, want[max(0, from-1000):])
				if r.Next() != 1000+int64(n) || r.Epoch() != 7 {
					t.Errorf("%s, %d records: next %d, epoch %d", codec, n, r.Next(), r.Epoch())
				}
			}
		}
	}
}

// A block is used again only when all who have it have given it back.
func TestBlocksAreGivenBack(t *testing.T) {
	want := logLines(0, 500)
	r := &Reader{Limit: 16 << 20}
	r.Begin(Set{Batches: batchOf(t, "lz4", 0, want, nil)}, 0)
	var pieces []Piece
	var got []Record
	for {
		p, recs, err := r.Read(make([]Record, 0, 100))
		if err != nil {
			t.Fatal(err)
		}
		if p.Block == nil {
			break
		}
		pieces, got = append(pieces, p), append(got, recs...)
	}
	if len(pieces) != 5 {
		t.Fatalf("%d pieces, want 5", len(pieces))
	}
	for _, p := range pieces[1:] {
		p.Block.Free()
	}
	for range 10 { // would write over it
		b := newBlock(pieces[0].Block.Size())
		clear(b.mem)
		b.Free()
	}
	same(t, got, want)
	pieces[0].Block.Free()
	if n := pieces[0].Block.refs.Load(); n != 0 {
		t.Errorf("%d still have it", n)
	}
}

func TestHeaders(t *testing.T) {
	h := headers("dc", "dc1", "", "x", "dc", "again")
	if h.Len() != 3 || string(h.Get("dc")) != "dc1" || string(h.Get("")) != "x" || h.Get("app") != nil {
		t.Errorf("%d headers, dc %q, app %q", h.Len(), h.Get("dc"), h.Get("app"))
	}
	if n := testing.AllocsPerRun(10, func() { _ = h.Get("app") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// Records of aborted transactions and the ends of transactions are left out; what their
// producer writes after is read.
func TestTransactions(t *testing.T) {
	var set []byte
	var want []Record
	next := int64(0)
	add := func(producer uint64, control, read bool) {
		recs := logLines(next, 5)
		if control {
			recs = recs[:1]
		}
		set = append(set, batchOf(t, "lz4", next, recs, func(b []byte) {
			be.PutUint64(b[atProducer:], producer)
			b[atAttributes+1] |= attrTransactional
			if control {
				b[atAttributes+1] |= attrControl
			}
		})...)
		next += int64(len(recs))
		if read {
			want = append(want, recs...)
		}
	}
	add(1, false, false) // 0: aborted
	add(2, false, true)  // 5
	add(1, false, false) // 10
	add(1, true, false)  // 15: the abort
	add(1, false, true)  // 16: committed
	add(1, true, false)  // 21
	add(1, false, false) // 22: aborted again
	add(1, true, false)  // 27
	add(2, true, false)  // 28
	r := &Reader{Limit: 1 << 20}
	got, errs := all(t, r, Set{Batches: set, Aborted: []Aborted{{1, 22}, {1, 0}}}, 0, 100)
	if errs != nil {
		t.Fatal(errs)
	}
	same(t, got, want)
	if r.Next() != 29 {
		t.Errorf("next = %d, want 29, after the last end of a transaction", r.Next())
	}
	// What was read before may hold an end that matters after.
	for _, from := range []int64{3, 10, 16, 18} {
		got, errs := all(t, r, Set{Batches: set, Aborted: []Aborted{{1, 22}, {1, 0}}}, from, 100)
		if errs != nil {
			t.Fatal(errs)
		}
		rest := want
		for len(rest) > 0 && rest[0].Offset < from {
			rest = rest[1:]
		}
		same(t, got, rest)
	}
	// Batches that are taken whole are left out in the same way.
	r.Begin(Set{Batches: set, Aborted: []Aborted{{1, 22}, {1, 0}}}, 7)
	for _, base := range []int64{5, 16} {
		batch, h, err := r.Whole()
		if err != nil || h.BaseOffset != base || int64(be.Uint64(batch)) != base || r.Next() != base+5 {
			t.Fatalf("batch at %d of %d bytes, %v, next %d, want the one at %d", h.BaseOffset, len(batch), err, r.Next(), base)
		}
	}
	if batch, _, err := r.Whole(); batch != nil || err != nil || r.Next() != 29 {
		t.Errorf("%d bytes, %v after the last batch, next %d", len(batch), err, r.Next())
	}
}

// A batch that is taken whole and damaged comes as an error until it is left out.
func TestWholeBatchesAreChecked(t *testing.T) {
	good, bad := batchOf(t, "lz4", 0, logLines(0, 5), nil), batchOf(t, "lz4", 5, logLines(5, 5), nil)
	bad[atLastDelta+2] ^= 4 // it seems to go on to offset 1033
	last := batchOf(t, "zstd", 10, logLines(10, 5), nil)
	r := &Reader{Limit: 1 << 20}
	r.Begin(Set{Batches: slices.Concat(good, bad, last)}, 0)
	if b, _, err := r.Whole(); err != nil || !bytes.Equal(b, good) {
		t.Fatal(len(b), err)
	}
	for range 2 {
		if b, _, err := r.Whole(); !errors.Is(err, ErrBroken) || b != nil {
			t.Fatal(len(b), err)
		}
	}
	if b, from, to := r.Batch(); !bytes.Equal(b, bad) || from != 5 || to != 9 {
		t.Errorf("%d bytes from %d to %d", len(b), from, to)
	}
	r.Skip()
	if b, _, err := r.Whole(); err != nil || !bytes.Equal(b, last) || r.Next() != 15 {
		t.Fatal(len(b), err, r.Next())
	}
}

// Of a compacted batch the offsets that are gone are passed over.
func TestCompacted(t *testing.T) {
	recs := logLines(100, 5)
	recs = append(recs[1:3], recs[4])
	set := batchOf(t, "zstd", 100, recs, func(b []byte) { be.PutUint32(b[atLastDelta:], 9) })
	set = append(set, batchOf(t, "none", 110, nil, func(b []byte) { be.PutUint32(b[atLastDelta:], 4) })...)
	r := &Reader{Limit: 1 << 20}
	got, errs := all(t, r, Set{Batches: set}, 100, 100)
	if errs != nil {
		t.Fatal(errs)
	}
	same(t, got, recs)
	if r.Next() != 115 {
		t.Errorf("next = %d, want 115", r.Next())
	}
}

// With LogAppendTime the broker's time is the one of all records.
func TestLogAppendTime(t *testing.T) {
	set := batchOf(t, "none", 0, logLines(0, 3), func(b []byte) {
		b[atAttributes+1] |= attrLogAppendTime
		be.PutUint64(b[atMaxTime:], 12345)
	})
	got, _ := all(t, &Reader{Limit: 1 << 20}, Set{Batches: set}, 0, 10)
	if len(got) != 3 || got[1].Time != 12345 {
		t.Errorf("%+v", got)
	}
}

// Lies are errors, of the batch alone: its neighbours are read.
func TestBrokenBatches(t *testing.T) {
	good := logLines(0, 20)
	f := func(name string, want error, broken []byte) {
		t.Helper()
		set := batchOf(t, "lz4", 0, good[:10], nil)
		set = append(append(set, broken...), batchOf(t, "lz4", 20, logLines(20, 10), nil)...)
		r := &Reader{Limit: 1 << 20}
		got, errs := all(t, r, Set{Batches: set}, 0, 100)
		if len(errs) != 1 || !errors.Is(errs[0], want) {
			t.Errorf("%s: errors %v, want %v", name, errs, want)
			return
		}
		n := len(got)
		if n < 20 || got[9].Offset != 9 || got[n-10].Offset != 20 || got[n-1].Offset != 29 {
			t.Errorf("%s: the neighbours are not all there: %d records", name, n)
		}
	}
	mid := logLines(10, 10)
	for _, codec := range codecs {
		flipped := batchOf(t, codec, 10, mid, nil)
		flipped[len(flipped)-3] ^= 4
		f(codec+": a bit flipped", ErrBroken, flipped)
		if codec != "none" {
			f(codec+": garbage", ErrBroken, wrap(t, codec, 10, 9, 10, []byte("this was never packed by anybody"), nil))
		}
		f(codec+": more than there are", ErrBroken, batchOf(t, codec, 10, mid, func(b []byte) { be.PutUint32(b[atCount:], 11) }))
	}
	f("codec 7", ErrBroken, batchOf(t, "none", 10, mid, func(b []byte) { b[atAttributes+1] |= 7 }))
	f("count below zero", ErrBroken, batchOf(t, "none", 10, mid, func(b []byte) { be.PutUint32(b[atCount:], 1<<31) }))
	f("offsets beyond the batch", ErrBroken, batchOf(t, "none", 10, append(mid[:9:9], Record{Offset: 25}), func(b []byte) { be.PutUint32(b[atLastDelta:], 9) }))
	f("one offset twice", ErrBroken, batchOf(t, "none", 10, append(mid[:9:9], Record{Offset: 12}), func(b []byte) { be.PutUint32(b[atLastDelta:], 9) }))
	plain := func(b ...byte) []byte { return wrap(t, "none", 10, 9, 1, b, nil) }
	f("a record of 2 GiB", ErrTooLarge, plain(binary.AppendVarint(nil, 1<<31-1)...))
	f("a record below zero", ErrBroken, plain(binary.AppendVarint(nil, -5)...))
	f("a length without end", ErrBroken, plain(bytes.Repeat([]byte{0xff}, 20)...))
	f("a key of 2 GiB", ErrBroken, plain(append([]byte{20, 0, 0, 0}, binary.AppendVarint(nil, 1<<31-1)...)...))
	f("2 million headers of 10 bytes", ErrBroken, plain(append([]byte{20, 0, 0, 0, 1, 1}, append(binary.AppendVarint(nil, 2_000_000), 0, 0, 0, 0)...)...))
	f("of the year 2012", ErrOldFormat, func() []byte { b := batchOf(t, "none", 10, mid, nil); b[atMagic] = 1; return b }())
}

// What is packed a thousand times smaller is read in pieces of bounded memory, and a
// record that would need more than its limit is refused before memory is taken for it.
func TestBombs(t *testing.T) {
	const records, size = 64, 1 << 20
	value := bytes.Repeat([]byte{'a'}, size)
	many := make([]Record, records)
	for i := range many {
		many[i] = Record{Offset: int64(i), Value: value}
	}
	grown := func(f func()) int64 {
		var a, b runtime.MemStats
		runtime.ReadMemStats(&a)
		f()
		runtime.ReadMemStats(&b)
		return int64(b.TotalAlloc - a.TotalAlloc)
	}
	// live is what is reachable; what was allocated in all says nothing with the race
	// detector, with which pools forget at random.
	live := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	live() // twice, so that what pools kept for earlier tests is gone
	before := live()
	for _, codec := range []string{"gzip", "xerial", "lz4", "lz4-4m", "zstd", "zstd-stream"} {
		bomb := batchOf(t, codec, 0, many, nil)
		read, mem := 0, int64(0)
		r := &Reader{Limit: 16 << 20}
		r.Begin(Set{Batches: bomb}, 0)
		buf := make([]Record, 0, 1024)
		for {
			p, recs, err := r.Read(buf[:0])
			if err != nil {
				t.Fatal(codec, err)
			}
			if p.Block == nil {
				break
			}
			for i := range recs {
				read += len(recs[i].Value)
			}
			mem = max(mem, live()-before)
			p.Block.Free()
		}
		if read != records*size {
			t.Errorf("%s: read %d bytes, want %d", codec, read, records*size)
		}
		t.Logf("%s: %d KiB hold %d MiB; %d KiB of memory at most", codec, len(bomb)>>10, read>>20, mem>>10)
		if mem > 32<<20 {
			t.Errorf("%s: took %d MiB", codec, mem>>20)
		}
		one := batchOf(t, codec, 0, []Record{{Value: bytes.Repeat(value, 64)}}, nil)
		took := grown(func() {
			if _, errs := all(t, &Reader{Limit: 16 << 20}, Set{Batches: one}, 0, 10); len(errs) != 1 || !errors.Is(errs[0], ErrTooLarge) {
				t.Errorf("%s: one record of 64 MiB: %v", codec, errs)
			}
		})
		if took > 48<<20 {
			t.Errorf("%s: a record of 64 MiB took %d MiB", codec, took>>20)
		}
	}
	bare := batchOf(t, "snappy", 0, []Record{{Value: bytes.Repeat(value, 20)}}, nil)
	if _, errs := all(t, &Reader{Limit: 16 << 20}, Set{Batches: bare}, 0, 10); len(errs) != 1 || !errors.Is(errs[0], ErrTooLarge) {
		t.Errorf("a bare block of 20 MiB: %v", errs)
	}
	for _, n := range []int{300_000, 500_000} { // who makes records of views needs 48 bytes each
		flood := Record{Headers: append(appendVarint(nil, int64(n)), make([]byte, 2*n)...)}
		set := batchOf(t, "zstd", 0, []Record{flood}, nil)
		mem := grown(func() {
			got, errs := all(t, &Reader{Limit: 16 << 20}, Set{Batches: set}, 0, 10)
			if fits := n <= 16<<20/48; fits && (errs != nil || got[0].Headers.Len() != n) || !fits && (len(errs) != 1 || !errors.Is(errs[0], ErrTooLarge)) {
				t.Errorf("%d empty headers: %v", n, errs)
			}
		})
		if mem > 16<<20 {
			t.Errorf("%d bytes of headers took %d MiB", len(set), mem>>20)
		}
	}
}

// Small records of a bomb, which fit any block, take a few blocks in all.
func TestBombOfSmallRecords(t *testing.T) {
	recs := make([]Record, 100_000)
	for i := range recs {
		recs[i] = Record{Offset: int64(i), Value: []byte(strings.Repeat("a", 200))}
	}
	for _, codec := range []string{"gzip", "xerial", "lz4", "zstd"} {
		bomb := batchOf(t, codec, 0, recs, nil)
		r := &Reader{Limit: 16 << 20}
		r.Begin(Set{Batches: bomb}, 0)
		buf, n := make([]Record, 0, 1024), 0
		seen := map[*Block]bool{}
		for {
			p, out, err := r.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			if p.Block == nil {
				break
			}
			if seen[p.Block] = true; p.Block.Size() > 1<<20 {
				t.Fatalf("a block of %d bytes", p.Block.Size())
			}
			n += len(out)
			p.Block.Free()
		}
		if n != len(recs) || len(seen) > 20 {
			t.Errorf("%s: %d records of %d, in %d blocks", codec, n, len(recs), len(seen))
		}
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	for _, codec := range []string{"none", "lz4", "xerial", "zstd"} {
		recs := logLines(0, 4000)
		set := Set{Batches: batchOf(t, codec, 0, recs, nil)}
		r, buf := &Reader{Limit: 1 << 20}, make([]Record, 0, 1024)
		per := testing.AllocsPerRun(20, func() {
			r.Begin(set, 0)
			for {
				p, _, err := r.Read(buf)
				if err != nil {
					t.Fatal(err)
				}
				if p.Block == nil {
					return
				}
				p.Block.Free()
			}
		})
		if per > 20 {
			t.Errorf("%s: %v allocations for 4000 records", codec, per)
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, codec := range codecs {
		f.Add(batchOf(f, codec, 5, logLines(5, 10), nil), int64(0), true)
	}
	f.Fuzz(func(t *testing.T, set []byte, from int64, mend bool) {
		if mend && len(set) >= HeaderSize { // or no CRC would ever be right
			set = bytes.Clone(set)
			set[atMagic] = 2
			be.PutUint32(set[atLength:], uint32(len(set)-12))
			be.PutUint32(set[atCRC:], crc32.Checksum(set[atAttributes:], castagnoli))
		}
		r := &Reader{Limit: 1 << 20}
		r.Begin(Set{Batches: set, Aborted: []Aborted{{1, 2}}}, from)
		next := from
		for range 1000 {
			p, recs, err := r.Read(make([]Record, 0, 16))
			for i := range recs {
				if recs[i].Offset < next {
					t.Fatalf("offset %d after %d", recs[i].Offset, next)
				}
				next = recs[i].Offset + 1
				for c := recs[i].Headers.First(); ; {
					if _, _, ok := c.Next(); !ok {
						break
					}
				}
			}
			if p.Block != nil {
				p.Block.Free()
			}
			if err != nil {
				r.Skip()
			} else if len(recs) == 0 {
				return
			}
		}
	})
}

func FuzzUnpack(f *testing.F) {
	for _, codec := range codecs {
		f.Add(byte(0), pack(f, codec, bytes.Repeat([]byte("some lines that are alike "), 100)))
	}
	f.Fuzz(func(t *testing.T, codec byte, packed []byte) {
		for _, piece := range []int{1, 1000, 1 << 20} {
			u, err := unpack(Codec(codec%5), packed, 1<<20, nil)
			if err != nil {
				return
			}
			buf, total := make([]byte, piece), 0
			for n := 0; err == nil && total < 1<<20; total += n {
				n, err = u.Read(buf)
			}
			u.close()
		}
	})
}

func FuzzReadFetch(f *testing.F) {
	f.Add(int16(11), []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 'a', 0, 0, 0, 1})
	f.Add(int16(13), []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2})
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		n := 0
		_, _ = ReadFetch(body, FetchLowest+(version&3)%3, func(p *Fetched) { n += 1 + len(p.Aborted) })
		if n > len(body) {
			t.Fatalf("%d parts of %d bytes", n, len(body))
		}
	})
}

func FuzzTakeover(f *testing.F) {
	f.Add([]byte{0, 0, 0, 10, 0, 18, 0, 3, 0, 0, 0, 1, 0, 0}, []byte{0, 0, 0, 6, 0, 0, 0, 1, 0, 0})
	f.Fuzz(func(t *testing.T, asked, heard []byte) {
		o := &Takeover{}
		o.asks.take(asked, 12, o.ask)
		o.hears.take(heard, helloMost, o.hear)
	})
}

func BenchmarkReader(b *testing.B) {
	for _, codec := range []string{"none", "lz4", "zstd"} {
		b.Run(codec, func(b *testing.B) {
			rnd := rand.New(rand.NewPCG(1, 2))
			recs := logLines(0, 500)
			for i := range recs {
				recs[i].Value = fmt.Appendf(recs[i].Value, ` %x `, rnd.Uint64())
				recs[i].Value = append(recs[i].Value, strings.Repeat(string(recs[i].Value), 8)...)
			}
			set := Set{Batches: batchOf(b, codec, 0, recs, nil)}
			r, buf := &Reader{Limit: 1 << 20}, make([]Record, 0, 1024)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				r.Begin(set, 0)
				for {
					p, out, err := r.Read(buf)
					if err != nil {
						b.Fatal(err)
					}
					if p.Block == nil {
						break
					}
					n += len(out)
					p.Block.Free()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
		})
	}
}
