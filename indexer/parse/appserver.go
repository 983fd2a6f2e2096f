package parse

import "bytes"

// uwsgi reads `[pid: 12|app: 0|req: 1/1] 1.2.3.4 () {32 vars in 400 bytes} [Sat Nov 21
// 08:57:47 2026] GET / => generated 9 bytes in 5 msecs (HTTP/1.1 200) ...`.
type uwsgi struct{}

func (uwsgi) Name() string           { return "access" }
func (uwsgi) Starts(first byte) bool { return first == '[' }

func (uwsgi) Read(p *Parser) bool {
	m := p.message[p.start:]
	if !bytes.HasPrefix(m, []byte("[pid: ")) {
		return false
	}
	head := m[:min(len(m), accessHead)]
	open := bytes.Index(head, []byte("} ["))
	if open < 0 {
		return false
	}
	open += len("} [")
	var t Civil
	end := open + matchTime(m[open:], &t)
	if end == open || at(m, end) != ']' {
		return false
	}
	p.takeTime(&t)
	if from := bytes.Index(head, []byte("] ")); from > 0 && from < open {
		host, _ := wordAt(m, from+2)
		p.addSource(host)
	}
	var r request
	line := m[end+1:]
	if n := bytes.Index(line, []byte(" => ")); n > 0 {
		r = requestOf(line[1:n])
		rest := line[n:min(len(line), n+200)]
		if n := bytes.Index(rest, []byte("(HTTP/")); n > 0 {
			r.version, n = wordAt(rest, n+len("(HTTP/"))
			if r.status, _ = wordAt(rest, n); !isVersion(r.version) {
				r.version = nil
			}
			r.status = bytes.TrimSuffix(r.status, []byte(")"))
		}
		if size, ok := bytes.CutPrefix(rest, []byte(" => generated ")); ok {
			r.size, _ = wordAt(size, 0)
		}
	}
	r.add(p)
	return true
}

// rails reads `Started GET "/path" for 1.2.3.4 at 2026-11-21 08:57:47 +0000`.
type rails struct{}

func (rails) Name() string           { return "access" }
func (rails) Starts(first byte) bool { return first == 'S' }

func (rails) Read(p *Parser) bool {
	m := p.message[p.start:]
	rest, ok := bytes.CutPrefix(m, []byte("Started "))
	if !ok {
		return false
	}
	var r request
	i := 0
	r.method, i = wordAt(rest, 0)
	r.target, i = quoted(rest, i+1)
	if !allUpper(r.method) || len(r.method) > 16 || r.target == nil || !bytes.HasPrefix(rest[i:], []byte(" for ")) {
		return false
	}
	host, i := wordAt(rest, i+len(" for "))
	var t Civil
	if !bytes.HasPrefix(rest[i:], []byte(" at ")) || matchTime(rest[i+len(" at "):], &t) == 0 {
		return false
	}
	p.takeTime(&t)
	p.addSource(host)
	r.add(p)
	return true
}
