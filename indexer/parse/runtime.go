package parse

// runtimeLine reads `2026-11-21T08:57:47.123456789Z stderr F text` of the container
// runtime interface. The time in the text is better than the runtime's.
type runtimeLine struct{}

func (runtimeLine) Name() string           { return plainName }
func (runtimeLine) Starts(first byte) bool { return isDigit(first) }

func (runtimeLine) Read(p *Parser) bool {
	m := p.message[p.start:]
	n := 0
	for n < len(m) && n < 40 && m[n] != ' ' {
		n++
	}
	if len(m) < n+10 || n < 20 || m[10] != 'T' || m[n+1] != 's' || m[n+2] != 't' || m[n+3] != 'd' || m[n+8] != 'F' && m[n+8] != 'P' || m[n+9] != ' ' {
		return false
	}
	var t Civil
	if s := string(m[n+1 : n+8]); s != "stdout " && s != "stderr " || !wholeTime(m[:n], &t) {
		return false
	}
	p.takeTime(&t)
	p.line(m[n+10:])
	return true
}
