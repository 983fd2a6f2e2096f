package rule

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sluicelog/sluice/internal/jsontext"
)

// FuzzText: with literals looked for first, an expression matches what it matches without,
// however the message is written.
func FuzzText(f *testing.F) {
	for _, s := range [][2]string{
		{"GET /health", "GET /health 200"}, {"(?i)error|warn", "An ERROR"}, {"(?i)task", "TAſK of"}, {"a(bcd)+e?", "abcdbcd"},
		{"(?:foo|bar)baz", "barbaz"}, {"x{2,}yyy", "xxyyy"}, {"(?s).*long literal", "a\n\"long literal"}, {"über", "über"}, {"^$", ""}, {"(|abc)def", "def"},
		{`\Qa.b"c\E`, `a.b"c`}, {"k{3}", "kkk"}, {"(?i)kkk", "KkK"}, {"<tag>", "<tag>"}, {"[e]rror", "error"}, {"err(or)?", "err"}, {"^,$", "0,"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, expression, message string) {
		re, err := regexp.Compile(expression)
		if err != nil || len(expression) > 200 || !utf8.ValidString(message) {
			return
		}
		s, faults := New(every, []Spec{{Name: "a", Match: Match{Text: expression}, Drop: true}, {Name: "b", Match: Match{Text: "another"}, Count: true}})
		if expression == "" {
			return
		}
		if len(faults) > 0 {
			t.Fatalf("%q is compiled by regexp alone: %v", expression, faults)
		}
		var numbered strings.Builder
		for _, r := range message {
			if r > 0xffff {
				numbered.WriteRune(r)
			} else {
				fmt.Fprintf(&numbered, `\u%04x`, r)
			}
		}
		for _, in := range [][]byte{jsontext.Append(nil, message), []byte(numbered.String())} {
			if got := judge(s, &Source{}, Event{Text: in}).Dropped != nil; got != re.MatchString(message) {
				t.Errorf("%q on %q, written %s: %v, want %v", expression, message, in, got, !got)
			}
		}
	})
}

// FuzzMask: what is masked is the inside of a string, the same each time, and holds no
// more to be masked.
func FuzzMask(f *testing.F) {
	f.Add("card 4111 1111 1111 1111 of a@b.com, password=\"x\\\"y\" token: abcdefgh1 11010519491231002X DE89370400440532013000")
	f.Add("４１１１-1111-1111-1111 @@a.b.cc://u:p@h Authorization: Basic abcd")
	f.Add("4111\u00a01111\u00a01111\u00a01111")
	s, faults := New(every, []Spec{{Name: "a", Mask: []string{"card", "token", "email", "id", `/x(y+)z/`}}})
	if len(faults) > 0 {
		f.Fatal(faults)
	}
	f.Fuzz(func(t *testing.T, message string) {
		e := Event{Text: jsontext.Append(nil, message)}
		j := s.NewJudge()
		rule := j.Judge(s.View(&Source{}), &e).Mask
		out, masked := j.Mask(rule, &e)
		if !masked {
			if string(out) != string(e.Text) {
				t.Fatalf("%q was not masked and became %q", e.Text, out)
			}
			return
		}
		out = append([]byte(nil), out...)
		if end := jsontext.End(append(out, '"'), 0); end != len(out) {
			t.Fatalf("%q is no inside of a string", out)
		}
		if again, _ := s.NewJudge().Mask(rule, &e); string(again) != string(out) {
			t.Fatalf("%q, then %q", out, again)
		}
		plain := jsontext.Unescape(nil, out)
		if left := findCards(nil, plain); len(left) > 0 {
			t.Errorf("%q still has %q", out, plain[left[0].from:left[0].to])
		}
	})
}
