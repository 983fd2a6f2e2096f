// Package schemas is what sluice's stages agree on: the event on the wire, its id and
// field names, and what is installed in Elasticsearch for it.
package schemas

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/sluicelog/sluice/internal/jsontext"
)

// An event is one ECS JSON object without newline. Its first members are at fixed
// places, so the next stage finds them without a parser:
//
//	0                    21                      45               62                            92          105
//	{"@metadata":{"_id":"AZqTf0sBxxxxxxxxxxxxxxxx"},"@timestamp":"2026-11-21T08:57:47.123456789Z","message":"...","stream":...}
//	                     id, 24                                   UTC, nanoseconds, 30                       JSON string
const (
	headID      = `{"@metadata":{"_id":"`
	headTime    = `"},"@timestamp":"`
	headMessage = `","message":"`

	atID      = len(headID)
	atTime    = atID + IDLen + len(headTime)
	timeLen   = len("2006-01-02T15:04:05.000000000Z")
	atMessage = atTime + timeLen + len(headMessage)
)

// Line is what an event says of its own line; what it says of its source is in Tail.
type Line struct {
	ID       ID
	Time     time.Time // of the line where it has one, else of reading
	Message  []byte    // inside of a JSON string: escaped, valid UTF-8, no quotes around it
	Stream   string    // stdout, stderr or empty
	Offset   int64     // in bytes: where the first raw byte is in its file
	Size     int64     // raw bytes of the file that went into the event
	Flags    []string  // log.flags
	FileName []byte    // log.file.name, inside of a JSON string; empty: none

	// Generation is log.generation, inside of a JSON string: which of the files that a
	// source had in time, with how many truncations, Offset is an offset in. Empty: none.
	Generation string
}

// AppendEvent appends the event of a line. It allocates nothing but what dst lacks.
func AppendEvent(dst []byte, l *Line, t *Tail) []byte {
	dst = append(dst, headID...)
	dst = l.ID.AppendText(dst)
	dst = append(dst, headTime...)
	dst = AppendTime(dst, l.Time)
	dst = append(dst, headMessage...)
	dst = append(dst, l.Message...)
	if l.Stream != "" {
		dst = append(dst, `","stream":"`...)
		dst = append(dst, l.Stream...)
	}
	dst = append(dst, `","log":{"offset":`...)
	dst = strconv.AppendInt(dst, l.Offset, 10)
	dst = append(dst, `,"size":`...)
	dst = strconv.AppendInt(dst, l.Size, 10)
	for i, f := range l.Flags {
		if i == 0 {
			dst = append(dst, `,"flags":["`...)
		} else {
			dst = append(dst, `","`...)
		}
		dst = append(dst, f...)
		if i == len(l.Flags)-1 {
			dst = append(dst, `"]`...)
		}
	}
	if l.Generation != "" {
		dst = append(dst, `,"generation":"`...)
		dst = append(dst, l.Generation...)
		dst = append(dst, '"')
	}
	if len(l.FileName) > 0 {
		dst = append(dst, `,"file":{"name":"`...)
		dst = append(dst, l.FileName...)
		dst = append(dst, '"')
		if len(t.path) > 0 {
			dst = append(dst, ',')
			dst = append(dst, t.path...)
		}
		dst = append(dst, '}')
	} else if len(t.path) > 0 {
		dst = append(dst, `,"file":{`...)
		dst = append(dst, t.path...)
		dst = append(dst, '}')
	}
	return append(dst, t.rest...)
}

// Head is the part of an event that a stage reads without a parser. Its slices point
// into the value.
type Head struct {
	ID      []byte // 24 characters
	Time    []byte // RFC 3339, nanoseconds, UTC
	Message []byte // inside of a JSON string, still escaped
	Rest    []byte // what follows the message's closing quote: `,"stream":...}`
}

// ParseHead finds the first members of an event written by AppendEvent; ok is false
// for any other JSON, which is then to be read with a parser.
func ParseHead(value []byte) (h Head, ok bool) {
	if len(value) < atMessage+2 ||
		string(value[:atID]) != headID ||
		string(value[atID+IDLen:atTime]) != headTime ||
		string(value[atTime+timeLen:atMessage]) != headMessage {
		return Head{}, false
	}
	n := jsontext.Quote(value[atMessage:])
	if n < 0 {
		return Head{}, false
	}
	h.ID = value[atID : atID+IDLen]
	h.Time = value[atTime : atTime+timeLen]
	h.Message = value[atMessage : atMessage+n]
	h.Rest = value[atMessage+n+1:]
	return h, len(h.Rest) > 0 && h.Rest[len(h.Rest)-1] == '}'
}

