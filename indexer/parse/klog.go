package parse

// klog reads `I1121 08:57:47.123456 1234 file.go:12] text`, of klog, glog and abseil.
type klog struct{}

func (klog) Name() string           { return plainName }
func (klog) Starts(first byte) bool { return klogLevel(first) != "" }

func (klog) Read(p *Parser) bool {
	m := p.message[p.start:]
	if !isDigit(at(m, 1)) {
		return false
	}
	var t Civil
	if t.month, t.day = two(m, 1), two(m, 3); at(m, 5) != ' ' || !t.date() {
		return false
	}
	if matchClock(m, 6, &t) == 0 || t.nano == 0 && at(m, 14) != '.' {
		return false
	}
	t.noYear = true
	p.found.Level = klogLevel(m[0])
	p.takeTime(&t)
	return true
}

func klogLevel(c byte) string {
	switch c {
	case 'I':
		return levelInfo
	case 'W':
		return levelWarn
	case 'E':
		return levelError
	case 'F':
		return levelFatal
	}
	return ""
}
