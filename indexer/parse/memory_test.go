package parse

import (
	"strings"
	"testing"

	"github.com/sluicelog/sluice/internal/jsontext"
)

// What a parser keeps between messages is bounded, whatever messages were before.
func TestMemoryOfAParserIsBounded(t *testing.T) {
	const size = 64 << 10
	p := newParser("UTC")
	long := strings.Repeat("x", 200_000)
	many := `{"k":1` + strings.Repeat(`,"a":1`, 2*jsontext.MaxMembers) + `}`
	for _, line := range []string{`{"a":"` + long + `"}`, `a=1 b=` + long, many, long} {
		p.Parse(jsontext.Append(nil, line), readTime, Options{})
		p.Shed(size)
		for name, b := range map[string][]byte{"text": p.text, "pairs": p.pairs, "app": p.app} {
			if cap(b) > size {
				t.Errorf("%.10s: %s keeps %d bytes", line, name, cap(b))
			}
		}
		if ms := p.object.Members; cap(ms) > jsontext.MaxMembers || cap(ms) > 0 && ms[:1][0].Key != nil || p.message != nil || p.found.Message != nil {
			t.Errorf("%.10s: %d members are kept, message %.10q", line, cap(ms), p.message)
		}
	}
}
