package parse

import "bytes"

// syslogPriority reads `<34>Nov 21 08:57:47 host program[123]: text` and
// `<165>1 2026-11-21T08:57:47Z host program 123 - - text`: the level is the priority's.
type syslogPriority struct{}

func (syslogPriority) Name() string           { return "syslog" }
func (syslogPriority) Starts(first byte) bool { return first == '<' }

func (syslogPriority) Read(p *Parser) bool {
	pri, n := Priority(p.message[p.start:])
	if n == 0 {
		return false
	}
	p.found.Level = Severity(pri)
	var h SyslogMessage
	if h.Read(p.message[p.start:]) {
		if h.Timed {
			p.takeTime(&h.Time)
		}
		p.syslogFields(&h)
		return true
	}
	i := p.start + n
	if at(p.message, i) == '1' && at(p.message, i+1) == ' ' {
		i += 2
	}
	p.timeAt(i)
	return true
}

// syslogTime reads `Nov 21 08:57:47 host program[123]: text`, also with the time of RFC
// 3339 and without host.
type syslogTime struct{}

func (syslogTime) Name() string { return "syslog" }
func (syslogTime) Starts(first byte) bool {
	return isUpper(first) || isDigit(first)
}

func (syslogTime) Read(p *Parser) bool {
	m := p.message[p.start:]
	iso := isDigit(m[0])
	if len(m) < 16 || iso && (len(m) < 26 || m[10] != 'T') || !iso && (m[3] != ' ' || english(m[:3]) == 0) {
		return false
	}
	var t Civil
	n := matchTime(m, &t)
	if n == 0 || at(m, n) != ' ' || iso && t.zone == zoneNone {
		return false
	}
	h := SyslogMessage{Priority: -1}
	end := h.readTag(m[n+1:])
	if end == 0 || iso && h.PID == nil {
		if iso {
			return false
		}
		p.takeTime(&t)
		_, k := wordAt(m, n+1)
		if word, k := wordAt(m, k); levelOf(word) != "" && isSmall(word) { // F5: host, level, program
			if end := h.readTag(m[min(len(m), k+1):]); end > 0 {
				p.found.Level = levelOf(word)
				p.syslogFields(&h)
				return true
			}
		}
		p.headAfterTime(p.start + n)
		return true
	}
	p.takeTime(&t)
	p.syslogFields(&h)
	p.headAfterTime(p.start + n + 1 + end)
	return true
}

// syslogFields adds what a header says of host and process.
func (p *Parser) syslogFields(h *SyslogMessage) {
	if len(h.Host) > 0 && len(h.Host) <= 255 && isInside(h.Host) {
		p.addString("log.syslog", "hostname", h.Host)
	}
	if len(h.Program) == 0 || len(h.Program) > 255 || !isInside(h.Program) {
		return
	}
	p.beginField("process")
	p.values = append(append(append(p.values, `{"name":"`...), h.Program...), '"')
	if n := digits(h.PID); n > 0 {
		p.values = append(append(p.values, `,"pid":`...), bytes.TrimLeft(h.PID, "0")...)
	}
	p.values = append(p.values, '}')
	p.endField()
}

// Priority reads <34> at m[0] and returns its number and length; the length is 0 for
// none.
func Priority(m []byte) (pri, n int) {
	if at(m, 0) != '<' {
		return 0, 0
	}
	n = 1
	for n < len(m) && n < 4 && isDigit(m[n]) {
		pri = pri*10 + int(m[n]-'0')
		n++
	}
	if n == 1 || at(m, n) != '>' || pri > 191 {
		return 0, 0
	}
	return pri, n + 1
}
