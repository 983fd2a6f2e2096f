package embedded

import (
	"strings"
	"time"
	"unicode"
)

const (
	maxQueryLength = 32 << 10
	maxQueryDepth  = 50
)

// parseQueryString reads the query language of Lucene as people know it from Kibana:
//
//	word "a phrase" field:value field:"a value" field:(a OR b) field:pre* field:* _exists_:field
//	AND OR NOT && || ! + - ( )  field:[a TO b] field:{a TO b} field:>=5  \ before a special character
//
// What stands side by side is joined by OR, or by AND if every says so. Values may hold
// colons and begin with a slash without escapes, as paths and Marathon ids do; so there are
// no regular expressions. There is no fuzziness; a boost is read and has no effect.
func parseQueryString(s string, every bool) (query, error) {
	if len(s) > maxQueryLength {
		return nil, badQuery("query of %d bytes is too long", len(s))
	}
	p := &queryParser{in: []rune(s), every: every}
	q, err := p.clauses("", 0)
	if err != nil {
		return nil, err
	}
	if p.pos < len(p.in) {
		return nil, p.errf("unexpected [%c]", p.in[p.pos])
	}
	if q == nil {
		return allQuery{}, nil
	}
	return q, nil
}

type queryParser struct {
	in    []rune
	pos   int
	every bool
}

// clause is a part of a query between two connectives.
type clause struct {
	q         query
	must, not bool
}

func (p *queryParser) errf(format string, args ...any) error {
	e := badQuery("Failed to parse query [%s]: "+format, append([]any{start([]byte(string(p.in)))}, args...)...)
	e.typ = "query_shard_exception"
	return e
}

// clauses reads to the end or to a closing parenthesis; nil is an empty query.
func (p *queryParser) clauses(field string, depth int) (query, error) {
	if depth > maxQueryDepth {
		return nil, p.errf("nested too deeply")
	}
	var groups [][]clause // each joined by AND
	and, or := false, false
	for {
		p.space()
		if p.pos == len(p.in) || p.in[p.pos] == ')' {
			if and || or {
				return nil, p.errf("something is missing after AND or OR")
			}
			return join(groups), nil
		}
		switch {
		case p.take("&&") || p.takeWord("AND"):
			if len(groups) == 0 || and || or {
				return nil, p.errf("something is missing before AND")
			}
			and = true
			continue
		case p.take("||") || p.takeWord("OR"):
			if len(groups) == 0 || and || or {
				return nil, p.errf("something is missing before OR")
			}
			or = true
			continue
		}
		var c clause
		for p.takeWord("NOT") || p.takeSign('!') || p.takeSign('-') {
			c.not = !c.not
			p.space()
		}
		if !c.not && p.takeSign('+') {
			c.must = true
		}
		q, err := p.primary(field, depth)
		if err != nil {
			return nil, err
		}
		if c.q = q; q == nil { // empty parentheses
			and, or = false, false
			continue
		}
		// `a -b` and `a NOT b` mean a without b, whatever joins by default.
		if n := len(groups); n > 0 && (and || !or && (p.every || c.not && !and)) {
			groups[n-1] = append(groups[n-1], c)
		} else {
			groups = append(groups, []clause{c})
		}
		and, or = false, false
	}
}

// join makes a query of groups that are joined by OR. As in Lucene, if some must match,
// those that need not match change nothing.
func join(groups [][]clause) query {
	var must andQuery
	var should orQuery
	for _, g := range groups {
		var all andQuery
		required := false
		for _, c := range g {
			q := c.q
			if c.not {
				q = notQuery{q}
			}
			all = append(all, q)
			required = required || c.must
		}
		var q query = all
		if len(all) == 1 {
			q = all[0]
		}
		if required {
			must = append(must, q)
		} else {
			should = append(should, q)
		}
	}
	switch {
	case len(must) == 1:
		return must[0]
	case len(must) > 1:
		return must
	case len(should) == 0:
		return nil
	case len(should) == 1:
		return should[0]
	}
	return should
}

