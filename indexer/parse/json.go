package parse

import (
	"bytes"
	"cmp"
	"strconv"
	"time"

	"github.com/sluicelog/sluice/internal/jsontext"
)

// maxMembersText bounds the messages that are read as JSON or logfmt, in bytes; a longer
// one stays text.
const maxMembersText = 256 << 10

// jsonObject reads a message that is one JSON object. What is lifted is left out of App;
// all other members are in it as written, so nothing of the line is lost.
type jsonObject struct{}

func (jsonObject) Name() string           { return "json" }
func (jsonObject) Starts(first byte) bool { return first == '{' }

func (jsonObject) Read(p *Parser) bool {
	if !p.structured || len(p.message) > maxMembersText {
		return false
	}
	p.text = jsontext.Unescape(p.text[:0], p.message[p.start:])
	return p.members(trimColour(p.text))
}

// trimColour cuts off the colours and blanks at the end of a text that is not escaped.
func trimColour(text []byte) []byte {
	for {
		text = bytes.TrimRight(text, " \r\n\t")
		n := len(text)
		if n == 0 || text[n-1] != 'm' {
			return text
		}
		for n--; n > 0 && (isDigit(text[n-1]) || text[n-1] == ';'); n-- {
		}
		if n < 2 || text[n-1] != '[' || text[n-2] != 0x1b {
			return text
		}
		text = text[:n-2]
	}
}

// Object reads a text that is one JSON object and not escaped, read at a time; line ends
// in it become spaces, in place. False: it is none, and was not written to. Message is nil
// where no member is the message.
func (p *Parser) Object(text []byte, read time.Time, o Options) (*Found, bool) {
	p.begin(nil, read, o)
	if !p.members(text) {
		return nil, false
	}
	p.found.Format = FormatJSON
	return &p.found, true
}

// members lifts the members of an object that have a role and puts all others in App.
func (p *Parser) members(text []byte) bool {
	if !p.object.Read(text) {
		return false
	}
	jsontext.OneLine(text)
	l := lifting{p: p, taken: p.present}
	l.all(p.object.Members)
	p.app = p.app[:0]
	for _, m := range p.object.Members {
		if m.Key == nil { // lifted
			continue
		}
		if len(p.app) > 0 {
			p.app = append(p.app, ',')
		}
		p.app = append(p.app, '"')
		p.app = append(p.app, m.Key...)
		p.app = append(p.app, `":`...)
		p.app = append(p.app, m.Value...)
	}
	p.found.App, p.found.Members = p.app, true
	return true
}

// lifting takes members of an object for what their names say.
type lifting struct {
	p     *Parser
	taken Roles
	named int // members that only loggers write beside name

	// Members that are what their name says if no better one is, 1 + their index.
	time, message, log, logger, name, number, priority, label int
	mongo                                                     bool
}

// all lifts what it can of the members; those that are lifted whole lose their key.
func (l *lifting) all(members []jsontext.Member) {
	for i := range members {
		m := &members[i]
		means := meaningOf(m.Key)
		if means == meansNothing {
			switch string(m.Key) {
			case "hostname", "pid", "lineno", "v":
				l.named++
			case "prio":
				l.priority = i + 1
			}
			continue
		}
		if string(m.Key) == "levelname" { // Python
			l.named = 2
		}
		if role := means.role(); !l.taken.Has(role) && l.one(means, m.Value, i) {
			m.Key, l.taken = nil, l.taken|role
		}
	}
	l.rest(members)
}

