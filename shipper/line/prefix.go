package line

import "bytes"

const maxFileName = 128

// filePrefix finds the file name before a line by the convention
//
//	access.log: GET / 200
//	web.1/catalina.out: started
//
// so that several files or tasks that share a container's output can be distinguished.
// The name is strict, or ordinary text such as `Error: no such file` would match: 1 to
// 128 of A-Z a-z 0-9 . _ - /, starting with a letter or digit, without `..` or `//`,
// ending in .log, .out, .err or .txt, and then a colon and one space. None of these is
// escaped in JSON, so the inside of a JSON string may be given. Without such a name n
// is 0; else the name is b[:n] and the message starts at b[n+2].
func filePrefix(b []byte) (n int) {
	n = bytes.IndexByte(b[:min(len(b), maxFileName+1)], ':')
	if n < len("a.log") || n+1 >= len(b) || b[n+1] != ' ' || !fileName(b[:n]) {
		return 0
	}
	return n
}

func fileName(b []byte) bool {
	switch string(b[len(b)-4:]) {
	case ".log", ".out", ".err", ".txt":
	default:
		return false
	}
	before := byte('/')
	for _, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '_', c == '-':
			if before == '/' {
				return false
			}
		case c == '.', c == '/':
			if before == '.' || before == '/' {
				return false
			}
		default:
			return false
		}
		before = c
	}
	return true
}
