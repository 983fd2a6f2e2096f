package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicelog/sluice/internal/wake"
	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/inotify"
	"github.com/sluicelog/sluice/shipper/source"
)

// lookout opens the logs of new containers as soon as they are there, whatever daemon
// and tailer are doing: a container may live for a moment, and its log is deleted with
// it. What it is, is read from what dockerd keeps beside the log:
//
//	containers/<id>/config.v2.json hostconfig.json <id>-json.log
type lookout struct {
	root  string // holds one directory a container
	judge judge
	log   *slog.Logger
	ready wake.Signal   // there is something to take
	pause time.Duration // until a root that was deleted is looked for again
	ahead int64         // logs that may be open and not taken; more are opened by their path, once Docker reports them
	open  atomic.Int64  // that are

	watch     *inotify.Watcher
	rootWatch int32
	waits     map[int32]string // containers without a log yet, by watch; owned by run

	mu    sync.Mutex
	found []sighting
}

const noWatch = int32(-1)

// sighting is a log that was opened.
type sighting struct {
	id string
	source.Log
	what *inspected // nil: dockerd's files cannot be read
}

// newLookout notices what comes below root from now on.
func newLookout(root string, j judge, log *slog.Logger) (*lookout, error) {
	w, err := inotify.New()
	if err != nil {
		return nil, err
	}
	l := &lookout{root: root, judge: j, log: log, ready: wake.New(), pause: 5 * time.Second, watch: w, waits: map[int32]string{}}
	_, ahead := disk.Shares()
	l.ahead = int64(ahead)
	if l.rootWatch, err = w.Dir(root, inotify.Comes); err != nil {
		w.Close()
		return nil, fmt.Errorf("watch %s: %w", root, err)
	}
	return l, nil
}

// run ends with ctx. late: containers may have come before the watch, unseen.
func (l *lookout) run(ctx context.Context, late bool) {
	var fetching sync.WaitGroup
	fetching.Go(l.watch.Run)
	defer fetching.Wait()
	defer l.watch.Close()
	if late {
		l.give(l.look(nil, true))
	}
	var events []inotify.Event
	var again <-chan time.Time // root is away, to be watched again
	for {
		select {
		case <-ctx.Done():
			return
		case <-again:
			var err error
			if l.rootWatch, err = l.watch.Dir(l.root, inotify.Comes); err != nil {
				l.rootWatch, again = noWatch, time.After(l.pause)
				continue
			}
			again = nil
			l.log.Info("the directory of containers is there again", "path", l.root)
			l.give(l.look(nil, true))
			continue
		case <-l.watch.Ready:
		}
		var lost bool
		if events, lost = l.watch.Take(events[:0]); lost {
			l.log.Warn("inotify lost events, looking at every container", "path", l.root)
		}
		l.give(l.look(events, lost))
		if l.rootWatch == noWatch && again == nil {
			l.log.Warn("the directory of containers is gone; logs of new ones are opened once Docker reports them", "path", l.root)
			again = time.After(l.pause)
		}
	}
}

// give has logs taken, now that all are open.
func (l *lookout) give(opened []sighting) {
	if len(opened) == 0 {
		return
	}
	for i := range opened {
		opened[i].what = l.read(&opened[i])
	}
	l.mu.Lock()
	l.found = append(l.found, opened...)
	l.mu.Unlock()
	l.ready.Raise()
}

// look opens the logs that events are of, or all.
func (l *lookout) look(events []inotify.Event, every bool) (opened []sighting) {
	try := func(id string) bool {
		s := sighting{id: id, Log: source.Log{Path: l.path(id)}}
		var err error
		s.FD, s.Stat, err = disk.Open(s.Path)
		if err == nil {
			l.open.Add(1)
			opened = append(opened, s)
		}
		return err == nil
	}
	came := func(wd int32, id string) {
		if try(id) {
			delete(l.waits, wd)
			l.watch.Remove(wd)
		}
	}
	there := func(id string) {
		if l.open.Load() >= l.ahead || !containerID(id) || try(id) {
			return
		}
		if wd, err := l.watch.Dir(filepath.Join(l.root, id), inotify.Comes); err == nil { // else it is gone, or found once Docker has reported it
			l.waits[wd] = id
			came(wd, id)
		}
	}
	for _, e := range events {
		id, waits := l.waits[e.WD]
		switch {
		case e.WD == l.rootWatch && e.Gone:
			l.rootWatch = noWatch
		case e.WD == l.rootWatch:
			there(e.Name)
		case e.Gone:
			delete(l.waits, e.WD)
		case waits && e.Name == logName(id):
			came(e.WD, id)
		}
	}
	if every {
		all, err := os.ReadDir(l.root)
		if err != nil {
			l.log.Error("cannot look for containers", "error", err)
		}
		for _, e := range all {
			there(e.Name())
		}
	}
	return opened
}

func logName(id string) string { return id + "-json.log" }

func (l *lookout) path(id string) string { return filepath.Join(l.root, id, logName(id)) }

// read finds out what a container is; nil if that cannot be read.
func (l *lookout) read(s *sighting) *inspected {
	var c struct {
		Name   string
		Config struct {
			Image  string
			Env    []string
			Labels map[string]string
		}
		MountPoints map[string]struct{ Source string }
	}
	var host struct{ LogConfig struct{ Type string } }
	for name, into := range map[string]any{"config.v2.json": &c, "hostconfig.json": &host} {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(s.Path), name))
		if err != nil || json.Unmarshal(b, into) != nil {
			return nil
		}
	}
	what := &description{name: c.Name, image: c.Config.Image, driver: host.LogConfig.Type, env: c.Config.Env, labels: c.Config.Labels}
	for _, at := range slices.Sorted(maps.Keys(c.MountPoints)) {
		what.mounts = append(what.mounts, c.MountPoints[at].Source)
	}
	return l.judge.of(s.id, s.Path, what)
}

// take hands over what was opened since the last call.
func (l *lookout) take() []sighting {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := l.found
	l.found = nil
	return found
}

// drop closes what nobody took.
func (l *lookout) drop() {
	for _, s := range l.take() {
		_ = unix.Close(s.FD)
		l.open.Add(-1)
	}
}

func containerID(s string) bool {
	for _, c := range []byte(s) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return len(s) == 64
}