// one lifts a member; it reports false when its value is not what its name promises, or
// has more than what is lifted: it then stays in App.
func (l *lifting) one(means meaning, value []byte, i int) bool {
	f := &l.p.found
	inside, quoted := insideOf(value)
	if quoted && len(inside) == 0 {
		return false
	}
	switch means {
	case meansTime:
		if value[0] == '{' {
			l.timeObject(value)
			return false
		}
		return l.p.timeMember(inside)
	case meansTimePerhaps:
		l.time = cmp.Or(l.time, i+1)
	case meansCreated:
		if !quoted {
			l.time = cmp.Or(l.time, i+1)
		}
	case meansInstant:
		l.timeObject(value)
	case meansRecord:
		l.record(value)
	case meansLevel:
		if value[0] == '{' {
			l.levelObject(value)
			return false
		}
		level := levelText(inside)
		if level == "" && isDigit(at(inside, 0)) {
			l.number = cmp.Or(l.number, i+1)
			return false
		}
		return l.setLevel(level)
	case meansLevelPython:
		l.setLevel(levelOfPython(inside))
	case meansLevelLogback:
		l.setLevel(levelOfLogback(inside))
	case meansLevelOTel:
		if f.Level == "" {
			f.Level = levelOfOTel(inside) // its text, if there is one, is better
		}
	case meansLevelNET:
		level := levelText(inside)
		if level == "" {
			level = levelOfNET(inside)
		}
		return l.setLevel(level)
	case meansLevelSyslog:
		return l.setLevel(levelOfSyslog(inside))
	case meansLevelMongo:
		l.label = cmp.Or(l.label, i+1)
	case meansTags:
		if value[0] == '[' && at(value, 1) == '"' {
			if n := bytes.IndexByte(value[2:], '"'); n > 0 && f.Level == "" {
				f.Level = levelOf(value[2 : 2+n])
			}
		}
	case meansMessage:
		if !quoted {
			return false
		}
		if l.p.auditTime(inside); !isMessage(inside) {
			return false
		}
		f.Message = inside
		return true
	case meansMessagePerhaps:
		if quoted && isMessage(inside) {
			l.message = cmp.Or(l.message, i+1)
		}
	case meansFields:
		if value[0] == '{' || quoted && isMessage(inside) {
			l.message = cmp.Or(l.message, i+1)
		}
	case meansLog:
		if value[0] == '{' {
			l.logObject(value)
		} else if quoted {
			l.log = i + 1
		}
	case meansLogger:
		if !quoted {
			return false
		}
		f.Logger = inside
		return true
	case meansLoggerPerhaps:
		if quoted {
			l.logger = cmp.Or(l.logger, i+1)
		}
	case meansName:
		if quoted {
			l.name = i + 1
		}
	case meansTraceOfError:
		return quoted && l.p.addThrown(inside) || value[0] == '{' && l.errorObject(value)
	case meansError:
		return value[0] == '{' && l.errorObject(value)
	case meansTrace:
		if !quoted {
			return false
		}
		f.Trace = inside
		return true
	case meansTraceParent:
		if quoted && len(inside) == 55 && inside[2] == '-' && inside[35] == '-' {
			f.Trace = inside[3:35]
		}
	case meansTraceObject:
		if id, ok := l.p.member(value, "id"); ok {
			f.Trace = id
		}
	}
	return false
}

func (l *lifting) setLevel(level string) bool {
	if level == "" {
		return false
	}
	l.p.found.Level = level
	l.taken |= RoleLevel
	return true
}

// levelObject reads what loguru and log4j make of a level: {"name":"INFO"}.
func (l *lifting) levelObject(value []byte) {
	level := ""
	for _, name := range [...]string{"name", "levelStr"} {
		if text, ok := l.p.member(value, name); ok {
			level = levelText(text)
		}
	}
	l.setLevel(level)
}

// errorObject reads {"type":"x","message":"y","stack":"z"} of pino, bunyan, log4j2 and
// ECS. False: it has more than these, and stays in App as well.
func (l *lifting) errorObject(value []byte) bool {
	o := &l.p.inner
	if !o.Read(value) || hasField(l.p.fields, "error") {
		return false
	}
	var t thrown
	all := true
	for _, m := range o.Members {
		inside, quoted := insideOf(m.Value)
		switch string(m.Key) {
		case "type", "name", "class", "exception_class":
			if quoted && t.kind == nil {
				t.kind = inside
				continue
			}
		case "message", "msg", "exception_message":
			if quoted {
				t.message = inside
				continue
			}
		case "stack", "stack_trace", "stacktrace", "stackTrace", "extendedStackTrace":
			if quoted {
				t.trace = inside
				continue
			}
		}
		all = false
	}
	if len(t.kind) == 0 && len(t.trace) == 0 {
		return false
	}
	l.p.addError(&t)
	return all
}

