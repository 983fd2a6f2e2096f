package indexer

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits of an application's JSON: what is deeper or has more members in one object
// stays text. Elasticsearch refuses a flattened field deeper than 20.
const (
	maxDepth   = 16
	maxMembers = 512
)

// seenKey is a key of an object, with a hash of it.
type seenKey struct {
	hash     uint64
	from, to int
}

// member of an object: the key's inside (still escaped) and the value as written.
type member struct {
	key, value []byte
}

// scanner reads strict JSON (RFC 8259) in one pass and without memory of its own. With
// unique set an object that has a key twice is refused, as Elasticsearch does.
type scanner struct {
	unique  bool
	members []member  // of the object read last, valid as long as its bytes
	keys    []seenKey // of the objects around the current place, when unique
}

// object reads the members of the object that starts at b[0] and is all of b but white
// space. It reports false for all that is not one.
func (s *scanner) object(b []byte) bool {
	s.keys = s.keys[:0]
	s.members = s.members[:0]
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return false
	}
	if end := s.inside(b, i+1, 0, true); end >= 0 {
		return skipSpace(b, end) == len(b)
	}
	return false
}

// rest reads `,"a":1,"b":2}`: what stands behind the first members of an object.
func (s *scanner) rest(b []byte) bool {
	s.keys = s.keys[:0]
	s.members = s.members[:0]
	if len(b) == 1 && b[0] == '}' {
		return true
	}
	return len(b) > 0 && b[0] == ',' && s.inside(b, 1, 0, true) == len(b)
}

// inside reads an object from behind its brace (or a comma) and returns the index
// behind its closing brace, or -1.
func (s *scanner) inside(b []byte, i, depth int, keep bool) int {
	base, seen := len(s.keys), uint64(0)
	i = skipSpace(b, i)
	if i < len(b) && b[i] == '}' {
		return i + 1
	}
	for n := 0; ; n++ {
		if i >= len(b) || b[i] != '"' {
			return -1
		}
		key := seenKey{from: i + 1, to: stringEnd(b, i+1)}
		if key.to < 0 {
			return -1
		}
		if s.unique {
			if n == maxMembers {
				return -1
			}
			k := b[key.from:key.to]
			key.hash = hashKey(k)
			bit := uint64(1) << (key.hash >> 58)
			if seen&bit != 0 {
				for _, o := range s.keys[base:] {
					if o.hash == key.hash && bytes.Equal(b[o.from:o.to], k) {
						return -1
					}
				}
			}
			seen |= bit
			s.keys = append(s.keys, key)
		}
		i = skipSpace(b, key.to+1)
		if i >= len(b) || b[i] != ':' {
			return -1
		}
		from := skipSpace(b, i+1)
		i = s.value(b, from, depth+1)
		if i < 0 {
			return -1
		}
		if keep {
			s.members = append(s.members, member{b[key.from:key.to], b[from:i]})
		}
		i = skipSpace(b, i)
		if i >= len(b) {
			return -1
		}
		switch b[i] {
		case '}':
			s.keys = s.keys[:base]
			return i + 1
		case ',':
			i = skipSpace(b, i+1)
		default:
			return -1
		}
	}
}

// value returns the index behind the value that starts at b[i], or -1.
func (s *scanner) value(b []byte, i, depth int) int {
	if i >= len(b) || depth > maxDepth {
		return -1
	}
	switch c := b[i]; c {
	case '"':
		if end := stringEnd(b, i+1); end >= 0 {
			return end + 1
		}
		return -1
	case '{':
		return s.inside(b, i+1, depth, false)
	case '[':
		i = skipSpace(b, i+1)
		if i < len(b) && b[i] == ']' {
			return i + 1
		}
		for {
			if i = s.value(b, i, depth+1); i < 0 {
				return -1
			}
			i = skipSpace(b, i)
			if i >= len(b) {
				return -1
			}
			switch b[i] {
			case ']':
				return i + 1
			case ',':
				i = skipSpace(b, i+1)
			default:
				return -1
			}
		}
	case 't':
		return literal(b, i, "true")
	case 'f':
		return literal(b, i, "false")
	case 'n':
		return literal(b, i, "null")
	}
	return numberEnd(b, i)
}

