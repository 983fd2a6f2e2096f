package parse

import "bytes"

// SyslogMessage is a whole message of syslog, in parts. Slices point into it.
type SyslogMessage struct {
	Priority                        int // -1: none
	Time                            Civil
	Timed                           bool // Time is set
	Host, Program, PID, MsgID, Data []byte
	Text                            []byte
}

// Read reads a message of RFC 5424 or RFC 3164, with or without its priority. False: it
// is neither.
func (h *SyslogMessage) Read(m []byte) bool {
	*h = SyslogMessage{Priority: -1}
	if pri, n := Priority(m); n > 0 {
		h.Priority, m = pri, m[n:]
	}
	if len(m) > 2 && m[0] == '1' && m[1] == ' ' {
		return h.read5424(m[2:])
	}
	return h.read3164(m)
}

// read5424: TIMESTAMP HOST APP PROCID MSGID SD MSG, - for what is unknown.
func (h *SyslogMessage) read5424(m []byte) bool {
	var stamp []byte
	for _, field := range []*[]byte{&stamp, &h.Host, &h.Program, &h.PID, &h.MsgID} {
		word, rest, ok := bytes.Cut(m, []byte(" "))
		if !ok || len(word) == 0 {
			return false
		}
		if m = rest; string(word) != "-" {
			*field = word
		}
	}
	if stamp != nil {
		if n := matchTime(stamp, &h.Time); n != len(stamp) {
			return false
		}
		h.Timed = true
	}
	switch at(m, 0) {
	case '-':
		m = m[1:]
	case '[':
		n := dataEnd(m)
		if n < 0 {
			return false
		}
		h.Data, m = m[:n], m[n:]
	default:
		return false
	}
	if len(m) > 0 && m[0] != ' ' {
		return false
	}
	h.Text = bytes.TrimPrefix(bytes.TrimPrefix(m, []byte(" ")), []byte("\uFEFF"))
	return true
}

// dataEnd is the index after the structured data [id k="v"][...] at m[0], or -1.
func dataEnd(m []byte) int {
	for end := 0; ; {
		n := SyslogElement(m[end:])
		if n < 0 {
			return -1
		}
		end += n
		if at(m, end) != '[' {
			return end
		}
	}
}

// read3164: Nov 21 08:57:47 HOST TAG[PID]: MSG; an ISO time is taken as well, and the
// host may be missing, as in messages of the local socket.
func (h *SyslogMessage) read3164(m []byte) bool {
	n := matchTime(m, &h.Time)
	if n == 0 || at(m, n) != ' ' {
		return false
	}
	h.Timed = true
	m = m[n+1:]
	word, rest, ok := bytes.Cut(m, []byte(" "))
	if ok && !h.tag(word) {
		h.Host, m = word, rest
		word, _, _ = bytes.Cut(m, []byte(" "))
	}
	if h.tag(word) {
		m = m[len(word):]
	}
	h.Text = bytes.TrimPrefix(m, []byte(" "))
	return true
}

// readTag reads `host program[123]: ` or `program[123]: ` at m[0] and returns the index
// after it, 0 for none.
func (h *SyslogMessage) readTag(m []byte) int {
	n := wordEnd(m)
	if h.tag(m[:n]) {
		return n
	}
	if at(m, n) != ' ' || n == 0 {
		return 0
	}
	k := n + 1
	if at(m, k) == ' ' {
		return 0
	}
	end := k + wordEnd(m[k:])
	if !h.tag(m[k:end]) {
		return 0
	}
	h.Host = m[:n]
	return end
}

// wordEnd is the index of the first blank in m, at most 128.
func wordEnd(m []byte) int {
	n := 0
	for n < len(m) && n < 128 && m[n] > ' ' && m[n] != '\\' && m[n] != '"' {
		n++
	}
	return n
}

// tag reads program[123]: or program:.
func (h *SyslogMessage) tag(word []byte) bool {
	if len(word) < 2 || word[len(word)-1] != ':' {
		return false
	}
	name := word[:len(word)-1]
	if n := bytes.IndexByte(name, '['); n > 0 && name[len(name)-1] == ']' {
		h.Program, h.PID = name[:n], name[n+1:len(name)-1]
		return true
	}
	if bytes.IndexByte(name, ':') >= 0 { // an IPv6 address
		return false
	}
	h.Program = name
	return true
}

// SyslogElement is the index after the element [id k="v"] at m[0], or -1.
func SyslogElement(m []byte) int {
	quoted := false
	for i := 0; i < len(m); i++ {
		switch c := m[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && c == ']':
			return i + 1
		}
	}
	return len(m)
}
