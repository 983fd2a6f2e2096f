package elastic

import (
	"slices"
	"testing"
)

func TestPatternOfATemplate(t *testing.T) {
	f := func(pattern, name string, want bool) {
		t.Helper()
		if got := matches(pattern, name); got != want {
			t.Errorf("%s matches %s: %v, want %v", pattern, name, got, want)
		}
	}
	f("sluice-*", "sluice-2026.11.21", true)
	f("*", "sluice-2026.11.21", true)
	f("sluice-2026.11.21", "sluice-2026.11.21", true)
	f("*-2026*21", "sluice-2026.11.21", true)
	f("s*e-*.*.*", "sluice-2026.11.21", true)
	f("sluice", "sluice-2026.11.21", false)
	f("sluice-*-*", "sluice-2026.11.21", false)
	f("*x", "sluice-2026.11.21", false)
	f("*ab*ab", "ab", false)
	f("a*a", "a", false)
	f("", "a", false)
	f("*", "", true)
}

func TestTemplatePatterns(t *testing.T) {
	f := func(text string, ok bool, want ...string) {
		t.Helper()
		got, err := templatePatterns([]byte(text))
		slices.Sort(got)
		if !slices.Equal(got, want) || (err == nil) != ok {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
	f(`{"index_templates":[{"name":"a","index_template":{"index_patterns":["x-*","y"],"priority":1}},{"name":"b","index_template":{"index_patterns":["z"]}}]}`, true, "x-*", "y", "z")
	f(`{"index_templates":[]}`, true)
	f(`{"old":{"order":0,"index_patterns":["a","b"],"mappings":{}}}`, true, "a", "b")
	f(`{}`, true)
	f(`{"acknowledged":true}`, false)
	f(`{"old":{"order":0}}`, false)
	f(`[]`, false)
	f(`<html>`, false)
	f(``, false)
}
