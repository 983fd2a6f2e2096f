package files

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sluicelog/sluice/internal/glob"
)

func TestGlobs(t *testing.T) {
	dir := t.TempDir()
	for _, p := range []string{"a.log", "b.txt", "x/a.log", "x/y/a.log", "x/y/b.log.gz", "z/a.log", ".hidden/a.log"} {
		path := filepath.Join(dir, p)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "b.txt"), filepath.Join(dir, "link.log")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, filepath.Join(dir, "x", "loop")); err != nil {
		t.Fatal(err)
	}
	f := func(pattern string, want ...string) {
		t.Helper()
		p, err := glob.Parse(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		found, err := expand(p, listings{}, false)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
		var got []string
		for _, path := range found.paths {
			rel, _ := filepath.Rel(dir, path)
			got = append(got, rel)
			if !p.Match(path) {
				t.Errorf("%s does not match %s, which it found", pattern, path)
			}
		}
		slices.Sort(got)
		got = slices.Compact(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
	f("*.log", "a.log")
	f("a.log", "a.log")
	f("none.log")
	f("*/a.log", ".hidden/a.log", "x/a.log", "z/a.log")
	f("**/a.log", ".hidden/a.log", "a.log", "x/a.log", "x/y/a.log", "z/a.log")
	f("x/**", "x/a.log", "x/y/a.log", "x/y/b.log.gz")
	f("**/y/*", "x/y/a.log", "x/y/b.log.gz")
	f("[ab].*", "a.log", "b.txt")
	f("{a,x/a,x/none}.{log,txt}", "a.log", "x/a.log")
	f("{x,x/y}/*.{log,log.gz}", "x/a.log", "x/y/a.log", "x/y/b.log.gz")
	f("{**/y,z}/a.log", "x/y/a.log", "z/a.log")
}
