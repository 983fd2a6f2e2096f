package source

import "testing"

func TestRotatedNames(t *testing.T) {
	f := func(name, base string) {
		t.Helper()
		for _, dir := range []string{"", "/var/log/", "/v1.2/"} {
			want := base
			if base != "" {
				want = dir + base
			}
			if got, ok := Rotated(dir + name); got != want || ok != (base != "") {
				t.Errorf("%s: %q, %v; want %q", dir+name, got, ok, want)
			}
		}
	}
	f("web.log", "")
	f("web.log.1", "web.log")
	f("web.log.0", "web.log")
	f("web.log.365", "web.log")
	f("web.log.8080", "")
	f("web.log.", "")
	f(".1", "")
	f("1", "")
	f("web.log-20261121", "web.log")
	f("web.log.20261121", "web.log")
	f("web.log-2026112108", "web.log")
	f("web.log-1763715467", "web.log")
	f("web.log-2026-11-21", "web.log")
	f("web.log.2026-11-21", "web.log")
	f("web.log.2026-11-21-08", "web.log")
	f("web.log.2026-11-21_08-30", "web.log")
	f("web.log.2026-11-21T08:30:00", "web.log")
	f("web.log.2026-11-21.1", "web.log.2026-11-21")
	f("web.log.2026-11-21_1", "web.log")
	f("web.log.2026-11", "web.log")
	f("web.log-202611", "web.log")
	f("web-1.log.2026_11_21", "web-1.log")
	f("-20261121", "")
	f("web.log.old", "web.log")
	f("web.log.bak", "web.log")
	f("web.log~", "web.log")
	f(".old", "")
	f("web.log.1.old", "web.log.1")
}

func TestNumbers(t *testing.T) {
	f := func(name, base string, n int) {
		t.Helper()
		if b, got, ok := Numbered(name); b != base || got != n || ok != (base != "") {
			t.Errorf("%s: %q %d %v", name, b, got, ok)
		}
	}
	f("a.log.0", "a.log", 0)
	f("a.log.17", "a.log", 17)
	f("/a/.5", "", 0)
	f("a.log.1234", "", 0)
}
