// Package document makes of a Kafka record the two lines of a bulk request: which index
// and id, and the document. It owns the codecs, the names of indices, and how what was
// found in a line is joined with what its event has already. What it makes depends on
// the record alone.
//
//	record -> codec -> event -> parse.Parser -> write: {"create":...}\n{"@timestamp":...}\n
package document

import (
	"bytes"
	"time"

	"github.com/sluicelog/sluice/indexer/parse"
	"github.com/sluicelog/sluice/internal/jsontext"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/schemas"
)

// Encoder makes the two lines of a bulk request of a record. It depends on the record
// alone, so a record read again gives the same index, id and document (but for
// event.ingested, and @timestamp where neither the record nor its event has a time). It serves one goroutine, and allocates only for records larger than those
// before and for names of indices it has not made yet.
type Encoder struct {
	codec    string
	original bool // keep the line in event.original
	zone     *time.Location
	zones    []Zone
	names    names
	days     Days
	parser   *parse.Parser

	object jsontext.Object   // members of the event
	inner  jsontext.Object   // members of an object in it
	clean  []byte            // the value, where it had to be changed to be read
	extra  []byte            // members of documents that are made from no ECS event
	line   []byte            // a line escaped
	id     []byte            // that was made of an event
	odd    []byte            // members that their fields do not take
	taken  map[string]bool   // names in the app of the event that is mended, with those in odd
	levels []jsontext.Object // objects in objects of the event
	made   time.Time         // when documents are made
	now    []byte            // the same, event.ingested
	tally  Tally
}

// Options say how documents are made.
type Options struct {
	Pattern  *Pattern       // of the names of indices
	Days     Days           // that these names may have
	Open     *OpenIndices   // that an output writes to; nil: any number
	Zone     *time.Location // of times that name none
	Zones    []Zone         // the same, of some events: the first that fits
	Codec    string         // of the topic: ecs, filebeat, json, plain or syslog; empty: ecs
	Original bool           // keep the line as read in event.original
}

// Tally is what an encoder has met.
type Tally struct {
	Formats   [parse.Count]int // messages, by the format that read them
	Malformed int              // events that were not what their codec says
	Mistyped  int              // events with members that their fields do not take
	Doubted   int              // times that were not believed
	OtherDay  int              // events whose index is of the day of their record, not of their own time
	Undated   int              // events whose index has no day
}

// NewEncoder makes the encoder of a partition.
func NewEncoder(o Options) *Encoder {
	return &Encoder{codec: o.Codec, original: o.Original, zone: o.Zone, zones: o.Zones, names: names{pattern: o.Pattern, zone: o.Days.Zone, open: o.Open}, days: o.Days, parser: parse.New(o.Zone)}
}

// At sets the time that documents are made at, event.ingested.
func (e *Encoder) At(now time.Time) {
	e.made = now
	e.names.at(now)
	e.now = schemas.AppendTime(e.now[:0], now)
}

// Over reports whether the index of the document made last is one too many to be open.
func (e *Encoder) Over() bool { return e.names.over }

// Tally is what was met since it was asked last.
func (e *Encoder) Tally() Tally {
	t := e.tally
	e.tally = Tally{}
	return t
}

// event is a record as its codec reads it. Slices are insides of JSON strings.
type event struct {
	id       []byte
	at       time.Time
	message  []byte
	absent   bool              // no message
	members  []jsontext.Member // of an ECS event, without @timestamp, @metadata and message
	extra    []byte            // rendered members, each after a comma
	dataset  []byte            // event.dataset to be added
	original []byte            // the line, where message is not it
	ours     bool              // an event of the shipper: its time was checked there
	tag      string            // why it is not as it should be; empty: it is
	keep     bool              // the original whether asked for or not: the document does not hold all of it
	found    *parse.Found      // set by codecs that parse
	zone     *time.Location    // of its times that name none; nil: to be found
}

// Append appends the lines of a record from a topic.
func (e *Encoder) Append(dst []byte, r *kafka.Record, topic string, partition int32) []byte {
	var ev event
	whole, recorded := r, r.Time
	if ms := r.Time.UnixMilli(); ms <= 0 || ms > lastTime { // what writers put there that know no time
		read := *r
		read.Time, recorded = e.made, time.Time{}
		r = &read
	}
	switch e.codec { // no table of functions: the event would be allocated
	case "json":
		e.readJSON(r, &ev)
	case "plain":
		e.readPlain(r, &ev)
	case "syslog":
		e.readSyslog(r, &ev)
	default:
		e.readECS(r, &ev)
	}
	return e.write(dst, whole, recorded, &ev, topic, partition)
}

// lastTime is the last that Elasticsearch takes as four digits of a year, in ms since 1970.
const lastTime = 253_402_300_799_999

