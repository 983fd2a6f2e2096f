package line

import (
	"strings"
	"testing"
)

func TestFilePrefix(t *testing.T) {
	f := func(line, name, message string) {
		t.Helper()
		n := filePrefix([]byte(line))
		got, rest := line[:n], line
		if n > 0 {
			rest = line[n+2:]
		}
		if got != name || rest != message {
			t.Errorf("%q: %q and %q, want %q and %q", line, got, rest, name, message)
		}
	}
	f("access.log: GET / 200", "access.log", "GET / 200")
	f("web.1/catalina.out: started", "web.1/catalina.out", "started")
	f("localhost_access_log.2026-11-21.txt: x", "localhost_access_log.2026-11-21.txt", "x")
	f("access.log: ", "access.log", "")
	f("access.log:GET", "", "access.log:GET")
	f("Error: no such file", "", "Error: no such file")
	f("java.lang.NullPointerException: x", "", "java.lang.NullPointerException: x")
	f("load 93% disk.log: x", "", "load 93% disk.log: x")
	f("../etc/passwd.log: x", "", "../etc/passwd.log: x")
	f("a//b.log: x", "", "a//b.log: x")
	f(".log: x", "", ".log: x")
	f("-a.log: x", "", "-a.log: x")
	f("/abs.log: x", "", "/abs.log: x")
	f("", "", "")
	f(":", "", ":")
	f(strings.Repeat("a", 124)+".log: x", strings.Repeat("a", 124)+".log", "x")
	f(strings.Repeat("a", 125)+".log: x", "", strings.Repeat("a", 125)+".log: x")
}
