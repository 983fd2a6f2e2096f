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

// encoder makes the two lines of a bulk request of a record. It depends on the record
// alone (but for event.ingested), so a record read again gives the same index, id and
// document. It serves one goroutine.
type encoder struct {
	original bool // keep the line in event.original
	names    names
	parser   parser

	scan   scanner // members of the event
	inner  scanner // members of an object in it
	clean  []byte  // the value, where it had to be changed to be read
	extra  []byte  // members of documents that are made from no ECS event
	line   []byte  // a line escaped
	now    []byte  // event.ingested
	counts [formatCount]int
	bad    int // events that were not what their codec says
	doubt  int // times in lines that were not believed
}

// shed lets go of memory that a large record has taken: there is an encoder for each
// partition.
func (e *encoder) shed() {
	for _, b := range []*[]byte{&e.clean, &e.extra, &e.line, &e.parser.text, &e.parser.pairs, &e.parser.app} {
		if cap(*b) > chunkBytes {
			*b = nil
		}
	}
	for _, s := range []*scanner{&e.scan, &e.inner, &e.parser.scan} {
		clear(s.members[:cap(s.members)]) // they hold the record
		if cap(s.members) > maxMembers {
			s.members = nil
		}
		if cap(s.keys) > 4*maxMembers {
			s.keys = nil
		}
	}
}

// event is a record as its codec reads it. Slices are insides of JSON strings.
type event struct {
	id       []byte
	at       time.Time
	message  []byte
	absent   bool     // no message
	members  []member // of an ECS event, without @timestamp, @metadata and message
	extra    []byte   // rendered members, each behind a comma
	dataset  []byte   // event.dataset to be added
	original []byte   // the line, where message is not it
	keep     bool     // the original whether asked for or not: the document does not hold all of it
	facts    facts
	parsed   bool // facts are set: the codec was the parser
}

// append appends the lines of a record from a topic.
func (e *encoder) append(dst []byte, r *kafka.Record, codec, topic string, partition int32) []byte {
	var ev event
	switch codec {
	case "json":
		e.readJSON(r, &ev)
	case "plain":
		e.readPlain(r, &ev)
	case "syslog":
		e.readSyslog(r, &ev)
	default:
		e.readECS(r, &ev)
	}
	return e.write(dst, r, &ev, topic, partition)
}

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

// write appends the action and the document of an event.
func (e *encoder) write(dst []byte, r *kafka.Record, ev *event, topic string, partition int32) []byte {
	has := e.look(ev)
	if !ev.parsed {
		ev.facts = facts{message: ev.message}
		if !ev.absent {
			e.parser.held = has.held
			ev.facts = e.parser.parse(ev.message, ev.at, !has.app)
			e.parser.held = [roleCount]bool{}
			if len(ev.facts.app) > 0 || ev.facts.format == formatJSON || ev.facts.format == formatLogfmt {
				ev.original = ev.message
			}
		}
	}
	f := &ev.facts
	e.counts[f.format]++
	if f.refused {
		e.doubt++
	}
	at := ev.at
	if !f.time.IsZero() && !has.held[roleTime] {
		at = f.time
	}

	dst = append(dst, `{"create":{"_index":"`...)
	dst = append(dst, e.index(at, r, ev)...)
	dst = append(dst, `","_id":"`...)
	if ev.id != nil {
		dst = append(dst, ev.id...)
	} else {
		dst = appendPlaceID(dst, topic, partition, r)
	}
	dst = append(dst, `"}}`+"\n"+`{"@timestamp":"`...)
	dst = schemas.AppendTime(dst, at)
	if !ev.absent {
		dst = append(append(dst, `","message":"`...), f.message...)
	}
	dst = append(dst, '"')
	for _, m := range ev.members {
		dst = append(append(append(dst, `,"`...), m.key...), `":`...)
		object := m.value[0] == '{'
		from := len(dst) + 1
		switch {
		case object && string(m.key) == "log" && has.log:
			dst = closeObject(e.appendLog(append(dst, '{'), f, has), from, m.value)
		case object && string(m.key) == "event" && has.event:
			dst = closeObject(e.appendEvent(append(dst, '{'), ev, at, has), from, m.value)
		default:
			dst = append(dst, m.value...)
		}
	}
	if !has.log && (f.level != "" && !has.held[roleLevel] || len(f.logger) > 0 && !has.held[roleLogger]) {
		dst = append(dst, `,"log":{`...)
		dst = append(e.appendLog(dst, f, has), '}')
	}
	if !has.event {
		dst = append(dst, `,"event":{`...)
		dst = append(e.appendEvent(dst, ev, at, has), '}')
	}
	if len(f.trace) > 0 && !has.held[roleTrace] {
		dst = append(append(append(dst, `,"trace":{"id":"`...), f.trace...), `"}`...)
	}
	dst = append(dst, ev.extra...)
	if len(f.app) > 0 {
		dst = append(append(append(dst, `,"app":{`...), f.app...), '}')
	}
	return append(dst, '}', '\n')
}

