package parse

// redis reads `1:M 21 Nov 2026 08:57:47.123 * text` and, of old ones,
// `[1] 21 Nov 08:57:47.123 * text`: the level is a mark.
type redis struct{}

func (redis) Name() string           { return plainName }
func (redis) Starts(first byte) bool { return first == '[' || isDigit(first) }

func (redis) Read(p *Parser) bool {
	m := p.message[p.start:]
	i := 0
	if m[0] == '[' {
		i = 1
	}
	_, n := number(m, i)
	switch {
	case n == i:
		return false
	case i == 0 && at(m, n) == ':' && isUpper(at(m, n+1)) && at(m, n+2) == ' ':
		n += 3
	case i == 1 && at(m, n) == ']' && at(m, n+1) == ' ':
		n += 2
	default:
		return false
	}
	var t Civil
	end := matchTime(m[n:], &t)
	if end == 0 || t.month == 0 {
		return false
	}
	level := ""
	switch end += n; at(m, end+1) {
	case '.', '-':
		level = levelDebug
	case '*':
		level = levelNotice
	case '#':
		level = levelWarn
	}
	if level == "" || at(m, end) != ' ' || at(m, end+2) != ' ' {
		return false
	}
	p.found.Level = level
	p.takeTime(&t)
	return true
}
