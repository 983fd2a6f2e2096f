package shipper

import (
	"fmt"
	"github.com/sluicelog/sluice/shipper/internal/shiptest"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/admin"
	"github.com/sluicelog/sluice/internal/metrics"
)

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
		shiptest.Append(t, filepath.Join(s.dir, fmt.Sprintf("wait%d", i)), fmt.Sprintf("waited %d\n", i))
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
	s.until("log of the want", func() bool { return s.logged("file descriptors run short") })
	restore()
	s.wait(8)
	if n := strings.Count(s.log.String(), "file descriptors run short"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

func TestDockerIsNeededOnlyIfItIsEnabled(t *testing.T) {
	f := func(enabled bool, want int) {
		t.Helper()
		cfg := config.Default()
		cfg.Shipper.Docker.Enabled = enabled
		sources, err := discoverers(cfg, slog.New(slog.DiscardHandler), metrics.New("s", "h"), admin.NewState("shipper"))
		if err != nil || len(sources) != want {
			t.Errorf("%d sources, %v", len(sources), err)
		}
	}
	f(false, 0)
	f(true, 1)
}
