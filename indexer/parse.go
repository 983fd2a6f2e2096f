package indexer

import (
	"bytes"
	"time"
)

// format is how a message was read, for the figures.
type format int

const (
	formatNone   format = iota // no time and no level found
	formatText                 // a time, a level or both at the start of a text
	formatAccess               // access log of nginx or Apache
	formatSyslog               // RFC 3164 or 5424 header
	formatJSON
	formatLogfmt
	formatCount
)

func (f format) String() string {
	return [...]string{"none", "text", "access", "syslog", "json", "logfmt"}[f]
}

// maxJSON bounds the messages that are read as JSON or logfmt; a longer one stays text.
const maxJSON = 256 << 10

// facts are what a message says of itself. Byte slices are insides of JSON strings
// (escaped), except app, which is the members of an object without its braces. They
// point into the message or into the parser, until its next call.
type facts struct {
	format  format
	time    time.Time // zero: none, or not believed
	refused bool      // a time was found and not believed
	level   string
	logger  []byte
	trace   []byte
	message []byte // what message becomes
	app     []byte
}

// parser reads messages. Every format is matched from the start, each byte looked at a
// bounded number of times: no input makes it slow. A parser serves one goroutine.
type parser struct {
	zone *time.Location  // of times that name none
	held [roleCount]bool // members that are left in app, since the event has that field already

	scan  scanner
	text  []byte // the message unescaped
	pairs []byte // logfmt as JSON
	app   []byte
}

// parse reads the message m, the inside of a JSON string, of an event read at a time.
// With structured unset, JSON and logfmt stay text.
func (p *parser) parse(m []byte, read time.Time, structured bool) facts {
	f := facts{message: m}
	i := skipBlank(m, 0)
	if i >= len(m) {
		return f
	}
	if structured && len(m) <= maxJSON {
		if m[i] == '{' && p.json(m[i:], read, &f) {
			return f
		}
		if looksLogfmt(m[i:]) && p.logfmt(m[i:], read, &f) {
			return f
		}
	}
	p.head(m, i, read, &f)
	if f.format == formatNone && (f.level != "" || !f.time.IsZero()) {
		f.format = formatText
	}
	return f
}

// head reads time, level and logger from the start of a text.
func (p *parser) head(m []byte, i int, read time.Time, f *facts) {
	c := m[i]
	switch {
	case c == '<':
		if pri, n := priority(m[i:]); n > 0 {
			f.format, f.level = formatSyslog, severities[pri&7]
			i += n
			if at(m, i) == '1' && at(m, i+1) == ' ' {
				i += 2
			}
			p.timeAt(m, i, read, f)
			return
		}
	case c == '[':
		n := i + 1
		if end := p.timeAt(m, n, read, f); end > 0 {
			if at(m, end) == ']' {
				end++
			}
			p.prefix(m, end, f)
			return
		}
	case isUpper(c) && isDigit(at(m, i+1)): // I1121 08:57:47.123456 1234 file.go:12] text
		var t civil
		if n := matchKlog(m[i:], &t); n > 0 {
			if f.level = klogLevel(c); f.level != "" {
				p.resolve(&t, read, f)
				return
			}
		}
	}
	if end := p.timeAt(m, i, read, f); end > 0 {
		if !isDigit(c) && at(m, end) == ' ' && !weekday(m[i:]) {
			f.format = formatSyslog // Nov 21 08:57:47 host program[123]: text
		}
		p.prefix(m, end, f)
		return
	}
	if p.access(m, i, read, f) {
		return
	}
	// INFO  2026-11-21 08:57:47,123 [main] c.q.Order - text; ERROR: text; [WARN] text
	word, end := firstWord(m, i)
	if f.level = levelOf(word); f.level == "" || !(allUpper(word) || at(m, i) == '[' || at(m, end) == ':') {
		f.level = ""
		return
	}
	for end < len(m) && (m[end] == ' ' || m[end] == ']' || m[end] == ':' || m[end] == '[' || m[end] == '-') {
		end++
	}
	if n := p.timeAt(m, end, read, f); n > 0 {
		end = n
	}
	p.prefix(m, end, f)
}

// timeAt reads a time at m[i] and returns the index behind it, 0 for none.
func (p *parser) timeAt(m []byte, i int, read time.Time, f *facts) int {
	if i >= len(m) {
		return 0
	}
	var t civil
	n := matchTime(m[i:], &t)
	if n == 0 {
		return 0
	}
	p.resolve(&t, read, f)
	return i + n
}

func (p *parser) resolve(t *civil, read time.Time, f *facts) {
	if at, ok := t.resolve(read, p.zone); ok {
		f.time = at
	} else {
		f.refused = true
	}
}

