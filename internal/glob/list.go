package glob

import (
	"fmt"
	"slices"
)

// Pattern is a pattern, its braces expanded. It may be used by several goroutines.
type Pattern struct {
	text string
	all  []string
}

// List is several patterns; it matches what one of them matches.
type List []Pattern

// Parse reads a pattern. An error says what is wrong with it, and does not hold it.
func Parse(text string) (Pattern, error) {
	all, err := Expand(text)
	return Pattern{text, all}, err
}

// ParseList reads several patterns; an error names the first that is wrong.
func ParseList(texts []string) (List, error) {
	list := make(List, 0, len(texts))
	for _, text := range texts {
		p, err := Parse(text)
		if err != nil {
			return nil, fmt.Errorf("glob %s: %w", text, err)
		}
		list = append(list, p)
	}
	return list, nil
}

// String is the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Alternatives are the patterns without braces that it stands for. They belong to it.
func (p Pattern) Alternatives() []string { return p.all }

// Match reports whether a path matches.
func (p Pattern) Match(path string) bool {
	return slices.ContainsFunc(p.all, func(a string) bool { return Match(a, path) })
}

// Match reports whether a path matches one of the patterns.
func (l List) Match(path string) bool {
	return slices.ContainsFunc(l, func(p Pattern) bool { return p.Match(path) })
}
