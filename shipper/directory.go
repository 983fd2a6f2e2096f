package shipper

import (
	"path/filepath"

	"github.com/sluicelog/sluice/shipper/inotify"
)

// directory is watched for names that come and go.
type directory struct {
	wd      int32
	path    string
	sources map[string]*source // by base name
}

func (t *tailer) watchDir(s *source) {
	if t.watch == nil || s.path == "" {
		return
	}
	path := filepath.Dir(s.path)
	d := t.dirOf[path]
	if d == nil {
		wd, err := t.watch.Dir(path, inotify.ComesGoes)
		if err != nil {
			return // the poll finds out
		}
		if d = t.dirs[wd]; d == nil {
			d = &directory{wd: wd, path: path, sources: map[string]*source{}}
			t.dirs[wd] = d
		}
		t.dirOf[path] = d
	}
	d.sources[filepath.Base(s.path)] = s
}

func (t *tailer) unwatch(s *source) {
	path := filepath.Dir(s.path)
	d := t.dirOf[path]
	if d == nil || d.sources[filepath.Base(s.path)] != s {
		return
	}
	delete(d.sources, filepath.Base(s.path))
	if len(d.sources) == 0 {
		delete(t.dirOf, path)
		if t.dirs[d.wd] == d {
			delete(t.dirs, d.wd)
			t.watch.Remove(d.wd)
		}
	}
}

// wake acts on what inotify saw.
func (t *tailer) wake() {
	var lost bool
	t.events, lost = t.watch.Take(t.events[:0])
	for _, e := range t.events {
		if f := t.armed[e.WD]; f != nil {
			delete(t.armed, e.WD)
			if f.watch == e.WD {
				f.watch = 0
				t.enqueue(f)
			}
			continue
		}
		d := t.dirs[e.WD]
		if d == nil {
			continue
		}
		if e.Gone {
			delete(t.dirs, d.wd)
			delete(t.dirOf, d.path)
			continue
		}
		s := d.sources[e.Name]
		if base, ok := numbered(e.Name); s == nil && ok {
			s = d.sources[base]
		}
		if s != nil {
			t.discover(s)
		} else {
			t.askScan()
		}
	}
	if lost {
		t.log.Warn("inotify lost events, looking at every file")
		t.askScan()
		t.poll()
	}
}

func (t *tailer) askScan() {
	select {
	case t.rescan <- struct{}{}:
	default:
	}
}
