package parse

// timeFirst reads `2026-11-21 08:57:47,123 [main] WARN a.b.C - text`, and any other line
// that starts with a time.
type timeFirst struct{}

func (timeFirst) Name() string           { return plainName }
func (timeFirst) Starts(first byte) bool { return isDigit(first) || isUpper(first) }

func (timeFirst) Read(p *Parser) bool {
	end := p.timeAt(p.start)
	if end > 0 {
		p.prefix(end)
	}
	return end > 0
}

// bracketedTime reads `[2026-11-21 08:57:47,123] INFO text` and Apache's
// `[Sat Nov 21 08:57:47.123456 2026] [core:error] text`.
type bracketedTime struct{}

func (bracketedTime) Name() string           { return plainName }
func (bracketedTime) Starts(first byte) bool { return first == '[' }

func (bracketedTime) Read(p *Parser) bool {
	end := p.timeAt(p.start + 1)
	if end == 0 {
		return false
	}
	if at(p.message, end) == ']' {
		end++
	}
	p.prefix(end)
	return true
}
