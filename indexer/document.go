package indexer

import (
	"time"

	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/schemas"
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

func cutBytes(b []byte, n int) []byte { return b[:min(n, len(b))] }
