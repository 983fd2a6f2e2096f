// Package deadletter keeps records that nothing will store: a letter is such a record
// whole, with where it was read and why it is here. docs/dead-letters.md has the format.
//
//	record ---> Letter ---> record(s) of the dead-letter topic ---> Reader ---> the same Letter
//
// A letter has the record's own key, value and headers, so any reader of Kafka shows
// them. Headers of ours follow the record's, from dead.letter on:
//
//	app=web  dc=dc1  dead.letter=2  dead.reason=...  dead.topic=...  ...
//	\_ the record's _/\_ the letter's ___________________________________/
package deadletter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/rfc3339"
)

// The letter's headers. Values are text.
const (
	headerLetter     = "dead.letter"      // version of the format; the first of the letter's headers
	headerReason     = "dead.reason"      // kind of refusal, such as document_parsing_exception
	headerError      = "dead.error"       // what was said, at most 1 KiB of it
	headerStatus     = "dead.status"      // of an HTTP answer
	headerRole       = "dead.role"        // aggregator or indexer
	headerOutput     = "dead.output"      // output or cluster that refused it
	headerTarget     = "dead.target"      // topic or index it was to go to
	headerID         = "dead.id"          // its _id was to be
	headerCluster    = "dead.cluster"     // where it was read: Kafka cluster as configured,
	headerTopic      = "dead.topic"       // topic,
	headerPartition  = "dead.partition"   // partition
	headerOffset     = "dead.offset"      // and offset
	headerTime       = "dead.time"        // when it was refused, RFC 3339
	headerSince      = "dead.since"       // when it was refused first, RFC 3339, where it is tried again from the topic
	headerRecordTime = "dead.record_time" // the record's own time: RFC 3339, or milliseconds since 1970 where that has no form for it
	headerTimeType   = "dead.time_type"   // append: the record's time is the broker's
	headerPart       = "dead.part"        // 0-65536/200000: bytes of the body, where the letter is stored in parts
	headerValue      = "dead.value"       // bytes of the body that are the value, where it holds key and headers too; none: there is no value
)

const (
	version  = "2"
	appended = "append" // of dead.time_type
	none     = "none"   // of dead.value

	mostText   = 1 << 10  // of one of our headers
	mostBeside = 16 << 10 // key and headers of a record up to which each part repeats them
)

// Letter is a record that was refused for good.
type Letter struct {
	Record kafka.Record // as it was read; Offset is its place in Partition

	Cluster   string // where it was read, as the configuration names it
	Topic     string
	Partition int32

	Reason string    // kind of refusal, such as document_parsing_exception
	Error  string    // what was said; of a longer text the first KiB is stored
	Status int       // of an HTTP answer; 0: none
	Role   string    // aggregator or indexer
	Output string    // output or cluster that refused it
	Target string    // topic or index it was to go to
	ID     string    // its _id was to be; empty: not known
	Died   time.Time // when it was refused
	Since  time.Time // when it was refused first, of one that is tried again from the topic; zero: it is not
}

// stored is the letter as one record, which shares its memory. It has the time of the
// letter: retention would delete one with an old record's time at once.
func (l *Letter) stored() kafka.Record {
	r := l.Record
	r.Time, r.Appended, r.Offset = l.Died, false, 0
	r.Headers = l.headers(r.Headers)
	return r
}

// body is what is cut into parts: the value, and after it key and headers if these are
// too much to be repeated in each part.
func (l *Letter) body() (b []byte, beside bool) {
	if beside = besideSize(&l.Record) <= mostBeside; beside {
		return l.Record.Value, true
	}
	return appendBeside(append([]byte(nil), l.Record.Value...), &l.Record), false
}

// part is the letter's record for the bytes from-to of its body.
func (l *Letter) part(body []byte, beside bool, from, to int) kafka.Record {
	r := l.Record
	r.Time, r.Appended, r.Offset = l.Died, false, 0
	if beside {
		r.Headers = l.headers(r.Headers)
	} else {
		r.Key, r.Headers = nil, l.headers(nil)
		size := strconv.Itoa(len(l.Record.Value))
		if l.Record.Value == nil {
			size = none
		}
		r.Headers = append(r.Headers, header(headerValue, size))
	}
	r.Value = body[from:to]
	r.Headers = append(r.Headers, header(headerPart, fmt.Sprintf("%d-%d/%d", from, to, len(body))))
	return r
}

