package tail

import (
	"path/filepath"

	"github.com/sluicelog/sluice/shipper/send"
	"github.com/sluicelog/sluice/shipper/source"
)

// wake acts on what inotify saw.
func (t *Tail) wake(out *send.Batch) {
	var lost bool
	w := t.finder.watches
	t.events, lost = w.inotify.Take(t.events[:0])
	unknown := false
	for _, e := range t.events {
		if f := w.fired(e.WD); f != nil {
			if f.copy.of != nil {
				t.finder.compare(f)
				continue
			}
			if f.fd < 0 {
				t.finder.discover(f.src)
			}
			t.finder.queue.add(f)
			continue
		}
		d := w.dirs[e.WD]
		if d == nil {
			continue
		}
		if e.Gone {
			w.lost(d)
			continue
		}
		s := d.sources[e.Name]
		for base, ok := source.Rotated(e.Name); s == nil && ok; base, ok = source.Rotated(base) {
			s = d.sources[base]
		}
		if s != nil {
			t.finder.discover(s)
		}
		unknown = unknown || s == nil || e.Came && !s.has(filepath.Join(d.path, e.Name))
	}
	if unknown || lost {
		t.look()
	}
	if lost {
		t.log.Warn("inotify lost events, looking at every file")
		t.poller.poll(out)
	}
}