// AppendTime appends t as RFC 3339 in UTC with nine digits of a second. Years outside
// 0 to 9999 are clamped.
func AppendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, sec := t.Clock()
	year = min(max(year, 0), 9999)
	dst = append(dst,
		byte('0'+year/1000), byte('0'+year/100%10), byte('0'+year/10%10), byte('0'+year%10), '-',
		byte('0'+month/10), byte('0'+month%10), '-',
		byte('0'+day/10), byte('0'+day%10), 'T',
		byte('0'+hour/10), byte('0'+hour%10), ':',
		byte('0'+minute/10), byte('0'+minute%10), ':',
		byte('0'+sec/10), byte('0'+sec%10), '.')
	ns := t.Nanosecond()
	for div := 100_000_000; div > 0; div /= 10 {
		dst = append(dst, byte('0'+ns/div%10))
	}
	return append(dst, 'Z')
}

// Tail is all that an event says of its source, rendered once and copied after each
// line. It is read-only after NewTail.
type Tail struct {
	path []byte // `"path":"..."`
	rest []byte // `,"source":"..."},"container":{...},...}`: from the end of log to that of the event
}

// Instead is a copy of an event that ends in t, with another tail in its place; false if it
// does not end in t.
func (t *Tail) Instead(value []byte, other *Tail) ([]byte, bool) {
	before, ok := bytes.CutSuffix(value, t.rest)
	if !ok {
		return nil, false
	}
	return append(append(make([]byte, 0, len(before)+len(other.rest)), before...), other.rest...), true
}

// Source is what is known of where lines come from. Empty fields are left out.
type Source struct {
	ID                                     string // log.source: what the key of its records is
	Path                                   string // log.file.path
	ContainerID, ContainerName, Image      string
	ContainerLabels                        map[string]string
	TaskID, FrameworkID, ExecutorID, Agent string // Mesos
	AppID, AppVersion                      string // Marathon
	ChronosJob                             string
	ServiceName, ServiceVersion            string
	Host, DC                               string
	Labels                                 map[string]string
	Dataset                                string
	Tags                                   []string
}

// NewTail renders a source.
func NewTail(s *Source) *Tail {
	t := &Tail{}
	if s.Path != "" {
		t.path = append(jsontext.Append(append(t.path, `"path":"`...), s.Path), '"')
	}
	if s.ID != "" {
		t.rest = append(jsontext.Append(append(t.rest, `,"source":"`...), s.ID), '"')
	}
	t.rest = append(t.rest, '}')
	var w objects
	w.open("container")
	w.text("id", s.ContainerID)
	w.text("name", s.ContainerName)
	w.open("image")
	w.text("name", s.Image)
	w.close()
	w.strings("labels", s.ContainerLabels)
	w.close()
	w.open("mesos")
	w.text("task_id", s.TaskID)
	w.text("framework_id", s.FrameworkID)
	w.text("executor_id", s.ExecutorID)
	w.text("agent_id", s.Agent)
	w.close()
	w.open("marathon")
	w.text("app_id", s.AppID)
	w.text("version", s.AppVersion)
	w.close()
	w.open("chronos")
	w.text("job", s.ChronosJob)
	w.close()
	w.open("service")
	w.text("name", s.ServiceName)
	w.text("version", s.ServiceVersion)
	w.close()
	w.open("host")
	w.text("name", s.Host)
	w.close()
	labels := maps.Clone(s.Labels)
	if s.DC != "" {
		if labels == nil {
			labels = map[string]string{}
		}
		labels["dc"] = s.DC
	}
	w.strings("labels", labels)
	w.open("event")
	w.text("dataset", s.Dataset)
	w.close()
	w.list("tags", s.Tags)
	t.rest = append(append(t.rest, w.buf...), '}')
	return t
}

// objects writes members of nested objects and leaves out those without any.
type objects struct {
	buf     []byte
	pending []string // opened and still empty
}

func (w *objects) open(name string) { w.pending = append(w.pending, name) }

func (w *objects) close() {
	if n := len(w.pending); n > 0 {
		w.pending = w.pending[:n-1]
		return
	}
	w.buf = append(w.buf, '}')
}

// member writes the name of a member, with the objects around it that are still unwritten.
func (w *objects) member(name string) {
	for _, p := range w.pending {
		w.name(p)
		w.buf = append(w.buf, '{')
	}
	w.pending = w.pending[:0]
	w.name(name)
}

func (w *objects) name(name string) {
	if n := len(w.buf); n == 0 || w.buf[n-1] != '{' {
		w.buf = append(w.buf, ',')
	}
	w.buf = append(jsontext.Append(append(w.buf, '"'), name), `":`...)
}

func (w *objects) text(name, value string) {
	if value != "" {
		w.member(name)
		w.quote(value)
	}
}

func (w *objects) quote(value string) {
	w.buf = append(jsontext.Append(append(w.buf, '"'), value), '"')
}

func (w *objects) strings(name string, m map[string]string) {
	w.open(name)
	for _, k := range slices.Sorted(maps.Keys(m)) {
		w.member(k)
		w.quote(m[k])
	}
	w.close()
}

func (w *objects) list(name string, items []string) {
	if len(items) == 0 {
		return
	}
	w.member(name)
	w.buf = append(w.buf, '[')
	for i, s := range items {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		w.quote(s)
	}
	w.buf = append(w.buf, ']')
}
