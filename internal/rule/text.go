package rule

import (
	"bytes"
	"regexp"
	"regexp/syntax"
	"unicode"
	"unicode/utf8"
)

// text is an expression for messages, with literals of which each match has one.
type text struct {
	re       *regexp.Regexp
	whole    []byte // the expression is this literal; nil: it is more
	literals []literal
}

// literal is bytes that are in a message. Each of its characters is in the inside of a
// JSON string as it is, or as \u and four digits.
type literal struct {
	bytes []byte // folded to lower case where fold
	fold  bool   // ASCII letters of either case
}

// mostLiterals bounds what one expression adds to the search of all rules; with more it
// is run on every message of its sources.
const (
	mostLiterals = 16
	leastLiteral = 3
)

func newText(s string) (*text, error) {
	re, err := regexp.Compile(s)
	if err != nil {
		return nil, err
	}
	tree, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		return nil, err
	}
	tree = tree.Simplify()
	t := &text{re: re, literals: required(tree)}
	if tree.Op == syntax.OpLiteral && tree.Flags&syntax.FoldCase == 0 {
		t.whole = []byte(string(tree.Rune))
	}
	return t, nil
}

// match reports whether a message, unescaped, has a match.
func (t *text) match(plain []byte) bool {
	if t.whole != nil {
		return bytes.Contains(plain, t.whole)
	}
	return t.re.Match(plain)
}

// required lists literals of which every match has one; none: nothing is known.
func required(re *syntax.Regexp) []literal {
	switch re.Op {
	case syntax.OpLiteral:
		if l, ok := safeLiteral(re.Rune, re.Flags&syntax.FoldCase != 0); ok {
			return []literal{l}
		}
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return required(re.Sub[0])
		}
	case syntax.OpConcat:
		var best []literal
		for _, sub := range re.Sub {
			if l := required(sub); shortest(l) > shortest(best) {
				best = l
			}
		}
		return best
	case syntax.OpAlternate:
		var all []literal
		for _, sub := range re.Sub {
			l := required(sub)
			if len(l) == 0 || len(all)+len(l) > mostLiterals {
				return nil
			}
			all = append(all, l...)
		}
		return all
	}
	return nil
}

func shortest(list []literal) int {
	n := 0
	for i, l := range list {
		if i == 0 || len(l.bytes) < n {
			n = len(l.bytes)
		}
	}
	return n
}

// safeLiteral is the longest run of characters that no escape of two bytes stands for.
func safeLiteral(runes []rune, fold bool) (literal, bool) {
	var best, run []byte
	for i := 0; i <= len(runes); i++ {
		if i < len(runes) && safeRune(runes[i], fold) {
			r := runes[i]
			if fold {
				r = unicode.ToLower(r)
			}
			run = utf8.AppendRune(run, r)
			continue
		}
		if len(run) > len(best) {
			best = run
		}
		run = nil
	}
	return literal{best, fold}, len(best) >= leastLiteral
}

// safeRune: control characters, quote, backslash and slash may be escaped in two bytes,
// < > & are by many writers; a letter that folds to more than its two ASCII forms, such as
// k with the sign of Kelvin, is found in neither.
func safeRune(r rune, fold bool) bool {
	switch {
	case r < ' ' || r == '"' || r == '\\' || r == '/' || r == '<' || r == '>' || r == '&' || r == utf8.RuneError || r == 0x7f:
		return false
	case fold && r >= utf8.RuneSelf, fold && (r|0x20 == 'k' || r|0x20 == 's'):
		return false
	}
	return true
}

// oddEscape reports whether an inside with a backslash has characters written as \u that
// a literal may have: then it has to be unescaped before literals are looked for.
func oddEscape(inside []byte) bool {
	for bytes.Contains(inside, escapeU) {
		i := bytes.IndexByte(inside, '\\')
		if i < 0 || i+1 >= len(inside) {
			return false
		}
		if inside[i+1] != 'u' || i+6 > len(inside) {
			inside = inside[i+2:]
			continue
		}
		var r rune
		for _, c := range inside[i+2 : i+6] {
			r <<= 4
			switch {
			case c-'0' < 10:
				r |= rune(c - '0')
			default:
				r |= rune(c|0x20-'a') + 10
			}
		}
		if safeRune(r, false) && r != 0x2028 && r != 0x2029 {
			return true
		}
		inside = inside[i+6:]
	}
	return false
}

var escapeU = []byte(`\u`)
