package wire

import (
	"encoding/binary"
	"fmt"
)

// KeyFetch is the request that reads batches. It is spoken from version 11 (Kafka 2.3,
// with racks) up to version 13 (Kafka 3.1, with topic ids).
const (
	KeyFetch      = 1
	FetchLowest   = 11
	FetchHighest  = 13
	FetchTopicIDs = 13 // from this version on a topic is its id
)

// TopicID is what Kafka tells a topic from another one of the same name by; the zero
// value: the brokers know none.
type TopicID [16]byte

// FetchRequest asks a broker for batches of partitions. It has no session: each request
// is complete.
type FetchRequest struct {
	Wait       int32 // ms, for MinBytes
	MinBytes   int32
	MaxBytes   int32 // of the answer; a first batch that is larger comes all the same
	Rack       string
	Partitions []FetchPartition // those of a topic one after the other
}

// FetchPartition is where to read a partition from.
type FetchPartition struct {
	Topic       string
	ID          TopicID
	Partition   int32
	LeaderEpoch int32 // that the leader is held to be of; -1: unknown
	Offset      int64
	MaxBytes    int32
}

// Append appends the request's body.
func (r *FetchRequest) Append(b []byte, version int16) []byte {
	flexible := version >= 12
	b = be.AppendUint32(b, 0xffffffff) // not a replica
	b = be.AppendUint32(b, uint32(r.Wait))
	b = be.AppendUint32(b, uint32(r.MinBytes))
	b = be.AppendUint32(b, uint32(r.MaxBytes))
	b = append(b, 1)                   // read committed
	b = be.AppendUint32(b, 0)          // no session
	b = be.AppendUint32(b, 0xffffffff) // nor a new one
	topics := 0
	for i := range r.Partitions {
		if i == 0 || !r.Partitions[i].sameTopic(&r.Partitions[i-1]) {
			topics++
		}
	}
	b = appendCount(b, topics, flexible)
	for from := 0; from < len(r.Partitions); {
		to := from + 1
		for to < len(r.Partitions) && r.Partitions[to].sameTopic(&r.Partitions[from]) {
			to++
		}
		if version >= FetchTopicIDs {
			b = append(b, r.Partitions[from].ID[:]...)
		} else {
			b = appendString(b, r.Partitions[from].Topic, flexible)
		}
		b = appendCount(b, to-from, flexible)
		for _, p := range r.Partitions[from:to] {
			b = be.AppendUint32(b, uint32(p.Partition))
			b = be.AppendUint32(b, uint32(p.LeaderEpoch))
			b = be.AppendUint64(b, uint64(p.Offset))
			if flexible {
				b = be.AppendUint32(b, 0xffffffff) // the epoch is checked by another request
			}
			b = be.AppendUint64(b, 1<<64-1) // no replica's log start
			b = be.AppendUint32(b, uint32(p.MaxBytes))
			if flexible {
				b = append(b, 0)
			}
		}
		if flexible {
			b = append(b, 0)
		}
		from = to
	}
	b = appendCount(b, 0, flexible) // forget nothing
	b = appendString(b, r.Rack, flexible)
	if flexible {
		b = append(b, 0)
	}
	return b
}

func (p *FetchPartition) sameTopic(q *FetchPartition) bool { return p.Topic == q.Topic && p.ID == q.ID }

func appendCount(b []byte, n int, compact bool) []byte {
	if compact {
		return binary.AppendUvarint(b, uint64(n)+1)
	}
	return be.AppendUint32(b, uint32(n))
}

func appendString(b []byte, s string, compact bool) []byte {
	if compact {
		b = binary.AppendUvarint(b, uint64(len(s))+1)
	} else {
		b = be.AppendUint16(b, uint16(len(s)))
	}
	return append(b, s...)
}

// Fetched is what a broker answers of one partition. Its slices are of the answer.
type Fetched struct {
	Topic     []byte // below version 13
	ID        TopicID
	Partition int32
	Code      int16 // 0: all is well
	High      int64 // the end of what all in-sync replicas have
	Stable    int64 // the end of what is decided about
	Start     int64 // of the log
	Replica   int32 // to read from instead; -1: none
	Set
}

// FetchAnswer is what is said of all partitions.
type FetchAnswer struct {
	ThrottleMs int32
	Code       int16
}

// ReadFetch reads an answer and calls each for its partitions, with the same Fetched
// each time; its Aborted are its own. No length in the answer makes it take more memory
// than a small multiple of the answer.
func ReadFetch(body []byte, version int16, each func(*Fetched)) (FetchAnswer, error) {
	d := decoder{b: body, compact: version >= 12}
	a := FetchAnswer{ThrottleMs: d.int32(), Code: d.int16()}
	d.int32() // session
	for range d.count(3) {
		var topic Fetched
		if version >= FetchTopicIDs {
			copy(topic.ID[:], d.take(16))
		} else {
			topic.Topic = d.string()
		}
		for range d.count(37) {
			f := topic
			f.Partition, f.Code = d.int32(), d.int16()
			f.High, f.Stable, f.Start = d.int64(), d.int64(), d.int64()
			if n := d.count(16); n > 0 {
				f.Aborted = make([]Aborted, 0, n)
				for range n {
					f.Aborted = append(f.Aborted, Aborted{d.int64(), d.int64()})
					d.tags()
				}
			}
			f.Replica = d.int32()
			f.Batches = d.bytes()
			d.tags()
			if d.bad {
				return a, fmt.Errorf("answer to a fetch: %w", ErrBroken)
			}
			each(&f)
		}
		d.tags()
	}
	d.tags()
	if d.bad {
		return a, fmt.Errorf("answer to a fetch: %w", ErrBroken)
	}
	return a, nil
}

// decoder reads an answer; after the first thing that is not there it is bad and gives
// zeroes.
type decoder struct {
	b       []byte
	compact bool // lengths are varints, and there are tags
	bad     bool
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.bad, d.b = true, nil
		return nil
	}
	out := d.b[:n:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) int16() int16 {
	if b := d.take(2); b != nil {
		return int16(be.Uint16(b))
	}
	return 0
}

func (d *decoder) int32() int32 {
	if b := d.take(4); b != nil {
		return int32(be.Uint32(b))
	}
	return 0
}

func (d *decoder) int64() int64 {
	if b := d.take(8); b != nil {
		return int64(be.Uint64(b))
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > 1<<31 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count is how many elements of a size at least follow; none is no error.
func (d *decoder) count(least int) int {
	n := 0
	if d.compact {
		n = int(d.uvarint()) - 1
	} else {
		n = int(d.int32())
	}
	if n > len(d.b)/least {
		d.bad, d.b = true, nil
	}
	if d.bad {
		return 0
	}
	return max(0, n)
}

func (d *decoder) string() []byte {
	if d.compact {
		return d.take(max(0, int(d.uvarint())-1))
	}
	return d.take(int(max(0, d.int16())))
}

func (d *decoder) bytes() []byte {
	if d.compact {
		return d.take(max(0, int(d.uvarint())-1))
	}
	return d.take(int(max(0, d.int32())))
}

func (d *decoder) tags() {
	if !d.compact {
		return
	}
	for i := d.uvarint(); i > 0 && !d.bad; i-- {
		d.uvarint()
		d.take(int(d.uvarint()))
	}
}
