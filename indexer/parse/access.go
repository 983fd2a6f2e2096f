package parse

import "bytes"

// accessLog reads `1.2.3.4 - user [21/Nov/2026:08:57:47 +0800] "GET / ...` of nginx and
// Apache.
type accessLog struct{}

func (accessLog) Name() string     { return "access" }
func (accessLog) Starts(byte) bool { return true }

func (accessLog) Read(p *Parser) bool {
	m := p.message[p.start:]
	m = m[:min(len(m), 160)]
	n := bytes.Index(m, []byte(" ["))
	if n < 0 || n+22 > len(m) || m[n+4] != '/' || m[n+8] != '/' {
		return false
	}
	return p.timeAt(p.start+n+2) > 0
}