// held says what an event holds already, which is then not taken from its message.
type held struct {
	held       [roleCount]bool
	log, event bool // objects that members are added to
	app        bool
	ingested   bool
	original   bool
	created    bool
}

func (e *encoder) look(ev *event) (has held) {
	for _, m := range ev.members {
		switch string(m.key) {
		case "log":
			if has.log = m.value[0] == '{'; !has.log || !e.inner.object(m.value) {
				has.held[roleLevel], has.held[roleLogger] = true, true
				continue
			}
			for _, n := range e.inner.members {
				switch string(n.key) {
				case "level":
					has.held[roleLevel] = true
				case "logger":
					has.held[roleLogger] = true
				}
			}
		case "event":
			if has.event = m.value[0] == '{'; !has.event || !e.inner.object(m.value) {
				has.event, has.created, has.ingested, has.original = true, true, true, true
				continue
			}
			for _, n := range e.inner.members {
				switch string(n.key) {
				case "created":
					has.created = true
				case "ingested":
					has.ingested = true
				case "original":
					has.original = true
				}
			}
		case schemas.FieldLogLevel:
			has.held[roleLevel] = true
		case schemas.FieldLogLogger:
			has.held[roleLogger] = true
		case "trace", schemas.FieldTraceID:
			has.held[roleTrace] = true
		case schemas.FieldCreated:
			has.created = true
		case schemas.FieldIngested:
			has.ingested = true
		case schemas.FieldOriginal:
			has.original = true
		case schemas.FieldApp:
			has.app = true
		}
	}
	// Its time was replaced before, or it comes from a logger that knows the time.
	has.held[roleTime] = has.created || has.held[roleLevel]
	return has
}

// appendLog appends log.level and log.logger.
func (e *encoder) appendLog(dst []byte, f *facts, has held) []byte {
	from := len(dst)
	if f.level != "" && !has.held[roleLevel] {
		dst = append(append(append(dst, `"level":"`...), f.level...), '"')
	}
	if len(f.logger) > 0 && !has.held[roleLogger] {
		if len(dst) > from {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, `"logger":"`...), f.logger...), '"')
	}
	return dst
}

// appendEvent appends event.created (the time of reading, where the line told its own),
// ingested, dataset and, on request, original.
func (e *encoder) appendEvent(dst []byte, ev *event, at time.Time, has held) []byte {
	from := len(dst)
	comma := func() {
		if len(dst) > from {
			dst = append(dst, ',')
		}
	}
	if len(ev.dataset) > 0 {
		dst = append(schemas.AppendString(append(dst, `"dataset":"`...), ev.dataset), '"')
	}
	if !has.created && !at.Equal(ev.at) {
		comma()
		dst = append(schemas.AppendTime(append(dst, `"created":"`...), ev.at), '"')
	}
	if !has.ingested {
		comma()
		dst = append(append(append(dst, `"ingested":"`...), e.now...), '"')
	}
	if (e.original || ev.keep) && !has.original && !ev.absent {
		original := ev.original
		if original == nil {
			original = ev.message
		}
		comma()
		dst = append(append(append(dst, `"original":"`...), original...), '"')
	}
	return dst
}

// closeObject appends the members of an object to those that stand from an index on.
func closeObject(dst []byte, from int, object []byte) []byte {
	rest := object[skipSpace(object, 1):]
	if len(dst) > from && rest[0] != '}' {
		dst = append(dst, ',')
	}
	return append(dst, rest...)
}

// index is the name of the index: by the headers of the record, or the event's fields
// where it has no headers.
func (e *encoder) index(at time.Time, r *kafka.Record, ev *event) string {
	if !e.names.pattern.fields {
		return e.names.of(at, nil, nil, nil)
	}
	field := func(headerName, object, name string) []byte {
		if v := header(r, headerName); len(v) > 0 {
			return v
		}
		for _, m := range ev.members {
			switch {
			case string(m.key) == object && m.value[0] == '{' && e.inner.object(m.value):
				for _, n := range e.inner.members {
					if string(n.key) == name && n.value[0] == '"' {
						return n.value[1 : len(n.value)-1]
					}
				}
			case len(m.key) == len(object)+1+len(name) && string(m.key) == object+"."+name && m.value[0] == '"':
				return m.value[1 : len(m.value)-1]
			}
		}
		return nil
	}
	return e.names.of(at, field(schemas.HeaderDC, "labels", "dc"), field(schemas.HeaderDataset, "event", "dataset"), field(schemas.HeaderApp, "service", "name"))
}

func hasMember(members []member, key string) bool {
	for _, m := range members {
		if string(m.key) == key {
			return true
		}
	}
	return false
}

func cutBytes(b []byte, n int) []byte { return b[:min(n, len(b))] }
