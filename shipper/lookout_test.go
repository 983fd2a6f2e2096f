package shipper

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/admin"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/shipper/disk"
)

func testDaemon(t *testing.T, cfg config.Docker, out chan target) *daemon {
	t.Helper()
	d, err := newDaemon(cfg, slog.New(slog.DiscardHandler), newMeters(metrics.New("shipper", "h")), admin.NewState("shipper").Need("docker"), out)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestLogsOfNewContainersAreOpenBeforeDockerTells(t *testing.T) {
	root := t.TempDir()
	d := testDaemon(t, config.Default().Shipper.Docker, nil)
	l, err := newLookout(root, d.judge, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { l.run(ctx, false) })
	defer running.Wait()
	defer cancel()
	put := func(id, name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(root, id), 0o755); err != nil {
			t.Fatal(err)
		}
		appendTo(t, filepath.Join(root, id, name), text)
	}
	next := func(id string) *inspected {
		t.Helper()
		<-l.ready
		found := l.take()
		if len(found) != 1 || found[0].id != id || found[0].path != l.path(id) {
			t.Fatalf("found %+v, want %s", found, id)
		}
		var b [2]byte
		if n, err := disk.Pread(found[0].fd, b[:], 0); n != 1 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		newCloser().close(found[0].fd)
		return found[0].what
	}
	first, second, third := fakeID(1), fakeID(2), fakeID(3)
	put(first, "config.v2.json", `{"Name":"/web","Config":{"Image":"nginx","Env":["MESOS_TASK_ID=task"],"Labels":{"co.elastic.logs/enabled":"false"}}}`)
	put("not a container", logName(second), "x")
	put(second, logName(second), "x")
	if what := next(second); what != nil {
		t.Errorf("%+v, want nothing known", what)
	}
	put(first, "hostconfig.json", `{"LogConfig":{"Type":"json-file"}}`)
	put(first, logName(first), "x") // its directory was there before it
	if what := next(first); what == nil || what.skip != "opted out" || what.container.Info.ContainerName != "web" || what.container.Info.TaskID != "task" || what.container.Path != l.path(first) {
		t.Errorf("%+v", what)
	}
	put(third, logName(third), "x")
	next(third)
	if err := os.RemoveAll(filepath.Join(root, third)); err != nil {
		t.Fatal(err)
	}
	if all := l.look(nil, true); len(all) != 2 {
		t.Errorf("%d logs found after events were lost, want 2", len(all))
	}
}

// As when the daemon's data is set up anew.
func TestADirectoryOfContainersThatIsDeletedIsWatchedAgain(t *testing.T) {
	root := filepath.Join(t.TempDir(), "containers")
	d := testDaemon(t, config.Default().Shipper.Docker, nil)
	for i := range 3 {
		if err := os.MkdirAll(filepath.Join(root, fakeID(i)), 0o755); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			l, err := newLookout(root, d.judge, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			l.pause = time.Millisecond
			d.lookout = l
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { l.run(ctx, true) })
			defer running.Wait()
			defer cancel()
		}
		appendTo(t, filepath.Join(root, fakeID(i), logName(fakeID(i))), "x")
		for found := false; !found; {
			<-d.lookout.ready
			for _, s := range d.lookout.take() {
				_ = unix.Close(s.fd) // an open file keeps its directory's watch
				found = found || s.id == fakeID(i)
			}
		}
		if err := os.RemoveAll(root); err != nil {
			t.Fatal(err)
		}
	}
}

func TestContainersThatOptOutAreNotMissed(t *testing.T) {
	out := make(chan target, 4)
	d := testDaemon(t, config.Default().Shipper.Docker, out)
	id := fakeID(1)
	for _, skip := range []string{"opted out", ""} {
		d.known[id] = state{runs: true}
		d.asking[id] = &asking{ran: true, hint: &inspected{skip: skip}}
		d.gone(t.Context(), id)
		told, gone := <-out, <-out
		if told.drop != (skip != "") || !gone.gone || gone.missed != (skip == "") {
			t.Errorf("%q: %+v, %+v", skip, told, gone)
		}
	}
}

func TestLogsAreOpenedAlsoIfTheirDirectoryCameLate(t *testing.T) {
	s := newSite(t)
	d := s.docker()
	d.blind = true
	if err := os.Remove(filepath.Join(d.root, "containers")); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.until("a warning", func() bool { return s.logged("not opened before Docker tells") })
	for i := range 3 {
		d.add(fakeContainer{ID: fakeID(i), Name: "short"}, true)
		d.write(fakeID(i), "stdout", "line")
	}
	s.until("open files", func() bool { return s.counter("shipper_files_opened_total") == 3 })
	for i := range 3 {
		d.remove(fakeID(i), false)
	}
	s.wait(3)
}
