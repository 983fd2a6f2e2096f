package parse

import (
	"bytes"

	"github.com/sluicelog/sluice/internal/jsontext"
)

// maxEmbedded is how much is read of members that are a part of a line, in bytes.
const maxEmbedded = 8 << 10

// oddJSON reads a message that looks like a JSON object and is none: one that was cut, has
// NaN or a key twice, is in single quotes or goes on after its end. What can be read of
// its time, level, logger and trace is lifted; the line stays text.
type oddJSON struct{}

func (oddJSON) Name() string           { return plainName }
func (oddJSON) Starts(first byte) bool { return first == '{' || first == '[' }

func (oddJSON) Read(p *Parser) bool {
	m := p.message[p.start:]
	k := 1
	if m[0] == '[' {
		if k = 1 + skipBlank(m[1:], 0); at(m, k) != '{' {
			return false
		}
		k++
	}
	for k < len(m) && (m[k] == ' ' || m[k] == '\\' && (at(m, k+1) == 'n' || at(m, k+1) == 'r' || at(m, k+1) == 't')) {
		if k++; m[k-1] == '\\' {
			k++
		}
	}
	if c := at(m, k); !p.structured || c != '\\' && c != '\'' && !isAlpha(c) {
		return false
	}
	before := p.found
	p.embedded(m)
	return p.moreThan(&before)
}

// oddPairs reads a message that looks like logfmt and is none: one with a word between, a
// key twice, a value that has = or is in single quotes. What can be read of it is lifted;
// the line stays text.
type oddPairs struct{}

func (oddPairs) Name() string           { return plainName }
func (oddPairs) Starts(first byte) bool { return logfmt{}.Starts(first) }

func (oddPairs) Read(p *Parser) bool {
	if !p.keyed { // as logfmt has seen
		return false
	}
	m := p.message[p.start:]
	before := p.found
	p.pairsOf(m)
	return p.moreThan(&before)
}

// moreThan reports whether there is a level or a time: else what was found before holds.
func (p *Parser) moreThan(before *Found) bool {
	if p.found.Level == "" && p.found.Time.IsZero() {
		p.found = *before
		return false
	}
	return true
}

// embedded lifts what it can of an object, whole or not, that m, the inside of a string,
// begins with.
func (p *Parser) embedded(m []byte) {
	p.part = jsontext.Unescape(p.part[:0], cutEscaped(m, maxEmbedded))
	o := oddLifting{p: p, leveled: p.found.Level != ""}
	o.object(p.part)
	o.rest()
}

// pairsOf lifts what it can of key=value in m, the inside of a string.
func (p *Parser) pairsOf(m []byte) {
	p.part = dropColours(jsontext.Unescape(p.part[:0], cutEscaped(m, maxEmbedded)))
	o := oddLifting{p: p, pairs: true, leveled: p.found.Level != ""}
	o.pairsIn(p.part)
	o.rest()
}

// cutEscaped is m, shortened to n bytes where no escape is cut.
func cutEscaped(m []byte, n int) []byte { return m[:jsontext.Cut(m, n)] }

// dropColours takes the colours out of a text that is not escaped, in place.
func dropColours(text []byte) []byte {
	i := bytes.IndexByte(text, 0x1b)
	if i < 0 {
		return text
	}
	out := text[:i]
	for i < len(text) {
		if text[i] == 0x1b && at(text, i+1) == '[' {
			k := i + 2
			for k < len(text) && k < i+16 && (isDigit(text[k]) || text[k] == ';') {
				k++
			}
			if at(text, k) == 'm' {
				i = k + 1
				continue
			}
		}
		out = append(out, text[i])
		i++
	}
	return out
}

// oddLifting lifts members one by one as they are found.
type oddLifting struct {
	p             *Parser
	pairs         bool
	leveled       bool // by a member that is the level, not perhaps
	timed, spoken bool
	number        []byte // a level that is a number
	time          []byte // a time, if no better one is found
}

