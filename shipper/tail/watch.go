package tail

import (
	"log/slog"
	"path/filepath"

	"github.com/sluicelog/sluice/shipper/inotify"
)

// watches is what inotify is asked to report: files that were read to their end, and the
// directories of sources. It only saves waiting: the poll finds what it misses.
type watches struct {
	inotify *inotify.Watcher // nil: only the poll
	log     *slog.Logger
	files   map[int32]*file
	dirs    map[int32]*directory
	byPath  map[string]*directory
	full    bool // logged that there are no more watches
}

// directory is watched for names that come and go.
type directory struct {
	wd      int32
	path    string
	sources map[string]*origin // by base name
}

func newWatches(w *inotify.Watcher, log *slog.Logger) *watches {
	return &watches{inotify: w, log: log, files: map[int32]*file{}, dirs: map[int32]*directory{}, byPath: map[string]*directory{}}
}

// arm has f reported when it grows, and reports whether it is only now.
func (w *watches) arm(f *file) bool {
	if w.inotify == nil || f.watch != 0 {
		return false
	}
	wd, err := w.inotify.Arm(f.fd)
	if err != nil {
		if !w.full {
			w.full = true
			w.log.Warn("no inotify watch for more files; they are looked at by the poll alone", "path", f.path, "error", err)
		}
		return false
	}
	f.watch = wd
	w.files[wd] = f
	return true
}

func (w *watches) disarm(f *file) {
	if f.watch != 0 {
		w.inotify.Remove(f.watch)
		delete(w.files, f.watch)
		f.watch = 0
	}
}

// hand gives the watch of f to g, which is the same open file.
func (w *watches) hand(f, g *file) {
	g.watch, f.watch = f.watch, 0
	if g.watch != 0 {
		w.files[g.watch] = g
	}
}

// fired is the file that a watch was for; nil: it was for none.
func (w *watches) fired(wd int32) *file {
	f := w.files[wd]
	delete(w.files, wd)
	if f != nil && f.watch == wd {
		f.watch = 0
		return f
	}
	return nil
}

// dir has names reported that come to the directory of a source or go from it.
func (w *watches) dir(s *origin) {
	if w.inotify == nil || s.spec.Path == "" {
		return
	}
	path := filepath.Dir(s.spec.Path)
	d := w.byPath[path]
	if d == nil {
		wd, err := w.inotify.Dir(path, inotify.ComesGoes)
		if err != nil {
			return // the poll finds out
		}
		if d = w.dirs[wd]; d == nil {
			d = &directory{wd: wd, path: path, sources: map[string]*origin{}}
			w.dirs[wd] = d
		}
		w.byPath[path] = d
	}
	d.sources[filepath.Base(s.spec.Path)] = s
}

// undir is the end of dir.
func (w *watches) undir(s *origin) {
	path := filepath.Dir(s.spec.Path)
	d := w.byPath[path]
	if d == nil || d.sources[filepath.Base(s.spec.Path)] != s {
		return
	}
	delete(d.sources, filepath.Base(s.spec.Path))
	if len(d.sources) == 0 {
		delete(w.byPath, path)
		if w.dirs[d.wd] == d {
			delete(w.dirs, d.wd)
			w.inotify.Remove(d.wd)
		}
	}
}

// lost forgets a directory that is watched no more.
func (w *watches) lost(d *directory) {
	delete(w.dirs, d.wd)
	delete(w.byPath, d.path)
}
