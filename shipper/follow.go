package shipper

import (
	"encoding/json"

	"github.com/sluicelog/sluice/shipper/source"
)

// take acts on what a discoverer says of a source.
func (t *tailer) take(c source.Change) {
	key := c.Spec.Key()
	s := t.sources[key]
	switch c.What {
	case source.Gone, source.Missed:
		t.depart(key, s, &c)
	case source.Dropped:
		if s != nil {
			t.removeSource(key, s)
		}
	default:
		t.come(key, s, c)
	}
}

// come begins to follow a source, or takes over what is news of it, and finds its files.
func (t *tailer) come(key string, s *origin, c source.Change) {
	added, changed := s == nil, c.What == source.Changed
	if added {
		s = newOrigin(c.Spec, t.host)
		t.add(key, s)
	}
	known := !s.gone || s.Hints.Pending
	if changed {
		t.change(s, &c.Spec)
		t.keep(key, &s.Spec, c.Keep)
	}
	if added || changed && known { // of what is gone, late news knows less
		s.Tags = c.Spec.Tags
		s.describe(t.host, t.dc, t.cfg.Labels, t.cfg.PartitionBy)
	}
	s.Hints.Siblings = c.Spec.Hints.Siblings
	if c.Log != nil {
		t.takeOpen(s, c.Log)
		if _, ok := t.departed[key]; ok {
			s.gone, s.Hints.Ended = true, true
		}
	}
	if added || changed || c.Log != nil || s.live == nil || len(s.Hints.Siblings) > 0 {
		t.discover(s)
	}
	if changed || c.Log != nil {
		for _, f := range s.files {
			t.enqueue(f)
		}
	}
}

// change takes over what a source is, but for its tags.
func (t *tailer) change(s *origin, spec *source.Spec) {
	if s.Path != spec.Path {
		t.unwatch(s)
		s.Path = spec.Path
		t.watchDir(s)
	}
	tags := s.Tags
	s.Spec, s.gone = *spec, false
	s.Tags = tags
}

// takeOpen begins to follow a file that its discoverer has opened.
func (t *tailer) takeOpen(s *origin, log *source.Log) {
	if f := t.files[log.Stat.ID]; f != nil {
		if f.fd >= 0 || f.key == log.Stat.Key() { // it was found under its path meanwhile
			t.closer.close(log.FD)
			return
		}
		t.finished(f)
	}
	t.opened(s, log.FD, log.Stat, log.Path, nil)
}

func (t *tailer) add(key string, s *origin) {
	s.n = t.kind(s.Kind)
	t.sources[key] = s
	t.watchDir(s)
}

// removeSource stops following a source; positions of its files are kept, in case it
// comes back.
func (t *tailer) removeSource(key string, s *origin) {
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
