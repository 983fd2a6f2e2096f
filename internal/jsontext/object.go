package jsontext

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// Limits of an object. What is deeper is not read; what is above another limit is not
// read as Storable. Elasticsearch refuses a flattened field deeper than 20, one of which a
// path of keys and a value (of 2,048 characters at most, a longer one is left out) are
// more than 32,766 bytes together, and numbers of more than 1,000 digits.
const (
	MaxDepth   = 16
	MaxMembers = 512    // of one object
	MaxPath    = 26_000 // bytes of the keys on the way to a value, each with a dot
	MaxNumber  = 1000   // bytes
)

// Member of an object: the key's inside (still escaped) and the value as written.
type Member struct{ Key, Value []byte }

// Text is the value unescaped, or empty if it is not a string.
func (m Member) Text() string {
	if m.Value[0] != '"' {
		return ""
	}
	return string(Unescape(nil, m.Value[1:len(m.Value)-1]))
}

// Object reads objects of strict JSON (RFC 8259), in one pass and without copying. The
// zero Object is ready for use, by one goroutine; it keeps the memory of its lists.
type Object struct {
	// Storable refuses what Elasticsearch would refuse in a document: an object that has a
	// key twice, at any depth and however it is written, a key with a NUL in it, and what
	// is above a limit.
	Storable bool
	Members  []Member // of the object read last, in its order; they point into its bytes

	// When Storable:
	keys  []seenKey // of the objects around what is being read
	plain []byte    // keys that are written with escapes, without them
	path  int       // bytes of the keys around what is being read
}

// seenKey is a key of an object, with a hash of it.
type seenKey struct {
	hash     uint64
	from, to int
	plain    bool // it is in plain, not in what is read
}

// text is a key without escapes.
func (s *Object) text(b []byte, k seenKey) []byte {
	if k.plain {
		b = s.plain
	}
	return b[k.from:k.to]
}

// Member is the value of that key in the object read last, and whether there is one.
func (s *Object) Member(key string) (Member, bool) {
	for _, m := range s.Members {
		if string(m.Key) == key {
			return m, true
		}
	}
	return Member{}, false
}

// Shed lets go of the bytes read last, and of memory above MaxMembers.
func (s *Object) Shed() {
	clear(s.Members[:cap(s.Members)])
	if s.Members = s.Members[:0]; cap(s.Members) > MaxMembers {
		s.Members = nil
	}
	if cap(s.keys) > 4*MaxMembers {
		s.keys = nil
	}
	if cap(s.plain) > 4*MaxMembers {
		s.plain = nil
	}
}

// Read reads the members of the object that is all of b but white space. False: b is no
// such object.
func (s *Object) Read(b []byte) bool {
	s.begin()
	i := SkipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return false
	}
	if end := s.inside(b, i+1, 0, true); end >= 0 {
		return SkipSpace(b, end) == len(b)
	}
	return false
}

// ReadRest reads `,"a":1,"b":2}`: what follows the first members of an object.
func (s *Object) ReadRest(b []byte) bool {
	s.begin()
	if len(b) == 1 && b[0] == '}' {
		return true
	}
	return len(b) > 0 && b[0] == ',' && s.inside(b, 1, 0, true) == len(b)
}

func (s *Object) begin() {
	s.keys, s.Members, s.plain, s.path = s.keys[:0], s.Members[:0], s.plain[:0], 0
}

// inside reads an object from after its brace (or a comma) and returns the index
// after its closing brace, or -1.
func (s *Object) inside(b []byte, i, depth int, keep bool) int {
	base, path, seen := len(s.keys), s.path, uint64(0)
	i = SkipSpace(b, i)
	if i < len(b) && b[i] == '}' {
		return i + 1
	}
	for n := 0; ; n++ {
		if i >= len(b) || b[i] != '"' {
			return -1
		}
		from := i + 1
		end, escaped := stringEnd(b, from)
		if end < 0 {
			return -1
		}
		if s.Storable {
			if s.path = path + end - from + 1; n == MaxMembers || s.path > MaxPath {
				return -1
			}
			key := seenKey{from: from, to: end}
			if escaped {
				at := len(s.plain)
				s.plain = Unescape(s.plain, b[from:end])
				if key = (seenKey{from: at, to: len(s.plain), plain: true}); bytes.IndexByte(s.plain[at:], 0) >= 0 {
					return -1
				}
			}
			k := s.text(b, key)
			key.hash = hashKey(k)
			bit := uint64(1) << (key.hash >> 58)
			if seen&bit != 0 {
				for _, o := range s.keys[base:] {
					if o.hash == key.hash && bytes.Equal(s.text(b, o), k) {
						return -1
					}
				}
			}
			seen |= bit
			s.keys = append(s.keys, key)
		}
		i = SkipSpace(b, end+1)
		if i >= len(b) || b[i] != ':' {
			return -1
		}
		value := SkipSpace(b, i+1)
		i = s.value(b, value, depth+1)
		if i < 0 {
			return -1
		}
		if keep {
			s.Members = append(s.Members, Member{b[from:end], b[value:i]})
		}
		i = SkipSpace(b, i)
		if i >= len(b) {
			return -1
		}
		switch b[i] {
		case '}':
			s.keys, s.path = s.keys[:base], path
			return i + 1
		case ',':
			i = SkipSpace(b, i+1)
		default:
			return -1
		}
	}
}

// value returns the index after the value that starts at b[i], or -1.
func (s *Object) value(b []byte, i, depth int) int {
	if i >= len(b) || depth > MaxDepth {
		return -1
	}
	switch c := b[i]; c {
	case '"':
		if end := End(b, i+1); end >= 0 {
			return end + 1
		}
		return -1
	case '{':
		return s.inside(b, i+1, depth, false)
	case '[':
		i = SkipSpace(b, i+1)
		if i < len(b) && b[i] == ']' {
			return i + 1
		}
		for {
			if i = s.value(b, i, depth+1); i < 0 {
				return -1
			}
			i = SkipSpace(b, i)
			if i >= len(b) {
				return -1
			}
			switch b[i] {
			case ']':
				return i + 1
			case ',':
				i = SkipSpace(b, i+1)
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
	end := numberEnd(b, i)
	if s.Storable && end-i > MaxNumber {
		return -1
	}
	return end
}

func literal(b []byte, i int, word string) int {
	if len(b)-i >= len(word) && string(b[i:i+len(word)]) == word {
		return i + len(word)
	}
	return -1
}

// numberEnd is the index after the number that starts at b[i], or -1.
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

// SkipSpace is the index of the first byte from i on that is not white space of JSON.
func SkipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// OneLine makes one line of an object that was read: in place, line ends become spaces.
// There are none in its strings.
func OneLine(object []byte) {
	if bytes.IndexByte(object, '\n') < 0 && bytes.IndexByte(object, '\r') < 0 {
		return
	}
	for i, c := range object {
		if c == '\n' || c == '\r' {
			object[i] = ' '
		}
	}
}

// hashKey mixes the ends of a key and its length; who writes keys that are alike in all
// of these pays with comparisons, of which MaxMembers bounds the number.
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
