package indexer

import (
	"bytes"
	"time"
	"unicode/utf8"

	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/schemas"
)

// maxID is the longest id that Elasticsearch takes, in bytes.
const maxID = 512

// Tags of documents whose event could not be read as its codec says.
const (
	tagNoJSON   = "_jsonparsefailure"
	tagNoSyslog = "_syslogparsefailure"
)

// readECS reads an event of ours without a parser, and any other JSON with one.
func (e *encoder) readECS(r *kafka.Record, ev *event) {
	if h, ok := schemas.ParseHead(r.Value); ok && isID(h.ID) && bytes.IndexByte(r.Value, '\n') < 0 && e.scan.rest(h.Rest) {
		var c civil
		if matchISO(h.Time, &c) == len(h.Time) && c.zoned {
			ev.id, ev.at, ev.message, ev.members = h.ID, c.in(time.UTC), h.Message, e.scan.members
			return
		}
	}
	value := e.readable(r.Value)
	e.scan.unique = true
	ok := e.scan.object(value)
	e.scan.unique = false
	if !ok {
		e.malformed(r, ev, "the event is no JSON object", tagNoJSON)
		return
	}
	e.extra = e.extra[:0]
	ev.at, ev.absent = r.Time, true
	kept := e.scan.members[:0]
	var stamp []byte
	for _, m := range e.scan.members {
		switch string(m.key) {
		case "@metadata":
			ev.id = e.metadataID(m.value)
		case schemas.FieldTimestamp:
			stamp = m.value
		case schemas.FieldMessage:
			if m.value[0] == '"' && ev.absent {
				ev.message, ev.absent = m.value[1:len(m.value)-1], false
				continue
			}
			kept = append(kept, m)
		default:
			kept = append(kept, m)
		}
	}
	ev.members = kept
	if t, ok := stampOf(stamp); ok && (ev.id != nil || r.Time.IsZero() || believable(t, r.Time)) {
		ev.at = t
	} else if stamp != nil {
		e.doubt++
		if !hasMember(kept, "error") && !hasMember(kept, schemas.FieldErrorMessage) {
			e.extra = append(e.extra, `,"error":{"message":"@timestamp not believed: `...)
			e.extra = append(schemas.AppendString(e.extra, cutBytes(stamp, 256)), `"}`...)
			ev.extra = e.extra
		}
	}
}

// isID reports whether the id is one of ours, of which no byte needs escaping.
func isID(id []byte) bool {
	for _, c := range id {
		if !isAlpha(c) && !isDigit(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func (e *encoder) metadataID(object []byte) []byte {
	if e.inner.object(object) {
		for _, m := range e.inner.members {
			if string(m.key) == "_id" && m.value[0] == '"' && len(m.value) > 2 && len(m.value) <= maxID {
				return m.value[1 : len(m.value)-1]
			}
		}
	}
	return nil
}

// stampOf reads the value of @timestamp: RFC 3339 or a number of seconds or fractions
// of it since 1970.
func stampOf(value []byte) (time.Time, bool) {
	if len(value) > 1 && value[0] == '"' {
		value = value[1 : len(value)-1]
	}
	var c civil
	if n := matchTime(value, &c); n == 0 || n != len(value) || c.noYear || c.noDate {
		return time.Time{}, false
	}
	return c.in(time.UTC), true
}

// readable is the value as it may stand in a line of a bulk body: UTF-8, and without
// the line ends that may stand between the members of a JSON object.
func (e *encoder) readable(value []byte) []byte {
	legal := utf8.Valid(value)
	if legal && bytes.IndexByte(value, '\n') < 0 && bytes.IndexByte(value, '\r') < 0 {
		return value
	}
	if legal {
		e.clean = append(e.clean[:0], value...)
	} else {
		e.clean = append(e.clean[:0], bytes.ToValidUTF8(value, []byte("\uFFFD"))...)
	}
	for i, c := range e.clean {
		if c == '\n' || c == '\r' {
			e.clean[i] = ' '
		}
	}
	return e.clean
}

// malformed makes an event of a value that is not what its codec says: the message is
// the value, and a tag and error.message say why.
func (e *encoder) malformed(r *kafka.Record, ev *event, why, tag string) {
	e.bad++
	e.line = schemas.AppendString(e.line[:0], r.Value)
	*ev = event{at: r.Time, message: e.line}
	e.fromHeaders(r, ev)
	e.extra = append(e.extra, `,"error":{"message":"`...)
	e.extra = append(schemas.AppendString(e.extra, why), `"},"tags":["`...)
	e.extra = append(append(e.extra, tag...), `"]`...)
	ev.extra = e.extra
}

// readJSON reads the value as an application's line of JSON.
func (e *encoder) readJSON(r *kafka.Record, ev *event) {
	value := e.readable(r.Value)
	var f facts
	if !e.parser.object(value, r.Time, &f) {
		e.malformed(r, ev, "the value is no JSON object", tagNoJSON)
		return
	}
	if f.message == nil || e.original {
		e.line = schemas.AppendString(e.line[:0], value)
		if ev.original = e.line; f.message == nil {
			f.message = e.line
		}
	}
	ev.at, ev.message, ev.facts, ev.parsed = r.Time, f.message, f, true
	e.fromHeaders(r, ev)
	ev.extra = e.extra
}

// readPlain reads the value as a line of text.
func (e *encoder) readPlain(r *kafka.Record, ev *event) {
	e.line = schemas.AppendString(e.line[:0], bytes.TrimRight(r.Value, "\r\n"))
	ev.at, ev.message = r.Time, e.line
	e.fromHeaders(r, ev)
	ev.extra = e.extra
}

// fromHeaders starts extra with what the headers of the record say.
func (e *encoder) fromHeaders(r *kafka.Record, ev *event) {
	e.extra = e.extra[:0]
	if v := header(r, schemas.HeaderDC); len(v) > 0 {
		e.extra = append(schemas.AppendString(append(e.extra, `,"labels":{"dc":"`...), v), `"}`...)
	}
	if v := header(r, schemas.HeaderApp); len(v) > 0 {
		e.extra = append(schemas.AppendString(append(e.extra, `,"service":{"name":"`...), v), `"}`...)
	}
	ev.dataset = header(r, schemas.HeaderDataset)
}

func header(r *kafka.Record, name string) []byte {
	for _, h := range r.Headers {
		if string(h.Key) == name {
			return h.Value
		}
	}
	return nil
}

func hasMember(members []member, key string) bool {
	for _, m := range members {
		if string(m.key) == key {
			return true
		}
	}
	return false
}