func (p *queryParser) primary(field string, depth int) (query, error) {
	if p.pos == len(p.in) {
		return nil, p.errf("unexpected end")
	}
	switch c := p.in[p.pos]; {
	case c == '(':
		p.pos++
		q, err := p.clauses(field, depth+1)
		if err != nil {
			return nil, err
		}
		if p.pos == len(p.in) {
			return nil, p.errf("a closing parenthesis is missing")
		}
		p.pos++
		return q, p.suffix()
	case c == ')':
		return nil, p.errf("unexpected [)]")
	case c == '"':
		text, err := p.quoted()
		if err != nil {
			return nil, err
		}
		if err := p.suffix(); err != nil {
			return nil, err
		}
		return is(field, text)
	case field != "" && (c == '[' || c == '{'):
		return p.interval(field)
	case field != "" && (c == '>' || c == '<'):
		return p.comparison(field)
	}
	if field == "" {
		if name, ok := p.fieldName(); ok {
			return p.value(name, depth)
		}
	}
	text, pattern := p.word(field != "")
	if text == "" {
		return nil, p.errf("unexpected [%c]", p.in[p.pos])
	}
	return p.wordQuery(field, text, pattern)
}

// value reads what follows the colon after name.
func (p *queryParser) value(name string, depth int) (query, error) {
	p.space()
	if p.pos == len(p.in) {
		return nil, p.errf("a value is missing after [%s:]", name)
	}
	if name == "_exists_" {
		text, err := p.text()
		if err == nil && text == "" {
			err = p.errf("a field is missing after [_exists_:]")
		}
		return exists(text), err
	}
	return p.primary(name, depth)
}

func (p *queryParser) wordQuery(field, text, pattern string) (query, error) {
	if strings.ContainsAny(pattern, "*?") && pattern != escape(text) {
		return like(field, pattern)
	}
	if i := strings.LastIndexByte(text, '~'); i > 0 && strings.Trim(text[i+1:], "0123456789.") == "" {
		return nil, p.errf("fuzzy search is not supported, write \\~ for the character")
	}
	return is(field, text)
}

