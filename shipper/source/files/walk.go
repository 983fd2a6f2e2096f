package files

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/sluicelog/sluice/internal/glob"
)

// expand lists the regular files that match a glob. Links to files are followed, links
// to directories only where the glob names them. What cannot be looked into is left out
// and said in err, with what was found besides.
func expand(pattern glob.Pattern) (paths []string, err error) {
	for _, p := range pattern.Alternatives() {
		found, e := expandOne(filepath.Clean(p))
		paths = append(paths, found...)
		if err == nil {
			err = e
		}
	}
	return paths, err
}

func expandOne(pattern string) (paths []string, err error) {
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
			case !matchName(rest[0], d.Name()):
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

func matchName(pattern, name string) bool {
	ok, err := filepath.Match(pattern, name)
	return ok && err == nil
}