// logObject reads Elastic's {"level":"ERROR","logger":"a.B"}.
func (l *lifting) logObject(value []byte) {
	f := &l.p.found
	if level, ok := l.p.member(value, "level"); ok && !l.taken.Has(RoleLevel) {
		l.setLevel(levelText(level))
	}
	if logger, ok := l.p.member(value, "logger"); ok && !l.taken.Has(RoleLogger) {
		f.Logger = logger
		l.taken |= RoleLogger
	}
}

// record reads what loguru makes of one: {"level":{"name":"INFO"},"time":{"repr":"..."},
// "message":"x","name":"a"}. All of it stays in App.
func (l *lifting) record(value []byte) {
	if value[0] != '{' || !l.p.record.Read(value) {
		return
	}
	for _, m := range l.p.record.Members {
		inside, quoted := insideOf(m.Value)
		switch string(m.Key) {
		case "level":
			switch {
			case l.taken.Has(RoleLevel):
			case m.Value[0] == '{':
				l.levelObject(m.Value)
			default: // a number is of no logger we know
				l.setLevel(levelText(inside))
			}
		case "time":
			l.timeObject(m.Value)
		case "message":
			if quoted && isMessage(inside) && !l.taken.Has(RoleMessage) {
				l.p.found.Message = inside
				l.taken |= RoleMessage
			}
		case "name":
			if quoted && !l.taken.Has(RoleLogger) {
				l.p.found.Logger = inside
			}
		}
	}
}

// timeObject reads {"$date":"2026-..."}, {"seconds":1,"nanos":2}, {"epochSecond":1,
// "nanoOfSecond":2}.
func (l *lifting) timeObject(value []byte) {
	o := &l.p.inner
	if !o.Read(value) {
		return
	}
	var sec, nano []byte
	for _, m := range o.Members {
		switch inside, _ := insideOf(m.Value); string(m.Key) {
		case "$date", "repr":
			l.mongo = l.p.timeMember(inside)
		case "seconds", "epochSecond":
			sec = inside
		case "nanos", "nanoOfSecond":
			nano = inside
		}
	}
	if s, n := digits(sec), digits(nano); s >= 0 && len(sec) > 0 && n < 1e9 {
		c := Civil{sec: s, nano: max(n, 0)}
		c.takeEpoch()
		l.p.takeTime(&c)
	}
	if !l.p.found.Time.IsZero() {
		l.taken |= RoleTime
	}
}

// rest takes what is only perhaps what its name says.
func (l *lifting) rest(members []jsontext.Member) {
	p, f := l.p, &l.p.found
	if l.time > 0 && !l.taken.Has(RoleTime) && f.Time.IsZero() {
		inside, _ := insideOf(members[l.time-1].Value)
		p.timeMember(inside)
	}
	if !l.taken.Has(RoleMessage) {
		l.restMessage(members)
	}
	if l.label > 0 && f.Level == "" && !l.taken.Has(RoleLevel) {
		inside, quoted := insideOf(members[l.label-1].Value)
		switch {
		case string(members[l.label-1].Key) == "label":
			if l.priority > 0 { // MySQL
				f.Level = levelText(inside)
			}
		case l.mongo && quoted:
			f.Level = letterLevel(at(inside, 0))
		}
	}
	if l.number > 0 && f.Level == "" && !l.taken.Has(RoleLevel) && (l.taken.Has(RoleTime) || l.taken.Has(RoleMessage)) {
		inside, _ := insideOf(members[l.number-1].Value)
		if f.Level = levelOfNumber(inside); f.Level != "" {
			members[l.number-1].Key = nil
		}
	}
	if f.Logger == nil && !l.taken.Has(RoleLogger) {
		switch {
		case l.logger > 0 && (f.Level != "" || l.taken.Has(RoleTime)):
			f.Logger, _ = insideOf(members[l.logger-1].Value)
		case l.name > 0 && (f.Level != "" || l.taken.Has(RoleLevel)) && (l.named > 1 || l.taken.Has(RoleTime)):
			f.Logger, _ = insideOf(members[l.name-1].Value)
		}
	}
}