func literal(b []byte, i int, word string) int {
	if len(b)-i >= len(word) && string(b[i:i+len(word)]) == word {
		return i + len(word)
	}
	return -1
}

// numberEnd is the index behind the number that starts at b[i], or -1.
func numberEnd(b []byte, i int) int {
	if i < len(b) && b[i] == '-' {
		i++
	}
	from := i
	i = skipDigits(b, i)
	if i == from || b[from] == '0' && i > from+1 {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		from = i + 1
		if i = skipDigits(b, from); i == from {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		from = i
		if i = skipDigits(b, from); i == from {
			return -1
		}
	}
	return i
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	return i
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

func isDigit(c byte) bool { return c-'0' < 10 }
func isUpper(c byte) bool { return c-'A' < 26 }
func isAlpha(c byte) bool { return (c|0x20)-'a' < 26 }
func isHex(c byte) bool   { return isDigit(c) || (c|0x20)-'a' < 6 }

// hashKey mixes the ends of a key and its length; who writes keys that are alike in all
// of these pays with comparisons, of which maxMembers bounds the number.
func hashKey(k []byte) uint64 {
	var first, last uint64
	if len(k) >= 8 {
		first, last = binary.LittleEndian.Uint64(k), binary.LittleEndian.Uint64(k[len(k)-8:])
	} else {
		for _, c := range k {
			first = first<<8 | uint64(c)
		}
	}
	return (first ^ bits.RotateLeft64(last, 23) ^ uint64(len(k))<<56) * 0x9e3779b97f4a7c15
}

// stringEnd is the index of the quote that ends the string whose inside starts at
// b[i], or -1 when there is none or the inside is not legal. Eight bytes are looked at
// together: the lowest bit set in m marks the first that is a quote, a backslash or a
// control character (Mycroft's test; false marks stand above a true one only).
func stringEnd(b []byte, i int) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for {
		for i+8 <= len(b) {
			x := binary.LittleEndian.Uint64(b[i:])
			quote, back := x^ones*'"', x^ones*'\\'
			m := ((x-ones*0x20)&^x | (quote-ones)&^quote | (back-ones)&^back) & high
			if m != 0 {
				i += bits.TrailingZeros64(m) / 8
				break
			}
			i += 8
		}
		for i < len(b) && b[i] >= 0x20 && b[i] != '"' && b[i] != '\\' {
			i++
		}
		if i >= len(b) || b[i] < 0x20 {
			return -1
		}
		if b[i] == '"' {
			return i
		}
		if i = escapeEnd(b, i); i < 0 {
			return -1
		}
	}
}

// escapeEnd is the index behind the escape at b[i], or -1.
func escapeEnd(b []byte, i int) int {
	if i+1 >= len(b) {
		return -1
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		if i+6 <= len(b) && isHex(b[i+2]) && isHex(b[i+3]) && isHex(b[i+4]) && isHex(b[i+5]) {
			return i + 6
		}
	}
	return -1
}

// unescape appends the text of a legal JSON string's inside. A lone surrogate becomes
// U+FFFD.
func unescape(dst, s []byte) []byte {
	for {
		n := bytes.IndexByte(s, '\\')
		if n < 0 || n+1 >= len(s) {
			return append(dst, s...)
		}
		dst = append(dst, s[:n]...)
		c := s[n+1]
		s = s[n+2:]
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r := hex4(s)
			s = s[min(4, len(s)):]
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if len(s) >= 6 && s[0] == '\\' && s[1] == 'u' {
					low = hex4(s[2:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					s = s[6:]
				}
			}
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, c)
	}
}

func hex4(s []byte) (r rune) {
	for i := range min(4, len(s)) {
		c := s[i]
		if !isDigit(c) {
			c = c&0xf + 9
		}
		r = r<<4 | rune(c&0xf)
	}
	return r
}
