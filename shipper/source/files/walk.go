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
func expand(pattern glob.Pattern) (found matches, err error) {
	for _, p := range pattern.Alternatives() {
		if e := found.expand(filepath.Clean(p)); err == nil {
			err = e
		}
	}
	return found, err
}

// matches are what has a name that a glob matches.
type matches struct {
	paths       []string // of regular files
	directories int
	others      int // links to nothing, pipes, devices and so on
}

func (m *matches) expand(pattern string) (err error) {
	root, rest := fixedPart(pattern)
	if rest == nil {
		st, err := os.Stat(pattern)
		switch {
		case os.IsNotExist(err):
			return nil
		case err != nil:
			return err
		case st.IsDir():
			m.directories++
		case !st.Mode().IsRegular():
			m.others++
		default:
			m.paths = append(m.paths, pattern)
		}
		return nil
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
			switch {
			case rest[0] == "**" && (len(rest) > 1 || isDir):
			case isLink:
				if st, e := os.Stat(path); e == nil && st.Mode().IsRegular() {
					m.paths = append(m.paths, path)
				} else if e == nil && st.IsDir() {
					m.directories++
				} else {
					m.others++
				}
			case isDir:
				m.directories++
			case d.Type().IsRegular():
				m.paths = append(m.paths, path)
			default:
				m.others++
			}
		}
		if rest[0] == "**" && len(rest) > 1 {
			walk(dir, rest[1:])
		}
	}
	walk(root, rest)
	return err
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
