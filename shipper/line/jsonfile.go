package line

import (
	"bytes"
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/sluicelog/sluice/internal/jsontext"
	"github.com/sluicelog/sluice/internal/rfc3339"
)

// JSONFile decodes the lines of Docker's json-file log driver.
//
//	{"log":"GET / 200\n","stream":"stdout","time":"2026-11-21T08:57:47.123456789Z"}
//	        ^^^^^^^^^ inside
//	{"log":"first 16 KiB of ...","stream":"stderr","attrs":{"tag":"web"},"time":"..."}
//
// A log that does not end in \n is one piece of a line: dockerd cuts at 16 KiB.
var JSONFile Decoder = jsonFile{}

type jsonFile struct{}

const (
	headLog    = `{"log":"`
	midStdout  = `","stream":"stdout"`
	midStderr  = `","stream":"stderr"`
	headAttrs  = `,"attrs":{`
	headTime   = `,"time":"`
	tailTime   = `"}`
	escNewline = `\n`
)

// MaxRaw: a line of dockerd holds at most 16 KiB of text, six bytes each at worst; what
// is far longer is none.
func (jsonFile) MaxRaw() int { return 256 << 10 }

// Decode reads the form dockerd writes by position, and unescapes and allocates nothing;
// any other order or spacing goes through encoding/json. False: torn by a crash, a hole
// of NUL bytes, not Docker's at all.
func (jsonFile) Decode(p *Piece, raw []byte) bool {
	return decodeExact(p, raw) || decodeAny(p, raw)
}

// Next finds the head of a record: in none of its strings can it be, since quotes in them
// are escaped.
func (jsonFile) Next(raw []byte) int {
	for i := 1; i < len(raw); i++ {
		k := bytes.IndexByte(raw[i:], headLog[0])
		if k < 0 {
			break
		}
		i += k
		if n := min(len(headLog), len(raw)-i); string(raw[i:i+n]) == headLog[:n] {
			return i
		}
	}
	return len(raw)
}

func decodeExact(p *Piece, raw []byte) bool {
	if len(raw) < len(headLog) || string(raw[:len(headLog)]) != headLog {
		return false
	}
	in := raw[len(headLog):]
	n, esc, replaced := jsontext.Scan(in)
	if n < 0 {
		return false
	}
	rest := in[n:]
	switch {
	case len(rest) < len(midStdout):
		return false
	case string(rest[:len(midStdout)]) == midStdout:
		p.Stream = Stdout
	case string(rest[:len(midStderr)]) == midStderr:
		p.Stream = Stderr
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
	if p.Time, ok = rfc3339.Parse(rest[len(headTime) : len(rest)-len(tailTime)]); !ok {
		return false
	}
	p.Inside, p.At, p.Replaced, p.Cleaned = in[:n], len(headLog), replaced, replaced > 0
	p.Whole = n >= 2 && esc == n-2 && in[n-1] == 'n'
	if p.Whole {
		p.Inside = in[:n-len(escNewline)]
	}
	return true
}

// decodeAny is the way for what dockerd does not write itself.
func decodeAny(p *Piece, raw []byte) bool {
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
	if l.Stream != Stdout && l.Stream != Stderr && l.Stream != "" { // each could have an unfinished line
		return false
	}
	log := ""
	if l.Log != nil {
		log = *l.Log
	}
	p.Whole = len(log) > 0 && log[len(log)-1] == '\n'
	if p.Whole {
		log = log[:len(log)-1]
	}
	p.Inside = jsontext.Append(nil, log)
	p.Stream, p.Time, p.At, p.Replaced = l.Stream, *l.Time, 0, bytes.Count(raw, []byte(jsontext.Replaced))
	p.Cleaned = p.Replaced > 0 || !utf8.Valid(raw)
	return true
}

// skipFlat skips the members of an object of strings, whose opening brace is already
// passed, with its closing brace; -1 if it is anything else.
func skipFlat(b []byte) int {
	i := 0
	text := func() bool {
		if i >= len(b) || b[i] != '"' {
			return false
		}
		n, _, _ := jsontext.Scan(b[i+1:])
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
