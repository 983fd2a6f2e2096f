package shipper

import (
	"encoding/json"

	"github.com/sluicelog/sluice/config"
)

// target is news about a source from a glob or from Docker.
type target struct {
	kind string
	name string // path or container id

	glob  *config.Files // of a path
	dated []string      // rotated siblings of a path by date, oldest first

	container *container // nil: not known yet what it is
	log       *sighting  // opened already
	missed    bool       // the container ran and was removed before Docker could say what it is
	gone      bool       // the container was removed
	drop      bool       // the container is not to be followed
}

// take acts on news from a glob or Docker.
func (t *tailer) take(tg target) {
	key := tg.kind + " " + tg.name
	s := t.sources[key]
	switch {
	case tg.kind == kindFile:
		if s == nil {
			s = newFileSource(tg.name, t.host, t.dc, t.cfg.PartitionBy, tg.glob, t.cfg.Labels)
			t.add(key, s)
		}
		s.dated = tg.dated
		if s.live == nil || len(tg.dated) > 0 {
			t.discover(s)
		}
	case tg.gone:
		t.containerGone(s, tg)
	case tg.drop:
		if s != nil {
			t.removeSource(key, s)
		}
	default:
		t.takeContainer(key, s, tg)
	}
}

// takeContainer begins to follow a container's log, which is opened already or is at
// its path, and reads it once it is known what it is.
func (t *tailer) takeContainer(key string, s *source, tg target) {
	c, known := tg.container, tg.container != nil
	if !known {
		c = &container{ID: tg.name, Path: tg.log.path, Running: true}
	}
	added := s == nil
	if added {
		s = newSource(kindDocker, c.ID, c.Path, t.host)
		s.docker, s.held = true, true
		t.add(key, s)
	}
	if gone := s.gone && !s.held; added || known && !gone { // of a container that is gone, late events know less
		s.describe(c.source(t.host, t.cfg), t.dc, t.cfg.PartitionBy)
	}
	if known {
		s.held, s.gone, s.running, s.prefix = false, false, c.Running, t.cfg.Docker.FilePrefix
		if s.path != c.Path {
			t.unwatch(s)
			s.path = c.Path
			t.watchDir(s)
		}
		t.keepContainer(c.ID, c)
	}
	if tg.log != nil {
		t.takeOpen(s, tg.log)
		if _, ok := t.departed[s.name]; ok {
			s.gone, s.running = true, false
		}
	}
	t.discover(s)
	for _, f := range s.files {
		t.enqueue(f)
	}
}

// takeOpen begins to follow a log that was opened by the lookout.
func (t *tailer) takeOpen(s *source, log *sighting) {
	if f := t.files[log.stat.ID]; f != nil {
		if f.fd >= 0 || f.key == log.stat.Key() { // it was found under its path meanwhile
			t.closer.close(log.fd)
			return
		}
		t.finished(f)
	}
	t.opened(s, log.fd, log.stat, log.path, nil)
}

func (t *tailer) add(key string, s *source) {
	s.n = &t.kinds[1]
	if s.kind == kindDocker {
		s.n = &t.kinds[0]
	}
	t.sources[key] = s
	t.watchDir(s)
}

// removeSource stops following a source; positions of its files are kept, in case it
// comes back.
func (t *tailer) removeSource(key string, s *source) {
	for _, f := range s.files {
		if r, _, ok := f.record(t.now); ok {
			var at position
			if json.Unmarshal(r.value, &at) == nil {
				t.resume[f.key] = at
				t.later = append(t.later, r)
			}
		}
		t.close(f)
		f.finished = true
		delete(t.files, f.id)
	}
	for _, j := range s.joins {
		t.buffered -= int64(cap(j.message))
	}
	s.files, s.live, s.joins = nil, nil, nil
	t.unwatch(s)
	delete(t.sources, key)
}
