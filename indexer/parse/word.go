package parse

import "bytes"

// What a byte may be.
const (
	inName   = 1 << iota // a letter, a digit, or what joins them: _ - . $
	inLogger             // the same, / and :
	endsWord             // a blank, a bracket or another separator
)

var kinds = func() (t [256]uint8) {
	for c := range 256 {
		b := byte(c)
		if isAlpha(b) || isDigit(b) || b == '_' || b == '-' || b == '.' || b == '$' {
			t[c] |= inName | inLogger
		}
		if b <= ' ' {
			t[c] |= endsWord
		}
	}
	t['/'] |= inLogger
	t[':'] |= inLogger
	for _, c := range []byte(`\|()[]<>;`) {
		t[c] |= endsWord
	}
	return t
}()

// isLogger reports whether a word is a dotted name such as c.q.OrderService, or one of
// Rust such as app::db.
func isLogger(word []byte) bool {
	parts := 0
	for i := 0; i < len(word); i++ {
		c := word[i]
		if kinds[c]&inLogger == 0 {
			return false
		}
		if c == ':' {
			if i++; at(word, i) != ':' {
				return false
			}
		}
		if c == '.' || c == ':' {
			if n := at(word, i+1); !isAlpha(n) && n != '_' && n != '$' {
				return false
			}
			parts++
		}
	}
	return parts > 0 && isAlpha(word[0])
}

// isThrown reports whether a name is that of an exception.
func isThrown(name []byte) bool {
	return bytes.HasSuffix(name, []byte("Exception")) || bytes.HasSuffix(name, []byte("Error")) || bytes.HasSuffix(name, []byte("Throwable"))
}

// isCamel reports whether a word is a name such as TaskSetManager.
func isCamel(word []byte) bool {
	if len(word) < 4 || !isUpper(word[0]) {
		return false
	}
	small := false
	for i, c := range word {
		switch {
		case isUpper(c):
			if small {
				return isIdentifier(word[i:])
			}
		case isAlpha(c):
			small = true
		default:
			return false
		}
	}
	return false
}

// isIdentifier reports whether a word is of letters, digits and what joins them in names.
func isIdentifier(word []byte) bool {
	for _, c := range word {
		if !isName(c) && c != '/' {
			return false
		}
	}
	return len(word) > 0 && (isAlpha(word[0]) || word[0] == '_')
}

// isSmall reports whether a word is of small letters only.
func isSmall(word []byte) bool {
	for _, c := range word {
		if c-'a' >= 26 {
			return false
		}
	}
	return true
}

// isName reports whether a byte may be in a name.
func isName(c byte) bool { return kinds[c]&inName != 0 }

// endOfName is the index after the name at m[i], at most limit; i: there is none.
func endOfName(m []byte, i, limit int) int {
	for i < limit && isName(m[i]) {
		i++
	}
	return i
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

// trimBlank is what is between the blanks of b.
func trimBlank(b []byte) []byte {
	b = bytes.Trim(b, " ")
	for len(b) > 1 && b[len(b)-1] == 't' && b[len(b)-2] == '\\' {
		b = bytes.TrimRight(b[:len(b)-2], " ")
	}
	return b
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
	if uint(i) < uint(len(b)) {
		return b[i]
	}
	return 0
}
