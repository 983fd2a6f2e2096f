// Package glob is the patterns of files in the configuration: those of path/filepath,
// with ** as a whole element for any number of directories, and {a,b} for alternatives.
package glob

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// maxAlternatives bounds what the braces of one pattern make.
const maxAlternatives = 1000

// Expand lists the patterns without braces that a pattern is short for, each once:
// *.{log,txt} is *.log and *.txt. Braces nest, an alternative may be empty; \ before a
// character and [ ] around it take its meaning away. An error says what is wrong with
// the pattern, which it does not hold.
func Expand(pattern string) ([]string, error) {
	if pattern == "" {
		return nil, errors.New("an empty pattern")
	}
	var out []string
	left := maxAlternatives
	if err := expand(pattern, &out, &left); err != nil {
		return nil, err
	}
	return out, nil
}

func expand(pattern string, out *[]string, left *int) error {
	before, alternatives, after, err := cut(pattern)
	if err != nil {
		return err
	}
	if alternatives == nil {
		if _, err := filepath.Match(pattern, ""); err != nil {
			return errors.New("a [ without its ], or nothing after a \\")
		}
		if *left--; *left < 0 {
			return fmt.Errorf("braces that make more than %d patterns", maxAlternatives)
		}
		if !slices.Contains(*out, pattern) {
			*out = append(*out, pattern)
		}
		return nil
	}
	for _, a := range alternatives {
		if err := expand(before+a+after, out, left); err != nil {
			return err
		}
	}
	return nil
}

// cut takes the first braces of a pattern apart; without any, alternatives is nil.
func cut(pattern string) (before string, alternatives []string, after string, err error) {
	depth, open, start, class := 0, 0, 0, false
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']'
		case c == '[':
			class = true
		case c == '{':
			if depth++; depth == 1 {
				open, start = i, i+1
			}
		case c == '}' && depth == 0:
			return "", nil, "", errors.New("a } without its {")
		case c == '}':
			if depth--; depth == 0 {
				return pattern[:open], append(alternatives, pattern[start:i]), pattern[i+1:], nil
			}
		case c == ',' && depth == 1:
			alternatives, start = append(alternatives, pattern[start:i]), i+1
		}
	}
	if depth > 0 {
		return "", nil, "", errors.New("a { without its }")
	}
	return pattern, nil, "", nil
}

// Match reports whether a path matches a pattern that has no braces any more. A pattern
// that is wrong matches nothing.
func Match(pattern, path string) bool {
	return match(strings.Split(pattern, "/"), strings.Split(path, "/"))
}

func match(pattern, path []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			if len(pattern) == 1 { // directories, and a file in them
				return len(path) > 0
			}
			for i := range len(path) + 1 {
				if match(pattern[1:], path[i:]) {
					return true
				}
			}
			return false
		}
		if len(path) == 0 {
			return false
		}
		if ok, err := filepath.Match(pattern[0], path[0]); err != nil || !ok {
			return false
		}
		pattern, path = pattern[1:], path[1:]
	}
	return len(path) == 0
}

// Literal reports whether a pattern without braces names one path, and which.
func Literal(pattern string) (path string, ok bool) {
	if strings.ContainsAny(pattern, `*?[\`) {
		return "", false
	}
	return filepath.Clean(pattern), true
}
