package wire

import "hash/crc32"

// Received makes a Batch of one that was fetched, to be sent on as it is: its records are
// neither read nor copied. What is sent is the memory of b, whose header Address changes.
// Its CRC must have been found right (ReadHeader).
func Received(b []byte, transactional bool) Batch {
	return Batch{b: b, received: true, transactional: transactional}
}

// receivedMost is the most bytes of one record of a received batch unpacked.
const receivedMost = 64 << 20

// EachRecord hands the records of a whole batch to f, one after the other, as views that
// are valid during the call, with no more than a block unpacked at once. limit is the
// most bytes of one record. It ends with the first error, of the batch or of f.
func EachRecord(batch []byte, limit int, f func(*Record) error) error {
	r := Reader{Limit: limit, Produced: true}
	r.Begin(Set{Batches: batch}, 0)
	defer r.drop()
	views := make([]Record, 0, 256)
	for {
		p, got, err := r.Read(views)
		for i := 0; i < len(got) && err == nil; i++ {
			err = f(&got[i])
		}
		if p.Block != nil {
			p.Block.Free()
		}
		if err != nil || p.Block == nil {
			return err
		}
	}
}

// attrDeleteHorizon says that the first time of a compacted batch is when its tombstones
// may go, which is the affair of the log it was in.
const attrDeleteHorizon = 1 << 6

// Readdress makes a batch that was stored before one of another sender. Of its header
// alone bytes are changed, and the CRC is adjusted by what that changes, which costs the
// same for a batch of any size; a CRC that was wrong stays wrong. The base offset becomes
// 0 and the leader epoch unknown, as brokers want it, and the marks that another log has
// left are taken off: records have the times that their producer gave them.
func Readdress(batch []byte, to Identity, transactional bool) {
	before := crc32.Checksum(batch[atAttributes:HeaderSize], castagnoli)
	attributes := be.Uint16(batch[atAttributes:]) &^ (attrLogAppendTime | attrTransactional | attrDeleteHorizon)
	if transactional {
		attributes |= attrTransactional
	}
	be.PutUint64(batch, 0)
	be.PutUint32(batch[atEpoch:], 0xffffffff)
	be.PutUint16(batch[atAttributes:], attributes)
	be.PutUint64(batch[atProducer:], uint64(to.Producer))
	be.PutUint16(batch[atProdEpoch:], uint16(to.Epoch))
	be.PutUint32(batch[atSequence:], uint32(to.Sequence))
	change := before ^ crc32.Checksum(batch[atAttributes:HeaderSize], castagnoli)
	be.PutUint32(batch[atCRC:], be.Uint32(batch[atCRC:])^shifted(change, len(batch)-HeaderSize))
}

// A CRC is a polynomial over GF(2), of which the change of some bytes is a summand: those
// bytes' own change, multiplied by x to the number of bits after them, modulo Castagnoli's
// polynomial. Bits are reflected: x^0 is the highest.
const castagnoliPoly = 0x82f63b78

// eights[k] is x to the power of 8 * 2^k.
var eights = func() (e [32]uint32) {
	e[0] = 1 << 23
	for k := 1; k < len(e); k++ {
		e[k] = times(e[k-1], e[k-1])
	}
	return e
}()

// times is the product of two polynomials.
func times(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		if a>>31 != 0 {
			product ^= b
		}
		b = b>>1 ^ castagnoliPoly&-(b&1)
	}
	return product
}

// shifted is the change of a CRC with n bytes after what has changed.
func shifted(change uint32, n int) uint32 {
	for k := 0; n != 0; k, n = k+1, n>>1 {
		if n&1 != 0 {
			change = times(change, eights[k])
		}
	}
	return change
}
