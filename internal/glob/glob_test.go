package glob

import (
	"reflect"
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	f := func(pattern string, want ...string) {
		t.Helper()
		got, err := Expand(pattern)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Expand(%q) = %q, %v; want %q", pattern, got, err, want)
		}
	}
	f("/var/log/*.log", "/var/log/*.log")
	f("/l/*.{log,txt}", "/l/*.log", "/l/*.txt")
	f("/{a,b}/{c,d}", "/a/c", "/a/d", "/b/c", "/b/d")
	f("/x{,.{1,2}}", "/x", "/x.1", "/x.2")
	f("/{a/b,c}/*", "/a/b/*", "/c/*")
	f("/{a,a,a}", "/a")
	f("/{a}", "/a")
	f(`/\{a,b\}`, `/\{a,b\}`)
	f("/[{,}]", "/[{,}]")
	f(`/{\,,[,]}`, `/\,`, "/[,]")
	f("/a,b", "/a,b")

	bad := func(pattern, want string) {
		t.Helper()
		if got, err := Expand(pattern); err == nil || err.Error() != want {
			t.Errorf("Expand(%q) = %q, %v; want %s", pattern, got, err, want)
		}
	}
	bad("", "an empty pattern")
	bad("/*.{log,txt", "a { without its }")
	bad("/*.{log,{txt}", "a { without its }")
	bad("/*.log,txt}", "a } without its {")
	bad("/{a,b}}", "a } without its {")
	bad("/[a", `a [ without its ], or nothing after a \`)
	bad(`/{a,[}`, "a { without its }")
	bad(strings.Repeat("{a,a}", 60), "braces that make more than 1000 patterns")
	bad("/"+strings.Repeat("{a,b}", 10), "braces that make more than 1000 patterns")
}

func TestMatch(t *testing.T) {
	f := func(pattern, path string, want bool) {
		t.Helper()
		if got := Match(pattern, path); got != want {
			t.Errorf("Match(%q, %q) = %v", pattern, path, got)
		}
	}
	f("/a/*.log", "/a/x.log", true)
	f("/a/*.log", "/a/b/x.log", false)
	f("/a/**/*.log", "/a/x.log", true)
	f("/a/**/*.log", "/a/b/c/x.log", true)
	f("/a/**", "/a/b/c", true)
	f("/a/**", "/a/b", true)
	f("/a/**", "/a", false)
	f("/a/**/x", "/a/b/c", false)
	f("/a/b", "/a", false)
	f("/[", "/[", false)
}

func TestLiteral(t *testing.T) {
	if p, ok := Literal("/a//b/../c"); !ok || p != "/a/c" {
		t.Errorf("Literal = %q, %v", p, ok)
	}
	for _, p := range []string{"/*", "/?", "/[a]", `/\a`, "/**"} {
		if _, ok := Literal(p); ok {
			t.Errorf("%s is a literal", p)
		}
	}
}

// FuzzExpand: no pattern panics or grows without bound, and what comes out has no
// braces left to expand.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{"/{a,b}{c,{d,e}}", `\{[{}]`, "{{{{", "}{", "{,}{,}{,}", "[\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		out, err := Expand(pattern)
		if err != nil {
			return
		}
		if len(out) == 0 || len(out) > maxAlternatives {
			t.Fatalf("Expand(%q) makes %d patterns", pattern, len(out))
		}
		for _, p := range out {
			if again, err := Expand(p); p != "" && (err != nil || len(again) != 1 || again[0] != p) {
				t.Fatalf("Expand(%q) makes %q, which makes %q, %v", pattern, p, again, err)
			}
		}
	})
}
