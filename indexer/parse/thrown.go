package parse

import "bytes"

// thrown is what a text says of an exception; its parts point into the text, which is the
// inside of a JSON string.
type thrown struct {
	kind, message []byte // kind: error.type
	trace         []byte // from the exception on; nil: there are no frames
}

// addThrown adds error.type, error.message and error.stack_trace of a text that holds an
// exception and its frames, and reports whether it did.
func (p *Parser) addThrown(text []byte) bool {
	t := thrownIn(text)
	if t.trace == nil || hasField(p.fields, "error") {
		return false
	}
	p.addError(&t)
	return true
}

func (p *Parser) addError(t *thrown) {
	p.beginField("error")
	v := append(p.values, '{')
	if len(t.kind) > 0 {
		v = append(append(append(v, `"type":"`...), t.kind...), `",`...)
	}
	if len(t.message) > 0 {
		v = append(append(append(v, `"message":"`...), t.message...), `",`...)
	}
	if len(t.trace) > 0 {
		v = append(append(append(v, `"stack_trace":"`...), t.trace...), `",`...)
	}
	p.values = append(v[:len(v)-1], '}')
	p.endField()
}

func hasField(fields []Field, name string) bool {
	for _, f := range fields {
		if f.Name == name {
			return true
		}
	}
	return false
}

// thrownIn finds the exception whose frames are in a text: those of Java, JavaScript,
// .NET, Python, Go, PHP and Ruby. Each byte is looked at a bounded number of times.
func thrownIn(text []byte) (t thrown) {
	line, found := 0, -1 // where the line begins, and the last one that names an exception
	for i := 0; ; {
		if line == i || i == 0 {
			switch rest := text[line:]; {
			case bytes.HasPrefix(rest, []byte("Traceback (most recent call last):")):
				return pythonThrown(text, line)
			case bytes.HasPrefix(rest, []byte("goroutine ")) && found >= 0 && t.kind != nil:
				t.trace = trimEnd(text[found:])
				return t
			case bytes.HasPrefix(rest, []byte("Stack trace:")) && line > 0:
				return phpThrown(text, found, line, t)
			}
			if k, kind, message := thrownAt(text, line); kind != nil {
				found, t.kind, t.message = k, kind, message
			}
		}
		n := bytes.IndexByte(text[i:], '\\')
		if n < 0 || i+n+1 >= len(text) {
			return thrown{}
		}
		if i += n + 2; text[i-1] != 'n' {
			continue
		}
		if isFrame(text[i:]) {
			return withFrames(text, found, line, i-2, t)
		}
		line = i
	}
}

// isFrame reports whether a line is one of a stack: a tab or blanks, and `at `; or Ruby's
// `from `.
func isFrame(line []byte) bool {
	k := 0
	if bytes.HasPrefix(line, []byte(`\t`)) {
		if k = 2; bytes.HasPrefix(line[k:], []byte("from ")) {
			return true
		}
	} else {
		k = skipSpaces(line, 0, min(len(line), 8))
	}
	return k > 1 && bytes.HasPrefix(line[k:], []byte("at "))
}

// withFrames is the exception of frames that begin after text[end]; the line before them
// begins at text[line], the last that begins with the name of one at text[found].
func withFrames(text []byte, found, line, end int, t thrown) thrown {
	if found < 0 { // in the line, after other words
		head := text[line:end]
		for k := 0; k < len(head) && k < 2048; k++ {
			if k > 0 && head[k-1] != ' ' || !isAlpha(head[k]) {
				continue
			}
			word := endOfName(head, k, len(head))
			if isThrown(head[k:word]) {
				found, t.kind = line+k, head[k:word]
				if message, ok := bytes.CutPrefix(head[word:], []byte(": ")); ok {
					t.message = message
				}
				break
			}
			k = max(k, word-1)
		}
	} else if found+len(t.kind) < end && t.message != nil { // a message of several lines
		from := bytes.Index(text[found:end], t.kind) + found + len(t.kind)
		t.message = bytes.TrimLeft(text[from:end], ": ")
	}
	if found < 0 {
		if n := bytes.LastIndexByte(text[line:end], '('); n > 0 && text[end-1] == ')' && isIdentifier(text[line+n+1:end-1]) && bytes.HasPrefix(text[end+2:], []byte(`\tfrom `)) { // Ruby: text (NoMethodError)
			t.kind, t.message, found = text[line+n+1:end-1], text[line:line+n], line
		} else {
			found = end + 2 // of frames alone
		}
	}
	t.trace = trimEnd(text[found:])
	return t
}

