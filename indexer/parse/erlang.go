package parse

import "bytes"

// erlang reads `=ERROR REPORT==== 21-Nov-2026::08:57:47 ===`, of RabbitMQ before 3.7 and
// others.
type erlang struct{}

func (erlang) Name() string           { return plainName }
func (erlang) Starts(first byte) bool { return first == '=' }

func (erlang) Read(p *Parser) bool {
	m := p.message[p.start:]
	word := upperWord(m, 1)
	for n := 1 + len(word); n < len(m) && n < 16 && isUpper(m[n]); n++ {
		word = m[1 : n+1]
	}
	rest, ok := bytes.CutPrefix(m[1+len(word):], []byte(" REPORT==== "))
	if !ok {
		return false
	}
	level := levelOf(word)
	switch string(word) {
	case "CRASH", "SUPERVISOR":
		level = levelError
	case "PROGRESS":
		level = levelInfo
	}
	var t Civil
	if level == "" || matchTime(rest, &t) == 0 {
		return false
	}
	p.found.Level = level
	p.takeTime(&t)
	return true
}
