package parse

// levelFirst reads `INFO  2026-11-21 08:57:47,123 [main] a.b.C - text`, `ERROR: text`
// and `[WARN] text`.
type levelFirst struct{}

func (levelFirst) Name() string           { return plainName }
func (levelFirst) Starts(first byte) bool { return first == '[' || isAlpha(first) }

func (levelFirst) Read(p *Parser) bool {
	m := p.message
	word, end := firstWord(m, p.start)
	level := levelOf(word)
	if level == "" || !(allUpper(word) || m[p.start] == '[' || at(m, end) == ':') {
		return false
	}
	p.found.Level = level
	for end < len(m) && (m[end] == ' ' || m[end] == ']' || m[end] == ':' || m[end] == '[' || m[end] == '-') {
		end++
	}
	if n := p.timeAt(end); n > 0 {
		end = n
	}
	p.prefix(end)
	return true
}

// firstWord is the letters from m[i], after an opening bracket if there is one, and the
// index after them.
func firstWord(m []byte, i int) ([]byte, int) {
	if at(m, i) == '[' {
		i++
	}
	end := i
	for end < len(m) && end < i+20 && isAlpha(m[end]) {
		end++
	}
	if end < len(m) && (isDigit(m[end]) || m[end] == '_' || m[end] >= 0x80 || m[end] == '.' || m[end] == '=') {
		return nil, end
	}
	return m[i:end], end
}