// thrownAt is the exception that the line at text[line] begins with: where, its name, and
// its message up to the end of the line.
func thrownAt(text []byte, line int) (from int, kind, message []byte) {
	k := line
	for _, before := range [][]byte{[]byte(`Exception in thread \"`), []byte("Unhandled exception. "), []byte("Unhandled Exception: "), []byte("Uncaught "), []byte("panic: "), []byte("fatal error: ")} {
		if len(text)-k < len(before) || text[k] != before[0] || !bytes.HasPrefix(text[k:], before) {
			continue
		}
		if before[0] == 'p' || before[0] == 'f' { // Go
			kind = text[k : k+len(before)-2]
			return line, kind, restOfLine(text, k+len(before))
		}
		if k += len(before); before[len(before)-1] == '"' {
			n := bytes.Index(text[k:min(len(text), k+200)], []byte(`\" `))
			if n < 0 {
				return 0, nil, nil
			}
			k += n + 3
		}
		break
	}
	end := endOfName(text, k, min(len(text), k+200))
	if end == k || !isAlpha(text[k]) {
		return 0, nil, nil
	}
	name := text[k:end]
	switch next := at(text, end); {
	case !isThrown(name) && !isLogger(name):
		return 0, nil, nil
	case next == ':' && at(text, end+1) == ' ':
		message = restOfLine(text, end+2)
	case next == ' ' && at(text, end+1) == '[' && isThrown(name): // Node: Error [CODE]: text
		message = restOfLine(text, end+1)
	case next == 0, next == '\\' && at(text, end+1) == 'n':
	default:
		return 0, nil, nil
	}
	return k, name, message
}

// restOfLine is the line from text[i] on, without its end.
func restOfLine(text []byte, i int) []byte {
	for k := i; ; {
		n := bytes.IndexByte(text[k:], '\\')
		if n < 0 || k+n+1 >= len(text) {
			return text[i:]
		}
		if k += n; text[k+1] == 'n' {
			return text[i:k]
		}
		k += 2
	}
}

// pythonThrown is the exception of a traceback at text[from]: it is named by the last line
// that is not indented.
func pythonThrown(text []byte, from int) thrown {
	t := thrown{trace: trimEnd(text[from:])}
	for i := from; ; {
		line := restOfLine(text, i)
		n := endOfName(line, 0, len(line))
		if n > 0 && isAlpha(line[0]) && i > from && (n == len(line) || line[n] == ':') {
			t.kind, t.message = line[:n], nil
			if n < len(line) {
				t.message = bytes.TrimPrefix(line[n+1:], []byte(" "))
			}
		}
		if i += len(line) + 2; i >= len(text) {
			return t
		}
	}
}

// phpThrown is the exception before `Stack trace:` at text[line].
func phpThrown(text []byte, found, line int, t thrown) thrown {
	head := text[:line-2]
	if n := bytes.LastIndex(head, []byte("Uncaught ")); n >= 0 {
		k := n + len("Uncaught ")
		end := k
		for end < len(head) && (isName(head[end]) || head[end] == '\\') {
			end++
		}
		if kind := head[k:end]; len(kind) > 0 && isInside(kind) {
			t.kind, found = kind, k
			t.message = bytes.TrimPrefix(head[end:], []byte(": "))
		}
	}
	if found < 0 {
		return thrown{}
	}
	t.trace = trimEnd(text[found:])
	return t
}

// trimEnd is text without line ends after it.
func trimEnd(text []byte) []byte {
	for n := len(text); n > 2 && text[n-2] == '\\' && text[n-1] == 'n' && text[n-3] != '\\'; n = len(text) {
		text = text[:n-2]
	}
	return text
}
