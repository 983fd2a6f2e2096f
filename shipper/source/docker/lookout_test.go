package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/source"
)

func testDaemon(t *testing.T, cfg config.Docker, out chan source.Change) *Daemon {
	t.Helper()
	d, err := New(cfg, apps(t), slog.New(slog.DiscardHandler), metrics.New("shipper", "h"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	d.out = out
	return d
}

// apps are the default rules of service.name.
func apps(t *testing.T) source.AppRules {
	t.Helper()
	rules, err := source.NewAppRules(config.Default().Shipper.AppFrom)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func testID(n int) string { return fmt.Sprintf("%064x", n) }

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
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
		if len(found) != 1 || found[0].id != id || found[0].Path != l.path(id) {
			t.Fatalf("found %+v, want %s", found, id)
		}
		var b [2]byte
		if n, err := disk.Pread(found[0].FD, b[:], 0); n != 1 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		_ = unix.Close(found[0].FD)
		return found[0].what
	}
	first, second, third := testID(1), testID(2), testID(3)
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
		if err := os.MkdirAll(filepath.Join(root, testID(i)), 0o755); err != nil {
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
		appendTo(t, filepath.Join(root, testID(i), logName(testID(i))), "x")
		for found := false; !found; {
			<-d.lookout.ready
			for _, s := range d.lookout.take() {
				_ = unix.Close(s.FD) // an open file keeps its directory's watch
				found = found || s.id == testID(i)
			}
		}
		if err := os.RemoveAll(root); err != nil {
			t.Fatal(err)
		}
	}
}

func TestContainersThatOptOutAreNotMissed(t *testing.T) {
	out := make(chan source.Change, 4)
	d := testDaemon(t, config.Default().Shipper.Docker, out)
	id := testID(1)
	for _, skip := range []string{"opted out", ""} {
		d.known[id] = state{runs: true}
		d.asking[id] = &asking{ran: true, hint: &inspected{skip: skip}}
		d.gone(t.Context(), id)
		first, gone := <-out, <-out
		if (first.What == source.Dropped) != (skip != "") || (gone.What == source.Missed) != (skip == "") || skip != "" && gone.What != source.Gone {
			t.Errorf("%q: %+v, %+v", skip, first, gone)
		}
	}
}

// Descriptors are needed by sockets too: what is not opened ahead is opened by its path.
func TestNoMoreLogsAreOpenedAheadThanThereAreDescriptorsFor(t *testing.T) {
	root := t.TempDir()
	out := make(chan source.Change, 10)
	d := testDaemon(t, config.Default().Shipper.Docker, out)
	l, err := newLookout(root, d.judge, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.watch.Close()
	l.ahead, d.lookout = 2, l
	for i := range 5 {
		if err := os.MkdirAll(filepath.Join(root, testID(i)), 0o755); err != nil {
			t.Fatal(err)
		}
		appendTo(t, l.path(testID(i)), "")
	}
	taken := 0
	for _, want := range []int{2, 2} {
		l.give(l.look(nil, true))
		if n := len(l.found); n != want || l.open.Load() != int64(want) {
			t.Errorf("%d are open, %d counted, want %d", n, l.open.Load(), want)
		}
		d.takeFound(t.Context())
		for len(out) > 0 {
			_ = unix.Close((<-out).Log.FD)
			taken++
		}
	}
	if taken != 4 || l.open.Load() != 0 {
		t.Errorf("%d taken, %d counted as open", taken, l.open.Load())
	}
}
