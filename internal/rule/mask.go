package rule

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	"github.com/sluicelog/sluice/internal/jsontext"
)

// masker finds what is to be masked in a message.
type masker struct {
	name string
	find func(dst []span, plain []byte) []span
}

// span is bytes of a message.
type span struct {
	from, to int
	name     string
}

// with is what is written instead.
type with uint8

const (
	withName  with = iota // [card]
	withHash              // [card:9f86d081884c7d65]
	withLast4             // [card:1111]
)

// Masks are the names of the patterns there are.
func Masks() []string { return []string{"card", "token", "email", "id"} }

func named(name string) (find func([]span, []byte) []span) {
	switch name {
	case "card":
		return findCards
	case "token":
		return findTokens
	case "email":
		return findEmails
	case "id":
		return findIDs
	}
	return nil
}

func (c *compiler) masks(s *Spec) (out []masker) {
	for _, name := range s.Mask {
		if len(name) > 1 && name[0] == '/' && name[len(name)-1] == '/' {
			re, err := regexp.Compile(name[1 : len(name)-1])
			switch {
			case err != nil:
				c.fail("mask", "%v", err)
			case re.MatchString(""):
				c.fail("mask", "%s matches an empty text: it would mask nothing, everywhere", name)
			default:
				out = append(out, masker{"masked", findExpression(re)})
			}
			continue
		}
		find := named(name)
		if find == nil {
			c.fail("mask", "expected %s or /RE2/, got %q", strings.Join(Masks(), ", "), name)
			continue
		}
		out = append(out, masker{name, find})
	}
	return out
}

func (c *compiler) with(s string) with {
	switch s {
	case "", "name":
	case "hash":
		return withHash
	case "last4":
		return withLast4
	default:
		c.fail("with", "expected name, hash or last4, got %q", s)
	}
	return withName
}

// findExpression finds the parts in ( ) of a match, or all of it if there are none.
func findExpression(re *regexp.Regexp) func([]span, []byte) []span {
	return func(dst []span, plain []byte) []span {
		if !re.Match(plain) {
			return dst
		}
		for _, at := range re.FindAllSubmatchIndex(plain, -1) {
			first := 2
			if len(at) == 2 {
				first = 0
			}
			for i := first; i < len(at); i += 2 {
				if at[i] >= 0 && at[i] < at[i+1] {
					dst = append(dst, span{from: at[i], to: at[i+1]})
				}
			}
		}
		return dst
	}
}

// Mask is the message with what the rule masks replaced, and reports whether anything
// was, which it counts. The result is the message itself, or memory of the judge that is
// valid until its next call.
func (j *Judge) Mask(r *Rule, e *Event) (inside []byte, masked bool) {
	plain := e.Text
	if bytes.IndexByte(plain, '\\') >= 0 {
		plain = jsontext.Unescape(j.plain[:0], plain)
		j.plain, j.isAt = plain, false
	}
	j.spans = j.spans[:0]
	for i := range r.masks {
		from := len(j.spans)
		j.spans = r.masks[i].find(j.spans, plain)
		for k := from; k < len(j.spans); k++ {
			j.spans[k].name = r.masks[i].name
		}
	}
	if len(j.spans) == 0 {
		return e.Text, false
	}
	j.Count(r, e.Bytes)
	slices.SortFunc(j.spans, func(a, b span) int {
		if a.from != b.from {
			return a.from - b.from
		}
		return b.to - a.to
	})
	out, at := j.masked[:0], 0
	for i := 0; i < len(j.spans); {
		s := j.spans[i]
		for i++; i < len(j.spans) && j.spans[i].from < s.to; i++ { // overlapping ones are one
			s.to = max(s.to, j.spans[i].to)
		}
		out = jsontext.Append(out, plain[at:s.from])
		out = r.with.append(out, s.name, plain[s.from:s.to])
		at = s.to
	}
	j.masked = jsontext.Append(out, plain[at:])
	return j.masked, true
}

// append appends what stands for a text.
func (w with) append(dst []byte, name string, secret []byte) []byte {
	dst = append(append(dst, '['), name...)
	switch w {
	case withHash:
		sum := sha256.Sum256(secret)
		dst = hex.AppendEncode(append(dst, ':'), sum[:8])
	case withLast4:
		last, n := len(secret), 0
		for i := len(secret); i > 0 && n < 4; {
			i--
			if c := secret[i]; c-'0' < 10 || (c|0x20)-'a' < 26 {
				last = i
				n++
			}
		}
		if n == 4 && last > len(secret)/2 { // never most of it
			dst = append(dst, ':')
			for _, c := range secret[last:] {
				if c-'0' < 10 || (c|0x20)-'a' < 26 {
					dst = append(dst, c)
				}
			}
		}
	}
	return append(dst, ']')
}
