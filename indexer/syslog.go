package indexer

import (
	"bytes"
	"strconv"

	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/schemas"
)

// readSyslog reads the value as a message of RFC 5424 or RFC 3164, with or without its
// priority. The fields go to log.syslog, host, process; message is the text alone, as
// syslog's own header is no part of what the program wrote. Where a part of the header
// has no field to go to, the whole is kept in event.original.
func (e *encoder) readSyslog(r *kafka.Record, ev *event) {
	value := bytes.TrimRight(r.Value, "\r\n\x00")
	m := value
	pri := -1
	if len(m) > 0 && m[0] == '<' {
		if v, n := priority(m); n > 0 {
			pri, m = v, m[n:]
		}
	}
	e.fromHeaders(r, ev)
	ev.at = r.Time
	var h syslogHeader
	if !h.parse(m) {
		e.malformed(r, ev, "the value is no syslog message", tagNoSyslog)
		return
	}
	if t, ok := h.time.resolve(r.Time, e.parser.zone); h.timed && ok {
		ev.facts.time = t
	} else if h.timed {
		e.doubt++
		ev.keep = true
	}
	if pri < 0 && len(h.msgID)+len(h.data) > 0 {
		ev.keep = true
	}
	if pri >= 0 {
		e.extra = append(e.extra, `,"log":{"level":"`...)
		e.extra = append(append(e.extra, severities[pri&7]...), `","syslog":{"priority":`...)
		e.extra = strconv.AppendInt(e.extra, int64(pri), 10)
		e.extra = strconv.AppendInt(append(e.extra, `,"facility":{"code":`...), int64(pri>>3), 10)
		e.extra = strconv.AppendInt(append(e.extra, `},"severity":{"code":`...), int64(pri&7), 10)
		e.extra = append(e.extra, `}`...)
		e.text("msgid", h.msgID)
		if len(h.data) > 0 {
			var all bool
			e.extra, all = appendData(append(e.extra, `,"structured_data":{`...), h.data)
			e.extra = append(e.extra, '}')
			ev.keep = ev.keep || !all
		}
		e.extra = append(e.extra, `}}`...)
	}
	if len(h.host) > 0 {
		e.extra = append(schemas.AppendString(append(e.extra, `,"host":{"name":"`...), h.host), `"}`...)
	}
	if len(h.program) > 0 {
		e.extra = append(schemas.AppendString(append(e.extra, `,"process":{"name":"`...), h.program), '"')
		if pid, err := strconv.ParseInt(string(h.pid), 10, 64); err == nil {
			e.extra = strconv.AppendInt(append(e.extra, `,"pid":`...), pid, 10)
		} else if len(h.pid) > 0 {
			ev.keep = true
		}
		e.extra = append(e.extra, '}')
	} else if len(h.pid) > 0 {
		ev.keep = true
	}
	e.line = schemas.AppendString(e.line[:0], value)
	whole := len(e.line)
	e.line = schemas.AppendString(e.line, h.text)
	ev.original, ev.message = e.line[:whole], e.line[whole:]
	ev.facts.format, ev.facts.message, ev.parsed = formatSyslog, ev.message, true
	ev.extra = e.extra
}

func (e *encoder) text(name string, value []byte) {
	if len(value) > 0 {
		e.extra = append(append(append(e.extra, `,"`...), name...), `":"`...)
		e.extra = append(schemas.AppendString(e.extra, value), '"')
	}
}

// syslogHeader is what stands before the text of a syslog message.
type syslogHeader struct {
	time                            civil
	timed                           bool
	host, program, pid, msgID, data []byte
	text                            []byte
}

// parse reads a message behind its priority.
func (h *syslogHeader) parse(m []byte) bool {
	if len(m) > 2 && m[0] == '1' && m[1] == ' ' {
		return h.parse5424(m[2:])
	}
	return h.parse3164(m)
}

