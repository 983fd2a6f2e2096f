package parse

import "bytes"

// accessLog reads `1.2.3.4 - user [21/Nov/2026:08:57:47 +0800] "GET / HTTP/1.1" 200 12
// "referrer" "agent"` of nginx, Apache, Tomcat and Traefik, with a virtual host or a list
// of proxies before; `1.2.3.4:5678 [time] frontend backend/server 0/0/1/2/3 200 12 ...
// "GET / HTTP/1.1"` of HAProxy; `[time] "GET / HTTP/1.1" 200 - 0 12 ... "agent"` of Envoy.
type accessLog struct{}

func (accessLog) Name() string { return "access" }
func (accessLog) Starts(first byte) bool {
	return isDigit(first) || isAlpha(first) || first == '[' || first == ':' || first == '-' || first == '_'
}

// accessHead is how far the time may be from the beginning of the line, in bytes: a list
// of proxies may be before it.
const accessHead = 600

func (accessLog) Read(p *Parser) bool {
	m := p.message[p.start:]
	open := 0
	if m[0] != '[' {
		n := bytes.IndexByte(m[:min(len(m), accessHead)], '[')
		if n < 1 || m[n-1] != ' ' {
			return false
		}
		open = n
	}
	if c := at(m, open+1); !isDigit(c) || at(m, open+3) != '/' && at(m, open+5) != '-' {
		return false
	}
	var t Civil
	end := matchTime(m[open+1:], &t)
	if end += open + 1; end == open+1 || at(m, end) != ']' || at(m, end+1) != ' ' {
		return false
	}
	request, after := quoted(m, end+2)
	if open == 0 && request == nil {
		return false // an error log
	}
	r := requestOf(request)
	switch {
	case request != nil:
		r.common(m, after, open == 0)
	case bytes.IndexByte(m[:open], ' ') == open-1: // HAProxy: one word before the time
		if bytes.LastIndexByte(m[:open], ':') < 1 {
			return false
		}
		r.haproxy(m, end+2)
	default: // Amazon S3: the request is farther on
		n := bytes.Index(m[end:min(len(m), end+accessHead)], []byte(`\"`))
		if n < 0 {
			return false
		}
		request, after = quoted(m, end+n)
		if r = requestOf(request); r.method == nil {
			return false
		}
		r.common(m, after, false)
	}
	p.takeTime(&t)
	if open > 0 {
		p.accessSource(m[:open-1])
	}
	r.add(p)
	return true
}

// accessSource adds source and user, of the words before the time.
func (p *Parser) accessSource(words []byte) {
	last := bytes.LastIndexByte(words, ' ')
	if last < 0 { // HAProxy: an address and a port
		if n := bytes.LastIndexByte(words, ':'); n > 0 && digits(words[n+1:]) > 0 {
			words = words[:n]
		}
		p.addSource(words)
		return
	}
	user := words[last+1:]
	words = words[:last]
	if last = bytes.LastIndexByte(words, ' '); last < 0 {
		return
	}
	host := words[:last]
	if n := bytes.IndexByte(host, ','); n > 0 { // of a list of proxies the first is the client
		host = host[:n]
	} else if n := bytes.LastIndexByte(host, ' '); n > 0 { // a virtual host is before it
		host = host[n+1:]
	}
	if isInside(host) {
		p.addSource(host)
	}
	if string(user) != "-" && len(user) > 0 && len(user) <= 255 && isInside(user) {
		p.addString("user", "name", user)
	}
}

// request is what an access log says of one.
type request struct {
	method, target, version, status, size, referrer, agent []byte
}

// requestOf reads `GET /path?query HTTP/1.1`.
func requestOf(text []byte) (r request) {
	n := bytes.IndexByte(text, ' ')
	if n < 3 || n > 16 || !isMethod(text[:n]) {
		return r
	}
	r.method, text = text[:n], text[n+1:]
	if n := bytes.LastIndex(text, []byte(" HTTP/")); n >= 0 {
		if v := text[n+len(" HTTP/"):]; isVersion(v) {
			r.version, text = v, text[:n]
		}
	}
	r.target = text
	return r
}

func isMethod(word []byte) bool {
	for _, c := range word {
		if !isUpper(c) && c != '-' {
			return false
		}
	}
	return true
}

func isVersion(b []byte) bool {
	for _, c := range b {
		if !isDigit(c) && c != '.' {
			return false
		}
	}
	return len(b) > 0 && len(b) < 8
}

