package shipper

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"time"
	"unicode/utf8"

	"github.com/sluicelog/sluice/schemas"
)

const (
	stdout = "stdout"
	stderr = "stderr"
)

// dockerLine is what one line of a json-file log says.
//
//	{"log":"GET / 200\n","stream":"stdout","time":"2026-11-21T08:57:47.123456789Z"}
//	        ^^^^^^^^^ inside
//	{"log":"first 16 KiB of ...","stream":"stderr","attrs":{"tag":"web"},"time":"..."}
//
// A log that does not end in \n is one piece of a line: dockerd cuts at 16 KiB.
type dockerLine struct {
	inside  []byte // of the log string, still escaped, without its final \n; points into the raw line if direct
	stream  string
	time    time.Time
	whole   bool // the log ended in \n
	direct  bool // inside starts at raw[len(headLog)]
	cleaned bool // bytes that are not UTF-8 were replaced
}

const (
	headLog    = `{"log":"`
	midStdout  = `","stream":"stdout"`
	midStderr  = `","stream":"stderr"`
	headAttrs  = `,"attrs":{`
	headTime   = `,"time":"`
	tailTime   = `"}`
	escNewline = `\n`
)

// decode reads a raw line without its newline. The form dockerd writes is read by
// position and nothing is unescaped or allocated; any other order or spacing goes
// through encoding/json. False: this is no json-file line (torn by a crash, a hole of
// NUL bytes, not Docker's at all).
func (d *dockerLine) decode(raw []byte) bool {
	return d.decodeExact(raw) || d.decodeAny(raw)
}

func (d *dockerLine) decodeExact(raw []byte) bool {
	if len(raw) < len(headLog) || string(raw[:len(headLog)]) != headLog {
		return false
	}
	in := raw[len(headLog):]
	n, esc := scanString(in)
	if n < 0 {
		return false
	}
	rest := in[n:]
	switch {
	case len(rest) < len(midStdout):
		return false
	case string(rest[:len(midStdout)]) == midStdout:
		d.stream = stdout
	case string(rest[:len(midStderr)]) == midStderr:
		d.stream = stderr
	default:
		return false
	}
	rest = rest[len(midStdout):]
	if bytes.HasPrefix(rest, []byte(headAttrs)) {
		k := skipFlat(rest[len(headAttrs):])
		if k < 0 {
			return false
		}
		rest = rest[len(headAttrs)+k:]
	}
	if len(rest) < len(headTime)+len(tailTime) || string(rest[:len(headTime)]) != headTime || string(rest[len(rest)-len(tailTime):]) != tailTime {
		return false
	}
	var ok bool
	if d.time, ok = parseTime(rest[len(headTime) : len(rest)-len(tailTime)]); !ok {
		return false
	}
	d.inside, d.direct, d.cleaned = in[:n], true, false
	d.whole = n >= 2 && esc == n-2 && in[n-1] == 'n'
	if d.whole {
		d.inside = in[:n-len(escNewline)]
	}
	return true
}

// decodeAny is the way for what dockerd does not write itself.
func (d *dockerLine) decodeAny(raw []byte) bool {
	if len(raw) < 2 || raw[0] != '{' {
		return false
	}
	var l struct {
		Log    *string    `json:"log"`
		Stream string     `json:"stream"`
		Time   *time.Time `json:"time"`
	}
	if json.Unmarshal(raw, &l) != nil || l.Log == nil && l.Stream == "" || l.Time == nil {
		return false
	}
	if l.Stream != stdout && l.Stream != stderr && l.Stream != "" { // each could have an unfinished line
		return false
	}
	log := ""
	if l.Log != nil {
		log = *l.Log
	}
	d.whole = len(log) > 0 && log[len(log)-1] == '\n'
	if d.whole {
		log = log[:len(log)-1]
	}
	d.inside = schemas.AppendString(nil, log)
	d.stream, d.time, d.direct, d.cleaned = l.Stream, *l.Time, false, !utf8.Valid(raw)
	return true
}

