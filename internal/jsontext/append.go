package jsontext

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// plain says of each byte whether it is written as it is.
var plain = func() (t [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// Append appends s as the inside of a string. What is not UTF-8 becomes U+FFFD, one for
// each byte, as encoding/json does.
func Append[S []byte | string](dst []byte, s S) []byte {
	dst, _ = AppendCleaned(dst, s)
	return dst
}

// AppendCleaned is Append and reports how many bytes were not UTF-8.
func AppendCleaned[S []byte | string](dst []byte, s S) (_ []byte, invalid int) {
	const hex = "0123456789abcdef"
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			var tmp [utf8.UTFMax]byte
			n := copy(tmp[:], s[i:])
			r, size := utf8.DecodeRune(tmp[:n])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[start:i]...), "\uFFFD"...)
				invalid++
				i++
				start = i
				continue
			}
			i += size
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	return append(dst, s[start:]...), invalid
}

// Unescape appends the text of a legal inside. A lone surrogate becomes U+FFFD.
func Unescape(dst, in []byte) []byte {
	for {
		n := bytes.IndexByte(in, '\\')
		if n < 0 || n+1 >= len(in) {
			return append(dst, in...)
		}
		dst = append(dst, in[:n]...)
		c := in[n+1]
		in = in[n+2:]
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
			r := hex4(in)
			in = in[min(4, len(in)):]
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if len(in) >= 6 && in[0] == '\\' && in[1] == 'u' {
					low = hex4(in[2:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					in = in[6:]
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