// common reads status, size, referrer and agent after a request. Envoy has flags after
// the status, and its agent is the second text in quotes.
func (r *request) common(m []byte, i int, envoy bool) {
	r.status, i = wordAt(m, i)
	r.size, i = wordAt(m, i)
	if envoy {
		_, i = wordAt(m, i)      // received
		r.size, i = wordAt(m, i) // sent
	}
	var texts [2][]byte
	for k := range texts {
		n := bytes.Index(m[i:min(len(m), i+40)], []byte(`\"`))
		if n < 0 {
			break
		}
		if texts[k], i = quoted(m, i+n); texts[k] == nil {
			return
		}
	}
	if r.agent = texts[1]; !envoy {
		r.referrer = texts[0]
	}
}

// haproxy reads frontend, server, times, status and size, and the request at the end.
func (r *request) haproxy(m []byte, i int) {
	var status, size []byte
	for range 3 {
		_, i = wordAt(m, i)
	}
	status, i = wordAt(m, i)
	size, i = wordAt(m, i)
	if n := bytes.LastIndex(m[i:], []byte(` \"`)); n >= 0 {
		text, _ := quoted(m, i+n+1)
		*r = requestOf(text)
	}
	r.status, r.size = status, size
}

// wordAt is the word at m[i], or after spaces there, and the index after it.
func wordAt(m []byte, i int) ([]byte, int) {
	i = skipSpaces(m, i, len(m))
	end := i
	for end < len(m) && m[end] != ' ' && m[end] != '\\' {
		end++
	}
	return m[i:end], end
}

// quoted is what is between the quotes of which the first is at m[i], and the index after
// the second; nil where there are none. m is the inside of a JSON string: a quote is \",
// one that the text itself escapes \\\".
func quoted(m []byte, i int) ([]byte, int) {
	if at(m, i) != '\\' || at(m, i+1) != '"' {
		return nil, i
	}
	for k := i + 2; k < len(m); k++ {
		if m[k] != '\\' {
			continue
		}
		if k++; at(m, k) == '"' {
			return m[i+2 : k-1], k + 1
		}
		if at(m, k) == '\\' && at(m, k+1) == '\\' && at(m, k+2) == '"' {
			k += 2
		}
	}
	return nil, i
}

// add adds the fields of a request.
func (r *request) add(p *Parser) {
	if r.method == nil && digits(r.status) < 100 {
		return
	}
	p.beginField("http")
	v := append(p.values, '{')
	if r.method != nil || plainText(r.referrer) {
		v = append(v, `"request":{`...)
		if r.method != nil {
			v = append(append(append(v, `"method":"`...), r.method...), `",`...)
		}
		if plainText(r.referrer) {
			v = append(append(append(v, `"referrer":"`...), r.referrer...), `",`...)
		}
		v = append(v[:len(v)-1], `},`...)
	}
	if n := digits(r.status); n >= 100 && n < 1000 && len(r.status) == 3 {
		v = append(append(append(v, `"response":{"status_code":`...), r.status...), ',')
		if n := digits(r.size); n >= 0 && len(r.size) > 0 && (r.size[0] != '0' || len(r.size) == 1) {
			v = append(append(append(v, `"body":{"bytes":`...), r.size...), `},`...)
		}
		v = append(v[:len(v)-1], `},`...)
	}
	if r.version != nil {
		v = append(append(append(v, `"version":"`...), r.version...), `",`...)
	}
	if v[len(v)-1] == ',' {
		v = v[:len(v)-1]
	}
	p.values = append(v, '}')
	p.endField()
	if plainText(r.target) {
		p.beginField("url")
		path, query, asked := bytes.Cut(r.target, []byte("?"))
		v := append(append(append(p.values, `{"original":"`...), r.target...), '"')
		if at(path, 0) == '/' {
			v = append(append(append(v, `,"path":"`...), path...), '"')
		}
		if asked {
			v = append(append(append(v, `,"query":"`...), query...), '"')
		}
		p.values = append(v, '}')
		p.endField()
	}
	if plainText(r.agent) {
		p.addString("user_agent", "original", r.agent)
	}
}

// plainText reports whether a text says something and is the inside of a string.
func plainText(b []byte) bool {
	return len(b) > 0 && string(b) != "-" && isInside(b)
}
