package source

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Numbered is the path without a rotation's number, of three digits at most, and that
// number: web.log and 1 of web.log.1.
func Numbered(path string) (base string, n int, ok bool) {
	i := len(path)
	for i > 0 && '0' <= path[i-1] && path[i-1] <= '9' {
		i--
	}
	if digits := len(path) - i; digits < 1 || digits > 3 || i < 2 || path[i-1] != '.' || path[i-2] == '/' {
		return "", 0, false
	}
	n, err := strconv.Atoi(path[i:])
	return path[:i-1], n, err == nil
}

// dated is the end of a name that a rotation by date gave: 20261121, 2026112108,
// 2026-11-21, 2026-11-21_08-30, 202611, and one with a number after it.
var dated = regexp.MustCompile(`[-._](?:(?:19|20)\d\d[-_.]?(?:0\d|1[0-2])(?:[-_.]?[0-3]\d(?:[-_.T:]?\d\d){0,3})?|\d{8,14})(?:[-._]\d{1,3})?$`)

// kept are ends of names that people and their scripts give to the file before.
var kept = []string{".old", ".bak", ".backup", ".orig", ".prev", ".previous", ".save", ".saved", ".copy", "-old", "_old", "-bak", "_bak", "~"}

// Rotated is the path that a rotated or copied file had, as far as its name says so, by
// number (web.log.1), by date (web.log-20261121, web.log.2026-11-21) or as the one before
// (web.log.old).
func Rotated(path string) (base string, ok bool) {
	if base, _, ok := Numbered(path); ok {
		return base, true
	}
	dir, name := filepath.Split(path)
	if at := dated.FindStringIndex(name); at != nil && at[0] > 0 {
		return dir + name[:at[0]], true
	}
	for _, end := range kept {
		if base, ok := strings.CutSuffix(name, end); ok && base != "" {
			return dir + base, true
		}
	}
	return "", false
}
