package wire

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/sluicelog/sluice/internal/lz4"
)

// Batch is a batch as it is sent, apart from who sends it: Address fills that in. It is
// for one goroutine at a time.
type Batch struct {
	b     []byte
	plain int // bytes of the records before compression
	to    Identity
	sent  bool // to is in b, and the sum is right

	received      bool // b is of somebody else, as it travelled before
	transactional bool // what a received one is to become
}

// Identity is the sender of a batch: a broker stores a sequence of a producer and epoch
// only if it follows the last one it has of them in the partition.
type Identity struct {
	Producer int64
	Epoch    int16
	Sequence int32 // of the batch's first record
}

// Bytes is the batch as it travels. It is valid until Release.
func (b *Batch) Bytes() []byte { return b.b }

// Size is how many bytes it travels as.
func (b *Batch) Size() int { return len(b.b) }

// Release gives up the batch, and its memory if that is its own.
func (b *Batch) Release() {
	if b.b != nil && !b.received {
		give(b.b)
	}
	*b = Batch{}
}

// Address names the sender. What was addressed to the same before is not touched, so a
// batch that is sent again is the same bytes; nothing is compressed again either way.
func (b *Batch) Address(to Identity) {
	if b.sent && b.to == to {
		return
	}
	b.to, b.sent = to, true
	if b.received {
		Readdress(b.b, to, b.transactional)
		return
	}
	be.PutUint64(b.b[atProducer:], uint64(to.Producer))
	be.PutUint16(b.b[atProdEpoch:], uint16(to.Epoch))
	be.PutUint32(b.b[atSequence:], uint32(to.Sequence))
	be.PutUint32(b.b[atCRC:], crc32.Checksum(b.b[atAttributes:], castagnoli))
}

// Packer makes batches of records. It keeps the compressors of the codecs that it was
// used for (32 KiB for lz4, about 2 MiB for zstd) and room for the largest batch. It is
// for one goroutine at a time.
type Packer struct {
	lz4  *lz4.Encoder
	zstd *zstd.Encoder
	gzip *gzip.Writer
	room []byte
}

// Pack makes a batch of the records, which are empty afterwards. What does not get
// smaller by compression is sent as it is.
func (p *Packer) Pack(r *Records, codec Codec, transactional bool) Batch {
	records := r.buf[HeaderSize:]
	b := Batch{plain: len(records)}
	if codec != None {
		if p.room == nil {
			p.room = make([]byte, HeaderSize)
		}
		p.room = p.compress(p.room[:HeaderSize], records, codec)
		if len(p.room) < len(r.buf) {
			b.b = take(len(p.room))
			copy(b.b[HeaderSize:], p.room[HeaderSize:])
			give(r.buf)
		} else {
			codec = None
		}
	}
	if codec == None {
		b.b = r.buf
	}
	h := b.b
	attributes := uint16(codec)
	if transactional {
		attributes |= attrTransactional
	}
	be.PutUint64(h, 0)
	be.PutUint32(h[atLength:], uint32(len(h)-atEpoch))
	be.PutUint32(h[atEpoch:], 0xffffffff)
	h[atMagic] = 2
	be.PutUint16(h[atAttributes:], attributes)
	be.PutUint32(h[atLastDelta:], uint32(r.count-1))
	be.PutUint64(h[atFirstTime:], uint64(r.first))
	be.PutUint64(h[atMaxTime:], uint64(r.last))
	be.PutUint32(h[atCount:], uint32(r.count))
	*r = Records{}
	return b
}

// compress appends src to dst by a codec.
func (p *Packer) compress(dst, src []byte, codec Codec) []byte {
	switch codec {
	case LZ4:
		if p.lz4 == nil {
			p.lz4 = new(lz4.Encoder)
		}
		return p.lz4.AppendFrame(dst, src)
	case Zstd:
		if p.zstd == nil {
			// The options are in range, so there is no error.
			p.zstd, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
		}
		return p.zstd.EncodeAll(src, dst)
	case Snappy:
		return appendXerial(dst, src)
	}
	to := bytes.NewBuffer(dst)
	if p.gzip == nil {
		p.gzip = gzip.NewWriter(to)
	} else {
		p.gzip.Reset(to)
	}
	_, _ = p.gzip.Write(src) // a buffer takes all
	_ = p.gzip.Close()
	return to.Bytes()
}

// xerial is the head of snappy in blocks, as Kafka's Java client has it; each block
// has its size in 4 bytes before it.
var xerial = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1}

const xerialBlock = 32 << 10

func appendXerial(dst, src []byte) []byte {
	dst = append(dst, xerial...)
	for len(src) > 0 {
		block := src[:min(len(src), xerialBlock)]
		src = src[len(block):]
		at, most := len(dst)+4, s2.MaxEncodedLen(len(block))
		dst = append(dst, make([]byte, 4+most)...)
		n := len(s2.EncodeSnappy(dst[at:at+most], block))
		be.PutUint32(dst[at-4:], uint32(n))
		dst = dst[:at+n]
	}
	return dst
}

// Records hands each record of the batch to f, which may keep none of it; its offset is
// its number. They are unpacked for that: all at once of a batch of our own, and a block
// at a time of one that was received, with a bound of what a single record may take.
func (b *Batch) Records(f func(*Record)) error {
	if b.received {
		return EachRecord(b.b, receivedMost, func(r *Record) error {
			r.Offset -= int64(be.Uint64(b.b))
			f(r)
			return nil
		})
	}
	plain, err := b.unpacked()
	if err != nil {
		return fmt.Errorf("unpack a batch of our own: %w", err)
	}
	first := int64(be.Uint64(b.b[atFirstTime:]))
	for len(plain) > 0 {
		size, n := readVarint(plain)
		if n <= 0 || size < 0 || size > int64(len(plain)-n) {
			return ErrBroken
		}
		r := Record{Time: first}
		if !readRecord(plain[n:n+int(size)], &r) {
			return ErrBroken
		}
		plain = plain[n+int(size):]
		f(&r)
	}
	return nil
}

func (b *Batch) unpacked() ([]byte, error) {
	r, err := unpack(Codec(be.Uint16(b.b[atAttributes:])&attrCodec), b.b[HeaderSize:], max(b.plain, 1<<20), nil)
	if err != nil {
		return nil, err
	}
	defer r.close()
	plain := make([]byte, b.plain)
	_, err = io.ReadFull(r, plain)
	return plain, err
}

// Pairs is a copy of headers that are as they travel.
func (h Headers) Pairs() []Pair {
	out := make([]Pair, 0, h.Len())
	for c := h.First(); ; {
		key, value, ok := c.Next()
		if !ok {
			return out
		}
		out = append(out, Pair{Key: bytes.Clone(key), Value: bytes.Clone(value)})
	}
}
