package config

import (
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strconv"
)

// Secret is a password, token or key. It prints, logs and marshals as ****** whatever
// the verb or encoder; Reveal gives the text for the one place that sends it. A field
// of this type has to be exported: fmt asks no methods of unexported ones.
type Secret string

const masked = "******"

// Reveal is the secret itself. Never log what it returns.
func (s Secret) Reveal() string { return string(s) }

// String masks; an empty secret stays empty, so that one sees whether there is one.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// GoString masks.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// Format masks for every verb: fmt would print the text for one that does not fit.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.String()
	if verb == 'q' || verb == 'v' && f.Flag('#') {
		text = s.GoString()
	}
	io.WriteString(f, text)
}

// MarshalText masks, so that every encoder does.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue masks.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

var userInfo = regexp.MustCompile(`(^|//)[^/@\s]*:[^/\s]*@`)

// maskUser masks user and password in an address, which are a secret in the wrong place.
func maskUser(text string) string { return userInfo.ReplaceAllString(text, "${1}"+masked+"@") }
