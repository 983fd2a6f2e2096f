package shipper

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/admin"
	"github.com/sluicelog/sluice/internal/metrics"
)

// statusText is what /status shows.
func (t *tailer) statusText(tt *testing.T) string {
	tt.Helper()
	b, err := json.Marshal(t.status())
	if err != nil {
		tt.Fatal(err)
	}
	return string(b)
}

func TestStatusNamesOffsetLagAndError(t *testing.T) {
	tl, f := bench(false)
	tl.sources = map[string]*origin{"x": f.src}
	f.src.files, f.path, f.size = []*file{f}, "/logs/web.log", 10
	tl.feed(f, []byte("a\nb\n"))
	tl.cur.register()
	finished(tl.cur.out[0].tag)
	f.problem = "input/output error"
	got := tl.statusText(t)
	for _, want := range []string{`"path":"/logs/web.log"`, `"offset":2`, `"read":4`, `"size":10`, `"lag_bytes":8`, `"error":"input/output error"`, `"service":"order"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
}

// Files that cannot be opened for want of descriptors wait, and that is told once.
func TestFilesWaitForDescriptors(t *testing.T) {
	s := newSiteAlone(t).plain() // alone: it takes all descriptors of the process
	for i := range 5 {
		s.append(fmt.Sprintf("f%d.log", i), fmt.Sprintf("line %d\n", i))
	}
	s.start()
	s.wait(5)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	restore := func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &old) }
	defer restore()
	for i := range 3 { // written before the limit, found after it
		appendTo(t, filepath.Join(s.dir, fmt.Sprintf("wait%d", i)), fmt.Sprintf("waited %d\n", i))
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 4, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := os.Rename(filepath.Join(s.dir, fmt.Sprintf("wait%d", i)), s.path(fmt.Sprintf("f%d.log.new", i))); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(s.path(fmt.Sprintf("f%d.log", i)), s.path(fmt.Sprintf("f%d.log.1", i))); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(s.path(fmt.Sprintf("f%d.log.new", i)), s.path(fmt.Sprintf("f%d.log", i))); err != nil {
			t.Fatal(err)
		}
	}
	s.until("log of the want", func() bool { return s.logged("no more file descriptors") })
	restore()
	s.wait(8)
	if n := strings.Count(s.log.String(), "no more file descriptors"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

func TestReadErrorsAreToldOnChangeAndOnRecovery(t *testing.T) {
	tl, f := bench(false)
	log := &logBuffer{t: t}
	tl.log = slogTo(log)
	for range 3 {
		tl.trouble(f, errors.New("disk on fire"))
	}
	tl.recovered(f)
	tl.recovered(f)
	if a, b := strings.Count(log.String(), "disk on fire"), strings.Count(log.String(), "can be read again"); a != 1 || b != 1 {
		t.Errorf("told %d times and %d times", a, b)
	}
}

func TestDockerIsNeededOnlyIfItIsEnabled(t *testing.T) {
	f := func(enabled bool, want int) {
		t.Helper()
		tl, _ := bench(false)
		cfg := config.Default()
		cfg.Shipper.Docker.Enabled = enabled
		sources, err := discoverersOf(cfg, tl.log, metrics.New("s", "h"), admin.NewState("shipper"))
		if err != nil || len(sources) != want {
			t.Errorf("%d sources, %v", len(sources), err)
		}
	}
	f(false, 0)
	f(true, 1)
}
