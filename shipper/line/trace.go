package line

import (
	"bytes"
)

// Traces are the stack traces of the usual languages: what goes on is known by how its
// lines begin, so a line that is none costs a look at its first bytes.
//
//	2026-11-21 08:57:47 ERROR order failed              a line that says so
//	java.lang.IllegalStateException: no stock           goes on: the class of an exception
//	\tat com.shop.Order.take(Order.java:31)             goes on: a frame
//	Caused by: java.net.ConnectException: refused       goes on: a cause
//	\t... 12 more                                       goes on
//	2026-11-21 08:57:48 INFO next                       does not
//
// A frame that comes without a head begins a trace all the same.
type Traces struct {
	Java, Python, Go, DotNet, Node, Ruby, PHP bool
}

// Languages are the stack traces that are known, by name.
var Languages = []string{"java", "python", "go", "dotnet", "node", "ruby", "php"}

// NewTraces knows the stack traces of some languages; of all, if none is named.
func NewTraces(languages ...string) *Traces {
	t := &Traces{}
	if len(languages) == 0 {
		languages = Languages
	}
	for _, l := range languages {
		switch l {
		case "java":
			t.Java = true
		case "python":
			t.Python = true
		case "go":
			t.Go = true
		case "dotnet":
			t.DotNet = true
		case "node":
			t.Node = true
		case "ruby":
			t.Ruby = true
		case "php":
			t.PHP = true
		}
	}
	return t
}

// States of a trace.
const (
	fresh     uint8 = iota // after the first line
	frames                 // after a line that goes on
	pyFrames               // after Traceback (most recent call last):
	pyError                // after the error at its end
	pyBlank                // after an empty line
	pyChained              // after the word that another error follows, or the empty line after that
	goPanic                // after the empty line, or the signal, of a panic
	goFrames               // in a goroutine
	goBlank                // after it
	phpStack               // after Stack trace:
)

var (
	traceback = []byte("Traceback (most recent call last):")
	goroutine = []byte("goroutine ")
)

// GoesOn is the Rule's.
func (t *Traces) GoesOn(state *uint8, first, before, m []byte) bool {
	if *state >= pyFrames {
		return t.inside(state, m)
	}
	if len(m) == 0 { // an empty line after a panic is in its trace
		if *state == fresh && t.Go && (bytes.HasPrefix(first, []byte("panic: ")) || bytes.HasPrefix(first, []byte("fatal error: "))) {
			*state = goPanic
			return true
		}
		return false
	}
	if *state == fresh { // the first line may be inside already
		switch {
		case t.Python && indented(m) && bytes.Contains(first, traceback):
			*state = pyFrames
			return true
		case t.Go && bytes.HasPrefix(first, goroutine) && bytes.HasSuffix(first, []byte("]:")) && goFrame(m):
			*state = goFrames
			return true
		case t.Go && bytes.HasPrefix(m, []byte("[signal ")) && bytes.HasPrefix(first, []byte("panic: ")):
			*state = goPanic
			return true
		}
	}
	switch m[0] {
	case ' ', '\\':
		body := unindent(m)
		if len(body) == len(m) || !t.frame(body) {
			return false
		}
		if *state == fresh && !t.head(first) && !t.orphan(first) {
			return false
		}
	case 'C':
		if !t.Java || !bytes.HasPrefix(m, []byte("Caused by: ")) || *state == fresh && !t.head(first) {
			return false
		}
	case 'T':
		if t.Python && bytes.Equal(m, traceback) {
			if *state == fresh && !t.head(first) {
				return false
			}
			*state = pyFrames
			return true
		}
		return t.exception(state, first, m)
	case 'S':
		if t.PHP && bytes.HasPrefix(m, []byte("Stack trace:")) && (*state == frames || t.head(first)) {
			*state = phpStack
			return true
		}
		return t.exception(state, first, m)
	case '#':
		if !t.PHP || !phpFrame(m) || *state == fresh && !t.head(first) && !phpFrame(first) {
			return false
		}
	case 'g':
		if t.Go && bytes.HasPrefix(m, goroutine) && bytes.HasSuffix(m, []byte("]:")) && (*state == frames || t.head(first)) {
			*state = goFrames
			return true
		}
		return t.exception(state, first, m)
	default:
		return letter(m[0]) && t.exception(state, first, m)
	}
	*state = frames
	return true
}