// headers are the record's own and the letter's after them.
func (l *Letter) headers(own []kafka.Header) []kafka.Header {
	out := append(make([]kafka.Header, 0, len(own)+19), own...)
	add := func(key, value string) {
		if value != "" {
			out = append(out, header(key, clip(value)))
		}
	}
	add(headerLetter, version)
	add(headerReason, l.Reason)
	add(headerError, l.Error)
	if l.Status != 0 {
		add(headerStatus, strconv.Itoa(l.Status))
	}
	add(headerRole, l.Role)
	add(headerOutput, l.Output)
	add(headerTarget, l.Target)
	add(headerID, l.ID)
	add(headerCluster, l.Cluster)
	add(headerTopic, l.Topic)
	add(headerPartition, strconv.Itoa(int(l.Partition)))
	add(headerOffset, strconv.FormatInt(l.Record.Offset, 10))
	add(headerTime, l.Died.UTC().Format(time.RFC3339Nano))
	if !l.Since.IsZero() {
		add(headerSince, l.Since.UTC().Format(time.RFC3339Nano))
	}
	add(headerRecordTime, formatTime(l.Record.Time))
	if l.Record.Appended {
		add(headerTimeType, appended)
	}
	return out
}

func header(key, value string) kafka.Header {
	return kafka.Header{Key: []byte(key), Value: []byte(value)}
}

