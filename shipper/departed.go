package shipper

import (
	"bytes"
	"time"

	"github.com/sluicelog/sluice/shipper/source"
)

// depart has the rest of a source that is gone shipped.
func (t *tailer) depart(key string, s *origin, c *source.Change) {
	t.keep(key, &c.Spec, nil)
	if s != nil {
		s.gone, s.Hints.Ended = true, true
		t.discover(s)
		t.release(s)
	}
	// What its discoverer opened of it may come later, so it is counted as missed later.
	d, told := t.departed[key]
	if !told {
		d.at, d.name = t.now, c.Spec.Name
	}
	d.ran = d.ran || c.What == source.Missed || s != nil && !s.Hints.Pending
	d.opened = d.opened || s != nil && s.opened
	t.departed[key] = d
}

// departure is a source that went a moment ago.
type departure struct {
	name    string
	at      time.Time
	ran     bool // it had something to say
	opened  bool // a file of it could be opened
	counted bool
}

const (
	missedAfter = 2 * time.Second
	departedFor = time.Minute
)

// release has a pending source read though it is gone: all that is known of it is its
// name, which is better than nothing, unless it may be one that is not wanted.
func (t *tailer) release(s *origin) {
	if s.opened && !s.Hints.IfKnown {
		s.Hints.Pending = false
	}
	t.lookAt(s)
	for _, f := range s.files {
		t.enqueue(f)
	}
}

// countMissed counts the sources whose log was deleted before it could be opened.
func (t *tailer) countMissed() {
	for key, d := range t.departed {
		since := t.now.Sub(d.at)
		if d.ran && !d.opened && !d.counted && since >= missedAfter {
			d.counted = true
			t.departed[key] = d
			t.m.missed.Inc()
			t.log.Warn("container was removed before its log could be read", "container", d.name)
		}
		if since > departedFor {
			delete(t.departed, key)
		}
	}
}

// keep has what is known of a source stored, for its discoverer, or deleted if it is nil.
func (t *tailer) keep(key string, spec *source.Spec, known []byte) {
	bucket, ok := t.buckets[spec.Kind]
	if !ok || bytes.Equal(known, t.kept[key]) {
		return
	}
	if known == nil {
		delete(t.kept, key)
	} else {
		t.kept[key] = known
	}
	t.later = append(t.later, record{bucket: bucket, key: spec.Name, value: known})
}