// access reads `1.2.3.4 - user [21/Nov/2026:08:57:47 +0800] "GET / ...`.
func (p *parser) access(m []byte, i int, read time.Time, f *facts) bool {
	window := m[i:min(len(m), i+160)]
	n := bytes.Index(window, []byte(" ["))
	if n < 0 || n+22 > len(window) || window[n+4] != '/' || window[n+8] != '/' {
		return false
	}
	if p.timeAt(m, i+n+2, read, f) == 0 {
		return false
	}
	f.format = formatAccess
	return true
}

// prefix reads what stands between a time and the text itself: level, [thread], pid,
// logger, in the orders that logging frameworks write them. It looks at a few words
// only and takes no word of plain text for a level: one counts when it is in capitals,
// in brackets or before a colon.
func (p *parser) prefix(m []byte, i int, f *facts) {
	limit := min(len(m), i+240)
	plain := 0
	for words := 0; words < 8 && (f.level == "" || f.logger == nil); words++ {
		for i < limit {
			if n := blank(m, i); n > 0 {
				i += n
			} else if c := m[i]; c == '-' || c == '|' || c == ':' || c == ']' || c == ',' || c == ')' {
				i++
			} else {
				break
			}
		}
		if i >= limit {
			return
		}
		if m[i] == '[' || m[i] == '(' {
			end := i + 1
			for end < limit && m[end] != ']' && m[end] != ')' {
				end++
			}
			if f.level == "" {
				word := bytes.TrimSpace(m[i+1 : end])
				if n := bytes.LastIndexByte(word, ':'); n >= 0 { // Apache: [core:error]
					word = word[n+1:]
				}
				f.level = levelOf(word)
			}
			i = end + 1
			continue
		}
		end := i
		for end < limit && m[end] > ' ' && m[end] != '\\' && m[end] != '|' && (m[end] != '[' || end > i && m[end-1] == '.') && m[end] != '(' {
			end++
		}
		word := m[i:end]
		if len(word) == 0 {
			return
		}
		colon := word[len(word)-1] == ':'
		if colon {
			word = word[:len(word)-1]
		}
		next := skipSpaces(m, end, limit)
		separated := colon || next < limit && (m[next] == '-' || m[next] == ':' || m[next] == '|') && next+1 < limit && (m[next+1] == ' ' || m[next+1] == '-')
		switch {
		case f.level == "" && (allUpper(word) || colon) && levelOf(word) != "":
			f.level = levelOf(word)
		case f.logger == nil && separated && isLogger(word):
			f.logger = word
		case !separated && isAlpha(word[0]):
			if plain++; plain > 1 {
				return
			}
		}
		i = end
	}
}

// isLogger reports whether a word is a dotted name such as c.q.OrderService.
func isLogger(word []byte) bool {
	dots := 0
	for _, c := range word {
		switch {
		case c == '.':
			dots++
		case isAlpha(c), isDigit(c), c == '_', c == '$', c == '-', c == '/', c == '[', c == ']':
		default:
			return false
		}
	}
	return dots > 0 && isAlpha(word[0]) && word[len(word)-1] != '.'
}

// firstWord is the letters from m[i], behind an opening bracket if there is one, and
// the index behind them.
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

// priority reads <34> of syslog and returns the index behind it, 0 for none.
func priority(m []byte) (pri, n int) {
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

func klogLevel(c byte) string {
	switch c {
	case 'I':
		return levelInfo
	case 'W':
		return levelWarn
	case 'E':
		return levelError
	case 'F':
		return levelFatal
	}
	return ""
}

// skipBlank skips spaces and terminal colours.
func skipBlank(m []byte, i int) int {
	for i < len(m) {
		n := blank(m, i)
		if n == 0 {
			break
		}
		i += n
	}
	return i
}

// blank is the length of the space, escaped tab or colour at m[i], or 0. A colour is
// written \u001b[32m in JSON.
func blank(m []byte, i int) int {
	switch m[i] {
	case ' ':
		return 1
	case '\\':
		if at(m, i+1) == 't' {
			return 2
		}
		if len(m) > i+7 && m[i+1] == 'u' && m[i+2] == '0' && m[i+3] == '0' && m[i+4] == '1' && m[i+5]|0x20 == 'b' && m[i+6] == '[' {
			for k := i + 7; k < len(m) && k < i+20; k++ {
				if m[k] == 'm' {
					return k + 1 - i
				}
				if !isDigit(m[k]) && m[k] != ';' {
					break
				}
			}
		}
	}
	return 0
}

func skipSpaces(m []byte, i, limit int) int {
	for i < limit && m[i] == ' ' {
		i++
	}
	return i
}