// object reads the members of an object, and goes on over what is odd, each byte once.
func (o *oddLifting) object(b []byte) {
	i := bytes.IndexByte(b, '{')
	if i < 0 {
		return
	}
	depth := 0
	var key []byte // a key whose value is next
	for i < len(b) {
		switch c := b[i]; {
		case c == '"' || c == '\'':
			end := quoteEnd(b, i)
			text := b[i+1 : end]
			i = min(end+1, len(b))
			if depth != 1 {
				continue
			}
			if n := jsontext.SkipSpace(b, i); key == nil && at(b, n) == ':' {
				key, i = text, n+1
				continue
			}
			if key != nil {
				o.member(key, text, true)
				key = nil
			}
		case c == '{' || c == '[':
			depth, key = depth+1, nil
			i++
		case c == '}' || c == ']':
			if depth--; depth <= 0 {
				return
			}
			i++
		case c == ',':
			key = nil
			i++
		case c <= ' ' || c == ':':
			i++
		default: // a number, true, NaN, a key without quotes
			from := i
			for i < len(b) && b[i] > ' ' && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] != ':' && b[i] != '"' && b[i] != '\'' {
				i++
			}
			if i == from {
				i++
				continue
			}
			if depth != 1 {
				continue
			}
			word := b[from:i]
			if n := jsontext.SkipSpace(b, i); key == nil && at(b, n) == ':' {
				key, i = word, n+1
			} else if key != nil {
				o.member(key, word, false)
				key = nil
			}
		}
	}
}

// quoteEnd is the index of the quote that ends the string which begins at b[i], or the
// end of b.
func quoteEnd(b []byte, i int) int {
	quote := b[i]
	for k := i + 1; k < len(b); k++ {
		switch b[k] {
		case '\\':
			k++
		case quote:
			return k
		}
	}
	return len(b)
}

// pairsIn reads key=value, and goes on over what is odd, each byte once.
func (o *oddLifting) pairsIn(b []byte) {
	closed := true // objects that began have ended
	for i := 0; i < len(b); {
		switch c := b[i]; {
		case c <= ' ' || c == ',' || c == ';':
			i++
			continue
		case c == '"': // text in quotes
			i = min(quoteEnd(b, i)+1, len(b))
			continue
		}
		from := i
		for i < len(b) && b[i] > ' ' && b[i] != '=' && b[i] != ',' && b[i] != ';' {
			i++
		}
		key := b[from:i]
		if at(b, i) != '=' {
			continue
		}
		i++
		switch c := at(b, i); {
		case c == '"' || c == '\'':
			end := quoteEnd(b, i)
			o.member(key, b[i+1:min(end, len(b))], true)
			i = min(end+1, len(b))
			continue
		case (c == '{' || c == '[') && closed:
			end := objectEnd(b, i)
			if closed = end > 0; closed {
				i = end
				continue
			}
		}
		from = i
		for i < len(b) && b[i] > ' ' {
			i++
		}
		o.member(key, bytes.TrimRight(b[from:i], ",;"), true)
	}
}

// objectEnd is the index after the object or list that begins at b[i], 0 if it does not
// end.
func objectEnd(b []byte, i int) int {
	depth := 0
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = quoteEnd(b, i)
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// member lifts one member, of which the key and the value are not escaped.
func (o *oddLifting) member(key, value []byte, quoted bool) {
	f := &o.p.found
	if len(value) == 0 {
		return
	}
	switch means := meaningOf(key); means {
	case meansTime:
		if f.Time.IsZero() && !o.p.present.Has(RoleTime) {
			o.timed = o.p.timeMember(value)
		}
	case meansTimePerhaps:
		o.time = value
	case meansMessage:
		if o.p.auditTime(value); !f.Time.IsZero() {
			o.timed = true
		}
		o.spoken = true
	case meansLevel, meansLevelNET, meansLevelPython, meansLevelLogback:
		if o.leveled || o.p.present.Has(RoleLevel) {
			return
		}
		level := levelText(value)
		switch {
		case level == "" && means == meansLevelPython:
			level = levelOfPython(value)
		case level == "" && means == meansLevelNET:
			level = levelOfNET(value)
		case level == "" && means == meansLevelLogback:
			level = levelOfLogback(value)
		case level == "" && isDigit(value[0]):
			o.number = value
		}
		if level != "" {
			f.Level, o.leveled = level, true
		}
	case meansLogger:
		if f.Logger == nil && isIdentifier(value) {
			f.Logger = value
		}
	case meansTrace:
		if f.Trace == nil && isTrace(value) {
			f.Trace = value
		}
	case meansNothing:
		if o.pairs && string(key) == "at" && f.Level == "" { // Heroku: at=error code=H12
			f.Level = levelOf(value)
		}
	}
}

// rest takes what only counts beside others.
func (o *oddLifting) rest() {
	f := &o.p.found
	if f.Time.IsZero() && o.time != nil {
		o.p.timeMember(o.time)
	}
	if f.Level == "" && o.number != nil && (o.timed || o.spoken) {
		f.Level = levelOfNumber(o.number)
	}
}

// isTrace reports whether a text can be the id of a trace, and needs no escaping.
func isTrace(text []byte) bool {
	for _, c := range text {
		if !isName(c) {
			return false
		}
	}
	return len(text) <= 64
}
