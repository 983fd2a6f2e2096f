package wire

import (
	"hash/crc32"
	"math/rand/v2"
	"testing"
	"time"
)

// A batch with a header of its own making, of any size, with a CRC that is right.
func someBatch(r *rand.Rand, size int) []byte {
	b := make([]byte, HeaderSize+size)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	be.PutUint32(b[atLength:], uint32(len(b)-atEpoch))
	b[atMagic] = 2
	be.PutUint64(b, r.Uint64()>>2)
	be.PutUint32(b[atLastDelta:], r.Uint32()>>2)
	be.PutUint32(b[atCount:], r.Uint32()>>2)
	be.PutUint32(b[atCRC:], crc32.Checksum(b[atAttributes:], castagnoli))
	return b
}

// A batch that is readdressed is a right one of its new sender, and all but the sender and
// the marks of the log it was in is as before.
func TestReaddress(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 3000 {
		b := someBatch(r, r.IntN(1+100*(i%300)))
		before, err := ReadHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		records := string(b[HeaderSize:])
		to, transactional := Identity{r.Int64(), int16(r.Int32()), r.Int32()}, i%2 == 0
		Readdress(b, to, transactional)
		h, err := ReadHeader(b)
		if err != nil {
			t.Fatalf("%d bytes: %v", len(b), err)
		}
		want := before
		want.BaseOffset, want.LeaderEpoch = 0, -1
		want.ProducerID, want.ProducerEpoch, want.BaseSequence = to.Producer, to.Epoch, to.Sequence
		want.Attributes &^= 1<<3 | 1<<4 | 1<<6
		if transactional {
			want.Attributes |= 1 << 4
		}
		if h != want || string(b[HeaderSize:]) != records {
			t.Fatalf("header is %+v, want %+v; records the same: %v", h, want, string(b[HeaderSize:]) == records)
		}
	}
}

// A batch that is damaged is still damaged afterwards: no new CRC hides it.
func TestReaddressKeepsDamage(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		b := someBatch(r, 1+r.IntN(5000))
		b[HeaderSize+r.IntN(len(b)-HeaderSize)] ^= byte(1 << r.IntN(8))
		Readdress(b, Identity{1, 2, 3}, true)
		if _, err := ReadHeader(b); err == nil {
			t.Fatal("a flipped bit is not noticed any more")
		}
	}
}

// A batch of ours that is received by others is sent on with the same records.
func TestReceived(t *testing.T) {
	var r Records
	var p Packer
	for i := range 100 {
		r.Append(int64(1000+i), []byte("key"), []byte("some value, some value, some value"), nil)
	}
	own := p.Pack(&r, LZ4, false)
	own.Address(Identity{7, 1, 100})
	b := Received(own.Bytes(), true)
	for _, to := range []Identity{{9, 2, 5}, {9, 2, 5}, {9, 3, 0}} {
		b.Address(to)
		h, err := ReadHeader(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if h.ProducerID != to.Producer || h.ProducerEpoch != to.Epoch || h.BaseSequence != to.Sequence || !h.Transactional() || h.Count != 100 {
			t.Errorf("header is %+v, want one of %+v", h, to)
		}
	}
	n := 0
	if err := b.Records(func(rec *Record) {
		if n++; string(rec.Key) != "key" || rec.Time != int64(999+n) {
			t.Errorf("record %d is %q at %v", n, rec.Key, time.UnixMilli(rec.Time))
		}
	}); err != nil || n != 100 {
		t.Errorf("%d records, %v, want 100", n, err)
	}
	size := len(own.Bytes())
	b.Release() // the memory is not its own
	if own.Size() != size {
		t.Error("releasing what was received has taken the memory of its owner")
	}
}

func BenchmarkReaddress(b *testing.B) {
	batch := someBatch(rand.New(rand.NewPCG(1, 2)), 377_000)
	b.SetBytes(int64(len(batch)))
	for b.Loop() {
		Readdress(batch, Identity{1, 2, int32(b.N)}, false)
	}
}

func BenchmarkChecksum(b *testing.B) {
	batch := someBatch(rand.New(rand.NewPCG(1, 2)), 377_000)
	b.SetBytes(int64(len(batch)))
	for b.Loop() {
		crc32.Checksum(batch[atAttributes:], castagnoli)
	}
}