// fieldName reads a name and its colon.
func (p *queryParser) fieldName() (string, bool) {
	for i := p.pos; i < len(p.in); i++ {
		c := p.in[i]
		switch {
		case c == ':' && i > p.pos:
			if i+2 < len(p.in) && p.in[i+1] == '/' && p.in[i+2] == '/' {
				return "", false // a URL
			}
			name := strings.ReplaceAll(string(p.in[p.pos:i]), `\`, "")
			p.pos = i + 1
			if name == "*" {
				name = ""
			}
			return name, true
		case unicode.IsLetter(c) || c == '_' || c == '@' || c == '*' || c == '\\':
		case i > p.pos && (unicode.IsDigit(c) || c == '.' || c == '-' || c == '/'):
		default:
			return "", false
		}
	}
	return "", false
}

// word reads to a space, a parenthesis or a quote: as text, and as a pattern in which the
// escapes are kept.
func (p *queryParser) word(inField bool) (text, pattern string) {
	var t, w strings.Builder
	for ; p.pos < len(p.in); p.pos++ {
		c := p.in[p.pos]
		if unicode.IsSpace(c) || c == '(' || c == ')' || c == '"' && !inField {
			break
		}
		if c == '\\' && p.pos+1 < len(p.in) {
			p.pos++
			c = p.in[p.pos]
			w.WriteByte('\\')
		}
		t.WriteRune(c)
		w.WriteRune(c)
	}
	text, pattern = t.String(), w.String()
	if i := strings.LastIndexByte(text, '^'); i > 0 && i+1 < len(text) && strings.Trim(text[i+1:], "0123456789.") == "" && strings.HasSuffix(pattern, text[i:]) {
		pattern = strings.TrimSuffix(pattern, text[i:])
		text = text[:i]
	}
	return text, pattern
}

// escape is the pattern that means text and nothing else.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`).Replace(text)
}

// text reads a word or what is in quotes.
func (p *queryParser) text() (string, error) {
	if p.pos < len(p.in) && p.in[p.pos] == '"' {
		return p.quoted()
	}
	text, _ := p.word(true)
	return text, nil
}

func (p *queryParser) quoted() (string, error) {
	var b strings.Builder
	for p.pos++; p.pos < len(p.in); p.pos++ {
		switch c := p.in[p.pos]; {
		case c == '"':
			p.pos++
			return b.String(), nil
		case c == '\\' && p.pos+1 < len(p.in):
			p.pos++
			b.WriteRune(p.in[p.pos])
		default:
			b.WriteRune(c)
		}
	}
	return "", p.errf("a closing quote is missing")
}

// suffix reads a boost, which has no effect.
func (p *queryParser) suffix() error {
	if p.pos < len(p.in) && p.in[p.pos] == '~' {
		return p.errf("fuzzy search is not supported")
	}
	if p.pos < len(p.in) && p.in[p.pos] == '^' {
		for p.pos++; p.pos < len(p.in) && (unicode.IsDigit(p.in[p.pos]) || p.in[p.pos] == '.'); p.pos++ {
		}
	}
	return nil
}

// interval reads [a TO b], {a TO b} and mixtures.
func (p *queryParser) interval(field string) (query, error) {
	open := p.in[p.pos]
	end := p.pos
	for end < len(p.in) && p.in[end] != ']' && p.in[end] != '}' {
		end++
	}
	if end == len(p.in) {
		return nil, p.errf("a closing bracket is missing")
	}
	from, to, ok := strings.Cut(string(p.in[p.pos+1:end]), " TO ")
	if !ok {
		return nil, p.errf("a range is [a TO b]")
	}
	from, to = strings.Trim(from, ` "`), strings.Trim(to, ` "`)
	closing := p.in[end]
	p.pos = end + 1
	var b bounds
	if open == '[' {
		b.gte = from
	} else {
		b.gt = from
	}
	if closing == ']' {
		b.lte = to
	} else {
		b.lt = to
	}
	return between(field, b)
}

// comparison reads >a, >=a, <a and <=a.
func (p *queryParser) comparison(field string) (query, error) {
	sign := string(p.in[p.pos])
	p.pos++
	if p.take("=") {
		sign += "="
	}
	p.space()
	text, err := p.text()
	if err != nil {
		return nil, err
	}
	if text == "" {
		return nil, p.errf("a value is missing after [%s:%s]", field, sign)
	}
	var b bounds
	switch sign {
	case ">":
		b.gt = text
	case ">=":
		b.gte = text
	case "<":
		b.lt = text
	case "<=":
		b.lte = text
	}
	return between(field, b)
}

func (p *queryParser) space() {
	for p.pos < len(p.in) && unicode.IsSpace(p.in[p.pos]) {
		p.pos++
	}
}

// take reads s if it comes next.
func (p *queryParser) take(s string) bool {
	if !strings.HasPrefix(string(p.in[p.pos:min(len(p.in), p.pos+len(s))]), s) {
		return false
	}
	p.pos += len(s)
	return true
}

// takeWord reads a connective in capitals that is a word of its own.
func (p *queryParser) takeWord(s string) bool {
	end := p.pos + len(s)
	if end < len(p.in) && !unicode.IsSpace(p.in[end]) && p.in[end] != '(' && p.in[end] != ')' && p.in[end] != '"' {
		return false
	}
	return p.take(s)
}

// takeSign reads a sign that stands right before what it is about.
func (p *queryParser) takeSign(c rune) bool {
	if p.pos+1 >= len(p.in) || p.in[p.pos] != c || unicode.IsSpace(p.in[p.pos+1]) {
		return false
	}
	p.pos++
	return true
}

// parseTimeSpan reads a time in a query: a date as in documents, milliseconds since 1970,
// or date math such as now-15m, now/d, now-1d/d. A time that is less precise than a
// nanosecond is the span from its first to its last one.
func parseTimeSpan(s string) (from, to int64, err error) {
	if math, ok := strings.CutPrefix(s, "now"); ok {
		return dateMath(time.Now().UTC(), math)
	}
	ns, err := parseTime(s)
	if err != nil {
		return 0, 0, badQuery("failed to parse date field [%s]: %v", start([]byte(s)), err)
	}
	return ns, ns + int64(precision(s, time.Unix(0, ns).UTC())) - 1, nil
}

// precision is how long the moment is that s names.
func precision(s string, t time.Time) time.Duration {
	if _, frac, ok := strings.Cut(s, "."); ok {
		digits := 0
		for digits < len(frac) && '0' <= frac[digits] && frac[digits] <= '9' {
			digits++
		}
		if digits > 3 {
			return time.Nanosecond
		}
		return time.Millisecond
	}
	switch {
	case strings.Trim(s, "-0123456789") == "" && !strings.Contains(strings.TrimPrefix(s, "-"), "-") && len(s) > 4:
		return time.Millisecond
	case len(s) == len("2006"):
		return t.AddDate(1, 0, 0).Sub(t)
	case len(s) == len("2006-01"):
		return t.AddDate(0, 1, 0).Sub(t)
	case len(s) == len("2006-01-02"):
		return 24 * time.Hour
	case len(s) == len("2006-01-02T15:04"):
		return time.Minute
	}
	return time.Second
}

// dateMath applies steps such as -1d and /h to now.
func dateMath(now time.Time, steps string) (from, to int64, err error) {
	t, round := now, time.Duration(0)
	for rest := steps; rest != ""; {
		sign := rest[0]
		n, digits := 0, 1
		for digits < len(rest) && '0' <= rest[digits] && rest[digits] <= '9' && n < 1e6 {
			n = n*10 + int(rest[digits]-'0')
			digits++
		}
		if digits >= len(rest) || !strings.ContainsRune("+-/", rune(sign)) {
			return 0, 0, badQuery("failed to parse date math [now%s]", start([]byte(steps)))
		}
		if digits == 1 {
			n = 1
		}
		unit := rest[digits]
		rest = rest[digits+1:]
		if sign == '-' {
			n = -n
		}
		if sign == '/' {
			if t, round = roundDown(t, unit); round == 0 {
				return 0, 0, badQuery("unknown unit [%c] in date math", unit)
			}
			continue
		}
		switch unit {
		case 'y':
			t = t.AddDate(n, 0, 0)
		case 'M':
			t = t.AddDate(0, n, 0)
		default:
			d, ok := units[unit]
			if !ok {
				return 0, 0, badQuery("unknown unit [%c] in date math", unit)
			}
			if d >= 24*time.Hour {
				t = t.AddDate(0, 0, n*int(d/(24*time.Hour)))
			} else {
				t = t.Add(time.Duration(n) * d)
			}
		}
		if y := t.Year(); y < 1678 || y > 2261 {
			return 0, 0, badQuery("date math [now%s] is out of range", start([]byte(steps)))
		}
	}
	from = t.UnixNano()
	return from, from + max(0, int64(round)-1), nil
}

var units = map[byte]time.Duration{
	's': time.Second, 'm': time.Minute, 'h': time.Hour, 'H': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour,
}

// roundDown is the start of the unit that t is in, and the length of that unit.
func roundDown(t time.Time, unit byte) (time.Time, time.Duration) {
	y, m, d := t.Date()
	switch unit {
	case 'y':
		t = time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC)
		return t, t.AddDate(1, 0, 0).Sub(t)
	case 'M':
		t = time.Date(y, m, 1, 0, 0, 0, 0, time.UTC)
		return t, t.AddDate(0, 1, 0).Sub(t)
	case 'w':
		t = time.Date(y, m, d-(int(t.Weekday())+6)%7, 0, 0, 0, 0, time.UTC)
		return t, 7 * 24 * time.Hour
	}
	u := units[unit]
	if u == 0 {
		return t, 0
	}
	return t.Truncate(u), u
}
