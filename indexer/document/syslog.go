package document

import (
	"bytes"
	"strconv"

	"github.com/sluicelog/sluice/indexer/parse"
	"github.com/sluicelog/sluice/internal/jsontext"
	"github.com/sluicelog/sluice/internal/kafka"
)

// readSyslog reads the value as a message of RFC 5424 or RFC 3164, with or without its
// priority. The fields go to log.syslog, host, process; message is the text alone, as
// syslog's own header is no part of what the program wrote. Where a part of the header
// has no field to go to, the whole is kept in event.original.
func (e *Encoder) readSyslog(r *kafka.Record, ev *event) {
	value := bytes.TrimRight(r.Value, "\r\n\x00")
	e.fromHeaders(r, ev)
	ev.at = r.Time
	var h parse.SyslogMessage
	if !h.Read(value) {
		e.malformed(r, ev, "the value is no syslog message", tagNoSyslog)
		return
	}
	found := e.parser.Nothing()
	if t, ok := h.Time.At(r.Time, e.zoneOfHost(r, h.Host)); h.Timed && ok {
		found.Time = t
	} else if h.Timed {
		e.tally.Doubted++
		ev.keep = true
	}
	pri := h.Priority
	if pri < 0 && len(h.MsgID)+len(h.Data) > 0 {
		ev.keep = true
	}
	if pri >= 0 {
		e.extra = append(e.extra, `,"log":{"level":"`...)
		e.extra = append(append(e.extra, parse.Severity(pri)...), `","syslog":{"priority":`...)
		e.extra = strconv.AppendInt(e.extra, int64(pri), 10)
		e.extra = strconv.AppendInt(append(e.extra, `,"facility":{"code":`...), int64(pri>>3), 10)
		e.extra = strconv.AppendInt(append(e.extra, `},"severity":{"code":`...), int64(pri&7), 10)
		e.extra = append(e.extra, `}`...)
		e.text("msgid", h.MsgID)
		if len(h.Data) > 0 {
			var all bool
			e.extra, all = appendData(append(e.extra, `,"structured_data":{`...), h.Data)
			e.extra = append(e.extra, '}')
			ev.keep = ev.keep || !all
		}
		e.extra = append(e.extra, `}}`...)
	}
	if len(h.Host) > 0 {
		e.extra = append(jsontext.Append(append(e.extra, `,"host":{"name":"`...), h.Host), `"}`...)
	}
	if len(h.Program) > 0 {
		e.extra = append(jsontext.Append(append(e.extra, `,"process":{"name":"`...), h.Program), '"')
		if pid, err := strconv.ParseInt(string(h.PID), 10, 64); err == nil {
			e.extra = strconv.AppendInt(append(e.extra, `,"pid":`...), pid, 10)
		} else if len(h.PID) > 0 {
			ev.keep = true
		}
		e.extra = append(e.extra, '}')
	} else if len(h.PID) > 0 {
		ev.keep = true
	}
	e.line = jsontext.Append(e.line[:0], value)
	whole := len(e.line)
	e.line = jsontext.Append(e.line, h.Text)
	ev.original, ev.message = e.line[:whole], e.line[whole:]
	found.Format, found.Message, ev.found = parse.FormatSyslog, ev.message, found
	ev.extra = e.extra
}

func (e *Encoder) text(name string, value []byte) {
	if len(value) > 0 {
		e.extra = append(append(append(e.extra, `,"`...), name...), `":"`...)
		e.extra = append(jsontext.Append(e.extra, value), '"')
	}
}

// appendData appends the elements of structured data as members id: {name: value}. An
// element whose id came before is left out, as are names that come twice; both are
// forbidden by the RFC. It reports whether nothing was left out.
func appendData(dst, data []byte) (_ []byte, all bool) {
	all = true
	seen := map[string]bool{}
	for len(data) > 0 {
		n := parse.SyslogElement(data)
		element := data[1 : n-1]
		data = data[n:]
		id, params, _ := bytes.Cut(element, []byte(" "))
		if seen[string(id)] {
			all = false
			continue
		}
		if len(seen) > 0 {
			dst = append(dst, ',')
		}
		seen[string(id)] = true
		dst = append(jsontext.Append(append(dst, '"'), id), `":{`...)
		names := map[string]bool{}
		for len(params) > 0 {
			name, rest, ok := bytes.Cut(bytes.TrimLeft(params, " "), []byte(`="`))
			if !ok {
				all = false
				break
			}
			end := jsontext.Quote(rest)
			if end < 0 {
				all = false
				break
			}
			if params = rest[end+1:]; names[string(name)] {
				all = false
				continue
			}
			if len(names) > 0 {
				dst = append(dst, ',')
			}
			names[string(name)] = true
			dst = append(jsontext.Append(append(dst, '"'), name), `":"`...)
			dst = append(appendParam(dst, rest[:end]), '"')
		}
		dst = append(dst, '}')
	}
	return dst, all
}

// appendParam appends a value without the backslashes before quote, backslash and
// bracket.
func appendParam(dst, value []byte) []byte {
	for {
		n := bytes.IndexByte(value, '\\')
		if n < 0 || n+1 == len(value) {
			return jsontext.Append(dst, value)
		}
		if c := value[n+1]; c != '"' && c != '\\' && c != ']' {
			dst = jsontext.Append(dst, value[:n+1]) // it is no escape
			value = value[n+1:]
			continue
		}
		dst = jsontext.Append(dst, value[:n])
		dst = jsontext.Append(dst, value[n+1:n+2])
		value = value[n+2:]
	}
}
