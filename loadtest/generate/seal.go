package generate

import (
	"bytes"
	"hash/crc32"
)

// A line ends in a seal, which holds for the text between it and the mark, so that a line
// whose mark is whole and whose rest is not is found as well:
//
//	~lt:01020304:00002a:0000000007:5f8a1b2c3d4e5~ the rest of the line~Hx3_
//	                                                                  24 bits of CRC-32C
//
// The text has no other ~. Quotes and backslashes do not count, so that the seal is the same
// in a line, in a JSON string, and in a JSON string inside another.
const sealLen = 1 + 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendSeal appends the seal of a text.
func AppendSeal(dst, text []byte) []byte {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	sum := uint32(0)
	for len(text) > 0 {
		plain, rest, _ := bytes.Cut(text, []byte{'"'})
		for i := len(plain); i > 0 && plain[i-1] == '\\'; i-- {
			plain = plain[:i-1]
		}
		sum, text = crc32.Update(sum, castagnoli, plain), rest
	}
	return append(dst, '~', digits[sum>>18&63], digits[sum>>12&63], digits[sum>>6&63], digits[sum&63])
}

// Sealed reports whether the text after a mark is what was written, up to its seal.
func Sealed(text []byte) bool {
	i := bytes.IndexByte(text, '~')
	if i < 0 || len(text)-i < sealLen {
		return false
	}
	var seal [sealLen]byte
	return bytes.Equal(AppendSeal(seal[:0], text[:i]), text[i:i+sealLen])
}
