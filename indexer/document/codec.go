package document

import (
	"bytes"
	"unicode/utf8"

	"github.com/sluicelog/sluice/indexer/parse"
	"github.com/sluicelog/sluice/internal/jsontext"
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

// Tags of documents whose index is not of the day of their time.
const (
	tagOtherDay = "_timeoutofrange" // it is of the day of the record
	tagUndated  = "_undated"        // it is of no day, since the record has no time
)

// readECS reads an event of ours without a parser, and any other JSON with one.
func (e *Encoder) readECS(r *kafka.Record, ev *event) {
	if h, ok := schemas.ParseHead(r.Value); ok && isID(h.ID) && bytes.IndexByte(r.Value, '\n') < 0 && e.object.ReadRest(h.Rest) {
		if at, ok := parse.ISO(h.Time); ok {
			ev.id, ev.at, ev.message, ev.members, ev.ours = h.ID, at, h.Message, e.object.Members, true
			return
		}
	}
	value := e.readable(r.Value)
	e.object.Storable = true
	ok := e.object.Read(value)
	e.object.Storable = false
	if !ok {
		e.malformed(r, ev, "the event is no JSON object", tagNoJSON)
		return
	}
	jsontext.OneLine(value)
	e.extra = e.extra[:0]
	ev.at, ev.absent = r.Time, true
	kept := e.object.Members[:0]
	var stamp []byte
	for _, m := range e.object.Members {
		switch string(m.Key) {
		case "@metadata":
			ev.id = e.metadataID(m.Value)
		case schemas.FieldTimestamp:
			stamp = m.Value
		case schemas.FieldMessage:
			if m.Value[0] == '"' && ev.absent {
				ev.message, ev.absent = m.Value[1:len(m.Value)-1], false
				continue
			}
			kept = append(kept, m)
		default:
			kept = append(kept, m)
		}
	}
	ev.members = kept
	if e.codec == "filebeat" && ev.id == nil {
		ev.id = e.fileID(kept, ev.message)
	}
	e.mend(ev)
	kept = ev.members
	ev.zone = e.zoneOf(r, ev)
	if t, ok := parse.Stamp(stamp, r.Time, ev.zone); ok && (ev.id != nil || r.Time.IsZero() || parse.Believable(t, r.Time)) {
		ev.at = t
	} else if stamp != nil {
		e.tally.Doubted++
		if !hasMember(kept, "error") && !hasMember(kept, schemas.FieldErrorMessage) {
			e.extra = append(e.extra, `,"error":{"message":"@timestamp not believed: `...)
			e.extra = append(jsontext.Append(e.extra, stamp[:min(len(stamp), 256)]), `"}`...)
			ev.extra = e.extra
		}
	}
}

// isID reports whether the id is one of ours, of which no byte needs escaping.
func isID(id []byte) bool {
	for _, c := range id {
		if (c|0x20)-'a' >= 26 && c-'0' >= 10 && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func (e *Encoder) metadataID(object []byte) []byte {
	if e.inner.Read(object) {
		for _, m := range e.inner.Members {
			if string(m.Key) == "_id" && m.Value[0] == '"' && len(m.Value) > 2 && len(m.Value) <= maxID {
				return m.Value[1 : len(m.Value)-1]
			}
		}
	}
	return nil
}

// readable is the value as UTF-8, and a copy of it if there are line ends, which are
// written over once it is read: they have no place in a line of a bulk body.
func (e *Encoder) readable(value []byte) []byte {
	legal := utf8.Valid(value)
	switch {
	case !legal:
		e.clean = append(e.clean[:0], bytes.ToValidUTF8(value, []byte("\uFFFD"))...)
	case bytes.IndexByte(value, '\n') < 0 && bytes.IndexByte(value, '\r') < 0:
		return value
	default:
		e.clean = append(e.clean[:0], value...)
	}
	return e.clean
}

// malformed makes an event of a value that is not what its codec says: the message is
// the value, and a tag and error.message say why.
func (e *Encoder) malformed(r *kafka.Record, ev *event, why, tag string) {
	e.tally.Malformed++
	e.line = jsontext.Append(e.line[:0], r.Value)
	*ev = event{at: r.Time, message: e.line, tag: tag}
	e.fromHeaders(r, ev)
	e.extra = append(e.extra, `,"error":{"message":"`...)
	e.extra = append(jsontext.Append(e.extra, why), `"}`...)
	ev.extra = e.extra
}

// readJSON reads the value as an application's line of JSON.
func (e *Encoder) readJSON(r *kafka.Record, ev *event) {
	value := e.readable(r.Value)
	found, ok := e.parser.Object(value, r.Time, parse.Options{Zone: e.zoneOf(r, ev)})
	if !ok {
		e.malformed(r, ev, "the value is no JSON object", tagNoJSON)
		return
	}
	if found.Message == nil || e.original {
		e.line = jsontext.Append(e.line[:0], r.Value)
		if ev.original = e.line; found.Message == nil {
			found.Message = e.line
		}
	}
	ev.at, ev.message, ev.found = r.Time, found.Message, found
	e.fromHeaders(r, ev)
	ev.extra = e.extra
}

// readPlain reads the value as a line of text.
func (e *Encoder) readPlain(r *kafka.Record, ev *event) {
	e.line = jsontext.Append(e.line[:0], bytes.TrimRight(r.Value, "\r\n"))
	ev.at, ev.message = r.Time, e.line
	e.fromHeaders(r, ev)
	ev.extra = e.extra
}

// fromHeaders starts extra with what the headers of the record say.
func (e *Encoder) fromHeaders(r *kafka.Record, ev *event) {
	e.extra = e.extra[:0]
	if v := header(r, schemas.HeaderDC); len(v) > 0 {
		e.extra = append(jsontext.Append(append(e.extra, `,"labels":{"dc":"`...), v), `"}`...)
	}
	if v := header(r, schemas.HeaderApp); len(v) > 0 {
		e.extra = append(jsontext.Append(append(e.extra, `,"service":{"name":"`...), v), `"}`...)
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

func hasMember(members []jsontext.Member, key string) bool {
	for _, m := range members {
		if string(m.Key) == key {
			return true
		}
	}
	return false
}
