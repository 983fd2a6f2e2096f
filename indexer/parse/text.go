package parse

// text reads lines that begin with a time, a level, brackets or a process.
type text struct{}

func (text) Name() string { return plainName }
func (text) Starts(first byte) bool {
	return isDigit(first) || isAlpha(first) || first >= 0x80 || first == '[' || first == '<' || first == '|' || first == '*' || first == '.' || first == '#' || first == '_'
}

func (text) Read(p *Parser) bool { return p.head(p.start) }
