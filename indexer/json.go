package indexer

import (
	"bytes"
	"time"
)

// role is what a member of an application's line becomes.
type role int

const (
	roleNone role = iota
	roleTime
	roleLevel
	roleMessage
	roleLogger
	roleTrace
	roleCount
)

// roleOf knows the names that logging libraries use: logback and log4j (ECS, logstash
// encoders), zap, zerolog, logrus, slog, bunyan, pino, serilog, structlog, GELF.
func roleOf(key []byte) role {
	switch string(key) {
	case "@timestamp", "timestamp", "time", "ts", "t", "datetime", "asctime", "@t":
		return roleTime
	case "level", "lvl", "severity", "log.level", "loglevel", "logLevel", "levelname", "level_name", "@l":
		return roleLevel
	case "message", "msg", "short_message", "@m":
		return roleMessage
	case "logger", "logger_name", "loggerName", "log.logger":
		return roleLogger
	case "trace_id", "traceId", "trace.id", "traceID", "traceid":
		return roleTrace
	}
	return roleNone
}

// json reads a message that is one JSON object. What is lifted is left out of app; all
// other members are in it as written, so nothing of the line is lost.
func (p *parser) json(m []byte, read time.Time, f *facts) bool {
	p.text = unescape(p.text[:0], m)
	if bytes.IndexByte(p.text, '\n') >= 0 || bytes.IndexByte(p.text, '\r') >= 0 {
		for i, c := range p.text { // white space between members, or no JSON: strings hold none
			if c == '\n' || c == '\r' {
				p.text[i] = ' '
			}
		}
	}
	return p.object(p.text, read, f)
}

// object is json on text that is not escaped and has no line ends.
func (p *parser) object(text []byte, read time.Time, f *facts) bool {
	p.scan.unique = true
	if !p.scan.object(text) || bytes.Contains(text, []byte(`\u0000`)) {
		return false // Elasticsearch refuses NUL in the keys of a flattened field
	}
	f.format = formatJSON
	p.app = p.app[:0]
	var taken [roleCount]bool
	for _, m := range p.scan.members {
		if r := roleOf(m.key); r != roleNone && !taken[r] && !p.held[r] && p.lift(r, m.value, read, f) {
			taken[r] = true
			continue
		}
		if len(p.app) > 0 {
			p.app = append(p.app, ',')
		}
		p.app = append(p.app, '"')
		p.app = append(p.app, m.key...)
		p.app = append(p.app, `":`...)
		p.app = append(p.app, m.value...)
	}
	f.app = p.app
	return true
}

// lift takes a member into the facts; it reports false when its value is not what its
// name promises, and it then stays in app.
func (p *parser) lift(r role, value []byte, read time.Time, f *facts) bool {
	inside, quoted := value, false
	if value[0] == '"' {
		inside, quoted = value[1:len(value)-1], true
	}
	switch r {
	case roleTime:
		if !quoted && !isDigit(value[0]) {
			return false
		}
		var t civil
		if n := matchTime(inside, &t); n == 0 || n != len(inside) {
			return false
		}
		before := f.time
		p.resolve(&t, read, f)
		return f.time != before
	case roleLevel:
		level := ""
		if quoted {
			level = levelOf(bytes.TrimSpace(inside))
		} else {
			level = levelOfNumber(inside)
		}
		if level == "" {
			return false
		}
		f.level = level
	case roleMessage:
		if !quoted {
			return false
		}
		f.message = inside
	case roleLogger:
		if !quoted || len(inside) == 0 {
			return false
		}
		f.logger = inside
	case roleTrace:
		if !quoted || len(inside) == 0 {
			return false
		}
		f.trace = inside
	}
	return true
}
