package parse

import (
	"bytes"

	"github.com/sluicelog/sluice/internal/jsontext"
)

// logfmt reads a message that is key=value or key="value" from end to end, at least two
// of them. It is written as a JSON object of strings and read as that.
type logfmt struct{}

func (logfmt) Name() string { return "logfmt" }
func (logfmt) Starts(first byte) bool {
	return isAlpha(first) || first == '_' || first == '@' || first >= 0x80
}

func (logfmt) Read(p *Parser) bool {
	m := p.message[p.start:]
	end := keyEnd(m, 0)
	if p.keyed = p.structured && end > 0 && (at(m, end) == '=' || at(m, skipBlank(m, end)) == '='); !p.keyed || m[end] != '=' || len(p.message) > maxMembersText {
		return false
	}
	p.text = jsontext.Unescape(p.text[:0], m)
	text := bytes.TrimRight(p.text, " \r\n\t")
	out := append(p.pairs[:0], '{')
	defer func() { p.pairs = out[:0] }()
	for i, n := 0, 1; ; n++ {
		end := keyEnd(text, i)
		if end == i || at(text, end) != '=' {
			return false
		}
		out = append(append(append(out, '"'), text[i:end]...), `":"`...)
		i = end + 1
		if at(text, i) == '"' {
			n := jsontext.Quote(text[i+1:])
			if n < 0 {
				return false
			}
			if jsontext.End(text, i+1) == i+1+n { // its escapes are those of JSON
				out = append(out, text[i+1:i+1+n]...)
			} else {
				out = jsontext.Append(out, text[i+1:i+1+n])
			}
			i += n + 2
		} else {
			from := i
			for i < len(text) && text[i] > ' ' && text[i] != '"' && text[i] != '=' {
				i++
			}
			out = jsontext.Append(out, text[from:i])
		}
		out = append(out, '"')
		if i == len(text) {
			if n < 2 {
				return false
			}
			break
		}
		if text[i] != ' ' && text[i] != '\t' {
			return false
		}
		for text[i] == ' ' || text[i] == '\t' {
			i++
		}
		out = append(out, ',')
	}
	out = append(out, '}')
	return p.members(out)
}

// keyEnd is the index after the key at m[i], i for none.
func keyEnd(m []byte, i int) int {
	if i >= len(m) || !isAlpha(m[i]) && m[i] != '_' && m[i] != '@' && m[i] < 0x80 {
		return i
	}
	for i < len(m) && (isName(m[i]) && m[i] != '$' || m[i] == '@' || m[i] == '/' || m[i] >= 0x80) {
		i++
	}
	return i
}
