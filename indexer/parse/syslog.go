package parse

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
	i := p.start + n
	if at(p.message, i) == '1' && at(p.message, i+1) == ' ' {
		i += 2
	}
	p.timeAt(i)
	return true
}

// syslogTime reads `Nov 21 08:57:47 host program[123]: text`.
type syslogTime struct{}

func (syslogTime) Name() string           { return "syslog" }
func (syslogTime) Starts(first byte) bool { return isUpper(first) }

func (syslogTime) Read(p *Parser) bool {
	if weekday(p.message[p.start:]) > 0 {
		return false
	}
	var t Civil
	n := matchTime(p.message[p.start:], &t)
	if n == 0 || at(p.message, p.start+n) != ' ' {
		return false
	}
	p.takeTime(&t)
	p.prefix(p.start + n)
	return true
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
