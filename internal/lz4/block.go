package lz4

import "math/bits"

// A block is a row of sequences: literals, then a match, which is a copy of what came
// up to 65,535 bytes before. The last sequence has literals only.
//
//	token  1  upper half: literals, lower half: length of the match less 4; 15 means that bytes follow
//	       *  to add to the number of literals, up to and including the first that is not 255
//	       *  literals
//	offset 2  distance of the match, low byte first
//	       *  to add to the length of the match
//
// The format (lz4_Block_format.md) wants the last 5 bytes of a block to be literals and
// no match to begin in its last 12.
const (
	window    = 1<<16 - 1
	minMatch  = 4
	endBytes  = 5  // literals at the end
	startRoom = 16 // no match begins in the last so many: 12 would do, 16 keeps copy16 inside the block
	slack     = 64 // beyond a block's longest form, for copies that write more than they mean to

	tableBits = 14
	patience  = 5 // a search moves by one byte more for each 1<<patience places without a match
)

// blockBound is the room that a block of n bytes needs at most.
func blockBound(n int) int { return n + n/255 + 16 + slack }

// appendBlock appends src, compressed, to dst, which has room for blockBound(len(src)).
//
// What makes the unchecked reads and writes safe, with n = len(src):
//   - 0 <= at < i < limit = n-startRoom wherever 8 bytes are read at i or 4 at at;
//   - copy16 is of at most 14 literals that end at i, or before it where the match was extended to its front:
//     it begins in the block and ends before n;
//   - a match is compared 8 bytes at a time while they end at or before end = n-endBytes, then byte by byte;
//   - a sequence takes no more than the bytes that it stands for: its token and offset stand for the 4 of a match at
//     least, an added length byte for 255, which blockBound counts. So slack bytes are free after o at any time.
func (e *Encoder) appendBlock(dst, src []byte) []byte {
	n := len(src)
	if n < startRoom+minMatch {
		return appendLast(dst, src)
	}
	s, d, o := memoryOf(src), memoryOf(dst[:cap(dst)]), len(dst)
	limit, end := n-startRoom, n-endBytes
	done, i := 0, 0 // src[:done] is in dst; the search is at i
	seen := &e.seen
	for {
		// Find four bytes that were there before.
		var at int
		v := s.u64(i)
		for tries := 1 << patience; ; tries++ {
			h := hash(v)
			at = i - int(uint16(i)-seen[h])
			seen[h] = uint16(i)
			if at < i && at >= 0 && s.u32(at) == uint32(v) {
				break
			}
			i += tries >> patience
			if i >= limit {
				return appendLast(dst[:o], src[done:])
			}
			v = s.u64(i)
		}
		for i > done && at > 0 && s.u8(i-1) == s.u8(at-1) {
			i--
			at--
		}
		// The literals before it.
		token := o
		o++
		head := i - done
		if head < 15 {
			d.put8(token, byte(head)<<4)
			d.copy16(o, s, done)
		} else {
			d.put8(token, 15<<4)
			o = putLength(d, o, head-15)
			if head <= 64 && done+64 <= n {
				d.copy64(o, s, done)
			} else {
				d.copyN(o, s, done, head)
			}
		}
		o += head
		// The match, and those that follow it at once.
		for {
			m := matchEnd(s, i+minMatch, at+minMatch, end)
			d.put16(o, uint16(i-at))
			o += 2
			if l := m - i - minMatch; l < 15 {
				d.put8(token, d.u8(token)|byte(l))
			} else {
				d.put8(token, d.u8(token)|15)
				o = putLength(d, o, l-15)
			}
			i, done = m, m
			if i >= limit {
				return appendLast(dst[:o], src[done:])
			}
			seen[hash(s.u64(i-2))] = uint16(i - 2)
			v := s.u64(i)
			h := hash(v)
			at = i - int(uint16(i)-seen[h])
			seen[h] = uint16(i)
			if at >= i || at < 0 || s.u32(at) != uint32(v) {
				break
			}
			token = o
			d.put8(token, 0)
			o++
		}
		if i++; i >= limit {
			return appendLast(dst[:o], src[done:])
		}
	}
}

// hash is of five bytes: one more or one less compresses logs worse.
func hash(v uint64) uint32 { return uint32(v << 24 * 0x9e3779b97f4a7c15 >> (64 - tableBits)) }

// matchEnd is where the bytes at i cease to be those at at, end at the latest.
func matchEnd(s memory, i, at, end int) int {
	for i+8 <= end {
		if x := s.u64(i) ^ s.u64(at); x != 0 {
			return i + bits.TrailingZeros64(x)>>3
		}
		i += 8
		at += 8
	}
	for i < end && s.u8(i) == s.u8(at) {
		i++
		at++
	}
	return i
}

// putLength writes what a length exceeds 15 by.
func putLength(d memory, o, l int) int {
	for ; l >= 255; l -= 255 {
		d.put8(o, 255)
		o++
	}
	d.put8(o, byte(l))
	return o + 1
}

// appendLast appends the sequence that ends a block.
func appendLast(dst, literals []byte) []byte {
	n := len(literals)
	if n < 15 {
		dst = append(dst, byte(n)<<4)
		return append(dst, literals...)
	}
	dst = append(dst, 15<<4)
	for n -= 15; n >= 255; n -= 255 {
		dst = append(dst, 255)
	}
	dst = append(dst, byte(n))
	return append(dst, literals...)
}
