package files

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluicelog/sluice/internal/glob"
)

// FuzzExpand: what a pattern finds in a tree is what it matches of the tree's files.
func FuzzExpand(f *testing.F) {
	for _, p := range []string{"*.log", "**/a.log", "x/**", "{a,x/a}.{log,txt}", "{x,x/y}/*.{log,log.gz}", `\a.log`, "[ab].*", "{,x/}a.log", "x/*/a.log", "*/**"} {
		f.Add(p)
	}
	root := f.TempDir()
	tree := []string{"a.log", "b.txt", "x/a.log", "x/y/a.log", "x/y/b.log.gz", "z/{c}.log"}
	for _, p := range tree {
		path := filepath.Join(root, p)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			f.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, "*") > 8 || strings.Contains(text, "..") { // up to where is not what is tried here
			return
		}
		p, err := glob.Parse(root + "/" + text)
		if err != nil {
			return
		}
		found, err := expand(p, listings{}, false)
		if err != nil {
			t.Skip(err) // such as a name that is too long
		}
		for _, name := range tree {
			path := filepath.Join(root, name)
			matches := slices.ContainsFunc(p.Alternatives(), func(a string) bool { return glob.Match(filepath.Clean(a), path) })
			if got := slices.Contains(found.paths, path); got != matches {
				t.Errorf("%q: %s found %v, matches %v", text, name, got, matches)
			}
		}
	})
}
