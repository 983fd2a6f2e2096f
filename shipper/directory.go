package shipper

import (
	"path/filepath"

	"github.com/sluicelog/sluice/shipper/inotify"
	"github.com/sluicelog/sluice/shipper/source/files"
)

// directory is watched for names that come and go.
type directory struct {
	wd      int32
	path    string
	sources map[string]*origin // by base name
}

func (t *tailer) watchDir(s *origin) {
	if t.watch == nil || s.Path == "" {
		return
	}
	path := filepath.Dir(s.Path)
	d := t.dirOf[path]
	if d == nil {
		wd, err := t.watch.Dir(path, inotify.ComesGoes)
		if err != nil {
			return // the poll finds out
		}
		if d = t.dirs[wd]; d == nil {
			d = &directory{wd: wd, path: path, sources: map[string]*origin{}}
			t.dirs[wd] = d
		}
		t.dirOf[path] = d
	}
	d.sources[filepath.Base(s.Path)] = s
}

func (t *tailer) unwatch(s *origin) {
	path := filepath.Dir(s.Path)
	d := t.dirOf[path]
	if d == nil || d.sources[filepath.Base(s.Path)] != s {
		return
	}
	delete(d.sources, filepath.Base(s.Path))
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
		if base, ok := files.Numbered(e.Name); s == nil && ok {
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

// askScan has names looked for that nobody knows.
func (t *tailer) askScan() {
	for _, l := range t.lookers {
		l.Look()
	}
}