// Shed lets go of what a record was made of, and of buffers above a size: there is an
// encoder for each partition.
func (e *Encoder) Shed(size int) {
	for _, b := range []*[]byte{&e.clean, &e.extra, &e.line, &e.odd} {
		if cap(*b) > size {
			*b = nil
		}
	}
	e.object.Shed()
	e.inner.Shed()
	for i := range e.levels {
		e.levels[i].Shed()
	}
	e.parser.Shed(size)
}

// write appends the action and the document of an event. recorded is the time of the
// record, zero if it has none: the index then depends on no clock, while @timestamp of an
// event without a time is that of making the document.
func (e *Encoder) write(dst []byte, r *kafka.Record, recorded time.Time, ev *event, topic string, partition int32) []byte {
	if recorded.IsZero() && ev.ours {
		recorded = ev.at
	}
	has := e.look(ev)
	if ev.found == nil {
		if ev.absent {
			ev.found = e.parser.Nothing()
		} else {
			if ev.zone == nil {
				ev.zone = e.zoneOf(r, ev)
			}
			if ev.found = e.parser.Parse(ev.message, ev.at, parse.Options{Text: has.app, Present: has.roles, Zone: ev.zone}); ev.found.Members {
				ev.original = ev.message
			}
		}
	}
	f := ev.found
	e.tally.Formats[f.Format]++
	if f.Doubted {
		e.tally.Doubted++
	}
	at := ev.at
	if !f.Time.IsZero() && !has.roles.Has(parse.RoleTime) {
		at = f.Time
	}
	day, odd := e.days.day(at, recorded)
	switch odd {
	case tagOtherDay:
		e.tally.OtherDay++
	case tagUndated:
		e.tally.Undated++
	}

	dst = append(dst, `{"create":{"_index":"`...)
	dst = append(dst, e.index(day, r, ev)...)
	dst = append(dst, `","_id":"`...)
	if ev.id != nil {
		dst = append(dst, ev.id...)
	} else {
		dst = appendRecordID(dst, topic, partition, r)
	}
	dst = append(dst, `"}}`+"\n"+`{"@timestamp":"`...)
	dst = schemas.AppendTime(dst, at)
	if !ev.absent {
		dst = append(append(dst, `","message":"`...), f.Message...)
	}
	dst = append(dst, '"')
	tagged := ev.tag != "" || odd != ""
	for _, m := range ev.members {
		if tagged && string(m.Key) == schemas.FieldTags {
			dst, tagged = appendTags(dst, m.Value, ev.tag, odd), false
			continue
		}
		dst = append(append(append(dst, `,"`...), m.Key...), `":`...)
		object := m.Value[0] == '{'
		from := len(dst) + 1
		switch {
		case object && string(m.Key) == "log" && has.log:
			dst = closeObject(e.appendLog(append(dst, '{'), f, has), from, m.Value)
		case object && string(m.Key) == "event" && has.event:
			dst = closeObject(e.appendEvent(append(dst, '{'), ev, at, has), from, m.Value)
		default:
			dst = append(dst, m.Value...)
		}
	}
	if !has.log && (f.Level != "" && !has.roles.Has(parse.RoleLevel) || len(f.Logger) > 0 && !has.roles.Has(parse.RoleLogger)) {
		dst = append(dst, `,"log":{`...)
		dst = append(e.appendLog(dst, f, has), '}')
	}
	if !has.event {
		dst = append(dst, `,"event":{`...)
		dst = append(e.appendEvent(dst, ev, at, has), '}')
	}
	if len(f.Trace) > 0 && !has.roles.Has(parse.RoleTrace) {
		dst = append(append(append(dst, `,"trace":{"id":"`...), f.Trace...), `"}`...)
	}
	dst = append(dst, ev.extra...)
	if tagged {
		dst = appendTags(dst, nil, ev.tag, odd)
	}
	dst = appendFields(dst, f.Fields, ev)
	if len(f.App) > 0 {
		dst = append(append(append(dst, `,"app":{`...), f.App...), '}')
	}
	return append(dst, '}', '\n')
}

// present is what an event has already, which is then not taken from its message.
type present struct {
	roles      parse.Roles
	log, event bool // objects that members are added to
	app        bool
	ingested   bool
	original   bool
	created    bool
}

