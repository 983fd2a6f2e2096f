package source

import "strings"

// Numbered is the path without a rotation's number: web.log of web.log.1.
func Numbered(path string) (base string, ok bool) {
	base, n := cutDigits(path)
	if n < 1 || n > 2 || !strings.HasSuffix(base, ".") {
		return "", false
	}
	return base[:len(base)-1], true
}

// Dated is the path without a rotation's date: web.log of web.log-20261121 (and of
// web.log-2026112108).
func Dated(path string) (base string, ok bool) {
	base, n := cutDigits(path)
	if n < 8 || n > 14 || !strings.HasSuffix(base, "-") && !strings.HasSuffix(base, ".") {
		return "", false
	}
	return base[:len(base)-1], true
}

func cutDigits(s string) (rest string, digits int) {
	i := len(s)
	for i > 0 && '0' <= s[i-1] && s[i-1] <= '9' {
		i--
	}
	return s[:i], len(s) - i
}
