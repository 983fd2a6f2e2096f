package files

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/config"
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
	}}, time.Second, quiet)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, spec := range s.entries[0].found(s.trouble) {
		rel, _ := filepath.Rel(dir, spec.Path)
		names = append(names, rel)
		if spec.Kind != source.KindFile || spec.Name != spec.Path || spec.Decoder != source.Text || spec.Tags.ServiceName != "shop" || spec.Tags.Dataset != "d" || spec.Tags.Labels["team"] != "x" || !spec.Hints.FilePrefix || !spec.Hints.Exclude.Match(dir+"/none.log") {
			t.Errorf("%+v", spec)
		}
		if want := []string{dir + "/a.log-20261120", dir + "/a.log-20261121"}; rel == "a.log" && !slices.Equal(spec.Hints.Siblings, want) {
			t.Errorf("siblings %q, want %q", spec.Hints.Siblings, want)
		}
	}
	if want := []string{"a.log", "b.log.7", "c.log-20261121", "d.txt"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

func TestFilesAreFoundEachIntervalAndWhenAsked(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := New([]config.Files{{Paths: []string{dir + "/*.log"}}}, time.Minute, quiet)
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
	if _, err := New([]config.Files{{Paths: []string{"/a"}}, {Paths: []string{"/b"}, Exclude: []string{"/c{"}}}, time.Second, quiet); err == nil || err.Error() != "shipper.files[1]: glob /c{: a { without its }" {
		t.Error(err)
	}
}
