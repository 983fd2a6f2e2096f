package config

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// Presets are the values of multiline.preset.
var Presets = []string{"auto", "none", "java", "python", "go", "dotnet", "node", "ruby", "php"}

// Over is what is in force where it is set for one source, and base for all.
func (m Multiline) Over(base Multiline) Multiline {
	if m.Preset == "" && m.Pattern == "" {
		m.Preset, m.Pattern, m.Negate, m.Match = base.Preset, base.Pattern, base.Negate, cmp.Or(m.Match, base.Match)
	}
	m.Match, m.MaxLines, m.MaxBytes, m.Timeout = cmp.Or(m.Match, base.Match), cmp.Or(m.MaxLines, base.MaxLines), cmp.Or(m.MaxBytes, base.MaxBytes), cmp.Or(m.Timeout, base.Timeout)
	return m
}

// multiline checks a multiline section.
func (k *checker) multiline(key string, m Multiline) {
	if m.Preset != "" && !slices.Contains(Presets, m.Preset) {
		k.fail(key+".preset", "expected one of %s, got %s", strings.Join(Presets, ", "), k.show(key+".preset", m.Preset))
	}
	if m.Match != "" && m.Match != "after" && m.Match != "before" {
		k.fail(key+".match", "expected after or before, got %s", k.show(key+".match", m.Match))
	}
	if _, err := regexp.Compile(m.Pattern); err != nil {
		k.fail(key+".pattern", "expected a regular expression: %v", err)
	}
	if m.Pattern != "" && m.Preset != "" && m.Preset != "auto" {
		k.fail(key+".pattern", "is beside preset %s; name one of them", m.Preset)
	}
}
