// Package lz4 writes LZ4 frames, fast for what logs are: the same fields and words
// again and again, a few hundred bytes apart. It does not read them.
//
// The format is that of lz4_Frame_format.md and lz4_Block_format.md
// (https://github.com/lz4/lz4/tree/dev/doc); the search for matches is the plain greedy one of
// LZ4's fast mode, with a table of 16-bit positions that fits the first-level cache
// however large a block is: a position counts modulo 64 KiB, which is as far as a match
// may reach.
package lz4

import (
	"encoding/binary"
	"slices"
)

// blockSize is what a frame's blocks hold. A reader keeps room for one: 256 KiB is
// dear to nobody. Matches do not reach over its ends, which costs a hundredth of the
// ratio against 4 MiB.
const blockSize = 256 << 10

// head is the beginning of each frame: magic number; version 1, independent blocks, no
// checksums and no size of the content (Kafka's batches have both); blocks of 256 KiB;
// the second byte of the xxh32 of these two bytes. Kafka's Java client takes independent
// blocks only.
var head = [...]byte{0x04, 0x22, 0x4d, 0x18, 0x60, 0x50, 0xfb}

// stored marks the length of a block that is kept as it is.
const stored = 1 << 31

// Encoder compresses. Its 32 KiB are all that it keeps from one call to the next. The
// zero value is ready; it is for one goroutine at a time.
type Encoder struct {
	seen [1 << tableBits]uint16 // where five bytes of a hash were last, modulo 64 KiB
}

// Bound is the longest frame that n bytes come to.
func Bound(n int) int { return len(head) + (n+blockSize-1)/blockSize*4 + n + 4 }

// AppendFrame appends src as one frame to dst and returns the longer slice. The same
// src always makes the same frame. dst grows by no more than Bound(len(src)), its
// capacity by one block (about 256 KiB) more than that; where there is room, nothing is allocated.
// src and the room after dst must not overlap.
func (e *Encoder) AppendFrame(dst, src []byte) []byte {
	clear(e.seen[:])
	dst = append(dst, head[:]...)
	for len(src) > 0 {
		block := src[:min(len(src), blockSize)]
		src = src[len(block):]
		from := len(dst)
		dst = slices.Grow(dst, 4+blockBound(len(block)))
		dst = e.appendBlock(dst[:from+4], block)
		size := uint32(len(dst) - from - 4)
		if int(size) >= len(block) {
			dst = append(dst[:from+4], block...)
			size = uint32(len(block)) | stored
		}
		binary.LittleEndian.PutUint32(dst[from:], size)
	}
	return append(dst, 0, 0, 0, 0)
}
