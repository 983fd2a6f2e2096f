package parse

// klog reads `I1121 08:57:47.123456 1234 file.go:12] text`, of klog, glog and abseil, also
// with a year: `I20261121 ...`.
type klog struct{}

func (klog) Name() string { return plainName }
func (klog) Starts(first byte) bool {
	return first == 'I' || first == 'W' || first == 'E' || first == 'F'
}

func (klog) Read(p *Parser) bool {
	m := p.message[p.start:]
	if !isDigit(at(m, 1)) {
		return false
	}
	var t Civil
	n := 1
	if isDigit(at(m, 5)) {
		hi, lo := two(m, 1), two(m, 3)
		if t.year, n = hi*100+lo, 5; hi < 19 || lo < 0 {
			return false
		}
	}
	t.noYear = n == 1
	if t.month, t.day = two(m, n), two(m, n+2); at(m, n+4) != ' ' || !t.date() {
		return false
	}
	if end := matchClock(m, n+5, &t); end == 0 || at(m, n+13) != '.' {
		return false
	}
	p.found.Level = letterLevel(m[0])
	p.takeTime(&t)
	return true
}

// chromium reads `[1234:5678:1121/085747.123456:ERROR:file.cc(12)] text`.
type chromium struct{}

func (chromium) Name() string           { return plainName }
func (chromium) Starts(first byte) bool { return first == '[' }

func (chromium) Read(p *Parser) bool {
	m := p.message[p.start:]
	i := 1
	for range 2 {
		if _, n := number(m, i); n > i && at(m, n) == ':' {
			i = n + 1
		}
	}
	var t Civil
	if t.month, t.day = two(m, i), two(m, i+2); at(m, i+4) != '/' || !t.date() {
		return false
	}
	n := matchClock(m, i+5, &t)
	if n == 0 || at(m, n) != ':' {
		return false
	}
	t.noYear = true
	word := upperWord(m, n+1)
	level := levelOf(word)
	if level == "" || at(m, n+1+len(word)) != ':' {
		return false
	}
	p.found.Level = level
	p.takeTime(&t)
	return true
}
