package elastic

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/sluicelog/sluice/internal/jsontext"
)

// scanner reads JSON of any size and form from a stream, in one pass and a buffer of
// fixed size: what is not asked for is passed over. It serves one goroutine.
type scanner struct {
	r    io.Reader
	buf  []byte
	i, n int    // what is read and not taken yet is buf[i:n]
	head []byte // how the answer starts
	err  error  // of reading
	word []byte // the string that was read last
}

var scanners = sync.Pool{New: func() any { return &scanner{buf: make([]byte, 16<<10)} }}

func (in *scanner) reset(r io.Reader) {
	in.r, in.i, in.n, in.err = r, 0, 0, nil
	in.head = in.head[:0]
	if cap(in.word) > 16<<10 {
		in.word = nil
	}
}

// more makes at least n bytes be in the buffer, if there are so many.
func (in *scanner) more(n int) bool {
	if in.n-in.i >= n {
		return true
	}
	copy(in.buf, in.buf[in.i:in.n])
	in.i, in.n = 0, in.n-in.i
	for in.n < n && in.err == nil {
		var k int
		k, in.err = in.r.Read(in.buf[in.n:])
		in.head = append(in.head, in.buf[in.n:in.n+min(k, 64-min(64, len(in.head)))]...)
		in.n += k
	}
	return in.n >= n
}

// peek is the next byte, 0 at the end.
func (in *scanner) peek() byte {
	if in.i == in.n && !in.more(1) {
		return 0
	}
	return in.buf[in.i]
}

// take takes what is next if it is that text.
func (in *scanner) take(text string) bool {
	if !in.more(len(text)) || string(in.buf[in.i:in.i+len(text)]) != text {
		return false
	}
	in.i += len(text)
	return true
}

// skipSpace passes over white space. It returns nil at the end of the stream, and
// otherwise what is in the buffer.
func (in *scanner) skipSpace() []byte {
	for {
		in.i = jsontext.SkipSpace(in.buf[:in.n], in.i)
		if in.i < in.n {
			return in.buf[in.i:in.n]
		}
		if !in.more(1) {
			return nil
		}
	}
}

// failed is the error of reading; the end is none.
func (in *scanner) failed() error {
	if in.err == nil || errors.Is(in.err, io.EOF) {
		return nil
	}
	return in.err
}

// wrong is an error that shows how the answer starts. What could not be read is not to
// blame on who wrote it.
func (in *scanner) wrong(what string, kind error) error {
	if err := in.failed(); err != nil {
		return err
	}
	return fmt.Errorf("%s in an answer that starts with %q: %w", what, in.head, kind)
}

// unexpected is the error for the next byte.
func (in *scanner) unexpected() error {
	if in.i < in.n || in.more(1) {
		return fmt.Errorf("unexpected %q", in.buf[in.i])
	}
	if err := in.failed(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

func (in *scanner) expect(c byte) error {
	if in.skipSpace(); in.peek() != c {
		return in.unexpected()
	}
	in.i++
	return nil
}

// object reads an object; each has to read the value of the key that it is given, which
// is valid until then.
func (in *scanner) object(each func(key []byte) error) error {
	return in.list('{', '}', func() error {
		key, err := in.text(maxKey)
		if err == nil {
			err = in.expect(':')
		}
		if err != nil {
			return err
		}
		return each(key)
	})
}

// maxKey is what is kept of a key at most.
const maxKey = 256

// array reads an array; each has to read one value.
func (in *scanner) array(each func() error) error { return in.list('[', ']', each) }

func (in *scanner) list(open, end byte, each func() error) error {
	if err := in.expect(open); err != nil {
		return err
	}
	if in.skipSpace(); in.peek() == end {
		in.i++
		return nil
	}
	for {
		in.skipSpace()
		if err := each(); err != nil {
			return err
		}
		in.skipSpace()
		switch in.peek() {
		case ',':
			in.i++
		case end:
			in.i++
			return nil
		default:
			return in.unexpected()
		}
	}
}

// text reads a string and returns its first bytes, about so many, valid until the next
// string is read.
func (in *scanner) text(most int) ([]byte, error) {
	if in.skipSpace(); in.peek() != '"' {
		return nil, in.unexpected()
	}
	in.i++
	in.word = in.word[:0]
	for {
		if in.i == in.n && !in.more(1) {
			return nil, in.unexpected()
		}
		part := in.buf[in.i:in.n]
		k := bytes.IndexAny(part, `"\`)
		if k < 0 {
			k = len(part)
		}
		in.word = append(in.word, part[:min(k, max(0, most-len(in.word)))]...)
		if in.i += k; in.i == in.n {
			continue
		}
		if in.buf[in.i] == '"' {
			in.i++
			return in.word, nil
		}
		if !in.more(12) && !in.more(2) { // a pair of surrogates is 12 bytes
			return nil, in.unexpected()
		}
		n := 2
		if part := in.buf[in.i:in.n]; part[1] == 'u' {
			n = min(6, len(part))
			if len(part) >= 12 && part[6] == '\\' && part[7] == 'u' && part[2]|0x20 == 'd' {
				n = 12
			}
		}
		if len(in.word) < most {
			in.word = jsontext.Unescape(in.word, in.buf[in.i:in.i+n])
		}
		in.i += n
	}
}

// number reads a whole number; what is none is 0.
func (in *scanner) number() (n int, err error) {
	in.skipSpace()
	if c := in.peek(); c < '0' || c > '9' {
		return 0, in.skip()
	}
	for digits := 0; ; digits++ {
		c := in.peek()
		if c < '0' || c > '9' {
			break
		}
		if n = n*10 + int(c-'0'); digits > 9 {
			n = 0
		}
		in.i++
	}
	if c := in.peek(); c == '.' || c == 'e' || c == 'E' {
		return 0, in.skip()
	}
	return n, nil
}

// skip passes over one value.
func (in *scanner) skip() error {
	in.skipSpace()
	for depth := 0; ; {
		switch c := in.peek(); {
		case c == '"':
			if _, err := in.text(0); err != nil {
				return err
			}
		case c == '{' || c == '[':
			depth++
			in.i++
		case (c == '}' || c == ']' || c == ',') && depth == 0, in.i == in.n:
			return in.unexpected()
		case c == '}' || c == ']':
			depth--
			in.i++
		case c == ',' || c == ':' || c == ' ' || c == '\t' || c == '\n' || c == '\r':
			in.i++
			continue
		default: // a number or a word
			for in.i < in.n || in.more(1) {
				if c := in.buf[in.i]; c == ',' || c == '}' || c == ']' || c == ' ' || c == '\n' || c == '\r' || c == '\t' {
					break
				}
				in.i++
			}
		}
		if depth == 0 {
			return nil
		}
	}
}
