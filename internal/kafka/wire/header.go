package wire

import (
	"fmt"
	"hash/crc32"
)

// A batch as it travels and as it is stored (magic 2, big endian):
//
//	 0 base offset   8 | 23 last offset delta  4 | 51 producer epoch 2
//	 8 length        4 | 27 first time, ms     8 | 53 base sequence  4
//	12 leader epoch  4 | 35 greatest time, ms  8 | 57 records        4
//	16 magic         1 | 43 producer id        8 | 61 the records, packed together
//	17 CRC-32C       4 |
//	21 attributes    2 |   the CRC is of all from 21 on
//
// Older formats have offset, length and magic in the same places.
const (
	atLength     = 8
	atEpoch      = 12
	atMagic      = 16
	atCRC        = 17
	atAttributes = 21
	atLastDelta  = 23
	atFirstTime  = 27
	atMaxTime    = 35
	atProducer   = 43
	atProdEpoch  = 51
	atSequence   = 53
	atCount      = 57

	// HeaderSize is the size of what comes before a batch's records.
	HeaderSize = 61
)

// Codec is how a batch's records are packed.
type Codec byte

// The codecs of Kafka.
const (
	None Codec = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

// Attributes of a batch besides its codec.
const (
	attrCodec         = 7
	attrLogAppendTime = 1 << 3
	attrTransactional = 1 << 4
	attrControl       = 1 << 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header is what is written before a batch's records.
type Header struct {
	BaseOffset    int64
	LeaderEpoch   int32 // of the leader that stored it
	Attributes    uint16
	LastDelta     int32 // of the last offset, also if that record was compacted away
	FirstTime     int64 // ms
	MaxTime       int64 // ms
	ProducerID    int64 // -1: not idempotent
	ProducerEpoch int16
	BaseSequence  int32
	Count         int32 // of records
}

// Codec is how the records are packed.
func (h *Header) Codec() Codec { return Codec(h.Attributes & attrCodec) }

// Transactional says whether the batch is part of a transaction.
func (h *Header) Transactional() bool { return h.Attributes&attrTransactional != 0 }

// Control says whether it is the end of a transaction instead of records.
func (h *Header) Control() bool { return h.Attributes&attrControl != 0 }

// LastOffset is the offset of its last record.
func (h *Header) LastOffset() int64 { return h.BaseOffset + int64(h.LastDelta) }

// Cut cuts the first batch, of whatever format, off what was fetched. No batch and no
// error: what is left is only the beginning of one.
func Cut(set []byte) (batch, rest []byte, err error) {
	if len(set) < atLength+4 {
		return nil, set, nil
	}
	n := int64(int32(be.Uint32(set[atLength:]))) + atLength + 4
	switch {
	case n <= atMagic:
		return nil, set, fmt.Errorf("a batch of %d bytes: %w", n, ErrBroken)
	case n > int64(len(set)):
		return nil, set, nil
	}
	return set[:n], set[n:], nil
}

// Magic is the number of a whole batch's format; 2 is the one of all brokers since 0.11.
func Magic(batch []byte) byte { return batch[atMagic] }

// ReadHeader reads the header of a whole batch of magic 2 and checks its CRC.
func ReadHeader(batch []byte) (Header, error) {
	if len(batch) < HeaderSize || Magic(batch) != 2 {
		return Header{}, fmt.Errorf("a batch of %d bytes and unknown format: %w", len(batch), ErrBroken)
	}
	h := Header{
		BaseOffset: int64(be.Uint64(batch)), LeaderEpoch: int32(be.Uint32(batch[atEpoch:])), Attributes: be.Uint16(batch[atAttributes:]),
		LastDelta: int32(be.Uint32(batch[atLastDelta:])), FirstTime: int64(be.Uint64(batch[atFirstTime:])), MaxTime: int64(be.Uint64(batch[atMaxTime:])),
		ProducerID: int64(be.Uint64(batch[atProducer:])), ProducerEpoch: int16(be.Uint16(batch[atProdEpoch:])),
		BaseSequence: int32(be.Uint32(batch[atSequence:])), Count: int32(be.Uint32(batch[atCount:])),
	}
	if got, want := crc32.Checksum(batch[atAttributes:], castagnoli), be.Uint32(batch[atCRC:]); got != want {
		return h, fmt.Errorf("batch at offset %d: its CRC is %08x instead of %08x: %w", h.BaseOffset, got, want, ErrBroken)
	}
	if h.Count < 0 || h.LastDelta < 0 || h.BaseOffset < 0 || h.LastOffset() < h.BaseOffset {
		return h, fmt.Errorf("batch at offset %d with %d records up to %d: %w", h.BaseOffset, h.Count, h.LastOffset(), ErrBroken)
	}
	return h, nil
}

// End is where reading goes on after the whole batches of a set, and the leader epoch of
// the last one; n is how many there are.
func End(set []byte) (next int64, epoch int32, n int) {
	epoch = -1
	for {
		batch, rest, err := Cut(set)
		if err != nil || batch == nil {
			return next, epoch, n
		}
		last := int64(be.Uint64(batch))
		if Magic(batch) == 2 && len(batch) >= HeaderSize {
			last += int64(max(0, int32(be.Uint32(batch[atLastDelta:]))))
			epoch = int32(be.Uint32(batch[atEpoch:]))
		}
		next, set = max(next, last+1), rest
		n++
	}
}