// skipFlat skips the members of an object of strings, whose opening brace is already
// behind, with its closing brace; -1 if it is anything else.
func skipFlat(b []byte) int {
	i := 0
	text := func() bool {
		if i >= len(b) || b[i] != '"' {
			return false
		}
		n, _ := scanString(b[i+1:])
		i += n + 2
		return n >= 0 && i < len(b)
	}
	for {
		if !text() || b[i] != ':' {
			return -1
		}
		i++
		if !text() {
			return -1
		}
		switch b[i] {
		case ',':
			i++
		case '}':
			return i + 1
		default:
			return -1
		}
	}
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special marks, in the high bit of each byte of w, those that do not stand for
// themselves in a JSON string: below 0x20, quote, backslash, not ASCII. Only the
// lowest mark is exact, as borrows run upwards.
func special(w uint64) uint64 {
	q := w ^ ones*'"'
	s := w ^ ones*'\\'
	return ((w-ones*0x20)&^w | (q-ones)&^q | (s-ones)&^s | w) & highs
}

// scanString is the index of the quote that ends the JSON string whose inside starts
// at b[0], and where its last escape starts (-1: none). The index is -1 if there is no
// end or the inside is not valid: torn lines must not become torn events.
func scanString(b []byte) (end, lastEscape int) {
	lastEscape = -1
	for i := 0; ; {
		for i+8 <= len(b) {
			if m := special(binary.LittleEndian.Uint64(b[i:])); m != 0 {
				i += bits.TrailingZeros64(m) / 8
				break
			}
			i += 8
		}
		if i >= len(b) {
			return -1, lastEscape
		}
		switch c := b[i]; {
		case c == '"':
			return i, lastEscape
		case c == '\\':
			n := escapeLen(b[i:])
			if n == 0 {
				return -1, lastEscape
			}
			lastEscape = i
			i += n
		case c < 0x20:
			return -1, lastEscape
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				return -1, lastEscape
			}
			i += n
		default:
			i++
		}
	}
}

// escapeLen is the length of the escape that b starts with, 0 if it is none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, c := range b[2:6] {
			if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
				return 0
			}
		}
		return 6
	}
	return 0
}

// standsForItself tells whether raw text may be the inside of a JSON string as it is.
func standsForItself(b []byte) bool {
	for i := 0; i < len(b); {
		if i+8 <= len(b) {
			m := special(binary.LittleEndian.Uint64(b[i:]))
			if m == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(m) / 8
		}
		switch c := b[i]; {
		case c < 0x20, c == '"', c == '\\':
			return false
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				return false
			}
			i += n
		default:
			i++
		}
	}
	return true
}

// parseTime reads RFC 3339 as Docker writes it: UTC, up to nine digits of a second,
// trailing zeros left out. Other forms go through the time package.
func parseTime(b []byte) (time.Time, bool) {
	const form = "0000-00-00T00:00:00"
	if len(b) < len(form)+1 || b[len(b)-1] != 'Z' {
		return parseTimeAny(b)
	}
	for i, c := range []byte(form) {
		if c == '0' && (b[i] < '0' || b[i] > '9') || c != '0' && b[i] != c {
			return parseTimeAny(b)
		}
	}
	two := func(i int) int { return int(b[i]-'0')*10 + int(b[i+1]-'0') }
	year, month, day := two(0)*100+two(2), two(5), two(8)
	hour, minute, sec := two(11), two(14), two(17)
	if month < 1 || month > 12 || day < 1 || day > 28 && day > daysIn(year, month) || hour > 23 || minute > 59 || sec > 59 {
		return time.Time{}, false
	}
	frac := b[len(form) : len(b)-1]
	ns := 0
	if len(frac) > 0 {
		if frac[0] != '.' || len(frac) < 2 || len(frac) > 10 {
			return parseTimeAny(b)
		}
		for _, c := range frac[1:] {
			if c < '0' || c > '9' {
				return time.Time{}, false
			}
			ns = ns*10 + int(c-'0')
		}
		for i := len(frac); i < 10; i++ {
			ns *= 10
		}
	}
	return time.Date(year, time.Month(month), day, hour, minute, sec, ns, time.UTC), true
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

func parseTimeAny(b []byte) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, string(b))
	return t, err == nil
}

// cutEscaped is the longest n <= limit at which the inside of a JSON string may be cut:
// in no escape, surrogate pair or rune. It is 0 only if limit is too small for what
// stands at the start.
func cutEscaped(in []byte, limit int) int {
	if len(in) <= limit {
		return len(in)
	}
	n := cutRunes(in, limit)
	// The last backslash that could start an escape reaching over n.
	if p := bytes.LastIndexByte(in[max(0, n-5):n], '\\'); p >= 0 {
		p += max(0, n-5)
		k := p
		for k > 0 && in[k-1] == '\\' {
			k--
		}
		if (p-k)%2 == 0 && p+max(1, escapeLen(in[p:])) > n {
			n = p
		}
	}
	if n >= 6 && in[n-6] == '\\' && in[n-5] == 'u' && in[n-4]|0x20 == 'd' && bytes.IndexByte([]byte("89abAB"), in[n-3]) >= 0 {
		n -= 6
	}
	return n
}

// cutRunes is the longest n <= limit at which text may be cut without cutting a rune;
// limit itself where the bytes are no UTF-8. It is above 0 if limit is at least
// utf8.UTFMax.
func cutRunes(b []byte, limit int) int {
	if len(b) <= limit {
		return len(b)
	}
	for n := limit; n >= 0 && n > limit-utf8.UTFMax; n-- {
		if utf8.RuneStart(b[n]) {
			return n
		}
	}
	return limit
}
