package parse

import "bytes"

// prefix reads what is between a time and the text itself: level, [thread], pid,
// logger, in the orders that logging frameworks write them. It looks at a few words
// only and takes no word of plain text for a level: one counts when it is in capitals,
// in brackets or before a colon.
func (p *Parser) prefix(i int) {
	m, f := p.message, &p.found
	limit := min(len(m), i+240)
	plain := 0
	for words := 0; words < 8 && (f.Level == "" || f.Logger == nil); words++ {
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
			if f.Level == "" {
				word := bytes.TrimSpace(m[i+1 : end])
				if n := bytes.LastIndexByte(word, ':'); n >= 0 { // Apache: [core:error]
					word = word[n+1:]
				}
				f.Level = levelOf(word)
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
		case f.Level == "" && (allUpper(word) || colon) && levelOf(word) != "":
			f.Level = levelOf(word)
		case f.Logger == nil && separated && isLogger(word):
			f.Logger = word
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

func isDigit(c byte) bool { return c-'0' < 10 }
func isUpper(c byte) bool { return c-'A' < 26 }
func isAlpha(c byte) bool { return (c|0x20)-'a' < 26 }

// at is b[i], 0 after its end.
func at(b []byte, i int) byte {
	if i < len(b) {
		return b[i]
	}
	return 0
}