// clip cuts a text to what one header may hold, in no rune.
func clip(s string) string {
	if len(s) <= mostText {
		return s
	}
	n := mostText
	for n > mostText-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// formatTime keeps milliseconds, which is what a record's time has.
func formatTime(t time.Time) string {
	if y := t.UTC().Year(); y < 0 || y > 9999 {
		return strconv.FormatInt(t.UnixMilli(), 10)
	}
	return t.UTC().Format("2006-01-02T15:04:05.999Z")
}

func parseTime(s string) (time.Time, bool) {
	if t, ok := rfc3339.Parse([]byte(s)); ok {
		return t, true
	}
	ms, err := strconv.ParseInt(s, 10, 64)
	return time.UnixMilli(ms), err == nil
}

// What a record of a dead-letter topic may be wrong with; errors wrap one of them.
var (
	// ErrNoLetter: it is not a letter.
	ErrNoLetter = errors.New("is not a dead letter")
	// ErrOldLetter: sluice wrote it before letters kept all of a record. Its key, value
	// and headers can be read with any reader of Kafka, and it cannot be replayed.
	ErrOldLetter = errors.New("is a dead letter of an older form, which does not keep all of its record; read its bytes with a Kafka client, and send them again yourself if they matter")
	// ErrDamaged: it is a letter and says too little, or what cannot be.
	ErrDamaged = errors.New("is a damaged dead letter")
)

// piece is what one record of the topic says.
type piece struct {
	letter         Letter // Record has what the record of the topic has, without our headers
	part           bool
	from, to, size int // of the body
	value          int // bytes of the body that are the value, or one of:
}

const (
	allValue = -1 // the body is the value; key and headers are beside
	noValue  = -2
)

// parse reads a record of the topic.
func parse(r *kafka.Record) (*piece, error) {
	at := -1
	for i := range r.Headers {
		if string(r.Headers[i].Key) == headerLetter {
			at = i // the last one: a letter of a letter has several
		}
	}
	if at < 0 {
		return nil, noLetter(r)
	}
	if v := string(r.Headers[at].Value); v != version {
		return nil, fmt.Errorf("%w: it has version %q, and only version %s is known: a newer sluice may read it", ErrDamaged, v, version)
	}
	p := &piece{value: allValue}
	l := &p.letter
	said := map[string]string{}
	for _, h := range r.Headers[at:] {
		said[string(h.Key)] = string(h.Value) // what is not ours was added on the way
	}
	l.Record = *r
	l.Record.Headers = r.Headers[:at:at]
	if at == 0 {
		l.Record.Headers = nil
	}
	l.Reason, l.Error, l.Role, l.Output, l.Target, l.ID = said[headerReason], said[headerError], said[headerRole], said[headerOutput], said[headerTarget], said[headerID]
	l.Cluster, l.Topic = said[headerCluster], said[headerTopic]
	l.Record.Appended = said[headerTimeType] == appended
	var wrong string
	number := func(key string, bits int) int64 {
		n, err := strconv.ParseInt(said[key], 10, bits)
		if err != nil || n < 0 {
			wrong = key
		}
		return n
	}
	moment := func(key string) time.Time {
		t, ok := parseTime(said[key])
		if !ok {
			wrong = key
		}
		return t
	}
	l.Partition, l.Record.Offset = int32(number(headerPartition, 32)), number(headerOffset, 64)
	l.Died, l.Record.Time = moment(headerTime), moment(headerRecordTime)
	if said[headerSince] != "" {
		l.Since = moment(headerSince)
	}
	if said[headerStatus] != "" {
		l.Status = int(number(headerStatus, 32))
	}
	if l.Topic == "" {
		wrong = headerTopic
	}
	if text, ok := said[headerPart]; ok {
		p.part = true
		if !p.cut(text, len(r.Value)) {
			wrong = headerPart
		}
		if said[headerValue] == none {
			p.value = noValue
		} else if _, ok := said[headerValue]; ok {
			if p.value = int(number(headerValue, 64)); p.value > p.size {
				wrong = headerValue
			}
		}
	}
	if wrong != "" {
		return nil, fmt.Errorf("%w: header %s is %q", ErrDamaged, wrong, said[wrong])
	}
	return p, nil
}

// cut reads from-to/size.
func (p *piece) cut(text string, have int) bool {
	span, size, ok := strings.Cut(text, "/")
	from, to, ok2 := strings.Cut(span, "-")
	var errs [3]error
	p.from, errs[0] = strconv.Atoi(from)
	p.to, errs[1] = strconv.Atoi(to)
	p.size, errs[2] = strconv.Atoi(size)
	return ok && ok2 && errors.Join(errs[:]...) == nil && 0 <= p.from && p.from < p.to && p.to <= p.size && p.to-p.from == have
}

// noLetter says what a record is instead.
func noLetter(r *kafka.Record) error {
	said := map[string]bool{}
	for _, h := range r.Headers {
		said[string(h.Key)] = true
	}
	if said[headerReason] && said[headerTopic] && said[headerOffset] && said[headerTime] {
		return ErrOldLetter
	}
	return ErrNoLetter
}

// besideSize is the bytes of a record beside its value.
func besideSize(r *kafka.Record) int {
	n := len(r.Key)
	for i := range r.Headers {
		n += len(r.Headers[i].Key) + len(r.Headers[i].Value) + 8
	}
	return n
}

// appendBeside appends key and headers: the key, how many headers, then key and value of
// each. A length is a uvarint and one more than the bytes; 0: there are none, not even
// empty.
func appendBeside(dst []byte, r *kafka.Record) []byte {
	text := func(b []byte) {
		if b == nil {
			dst = append(dst, 0)
			return
		}
		dst = append(binary.AppendUvarint(dst, uint64(len(b))+1), b...)
	}
	text(r.Key)
	dst = binary.AppendUvarint(dst, uint64(len(r.Headers)))
	for i := range r.Headers {
		text(r.Headers[i].Key)
		text(r.Headers[i].Value)
	}
	return dst
}

// parseBeside sets key and headers to what b says; false: it is not what appendBeside wrote.
func parseBeside(b []byte, r *kafka.Record) bool {
	ok := true
	number := func() uint64 {
		n, k := binary.Uvarint(b)
		if k <= 0 {
			ok = false
			return 0
		}
		b = b[k:]
		return n
	}
	text := func() []byte {
		n := number()
		if n == 0 {
			return nil
		}
		if n--; n > uint64(len(b)) {
			ok = false
			return nil
		}
		t := b[:n:n]
		b = b[n:]
		return t
	}
	r.Key, r.Headers = text(), nil
	n := number()
	if n > uint64(len(b)) { // each takes two bytes at least
		return false
	}
	for range n {
		if !ok {
			return false
		}
		r.Headers = append(r.Headers, kafka.Header{Key: text(), Value: text()})
	}
	return ok && len(b) == 0
}
