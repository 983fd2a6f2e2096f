package parse

import (
	"bytes"
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
	return p.members(p.text)
}

// Object reads a text that is one JSON object and not escaped, read at a time; line ends
// in it become spaces, in place. False: it is none, and was not written to. Message is nil
// where no member is the message.
func (p *Parser) Object(text []byte, read time.Time) (*Found, bool) {
	p.begin(nil, read, Options{})
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
	p.app = p.app[:0]
	taken := p.present
	for _, m := range p.object.Members {
		if r := roleOf(m.Key); r != 0 && !taken.Has(r) && p.lift(r, m.Value) {
			taken |= r
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

// lift takes a member into what is found; it reports false when its value is not what
// its name promises, and it then stays in App.
func (p *Parser) lift(r Roles, value []byte) bool {
	inside, quoted := value, false
	if value[0] == '"' {
		inside, quoted = value[1:len(value)-1], true
	}
	f := &p.found
	switch r {
	case RoleTime:
		if !quoted && !isDigit(value[0]) {
			return false
		}
		var t Civil
		if n := matchTime(inside, &t); n == 0 || n != len(inside) {
			return false
		}
		before := f.Time
		p.takeTime(&t)
		return f.Time != before
	case RoleLevel:
		level := ""
		if quoted {
			level = levelOf(bytes.TrimSpace(inside))
		} else {
			level = levelOfNumber(inside)
		}
		if level == "" {
			return false
		}
		f.Level = level
	case RoleMessage:
		if !quoted {
			return false
		}
		f.Message = inside
	case RoleLogger:
		if !quoted || len(inside) == 0 {
			return false
		}
		f.Logger = inside
	case RoleTrace:
		if !quoted || len(inside) == 0 {
			return false
		}
		f.Trace = inside
	}
	return true
}
