package glob

import (
	"strings"
	"testing"
)

func TestAListMatchesWhatOneOfItsPatternsMatches(t *testing.T) {
	l, err := ParseList([]string{"/a", "/**/*.{log,tx{t,x}}"})
	if err != nil {
		t.Fatal(err)
	}
	f := func(path string, want bool) {
		t.Helper()
		if got := l.Match(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
	f("/a", true)
	f("/b", false)
	f("/b.txx", true)
	f("/x/y/b.log", true)
	f("/x/y/b.gz", false)
	if s := l[1].String(); s != "/**/*.{log,tx{t,x}}" || len(l[1].Alternatives()) != 3 {
		t.Errorf("%s: %q", s, l[1].Alternatives())
	}
	if _, err := ParseList([]string{"/a", "/b}"}); err == nil || !strings.HasPrefix(err.Error(), "glob /b}: ") {
		t.Errorf("%v does not name the glob", err)
	}
}