// inside is GoesOn in traces whose lines are known by what is before them.
func (t *Traces) inside(state *uint8, m []byte) bool {
	switch *state {
	case pyFrames:
		if !indented(m) { // the error itself, its message or whatever ends the trace
			*state = pyError
			return len(m) > 0
		}
		return true
	case pyError:
		*state = pyBlank
		return len(m) == 0
	case pyBlank:
		*state = pyChained
		return bytes.HasPrefix(m, []byte("During handling of the above exception")) || bytes.HasPrefix(m, []byte("The above exception was the direct cause"))
	case pyChained:
		if bytes.Equal(m, traceback) {
			*state = pyFrames
			return true
		}
		return len(m) == 0
	case goPanic:
		if bytes.HasPrefix(m, goroutine) {
			*state = goFrames
			return true
		}
		return len(m) == 0 || bytes.HasPrefix(m, []byte("[signal "))
	case goFrames:
		if len(m) == 0 {
			*state = goBlank
			return true
		}
		return goFrame(m) || bytes.HasPrefix(m, []byte("exit status "))
	case goBlank:
		*state = goFrames
		return bytes.HasPrefix(m, goroutine) || bytes.HasPrefix(m, []byte("exit status "))
	default: // phpStack
		return phpFrame(m) || bytes.HasPrefix(unindent(m), []byte("thrown in "))
	}
}

// exception has a line that is the class of an exception go on with a line of a log.
func (t *Traces) exception(state *uint8, first, m []byte) bool {
	if *state != fresh || !(t.Java || t.DotNet || t.Node || t.Ruby) || !class(m) || class(first) || !t.head(first) {
		return false
	}
	*state = frames
	return true
}

// frame reports whether a line, without what it is indented by, is in a stack trace.
func (t *Traces) frame(b []byte) bool {
	has := func(prefix string) bool { return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix }
	if len(b) < 4 {
		return false
	}
	switch b[0] {
	case 'a':
		return (t.Java || t.DotNet || t.Node) && has("at ")
	case '.':
		return (t.Java || t.Node) && has("... ")
	case 'C':
		return t.Java && has("Caused by: ")
	case 'S':
		return t.Java && has("Suppressed: ")
	case '-':
		return t.DotNet && (has("--- End of ") || has("---> ") || has(`---\u003e `))
	case '[':
		return t.Node && (has("[cause]: ") || has("[errors]: "))
	case 'f':
		return t.Ruby && has("from ")
	case 't':
		return t.PHP && has("thrown in ")
	case 'F':
		return t.Python && has(`File \"`)
	case 'p':
		return t.Go && has("panic: ")
	}
	return false
}

// orphan reports whether a line is a frame whose head is not before it.
func (t *Traces) orphan(m []byte) bool {
	b := unindent(m)
	return len(b) < len(m) && t.frame(b)
}

// words are what a line says after which a stack trace may come.
var words = [][]byte{
	[]byte("rror"), []byte("xception"), []byte("RROR"), []byte("WARN"), []byte("anic"), []byte("FATAL"), []byte("atal"), []byte("SEVERE"), []byte("RITICAL"),
	[]byte("hrowable"), []byte("raceback"), []byte("goroutine "),
}

const headLen = 2 << 10 // of a line is looked at

// head reports whether a stack trace may come after a line.
func (t *Traces) head(m []byte) bool {
	m = m[:min(len(m), headLen)]
	for _, w := range words {
		if bytes.Contains(m, w) {
			return true
		}
	}
	return false
}

// Opens is the Rule's.
func (t *Traces) Opens(m []byte) bool { return t.head(m) || t.orphan(m) || phpFrame(m) }

// class reports whether a line begins with the class of an exception, as
// java.lang.IllegalStateException: or TypeError:.
func class(m []byte) bool {
	if len(m) == 0 || !letter(m[0]) {
		return false
	}
	n := 1
	for n < len(m) && (letter(m[n]) || m[n] == '.' || '0' <= m[n] && m[n] <= '9' || m[n] == '$') {
		n++
	}
	if n < len(m) && m[n] != ':' {
		return false
	}
	name := m[:n]
	return bytes.HasSuffix(name, []byte("Exception")) || bytes.HasSuffix(name, []byte("Error")) || bytes.HasSuffix(name, []byte("Throwable"))
}

func letter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' }

// indented reports whether a line begins with white space.
func indented(m []byte) bool { return len(unindent(m)) < len(m) }

// unindent is a line without the spaces and tabs before it; a tab is \t in JSON.
func unindent(m []byte) []byte {
	for len(m) > 0 {
		switch {
		case m[0] == ' ':
			m = m[1:]
		case len(m) > 1 && m[0] == '\\' && m[1] == 't':
			m = m[2:]
		default:
			return m
		}
	}
	return m
}

// goFrame reports whether a line is in the stack of a goroutine.
func goFrame(m []byte) bool {
	return indented(m) || len(m) > 0 && m[len(m)-1] == ')' && bytes.IndexByte(m, '(') > 0 || bytes.HasPrefix(m, []byte("created by ")) || bytes.HasPrefix(m, []byte("..."))
}

// phpFrame reports whether a line is #1 and so on.
func phpFrame(m []byte) bool {
	n := 1
	for n < len(m) && '0' <= m[n] && m[n] <= '9' {
		n++
	}
	return n > 1 && n < len(m) && m[0] == '#' && m[n] == ' '
}
