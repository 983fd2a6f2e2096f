package line

import (
	"bytes"
	"regexp"

	"github.com/sluicelog/sluice/internal/jsontext"
)

// Pattern is a Rule by a regular expression, with the words of Filebeat.
type Pattern struct {
	Match  *regexp.Regexp
	Negate bool // lines that do not match are meant
	Before bool // they go on in the next line; else with the one before

	text []byte
}

// GoesOn is the Rule's.
func (p *Pattern) GoesOn(_ *uint8, _, before, message []byte) bool {
	if p.Before {
		return p.meant(before)
	}
	return p.meant(message)
}

// Opens is the Rule's: any line may have others after it.
func (p *Pattern) Opens(message []byte) bool { return !p.Before || p.meant(message) }

func (p *Pattern) meant(message []byte) bool {
	if bytes.IndexByte(message, '\\') >= 0 {
		p.text = jsontext.Unescape(p.text[:0], message)
		message = p.text
	}
	return p.Match.Match(message) != p.Negate
}
