package files

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/sluicelog/sluice/internal/glob"
	"github.com/sluicelog/sluice/shipper/source"
)

// expand lists the regular files that match a glob. Links are followed above its first
// wildcard, and where it names a path; below only if links says so, for whoever may write
// there could have any file of the host read. What cannot be looked into is left out
// and said in err, with what was found besides.
func expand(pattern glob.Pattern, listed listings, links bool) (found matches, err error) {
	found.follow = links
	for _, p := range pattern.Alternatives() {
		if e := found.expand(filepath.Clean(p), listed); err == nil {
			err = e
		}
	}
	return found, err
}

// matches are what has a name that a glob matches.
type matches struct {
	paths       []string // of regular files
	numbered    []string // of regular files whose names are matched but for a number
	roots       []string // of paths: the directory below which no link is followed; empty: the glob names the path
	links       []string // to files and directories, which are not followed
	follow      bool     // links are followed
	directories int
	others      int // links to nothing, pipes, devices and so on
}

// listings are the directories that were listed for a pattern without wildcard.
type listings map[string][]os.DirEntry

func (m *matches) expand(pattern string, listed listings) (err error) {
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
			m.add(pattern, "")
			m.number(pattern, listed)
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
				if base, _, ok := source.Numbered(d.Name()); ok && len(rest) == 1 && matchName(rest[0], base) && m.regular(path, d) {
					m.numbered = append(m.numbered, path)
				}
				continue
			case len(rest) > 1:
				if isDir || isLink && m.follow {
					walk(path, rest[1:])
				} else if st, e := os.Stat(path); isLink && e == nil && st.IsDir() {
					m.links = append(m.links, path)
				}
				continue
			}
			switch {
			case rest[0] == "**" && (len(rest) > 1 || isDir):
			case isLink:
				switch st, e := os.Stat(path); {
				case e == nil && st.Mode().IsRegular() && m.follow:
					m.add(path, root)
				case e == nil && st.Mode().IsRegular():
					m.links = append(m.links, path)
				case e == nil && st.IsDir():
					m.directories++
				default:
					m.others++
				}
			case isDir:
				m.directories++
			case d.Type().IsRegular():
				m.add(path, root)
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

// number adds the files beside a path that have its name and a number.
func (m *matches) number(path string, listed listings) {
	dir, name := filepath.Split(path)
	entries, ok := listed[dir]
	if !ok {
		entries, _ = os.ReadDir(dir) // only rotated files are missed if that is not allowed
		listed[dir] = entries
	}
	at, _ := slices.BinarySearchFunc(entries, name, func(d os.DirEntry, name string) int { return strings.Compare(d.Name(), name) })
	for ; at < len(entries) && strings.HasPrefix(entries[at].Name(), name); at++ {
		if base, _, ok := source.Numbered(entries[at].Name()); ok && base == name && m.regular(dir+entries[at].Name(), entries[at]) {
			m.numbered = append(m.numbered, dir+entries[at].Name())
		}
	}
}

func (m *matches) add(path, root string) {
	m.paths, m.roots = append(m.paths, path), append(m.roots, root)
}

// regular reports whether an entry of a directory is a regular file, or a link to one that
// is followed.
func (m *matches) regular(path string, d os.DirEntry) bool {
	if d.Type()&os.ModeSymlink != 0 {
		st, err := os.Stat(path)
		if err == nil && !m.follow {
			m.links = append(m.links, path)
			return false
		}
		return err == nil && st.Mode().IsRegular()
	}
	return d.Type().IsRegular()
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
