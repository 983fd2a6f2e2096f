package wire

// Record is a view of a record in the memory of its block: it costs no allocation, and
// its bytes are valid until the block is given back.
//
//	length | attributes 1 | time delta | offset delta | key | value | headers: count, (key, value)...
//	all numbers but the attributes are zigzag varints; a key, value or header has its length before it
type Record struct {
	Offset     int64
	Time       int64  // ms since 1970
	Appended   bool   // Time is the broker's, of when it stored the batch, not the producer's
	Key, Value []byte // nil: none, which is not the same as empty
	Headers    Headers
}

// Headers is the headers of a record as they are on the wire: how many, and each. They
// were checked when the record was read.
type Headers []byte

// Len is how many there are.
func (h Headers) Len() int {
	n, _ := readVarint(h)
	return int(n)
}

// First skips the count, for Next to begin.
func (h Headers) First() HeaderCursor {
	n, i := readVarint(h)
	if i <= 0 {
		return HeaderCursor{}
	}
	return HeaderCursor{left: int(n), rest: h[i:]}
}

// HeaderCursor goes over headers.
type HeaderCursor struct {
	left int
	rest []byte
}

// Next is the next header; ok false: there is none.
func (c *HeaderCursor) Next() (key, value []byte, ok bool) {
	if c.left == 0 {
		return nil, nil, false
	}
	c.left--
	key, c.rest, ok = readBytes(c.rest)
	if !ok {
		return nil, nil, false
	}
	value, c.rest, ok = readBytes(c.rest)
	return key, value, ok
}

// Get is the value of the first header with a key; nil: there is none.
func (h Headers) Get(key string) []byte {
	for c := h.First(); ; {
		k, v, ok := c.Next()
		if !ok {
			return nil
		}
		if string(k) == key {
			return v
		}
	}
}

// Has says whether there is a header with a key.
func (h Headers) Has(key string) bool {
	for c := h.First(); ; {
		k, _, ok := c.Next()
		if !ok {
			return false
		}
		if string(k) == key {
			return true
		}
	}
}

// AppendTo appends the headers and one more after them, as they travel.
func (h Headers) AppendTo(dst []byte, more Pair) []byte {
	n, i := readVarint(h)
	dst = appendVarint(dst, n+1)
	dst = append(dst, h[max(i, 0):]...)
	dst = appendBytes(dst, more.Key)
	return appendBytes(dst, more.Value)
}

// readBytes reads bytes with their length, -1 being none.
func readBytes(b []byte) (v, rest []byte, ok bool) {
	n, i := readVarint(b)
	if i <= 0 || n < -1 || n > int64(len(b)-i) {
		return nil, nil, false
	}
	if n < 0 {
		return nil, b[i:], true
	}
	return b[i : i+int(n) : i+int(n)], b[i+int(n):], true
}

// readRecord reads a record without its length; deltas are added to what r holds.
func readRecord(b []byte, r *Record) bool {
	if len(b) < 6 {
		return false
	}
	b = b[1:]
	dt, n := readVarint(b)
	if n <= 0 {
		return false
	}
	b = b[n:]
	do, n := readVarint(b)
	if n <= 0 {
		return false
	}
	r.Time += dt
	r.Offset += do
	var ok bool
	if r.Key, b, ok = readBytes(b[n:]); !ok {
		return false
	}
	if r.Value, b, ok = readBytes(b); !ok {
		return false
	}
	r.Headers = Headers(b)
	count, n := readVarint(b)
	if n <= 0 || count < 0 || count > int64(len(b)) {
		return false
	}
	b = b[n:]
	for range count {
		if _, b, ok = readBytes(b); !ok {
			return false
		}
		if _, b, ok = readBytes(b); !ok {
			return false
		}
	}
	return len(b) == 0
}