func (e *Encoder) look(ev *event) (has present) {
	for _, m := range ev.members {
		switch string(m.Key) {
		case "log":
			if has.log = m.Value[0] == '{'; !has.log || !e.inner.Read(m.Value) {
				has.roles |= parse.RoleLevel | parse.RoleLogger
				continue
			}
			for _, n := range e.inner.Members {
				switch string(n.Key) {
				case "level":
					has.roles |= parse.RoleLevel
				case "logger":
					has.roles |= parse.RoleLogger
				}
			}
		case "event":
			if has.event = m.Value[0] == '{'; !has.event || !e.inner.Read(m.Value) {
				has.event, has.created, has.ingested, has.original = true, true, true, true
				continue
			}
			for _, n := range e.inner.Members {
				switch string(n.Key) {
				case "created":
					has.created = true
				case "ingested":
					has.ingested = true
				case "original":
					has.original = true
				}
			}
		case schemas.FieldLogLevel:
			has.roles |= parse.RoleLevel
		case schemas.FieldLogLogger:
			has.roles |= parse.RoleLogger
		case "trace", schemas.FieldTraceID:
			has.roles |= parse.RoleTrace
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
	if ev.says("error") {
		has.roles |= parse.RoleError
	}
	// Its time was replaced before, or it comes from a logger that knows the time.
	if has.created || has.roles.Has(parse.RoleLevel) {
		has.roles |= parse.RoleTime
	}
	return has
}

// appendLog appends log.level and log.logger.
func (e *Encoder) appendLog(dst []byte, f *parse.Found, has present) []byte {
	from := len(dst)
	if f.Level != "" && !has.roles.Has(parse.RoleLevel) {
		dst = append(append(append(dst, `"level":"`...), f.Level...), '"')
	}
	if len(f.Logger) > 0 && !has.roles.Has(parse.RoleLogger) {
		if len(dst) > from {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, `"logger":"`...), f.Logger...), '"')
	}
	return dst
}

// appendEvent appends event.created (the time of reading, where the line has its own),
// ingested, dataset and, on request, original.
func (e *Encoder) appendEvent(dst []byte, ev *event, at time.Time, has present) []byte {
	from := len(dst)
	comma := func() {
		if len(dst) > from {
			dst = append(dst, ',')
		}
	}
	if len(ev.dataset) > 0 {
		dst = append(jsontext.Append(append(dst, `"dataset":"`...), ev.dataset), '"')
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

// appendTags appends the tags that an event has, a list or a single value, and those that
// are not empty.
func appendTags(dst, have []byte, tags ...string) []byte {
	dst = append(dst, `,"`+schemas.FieldTags+`":[`...)
	from := len(dst)
	if len(have) > 0 && have[0] == '[' {
		have = bytes.TrimSpace(have[1 : len(have)-1])
	}
	if dst = append(dst, have...); string(have) == "null" {
		dst = dst[:from]
	}
	for _, t := range tags {
		if t == "" {
			continue
		}
		if len(dst) > from {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), t...), '"')
	}
	return append(dst, ']')
}

// appendFields appends what a line says more, where the event does not say it itself.
func appendFields(dst []byte, fields []parse.Field, ev *event) []byte {
	for _, f := range fields {
		if ev.says(f.Name) {
			continue
		}
		dst = append(append(append(dst, `,"`...), f.Name...), `":`...)
		dst = append(dst, f.Value...)
	}
	return dst
}

// says reports whether the event has a member of that name, or one of its own such as
// name.x.
func (ev *event) says(name string) bool {
	for _, m := range ev.members {
		if len(m.Key) >= len(name) && string(m.Key[:len(name)]) == name && (len(m.Key) == len(name) || m.Key[len(name)] == '.') {
			return true
		}
	}
	return bytes.Contains(ev.extra, []byte(`,"`+name+`":`))
}

// closeObject appends the members of an object to those from an index on.
func closeObject(dst []byte, from int, object []byte) []byte {
	rest := object[jsontext.SkipSpace(object, 1):]
	if len(dst) > from && rest[0] != '}' {
		dst = append(dst, ',')
	}
	return append(dst, rest...)
}

// index is the name of the index of a day: by the headers of the record, or the event's
// fields where it has no headers.
func (e *Encoder) index(day time.Time, r *kafka.Record, ev *event) string {
	if !e.names.pattern.fields {
		return e.names.of(day, nil, nil, nil)
	}
	return e.names.of(day, e.field(r, ev, schemas.HeaderDC, "labels", "dc"), e.field(r, ev, schemas.HeaderDataset, "event", "dataset"), e.field(r, ev, schemas.HeaderApp, "service", "name"))
}

// field is what a header of the record says or, where it has none, a field of the event.
func (e *Encoder) field(r *kafka.Record, ev *event, headerName, object, name string) []byte {
	if v := header(r, headerName); len(v) > 0 {
		return v
	}
	for _, m := range ev.members {
		switch {
		case string(m.Key) == object && m.Value[0] == '{' && e.inner.Read(m.Value):
			for _, n := range e.inner.Members {
				if string(n.Key) == name && n.Value[0] == '"' {
					return n.Value[1 : len(n.Value)-1]
				}
			}
		case len(m.Key) == len(object)+1+len(name) && string(m.Key) == object+"."+name && m.Value[0] == '"':
			return m.Value[1 : len(m.Value)-1]
		}
	}
	return nil
}
