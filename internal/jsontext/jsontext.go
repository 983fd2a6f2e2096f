// Package jsontext reads and writes the insides of JSON strings: what is between the
// quotes, still escaped. Nothing in it allocates but what a slice that is appended to
// lacks, and all of it may be used by any number of goroutines.
//
//	{"message":"say \"hi\"\n", ...
//	            ^^^^^^^^^^^^ inside; End is the index of the quote after it
//
// Three functions find that quote and differ in what they check: Scan the most, for
// bytes that may be torn; End what JSON asks for; Quote nothing, for what sluice wrote.
package jsontext

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Eight bytes are looked at together.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special has the high bit set of each byte of w that is below 0x20, a quote or a
// backslash. Only the lowest mark is exact, as borrows run upwards, and they begin at a
// true one (after Mycroft's test for a zero byte; quote and backslash leave the high bit
// of a byte as it is, so one mask takes out what is not ASCII).
func special(w uint64) uint64 {
	return ((w - ones*0x20) | ((w ^ ones*'"') - ones) | ((w ^ ones*'\\') - ones)) &^ w & highs
}

// Replaced is the escape of U+FFFD, as encoding/json writes it.
const Replaced = `\ufffd`

// Scan is the index of the quote that ends the string whose inside starts at b[0], and
// where its last escape starts (-1: it has none). The index is -1 if there is no such
// quote or the inside is not legal JSON in UTF-8. replaced is how many escapes of U+FFFD
// are in it, which encoding/json writes for bytes that are not UTF-8.
func Scan(b []byte) (end, lastEscape, replaced int) {
	lastEscape = -1
	seen := uint64(0) // all bytes, or'ed
	for i := 0; ; {
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			seen |= w
			if m := special(w); m != 0 {
				i += bits.TrailingZeros64(m) / 8
				break
			}
			i += 8
		}
		for i < len(b) && b[i] >= 0x20 && b[i] != '"' && b[i] != '\\' {
			seen |= uint64(b[i])
			i++
		}
		if i >= len(b) || b[i] < 0x20 {
			return -1, lastEscape, 0
		}
		if b[i] == '"' {
			if seen&highs != 0 && !utf8.Valid(b[:i]) {
				return -1, lastEscape, 0
			}
			return i, lastEscape, replaced
		}
		n := 2
		if i+1 >= len(b) || !short[b[i+1]] {
			if n = EscapeLen(b[i:]); n == 0 {
				return -1, lastEscape, 0
			}
			if string(b[i:i+n]) == Replaced {
				replaced++
			}
		}
		lastEscape = i
		i += n
	}
}

// End is the index of the quote that ends the string whose inside starts at b[from], or
// -1 if there is none or the inside is not legal: it has a control character or an
// unknown escape. It does not ask whether the inside is UTF-8.
func End(b []byte, from int) int {
	end, _ := stringEnd(b, from)
	return end
}

// stringEnd is End, and whether there is an escape before it.
func stringEnd(b []byte, from int) (end int, escaped bool) {
	for i := from; ; {
		for i+8 <= len(b) {
			if m := special(binary.LittleEndian.Uint64(b[i:])); m != 0 {
				i += bits.TrailingZeros64(m) / 8
				break
			}
			i += 8
		}
		for i < len(b) && b[i] >= 0x20 && b[i] != '"' && b[i] != '\\' {
			i++
		}
		if i >= len(b) || b[i] < 0x20 {
			return -1, escaped
		}
		if b[i] == '"' {
			return i, escaped
		}
		n := 2
		if i+1 >= len(b) || !short[b[i+1]] {
			if n = EscapeLen(b[i:]); n == 0 {
				return -1, escaped
			}
		}
		escaped = true
		i += n
	}
}

// short says of each byte whether a backslash before it makes an escape of two bytes.
var short = [256]bool{'"': true, '\\': true, '/': true, 'b': true, 'f': true, 'n': true, 'r': true, 't': true}

// Quote is the index of the first quote in b that no backslash escapes, or -1: the end
// of a string whose inside starts at b[0] and is known to be legal.
func Quote(b []byte) int {
	for i := 0; ; i++ {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		i += n
		k := i
		for k > 0 && b[k-1] == '\\' {
			k--
		}
		if (i-k)%2 == 0 {
			return i
		}
	}
}

// Plain reports whether text may be the inside of a string as it is: it is UTF-8 and
// nothing in it has to be escaped.
func Plain(b []byte) bool {
	seen := uint64(0) // all bytes, or'ed
	i := 0
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		if special(w) != 0 {
			return false
		}
		seen |= w
	}
	for ; i < len(b); i++ {
		if b[i] < 0x20 || b[i] == '"' || b[i] == '\\' {
			return false
		}
		seen |= uint64(b[i])
	}
	return seen&highs == 0 || utf8.Valid(b)
}

// EscapeLen is the length of the escape that b starts with: 2, or 6 for \u and its four
// hex digits (a surrogate pair is two escapes). It is 0 if that is no escape of JSON.
func EscapeLen(b []byte) int {
	if len(b) < 2 || b[0] != '\\' {
		return 0
	}
	switch {
	case short[b[1]]:
		return 2
	case b[1] == 'u' && len(b) >= 6 && isHex(b[2]) && isHex(b[3]) && isHex(b[4]) && isHex(b[5]):
		return 6
	}
	return 0
}

func isDigit(c byte) bool { return c-'0' < 10 }

func isHex(c byte) bool { return isDigit(c) || (c|0x20)-'a' < 6 }

// Cut is the longest n <= limit at which the inside of a string may be cut: in no
// escape, surrogate pair or rune. It is 0 only if limit is too small for what is at the
// start.
func Cut(in []byte, limit int) int {
	if len(in) <= limit {
		return len(in)
	}
	n := CutRunes(in, limit)
	// The last backslash that could start an escape reaching over n.
	if p := bytes.LastIndexByte(in[max(0, n-5):n], '\\'); p >= 0 {
		p += max(0, n-5)
		k := p
		for k > 0 && in[k-1] == '\\' {
			k--
		}
		if (p-k)%2 == 0 && p+max(1, EscapeLen(in[p:])) > n {
			n = p
		}
	}
	if n >= 6 && in[n-6] == '\\' && in[n-5] == 'u' && in[n-4]|0x20 == 'd' && bytes.IndexByte([]byte("89abAB"), in[n-3]) >= 0 {
		n -= 6
	}
	return n
}

// CutRunes is the longest n <= limit at which text may be cut without cutting a rune;
// limit itself where the bytes are not UTF-8. It is above 0 if limit is at least
// utf8.UTFMax.
func CutRunes(b []byte, limit int) int {
	if len(b) <= limit {
		return len(b)
	}
	for n := limit; n >= 0 && n > limit-utf8.UTFMax; n-- {
		if utf8.RuneStart(b[n]) {
			return n
		}
	}
	return limit
}