// parse5424: TIMESTAMP HOST APP PROCID MSGID SD MSG, - for what is unknown.
func (h *syslogHeader) parse5424(m []byte) bool {
	var stamp []byte
	for _, field := range []*[]byte{&stamp, &h.host, &h.program, &h.pid, &h.msgID} {
		word, rest, ok := bytes.Cut(m, []byte(" "))
		if !ok || len(word) == 0 {
			return false
		}
		if m = rest; string(word) != "-" {
			*field = word
		}
	}
	if stamp != nil {
		if n := matchTime(stamp, &h.time); n != len(stamp) {
			return false
		}
		h.timed = true
	}
	switch at(m, 0) {
	case '-':
		m = m[1:]
	case '[':
		n := dataEnd(m)
		if n < 0 {
			return false
		}
		h.data, m = m[:n], m[n:]
	default:
		return false
	}
	if len(m) > 0 && m[0] != ' ' {
		return false
	}
	h.text = bytes.TrimPrefix(bytes.TrimPrefix(m, []byte(" ")), []byte("\uFEFF"))
	return true
}

// dataEnd is the index behind the structured data [id k="v"][...] at m[0], or -1.
func dataEnd(m []byte) int {
	for end := 0; ; {
		n := dataElementEnd(m[end:])
		if n < 0 {
			return -1
		}
		end += n
		if at(m, end) != '[' {
			return end
		}
	}
}

// appendData appends the elements of structured data as members id: {name: value}. An
// element whose id came before is left out, as are names that come twice; both are
// forbidden by the RFC. It reports whether nothing was left out.
func appendData(dst, data []byte) (_ []byte, all bool) {
	all = true
	seen := map[string]bool{}
	for len(data) > 0 {
		n := dataElementEnd(data)
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
		dst = append(schemas.AppendString(append(dst, '"'), id), `":{`...)
		names := map[string]bool{}
		for len(params) > 0 {
			name, rest, ok := bytes.Cut(bytes.TrimLeft(params, " "), []byte(`="`))
			if !ok {
				all = false
				break
			}
			end := schemas.StringEnd(rest)
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
			dst = append(schemas.AppendString(append(dst, '"'), name), `":"`...)
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
			return schemas.AppendString(dst, value)
		}
		if c := value[n+1]; c != '"' && c != '\\' && c != ']' {
			dst = schemas.AppendString(dst, value[:n+1]) // it is no escape
			value = value[n+1:]
			continue
		}
		dst = schemas.AppendString(dst, value[:n])
		dst = schemas.AppendString(dst, value[n+1:n+2])
		value = value[n+2:]
	}
}

// dataElementEnd is the index behind the element [id k="v"] at m[0], or -1.
func dataElementEnd(m []byte) int {
	quoted := false
	for i := 0; i < len(m); i++ {
		switch c := m[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && c == ']':
			return i + 1
		}
	}
	return len(m)
}

// parse3164: Nov 21 08:57:47 HOST TAG[PID]: MSG; an ISO time is taken as well, and the
// host may be missing, as in messages of the local socket.
func (h *syslogHeader) parse3164(m []byte) bool {
	n := matchTime(m, &h.time)
	if n == 0 || at(m, n) != ' ' {
		return false
	}
	h.timed = true
	m = m[n+1:]
	word, rest, ok := bytes.Cut(m, []byte(" "))
	if ok && !h.tag(word) {
		h.host, m = word, rest
		word, _, _ = bytes.Cut(m, []byte(" "))
	}
	if h.tag(word) {
		m = m[len(word):]
	}
	h.text = bytes.TrimPrefix(m, []byte(" "))
	return true
}

// tag reads program[123]: or program:.
func (h *syslogHeader) tag(word []byte) bool {
	if len(word) < 2 || word[len(word)-1] != ':' {
		return false
	}
	name := word[:len(word)-1]
	if n := bytes.IndexByte(name, '['); n > 0 && name[len(name)-1] == ']' {
		h.program, h.pid = name[:n], name[n+1:len(name)-1]
		return true
	}
	if bytes.IndexByte(name, ':') >= 0 { // an IPv6 address
		return false
	}
	h.program = name
	return true
}
