package shipper

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// lookout opens the logs of new containers as soon as they are there, whatever daemon
// and tailer are doing: a container may live for a moment, and its log is deleted with
// it. What it is, is read from what dockerd keeps beside the log:
//
//	containers/<id>/config.v2.json hostconfig.json <id>-json.log
type lookout struct {
	root  string // holds one directory a container
	judge func(id, path string, f *facts) *inspected
	log   *slog.Logger
	ready chan struct{} // cap 1: there is something to take

	watch     *watcher
	rootWatch int32
	waits     map[int32]string // containers without a log yet, by watch; owned by run

	mu    sync.Mutex
	found []sighting
}

// sighting is a log that was opened.
type sighting struct {
	id, path string
	fd       int
	stat     stat
	what     *inspected // nil: dockerd's files cannot be read
}

// newLookout notices what comes below root from now on.
func newLookout(root string, judge func(string, string, *facts) *inspected, log *slog.Logger) (*lookout, error) {
	w, err := newWatcher()
	if err != nil {
		return nil, err
	}
	l := &lookout{root: root, judge: judge, log: log, ready: make(chan struct{}, 1), watch: w, waits: map[int32]string{}}
	if l.rootWatch, err = w.dir(root, comes); err != nil {
		w.close()
		return nil, fmt.Errorf("watch %s: %w", root, err)
	}
	return l, nil
}

// run ends with ctx.
func (l *lookout) run(ctx context.Context) {
	var fetching sync.WaitGroup
	fetching.Go(l.watch.run)
	defer fetching.Wait()
	defer l.watch.close()
	var events []watchEvent
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.watch.ready:
		}
		var lost bool
		events, lost = l.watch.take(events[:0])
		opened := l.look(events, lost)
		if len(opened) == 0 {
			continue
		}
		for i := range opened { // now that all are open
			opened[i].what = l.read(&opened[i])
		}
		l.mu.Lock()
		l.found = append(l.found, opened...)
		l.mu.Unlock()
		select {
		case l.ready <- struct{}{}:
		default:
		}
	}
}

// look opens the logs that events tell of.
func (l *lookout) look(events []watchEvent, lost bool) (opened []sighting) {
	try := func(id string) bool {
		s := sighting{id: id, path: l.path(id)}
		var err error
		s.fd, s.stat, err = openFile(s.path)
		if err == nil {
			opened = append(opened, s)
		}
		return err == nil
	}
	for _, e := range events {
		id, wd := l.waits[e.wd], e.wd
		switch {
		case wd == l.rootWatch:
			if id = e.name; !containerID(id) || try(id) {
				continue
			}
			var err error
			if wd, err = l.watch.dir(filepath.Join(l.root, id), comes); err != nil {
				continue // it is gone, or the tailer's poll finds the log once Docker has told of it
			}
			l.waits[wd] = id
		case e.gone:
			delete(l.waits, wd)
			continue
		case id == "" || e.name != logName(id):
			continue
		}
		if try(id) {
			delete(l.waits, wd)
			l.watch.remove(wd)
		}
	}
	if lost {
		l.log.Warn("inotify lost events, looking at every container", "path", l.root)
		all, err := os.ReadDir(l.root)
		if err != nil {
			l.log.Error("cannot look for containers", "err", err)
		}
		for _, e := range all {
			if containerID(e.Name()) {
				try(e.Name())
			}
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
	}
	var host struct{ LogConfig struct{ Type string } }
	for name, into := range map[string]any{"config.v2.json": &c, "hostconfig.json": &host} {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(s.path), name))
		if err != nil || json.Unmarshal(b, into) != nil {
			return nil
		}
	}
	return l.judge(s.id, s.path, &facts{c.Name, c.Config.Image, host.LogConfig.Type, c.Config.Env, c.Config.Labels})
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
		_ = unix.Close(s.fd)
	}
}
