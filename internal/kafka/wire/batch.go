package wire

import (
	"math/bits"
	"time"
)

// Pair is a header of a record.
type Pair struct{ Key, Value []byte }

// Records is the records of a batch that is being filled, in the form in which they
// travel: what is appended is copied there once and is nowhere else. Pack then makes a
// batch of it. The zero value is ready. It is for one goroutine at a time.
//
// A record, of which all numbers are zigzag varints:
//
//	size | attributes 1 | time less the batch's | number in the batch | key size, key | value size, value | headers, each key size, key, value size, value
//
// A size of -1 is a key or value that is nil.
type Records struct {
	buf   []byte // HeaderSize bytes for the batch's header, then the records; nil: none yet
	count int
	first int64 // time of the first record in ms, to which the others' times relate
	last  int64 // newest time in ms

	// Of the record that was begun; places are in what Begin returned.
	ms     int64
	leadAt int // of what comes between its size and the size of its value
	lead   int // length of that
	value  int // of its value
}

// Count is how many records there are.
func (r *Records) Count() int { return r.count }

// Size is what they take, in bytes before compression.
func (r *Records) Size() int { return max(len(r.buf)-HeaderSize, 0) }

// First is the time of the first record; without records it means nothing.
func (r *Records) First() time.Time { return time.UnixMilli(r.first) }

// Reserve makes room for so many bytes of records, from memory that was used before if
// there is any. It is worth while for who knows what will come.
func (r *Records) Reserve(n int) {
	if r.buf == nil {
		r.buf = take(HeaderSize + n)[:HeaderSize]
	} else if n > cap(r.buf)-len(r.buf) {
		r.grow(n)
	}
}

// grow makes room for n bytes more.
func (r *Records) grow(n int) {
	if r.buf == nil {
		r.Reserve(n)
		return
	}
	larger := append(take(max(len(r.buf)+n, 2*cap(r.buf)))[:0], r.buf...)
	give(r.buf)
	r.buf = larger
}

// Release gives up the records and their memory.
func (r *Records) Release() {
	if r.buf != nil {
		give(r.buf)
	}
	*r = Records{}
}

// recordMost is what a record takes beside its key, value and headers, at most.
const recordMost = 5 + 1 + 10 + 5 + 5 + 5

// Append adds a record. Its time is in ms.
func (r *Records) Append(ms int64, key, value []byte, headers []Pair) {
	size := varintSize(int64(len(headers)))
	for i := range headers {
		size += lenSize(headers[i].Key) + lenSize(headers[i].Value)
	}
	r.buf = AppendHeaders(r.start(ms, key, value, size), headers)
	r.count++
}

// AppendRaw is Append with headers as they travel (AppendHeaders).
func (r *Records) AppendRaw(ms int64, key, value []byte, headers Headers) {
	r.buf = append(r.start(ms, key, value, len(headers)), headers...)
	r.count++
}

// start appends all of a record but its headers, which will take so many bytes.
func (r *Records) start(ms int64, key, value []byte, headers int) []byte {
	delta := r.time(ms)
	body := 1 + varintSize(delta) + varintSize(int64(r.count)) + lenSize(key) + lenSize(value) + headers
	if body+5 > cap(r.buf)-len(r.buf) || r.buf == nil {
		r.grow(body + 5)
	}
	b := appendVarint(r.buf, int64(body))
	b = append(b, 0)
	b = appendVarint(b, delta)
	b = appendVarint(b, int64(r.count))
	b = appendBytes(b, key)
	return appendBytes(b, value)
}

// time notes the time of the next record; it returns what the record says of it.
func (r *Records) time(ms int64) int64 {
	if r.count == 0 {
		r.first, r.last = ms, ms
	}
	r.last = max(r.last, ms)
	return ms - r.first
}

// Begin starts a record whose value is written straight into the batch: the caller
// appends it to what Begin returns, which has room for the expected bytes, and gives
// the longer slice to Commit; what the slice holds before is not to be touched. Until
// then nothing else may be done with the records but Begin, which forgets this one.
func (r *Records) Begin(ms int64, key []byte, expect int) []byte {
	need := recordMost + len(key) + expect
	if r.buf == nil || need > cap(r.buf)-len(r.buf) {
		r.grow(need)
	}
	delta := ms - r.first
	if r.count == 0 {
		delta = 0
	}
	// The sizes of record and value go before the value. Room is left for what they take
	// if it is as long as expected.
	sizes := varintSize(int64(expect))
	lead := 1 + varintSize(delta) + varintSize(int64(r.count)) + lenSize(key)
	r.ms, r.lead, r.leadAt = ms, lead, len(r.buf)+varintSize(int64(lead+sizes+expect))
	b := append(r.buf[:r.leadAt], 0)
	b = appendVarint(b, delta)
	b = appendVarint(b, int64(r.count))
	b = appendBytes(b, key)
	r.value = len(b) + sizes
	return b[:r.value]
}

// Commit ends the record that was begun: b is what Begin returned and the value after
// it, headers are those of AppendHeaders, nil for none. It returns the size of the value.
func (r *Records) Commit(b, headers []byte) int {
	if len(headers) == 0 {
		headers = noHeaders
	}
	size, at := len(b)-r.value, len(r.buf)
	sizes := varintSize(int64(size))
	body := r.lead + sizes + size + len(headers)
	lead := at + varintSize(int64(body))
	value := lead + r.lead + sizes
	switch { // the sizes take more or less than was left for them
	case value > r.value:
		b = append(b, make([]byte, value-r.value)...)
		copy(b[value:], b[r.value:r.value+size])
		copy(b[lead:], b[r.leadAt:r.leadAt+r.lead])
	case value < r.value:
		copy(b[lead:], b[r.leadAt:r.leadAt+r.lead])
		copy(b[value:], b[r.value:])
		b = b[:value+size]
	}
	appendVarint(b[:at], int64(body))
	appendVarint(b[:lead+r.lead], int64(size))
	b = append(b, headers...)
	if &b[0] != &r.buf[0] { // it was longer than expected
		give(r.buf)
	}
	r.buf = b
	r.time(r.ms)
	r.count++
	return size
}

var noHeaders = []byte{0}

// AppendHeaders appends headers as they travel, for Commit: a stage that gives many
// records the same ones makes them once.
func AppendHeaders(dst []byte, headers []Pair) []byte {
	dst = appendVarint(dst, int64(len(headers)))
	for i := range headers {
		dst = appendBytes(dst, headers[i].Key)
		dst = appendBytes(dst, headers[i].Value)
	}
	return dst
}

// appendBytes appends a size and the bytes.
func appendBytes(b, v []byte) []byte {
	if v == nil {
		return append(b, 1) // -1
	}
	return append(appendVarint(b, int64(len(v))), v...)
}

func lenSize(v []byte) int {
	if v == nil {
		return 1
	}
	return varintSize(int64(len(v))) + len(v)
}

func varintSize(v int64) int {
	return (bits.Len64(uint64(v<<1^v>>63)|1) + 6) / 7
}
