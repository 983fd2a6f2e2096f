package rule

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/sluicelog/sluice/internal/glob"
)

// Fields is a set of what an event may be matched by, besides its text.
type Fields uint8

// Fields of an event. What is not of the event's source is FieldStream and FieldLevel.
const (
	FieldApp Fields = 1 << iota
	FieldDataset
	FieldDC
	FieldHost
	FieldLabels
	FieldTopic
	FieldStream
	FieldLevel
)

// Match is which events a rule is for: all that is named must fit. A field is a list of
// patterns, of which one must fit: globs, or /RE2/ anywhere in the value. Patterns after
// a ! must not fit. A field that an event has not fits no pattern.
type Match struct {
	App, Dataset, DC, Host, Topic, Stream, Level []string
	Labels                                       map[string][]string
	Text                                         string // RE2, anywhere in the message
}

// Any reports that all events match.
func (m *Match) Any() bool {
	return m.Text == "" && len(m.Labels) == 0 && !slices.ContainsFunc(m.fields(), func(f field) bool { return len(f.patterns) > 0 })
}

// field is the patterns of one field.
type field struct {
	field    Fields
	key      string
	patterns []string
}

func (m *Match) fields() []field {
	return []field{
		{FieldApp, "app", m.App}, {FieldDataset, "dataset", m.Dataset}, {FieldDC, "dc", m.DC}, {FieldHost, "host", m.Host},
		{FieldTopic, "topic", m.Topic}, {FieldStream, "stream", m.Stream}, {FieldLevel, "level", m.Level},
	}
}

func (m *Match) same(o *Match) bool {
	a, b := m.fields(), o.fields()
	for i := range a {
		if !samePatterns(a[i].patterns, b[i].patterns) {
			return false
		}
	}
	if m.Text != o.Text || len(m.Labels) != len(o.Labels) {
		return false
	}
	for name, p := range m.Labels {
		if q, ok := o.Labels[name]; !ok || !samePatterns(p, q) {
			return false
		}
	}
	return true
}

func samePatterns(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

// matcher is a Match that was compiled.
type matcher struct {
	source map[Fields]Patterns // of the event's source
	labels map[string]Patterns
	stream Patterns
	level  Patterns
	text   *text // nil: any
}

func (c *compiler) match(m *Match) matcher {
	out := matcher{source: map[Fields]Patterns{}, labels: map[string]Patterns{}}
	for _, f := range m.fields() {
		if len(f.patterns) == 0 {
			continue
		}
		key := "match." + f.key
		if c.stage.Fields&f.field == 0 {
			c.fail(key, "is not known to %s", c.stage.Name)
			continue
		}
		p := c.patterns(key, f.patterns)
		switch f.field {
		case FieldStream:
			out.stream = p
		case FieldLevel:
			out.level = p
		default:
			out.source[f.field] = p
		}
	}
	if len(m.Labels) > 0 && c.stage.Fields&FieldLabels == 0 {
		c.fail("match.labels", "is not known to %s", c.stage.Name)
	}
	for name, list := range m.Labels {
		out.labels[name] = c.patterns("match.labels."+name, list)
	}
	if m.Text != "" {
		t, err := newText(m.Text)
		if err != nil {
			c.fail("match.text", "%v", err)
		}
		out.text = t
	}
	return out
}

// ofSource reports whether the events of a source may match.
func (m *matcher) ofSource(s *Source) bool {
	for f, p := range m.source {
		if !p.Match(s.field(f)) {
			return false
		}
	}
	for name, p := range m.labels {
		if !p.Match(s.Labels[name]) {
			return false
		}
	}
	return true
}

// Patterns are those of a field; the zero value fits anything. They may be used by several
// goroutines.
type Patterns struct {
	yes, no []*regexp.Regexp
}

func (p Patterns) any() bool { return len(p.yes)+len(p.no) == 0 }

// Match reports whether a value fits; an empty one is missing.
func (p Patterns) Match(value string) bool {
	fits := func(re *regexp.Regexp) bool { return re.MatchString(value) }
	if len(p.yes) > 0 && (value == "" || !slices.ContainsFunc(p.yes, fits)) {
		return false
	}
	return value == "" || !slices.ContainsFunc(p.no, fits)
}

func (c *compiler) patterns(key string, list []string) Patterns {
	p, err := ParsePatterns(list)
	if err != nil {
		c.fail(key, "%v", err)
	}
	return p
}

// ParsePatterns reads globs and /RE2/, those after a ! being what must not fit. The error
// names the first that is wrong.
func ParsePatterns(list []string) (out Patterns, err error) {
	for _, s := range list {
		pattern, not := strings.CutPrefix(s, "!")
		re, err := compilePattern(pattern)
		switch {
		case err != nil:
			return out, fmt.Errorf("%q: %w", s, err)
		case not:
			out.no = append(out.no, re)
		default:
			out.yes = append(out.yes, re)
		}
	}
	return out, nil
}

// compilePattern makes one expression of a glob or of /RE2/.
func compilePattern(s string) (*regexp.Regexp, error) {
	if len(s) > 1 && s[0] == '/' && s[len(s)-1] == '/' {
		return regexp.Compile(s[1 : len(s)-1])
	}
	all, err := glob.Expand(s)
	if err != nil {
		return nil, err
	}
	for i, g := range all {
		all[i] = globExpression(g)
	}
	return regexp.Compile(`(?s)\A(?:` + strings.Join(all, "|") + `)\z`)
}

// globExpression is a glob without braces as an expression. Its * goes over slashes: the
// names of Marathon's applications have them.
func globExpression(g string) string {
	var b strings.Builder
	for i := 0; i < len(g); i++ {
		switch c := g[i]; c {
		case '*':
			b.WriteString(".*")
		case '?':
			b.WriteString(".")
		case '\\':
			i++ // it was judged: something follows
			b.WriteString(regexp.QuoteMeta(g[i : i+1]))
		case '[':
			n := classLen(g[i:])
			b.WriteString(class(g[i+1 : i+n-1]))
			i += n - 1
		default:
			b.WriteString(regexp.QuoteMeta(string([]byte{c})))
		}
	}
	return b.String()
}

// classLen is the length of a [class] that is known to end.
func classLen(g string) int {
	for i := 1; i < len(g); i++ {
		switch {
		case g[i] == '\\':
			i++
		case g[i] == ']' && i > 1:
			return i + 1
		}
	}
	return len(g)
}

// class is the inside of [ ] as an expression.
func class(in string) string {
	out := "["
	if strings.HasPrefix(in, "^") {
		out, in = "[^", in[1:]
	}
	for i := 0; i < len(in); i++ {
		switch c := in[i]; {
		case c == '\\' && i+1 < len(in):
			i++
			out += regexp.QuoteMeta(in[i : i+1])
		case c == '-':
			out += "-"
		default:
			out += regexp.QuoteMeta(in[i : i+1])
		}
	}
	return out + "]"
}
