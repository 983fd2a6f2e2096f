package embedded

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/blevesearch/bleve/v2/analysis"
)

const maxWord = 255 // bytes; a longer run is cut into pieces of this size

// words is the analyzer of text: runs of letters and digits in lower case, and each
// ideograph on its own. It splits more than Elasticsearch's standard analyzer (com.acme.Order
// is three words, order_id two), and a query for such a value is a phrase, so all that is
// found there is found here, and the parts as well.
type words struct{}

func (words) Analyze(b []byte) analysis.TokenStream {
	s := strings.ToLower(string(b))
	tokens := make(analysis.TokenStream, 0, len(s)/6+1)
	add := func(from, to int) {
		for from < to {
			end := min(to, from+maxWord)
			for end < to && !utf8.RuneStart(s[end]) {
				end--
			}
			tokens = append(tokens, &analysis.Token{
				Term: []byte(s[from:end]), Start: from, End: end, Position: len(tokens) + 1,
			})
			from = end
		}
	}
	begin := -1
	for i := 0; i < len(s); {
		c, n := rune(s[i]), 1
		if c >= utf8.RuneSelf {
			c, n = utf8.DecodeRuneInString(s[i:])
		}
		alone := c >= 0x2e80 && ideograph(c)
		if alone || !wordRune(c) {
			if begin >= 0 {
				add(begin, i)
				begin = -1
			}
			if alone {
				add(i, i+n)
			}
		} else if begin < 0 {
			begin = i
		}
		i += n
	}
	if begin >= 0 {
		add(begin, len(s))
	}
	return tokens
}

// terms are the words of s.
func terms(s string) []string {
	var t []string
	for _, tok := range (words{}).Analyze([]byte(s)) {
		t = append(t, string(tok.Term))
	}
	return t
}

func wordRune(c rune) bool {
	if c < utf8.RuneSelf {
		return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z'
	}
	return c != utf8.RuneError && (unicode.IsLetter(c) || unicode.IsDigit(c) || unicode.IsMark(c))
}

func ideograph(c rune) bool {
	return unicode.In(c, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
}

// values is the analyzer of a list of values with NUL between them: each value as a whole
// and its words, all in lower case.
type values struct{}

func (values) Analyze(b []byte) analysis.TokenStream {
	tokens := (words{}).Analyze(b)
	for v := range strings.SplitSeq(strings.ToLower(string(b)), "\x00") {
		if v != "" && len(v) <= maxKeyword {
			tokens = append(tokens, &analysis.Token{Term: []byte(v), Position: len(tokens) + 1})
		}
	}
	return tokens
}

// listSeparator is between the terms of a list: a byte that UTF-8 never holds.
const listSeparator = "\xfe"

// list is the analyzer of fields that hold many whole terms.
type list struct{}

func (list) Analyze(b []byte) analysis.TokenStream {
	parts := strings.Split(string(b), listSeparator)
	tokens := make(analysis.TokenStream, len(parts))
	for i, p := range parts {
		tokens[i] = &analysis.Token{Term: []byte(p), Position: i + 1}
	}
	return tokens
}