// restMessage finds a message in members that have other names.
func (l *lifting) restMessage(members []jsontext.Member) {
	f := &l.p.found
	i := cmp.Or(l.log, l.message) - 1
	if i < 0 {
		return
	}
	m := &members[i]
	inside, quoted := insideOf(m.Value)
	if !quoted {
		for _, name := range [...]string{"message", "stringValue"} {
			if text, ok := l.p.member(m.Value, name); ok && isMessage(text) {
				f.Message = text // it stays in App as well
				l.taken |= RoleMessage
				return
			}
		}
		return
	}
	if i == l.log-1 {
		if n := len(inside); n > 2 && inside[n-2] == '\\' && inside[n-1] == 'n' && inside[n-3] != '\\' {
			inside = inside[:n-2]
		}
		if !isMessage(inside) {
			return
		}
		if f.Level == "" && !l.taken.Has(RoleLevel) {
			l.p.line(inside)
		}
	}
	f.Message, m.Key = inside, nil
	l.taken |= RoleMessage
}

// line reads a line in a line: what a container runtime or a shipper has made an object
// of. Its own time is better than theirs.
func (p *Parser) line(line []byte) {
	message := p.message
	p.message = line
	if i := skipBlank(line, 0); i < len(line) {
		if line[i] == '{' {
			p.embedded(line[i:])
		} else {
			p.head(i)
		}
	}
	p.message = message
}

// member is the inside of a string that is a member of an object.
func (p *Parser) member(object []byte, name string) ([]byte, bool) {
	if object[0] != '{' || !p.inner.Read(object) {
		return nil, false
	}
	m, ok := p.inner.Member(name)
	if !ok {
		return nil, false
	}
	inside, quoted := insideOf(m.Value)
	return inside, quoted && len(inside) > 0
}

// timeMember takes the value of a member for the message's time; false: it is none, or
// not believed.
func (p *Parser) timeMember(inside []byte) bool {
	var t Civil
	if !wholeTime(inside, &t) {
		if len(inside) > 24 || !isDigit(at(inside, 0)) || bytes.IndexByte(inside, 'e') < 0 {
			return false
		}
		seconds, err := strconv.ParseFloat(string(inside), 64) // 1.795251467e9
		if err != nil || seconds < 1e9 || seconds > 1e10 {
			return false
		}
		t = Civil{sec: int(seconds), nano: int((seconds-float64(int(seconds)))*1e6) * 1000}
		t.takeEpoch()
	}
	p.found.Doubted = false
	p.takeTime(&t)
	return !p.found.Doubted
}

// auditTime reads audit(1795251467.123:456): of auditd.
func (p *Parser) auditTime(inside []byte) {
	if !bytes.HasPrefix(inside, []byte("audit(")) {
		return
	}
	if n := bytes.IndexByte(inside, ':'); n > 0 && p.found.Time.IsZero() {
		p.timeMember(inside[len("audit("):n])
	}
}

// isMessage reports whether a text is one to read: it has a letter, and is not what
// auditd has for one.
func isMessage(inside []byte) bool {
	for i, c := range inside {
		if isAlpha(c) || c >= 0x80 {
			return i > 0 && inside[i-1] == '\\' || !bytes.HasPrefix(inside, []byte("audit("))
		}
	}
	return false
}

func insideOf(value []byte) (inside []byte, quoted bool) {
	if value[0] == '"' {
		return value[1 : len(value)-1], true
	}
	return value, false
}

// digits is the number that b is, -1 if it is none.
func digits(b []byte) int {
	n := 0
	for _, c := range b {
		if !isDigit(c) || n > 1<<40 {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}
