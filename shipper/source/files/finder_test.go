package files

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/shipper/source"
)

var quiet = slog.New(slog.DiscardHandler)

func touch(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, n := range names {
		if err := os.WriteFile(filepath.Join(dir, n), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSourcesOfJSONFilesAreThoseOfTheirContainers(t *testing.T) {
	id := fmt.Sprintf("%064x", 7)
	e := entry{cfg: &config.Files{Codec: "docker"}}
	s := e.spec("/var/lib/docker/containers/"+id+"/"+id+"-json.log", nil)
	if s.Kind != source.KindDocker || s.Name != id || s.Tags.ContainerID != id || !s.Decoder.Timed() || s.Joiner != source.Pieces || !s.Hints.Sealed {
		t.Errorf("%+v", s)
	}
	s = e.spec("/data/x-json.log", nil)
	if s.Kind != source.KindFile || s.Name != "/data/x-json.log" || s.Tags.ContainerID != "" || !s.Decoder.Timed() {
		t.Errorf("%+v", s)
	}
}

func TestRotatedAndCompressedFilesAreNoSourcesOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	touch(t, dir, "a.log", "a.log.1", "a.log-20261121", "a.log-20261120", "b.log.gz", "b.log.7", "c.log-20261121", "d.txt", "no.txt")
	s, err := New([]config.Files{{
		Paths: []string{dir + "/*.{log,txt}*"}, Exclude: []string{dir + "/{no,none}.*"}, App: "shop", Dataset: "d", FilePrefix: true, Labels: map[string]string{"team": "x"},
	}}, time.Second, quiet, metrics.New("shipper", "h"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, spec := range s.entries[0].found(s.hits) {
		rel, _ := filepath.Rel(dir, spec.Path)
		names = append(names, rel)
		if spec.Kind != source.KindFile || spec.Name != spec.Path || spec.Decoder != source.Text || spec.Tags.ServiceName != "shop" || spec.Tags.Dataset != "d" || spec.Tags.Labels["team"] != "x" || !spec.Hints.FilePrefix || !spec.Hints.Exclude.Match(dir+"/none.log") {
			t.Errorf("%+v", spec)
		}
		if want := []string{dir + "/a.log-20261120", dir + "/a.log-20261121", dir + "/a.log.1"}; rel == "a.log" && !slices.Equal(spec.Hints.Siblings, want) {
			t.Errorf("siblings %q, want %q", spec.Hints.Siblings, want)
		}
	}
	if want := []string{"a.log", "b.log.7", "c.log-20261121", "d.txt"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

// Each name that a glob matches is a source or a sibling of one, and so is a number beside
// a source; none is left out for a gap before it.
func TestNoRotatedFileIsLeftOut(t *testing.T) {
	f := func(glob, names, live, siblings string) {
		t.Helper()
		dir := t.TempDir()
		touch(t, dir, strings.Fields(names)...)
		s, err := New([]config.Files{{Paths: []string{dir + "/" + glob}, Exclude: []string{dir + "/*.9"}}}, time.Second, quiet, metrics.New("shipper", "h"))
		if err != nil {
			t.Fatal(err)
		}
		var paths, beside []string
		for _, spec := range s.entries[0].found(s.hits) {
			paths = append(paths, filepath.Base(spec.Path))
			for _, p := range spec.Hints.Siblings {
				beside = append(beside, filepath.Base(p))
			}
		}
		slices.Sort(beside)
		if got := strings.Join(paths, " "); got != live {
			t.Errorf("%s of %s: sources %q, want %q", glob, names, got, live)
		}
		if got := strings.Join(beside, " "); got != siblings {
			t.Errorf("%s of %s: siblings %q, want %q", glob, names, got, siblings)
		}
	}
	f("*.log*", "a.log a.log.0 a.log.1", "a.log", "a.log.0 a.log.1")
	f("*.log", "a.log a.log.0", "a.log", "a.log.0")
	f("a.log", "a.log a.log.0 a.log.5 b.log.1 a.log2", "a.log", "a.log.0 a.log.5")
	f("*.log", "a.log a.log.3 a.log.7 a.log.120", "a.log", "a.log.120 a.log.3 a.log.7")
	f("**", "a.log a.log.3 a.log.9", "a.log", "a.log.3")
	f("*.log*", "a.log.0 a.log.1", "a.log.0 a.log.1", "")
	f("*", "a.log a.log.1234 a.log.2026-11-21", "a.log a.log.1234", "a.log.2026-11-21")
	f("*.log", "a.log a.log.2026-11-21 a.log.old", "a.log", "")
	f("*", "a.log a.log.old a.log.old.1 a.log.bak.2", "a.log", "a.log.bak.2 a.log.old a.log.old.1")
	f("*", "a.log.bak a.log.bak.2", "a.log.bak", "a.log.bak.2")
	f("*.log", "b.log.5", "", "")
}

func TestFilesAreFoundEachIntervalAndWhenAsked(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := New([]config.Files{{Paths: []string{dir + "/*.log"}}}, time.Minute, quiet, metrics.New("shipper", "h"))
		if err != nil {
			t.Fatal(err)
		}
		changes := make(chan source.Change, 10)
		go s.Run(t.Context(), changes)
		f := func(want ...string) {
			t.Helper()
			synctest.Wait()
			var got []string
			for len(changes) > 0 {
				c := <-changes
				if c.What != source.Came {
					t.Errorf("%+v", c)
				}
				got = append(got, filepath.Base(c.Spec.Path))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		}
		f()
		touch(t, dir, "a.log")
		time.Sleep(59 * time.Second) // of the bubble
		f()
		time.Sleep(time.Second)
		f("a.log")
		touch(t, dir, "b.log")
		s.Look()
		s.Look()
		time.Sleep(scanPause)
		f("a.log", "b.log")
	})
}

func TestAGlobThatIsNoneIsNamed(t *testing.T) {
	if _, err := New([]config.Files{{Paths: []string{"/a"}}, {Paths: []string{"/b"}, Exclude: []string{"/c{"}}}, time.Second, quiet, metrics.New("shipper", "h")); err == nil || err.Error() != "shipper.files[1]: glob /c{: a { without its }" {
		t.Error(err)
	}
}

// A glob that has nothing to read is said once, with what it matches instead.
func TestAGlobWithNothingToReadIsReportedOnce(t *testing.T) {
	dir := t.TempDir()
	touch(t, dir, "a.log", "old.log.gz", "no.txt")
	for _, name := range []string{"app.dir", "b.dir"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "none"), filepath.Join(dir, "broken.lnk")); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	reg := metrics.New("shipper", "h")
	cfg := config.Files{Exclude: []string{dir + "/no.*"}}
	for _, g := range []string{"*.log", "nothing/*.log", "literal.log", "*.dir", "app.dir", "*.gz", "old.log.gz", "*.txt", "*.lnk", "{none,nil}.log"} {
		cfg.Paths = append(cfg.Paths, dir+"/"+g)
	}
	s, err := New([]config.Files{cfg}, time.Second, slog.New(slog.NewTextHandler(&log, nil)), reg)
	if err != nil {
		t.Fatal(err)
	}
	changes := make(chan source.Change, 10)
	for range 3 {
		s.scan(t.Context(), changes)
	}
	for _, want := range []string{
		`nothing/*.log" reason="it matches nothing"`, `literal.log" reason="it matches nothing"`, `/*.dir" reason="it matches only directories"`, `app.dir" reason="it matches only directories"`,
		`/*.gz" reason="it matches only compressed files"`, `old.log.gz" reason="it matches only compressed files"`, `/*.txt" reason="it matches only excluded files"`,
		`/*.lnk" reason="it matches only links to nothing, pipes or devices"`, `{none,nil}.log" reason="it matches nothing"`,
	} {
		if n := strings.Count(strings.ReplaceAll(log.String(), "glob="+dir, `glob="`+dir), strings.ReplaceAll(want, `" reason`, ` reason`)) + strings.Count(log.String(), want); n != 1 {
			t.Errorf("%d times %q in\n%s", n, want, log.String())
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 9 {
		t.Errorf("%d lines are logged: %s", n, log.String())
	}
	if got := s.Status().([]Hit); len(got) != len(cfg.Paths) || !reflect.DeepEqual(got[0], Hit{Glob: dir + "/*.log", Files: 1}) || !reflect.DeepEqual(got[3], Hit{Glob: dir + "/*.dir", Directories: 2}) || got[5].Compressed != 1 {
		t.Errorf("status %+v", got)
	}
	touch(t, dir, "literal.log")
	s.scan(t.Context(), changes)
	s.scan(t.Context(), changes)
	if n := strings.Count(log.String(), "glob has files now"); n != 1 {
		t.Errorf("%d times that there are files: %s", n, log.String())
	}
}

// Links below a wildcard are in /status, and logged once a glob.
func TestLinksAreReported(t *testing.T) {
	dir := t.TempDir()
	touch(t, dir, "a.log", "other")
	for _, name := range []string{"b.log", "a.log.1"} {
		if err := os.Symlink(filepath.Join(dir, "other"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	s, err := New([]config.Files{{Paths: []string{dir + "/*.log"}}}, time.Second, slog.New(slog.NewTextHandler(&log, nil)), metrics.New("shipper", "h"))
	if err != nil {
		t.Fatal(err)
	}
	changes := make(chan source.Change, 10)
	for range 3 {
		s.scan(t.Context(), changes)
	}
	if got, want := s.Status().([]Hit)[0].Links, []string{dir + "/a.log.1", dir + "/b.log"}; !slices.Equal(got, want) {
		t.Errorf("links %q, want %q", got, want)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), dir+"/a.log.1") {
		t.Errorf("logged %d times: %s", n, log.String())
	}
	if c := <-changes; c.Spec.Hints.Root != dir || c.Spec.Hints.FollowLinks || len(c.Spec.Hints.Siblings) > 0 {
		t.Errorf("%+v", c.Spec.Hints)
	}
}
