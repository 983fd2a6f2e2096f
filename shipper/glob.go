package shipper

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sluicelog/sluice/config"
)

// matchPath tells whether a path matches a glob: as filepath.Match, and ** as a whole
// element stands for any number of directories.
func matchPath(pattern, path string) bool {
	return matchParts(strings.Split(pattern, "/"), strings.Split(path, "/"))
}

func matchParts(pattern, path []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			for i := range len(path) + 1 {
				if matchParts(pattern[1:], path[i:]) {
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

func matchAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matchPath(p, path) })
}

// scanner expands the globs of the configuration, every interval and when asked, and
// tells the tailer of each path that matches.
type scanner struct {
	files    []config.Files
	interval time.Duration
	ask      <-chan struct{}
	out      chan<- target
	log      *slog.Logger
	problems map[string]string // by glob, to log on change
}

const scanPause = 100 * time.Millisecond // between two scans that were asked for

func (s *scanner) run(ctx context.Context) {
	s.problems = map[string]string{}
	tick := time.NewTicker(s.interval)
	defer tick.Stop()
	for {
		if !s.scan(ctx) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(scanPause):
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.ask:
		}
	}
}

func (s *scanner) scan(ctx context.Context) bool {
	for i := range s.files {
		f := &s.files[i]
		found := map[string]bool{}
		for _, pattern := range f.Paths {
			paths, err := expand(pattern)
			s.told(pattern, err)
			for _, p := range paths {
				found[p] = found[p] || !matchAny(f.Exclude, p)
			}
		}
		dated := map[string][]string{}
		var live []string
		for p, ok := range found {
			if !ok || ignoredName(p) {
				continue
			}
			if base, is := numbered(p); is && found[base] {
				continue // found again as a rotated file of base
			}
			if base, is := datedOf(p); is && found[base] {
				dated[base] = append(dated[base], p)
				continue
			}
			live = append(live, p)
		}
		slices.Sort(live)
		for _, p := range live {
			slices.Sort(dated[p])
			select {
			case s.out <- target{kind: kindFile, name: p, glob: f, dated: dated[p]}:
			case <-ctx.Done():
				return false
			}
		}
	}
	return true
}

func (s *scanner) told(pattern string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != s.problems[pattern] && text != "" {
		s.log.Error("cannot look for files", "glob", pattern, "err", err)
	}
	s.problems[pattern] = text
}

// ignoredName tells of names that are never logs to be read: compressed ones.
func ignoredName(path string) bool {
	switch filepath.Ext(path) {
	case ".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip":
		return true
	}
	return false
}

// numbered is the path without a rotation's number: web.log of web.log.1.
func numbered(path string) (base string, ok bool) {
	base, n := cutDigits(path)
	if n < 1 || n > 2 || !strings.HasSuffix(base, ".") {
		return "", false
	}
	return base[:len(base)-1], true
}

// datedOf is the path without a rotation's date: web.log of web.log-20261121 (and of
// web.log-2026112108).
func datedOf(path string) (base string, ok bool) {
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

// expand lists the regular files that match a glob. Links to files are followed, links
// to directories only where the glob names them. What cannot be looked into is left out
// and told in err, with what was found besides.
func expand(pattern string) (paths []string, err error) {
	pattern = filepath.Clean(pattern)
	root, rest := fixedPart(pattern)
	if rest == nil {
		if st, err := os.Stat(pattern); err != nil || !st.Mode().IsRegular() {
			if os.IsNotExist(err) {
				err = nil
			}
			return nil, err
		}
		return []string{pattern}, nil
	}
	var walk func(dir string, rest []string)
	walk = func(dir string, rest []string) {
		entries, e := os.ReadDir(dir)
		if e != nil && !os.IsNotExist(e) && !errors.Is(e, syscall.ENOTDIR) && err == nil {
			err = e
		}
		for _, d := range entries {
			path := filepath.Join(dir, d.Name())
			isDir, isLink := d.IsDir(), d.Type()&os.ModeSymlink != 0
			switch {
			case rest[0] == "**":
				if isDir {
					walk(path, rest)
				}
			case !match(rest[0], d.Name()):
				continue
			case len(rest) > 1:
				if isDir || isLink {
					walk(path, rest[1:])
				}
				continue
			}
			if (rest[0] == "**" && len(rest) > 1 || isDir) || !(isLink || d.Type().IsRegular()) {
				continue
			}
			if isLink {
				if st, e := os.Stat(path); e != nil || !st.Mode().IsRegular() {
					continue
				}
			}
			paths = append(paths, path)
		}
		if rest[0] == "**" && len(rest) > 1 {
			walk(dir, rest[1:])
		}
	}
	walk(root, rest)
	return paths, err
}

func match(pattern, name string) bool {
	ok, err := filepath.Match(pattern, name)
	return ok && err == nil
}

// fixedPart is the directory above the first element with a wildcard, and the elements
// from there on.
func fixedPart(pattern string) (root string, rest []string) {
	parts := strings.Split(pattern, "/")
	for i, p := range parts {
		if strings.ContainsAny(p, `*?[\`) {
			root = strings.Join(parts[:i], "/")
			if root == "" {
				root = "."
				if strings.HasPrefix(pattern, "/") {
					root = "/"
				}
			}
			return root, parts[i:]
		}
	}
	return pattern, nil
}
