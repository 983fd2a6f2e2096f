package deadletter

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluicelog/sluice/internal/kafka"
)

// Reader makes letters of the records of a dead-letter topic. Parts of one letter are
// in one partition, not always in order, and after a crash perhaps twice. It serves one
// goroutine.
type Reader struct {
	topic string
	most  int
	bytes int // held in open
	open  map[origin]*assembly
}

// origin is what parts of one letter have in common.
type origin struct {
	cluster, topic string
	partition      int32
	offset         int64
	time           int64
	size, value    int
}

// assembly is the parts of a letter that came so far.
type assembly struct {
	letter Letter // of the first part that came
	parts  []span // in the order of from
	bytes  int
}

type span struct {
	from, to int
	bytes    []byte
}

// NewReader reads the topic of this name and holds at most so many bytes of letters
// whose parts have not all come.
func NewReader(topic string, most int) *Reader {
	return &Reader{topic: topic, most: most, open: map[origin]*assembly{}}
}

// Read takes the next record of a partition. It returns the letter that the record
// completes, with memory of the records, or nil while parts of it are missing. An error
// names the record and wraps ErrNoLetter, ErrOldLetter or ErrDamaged; the next record
// can be read all the same.
func (r *Reader) Read(partition int32, rec *kafka.Record) (*Letter, error) {
	fail := func(err error) (*Letter, error) {
		return nil, fmt.Errorf("record at %s/%d@%d %w", r.topic, partition, rec.Offset, err)
	}
	p, err := parse(rec)
	if err != nil {
		return fail(err)
	}
	if !p.part {
		return &p.letter, nil
	}
	l := &p.letter
	of := origin{l.Cluster, l.Topic, l.Partition, l.Record.Offset, l.Record.Time.UnixMilli(), p.size, p.value}
	a := r.open[of]
	if a == nil {
		a = &assembly{letter: *l}
		r.open[of] = a
	}
	if n := len(rec.Value); r.bytes+n > r.most {
		r.forget(of)
		return fail(fmt.Errorf("%w: with the parts of others that are not complete it would take more than %d bytes of memory", ErrDamaged, r.most))
	} else if a.add(span{p.from, p.to, rec.Value}) {
		r.bytes += n
	}
	body, whole := a.body(p.size)
	if !whole {
		return nil, nil
	}
	r.forget(of)
	done := a.letter
	done.Record.Value = body
	if p.value != allValue {
		n := max(p.value, 0)
		if done.Record.Value = body[:n:n]; p.value == noValue {
			done.Record.Value = nil
		}
		if !parseBeside(body[n:], &done.Record) {
			return fail(fmt.Errorf("%w: its key and headers cannot be read", ErrDamaged))
		}
	}
	return &done, nil
}

// Origin says of a record of the topic which one its letter is of, in a form that only
// letters of the same record have, and the output that refused it; both are empty where
// the record is no letter.
func Origin(r *kafka.Record) (of, output string) {
	var b strings.Builder
	for i := range r.Headers { // of a letter of a letter the last ones count
		switch string(r.Headers[i].Key) {
		case headerLetter:
			b.Reset()
			output = ""
		case headerCluster, headerTopic, headerPartition, headerOffset:
			b.Write(r.Headers[i].Value)
			b.WriteByte(0)
		case headerOutput:
			output = string(r.Headers[i].Value)
		}
	}
	return b.String(), output
}

// Incomplete is the letters of which parts are missing, without value, in no order.
func (r *Reader) Incomplete() []*Letter {
	var out []*Letter
	for _, a := range r.open {
		l := a.letter
		l.Record.Value = nil
		out = append(out, &l)
	}
	return out
}

func (r *Reader) forget(of origin) {
	r.bytes -= r.open[of].bytes
	delete(r.open, of)
}

// add reports false for a part that is there.
func (a *assembly) add(s span) bool {
	i, _ := slices.BinarySearchFunc(a.parts, s, func(x, y span) int { return x.from - y.from })
	for _, o := range a.parts[i:] {
		if o.from != s.from {
			break
		}
		if o.to == s.to {
			return false
		}
	}
	a.parts = slices.Insert(a.parts, i, s)
	a.bytes += len(s.bytes)
	return true
}

// body joins the parts, if they are all there.
func (a *assembly) body(size int) ([]byte, bool) {
	end := 0
	for _, s := range a.parts {
		if s.from > end {
			return nil, false
		}
		end = max(end, s.to)
	}
	if end < size {
		return nil, false
	}
	body := make([]byte, size)
	for _, s := range a.parts {
		copy(body[s.from:], s.bytes)
	}
	return body, true
}
