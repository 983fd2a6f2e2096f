package tail

import (
	"bytes"
	"maps"
	"time"

	"github.com/sluicelog/sluice/shipper/position"
	"github.com/sluicelog/sluice/shipper/send"
	"github.com/sluicelog/sluice/shipper/source"
)

// departure is a source whose writer was removed a moment ago.
type departure struct {
	at      time.Time
	name    string
	ran     bool // it had something to say
	opened  bool // its log could be opened
	counted bool
}

const (
	missedAfter = 2 * time.Second
	departedFor = time.Minute
)

// gone has the rest of a source shipped whose writer is gone.
func (t *roster) gone(spec *source.Spec, s *origin, missed bool, out *send.Batch) {
	t.keep(spec, nil)
	if s != nil {
		s.gone, s.spec.Hints.Ended = true, true
		t.finder.discover(s)
		t.release(s, out)
	}
	// What the discoverer opened of it may come later, so it is counted as missed later.
	key := spec.Key()
	d := t.departed[key]
	if d == nil {
		d = &departure{at: t.now, name: spec.Name}
		t.departed[key] = d
	}
	d.ran = d.ran || missed || s != nil && !s.spec.Hints.Pending
	d.opened = d.opened || s != nil && s.opened
}

// release has a source read that it is not known of what it is, though its writer is
// gone: its name is better than nothing, unless it may be one that is not wanted.
func (t *roster) release(s *origin, out *send.Batch) {
	if s.opened && !s.spec.Hints.IfKnown {
		s.spec.Hints.Pending = false
	}
	t.reader.lookAt(s, out)
	t.finder.queue.all(s)
}

// countMissed counts the sources whose log was deleted before it could be opened.
func (t *roster) countMissed() {
	maps.DeleteFunc(t.departed, func(key string, d *departure) bool {
		since := t.now.Sub(d.at)
		if s := t.sources[key]; s != nil && s.opened {
			d.opened = true
		}
		if d.ran && !d.opened && !d.counted && since >= missedAfter {
			d.counted = true
			t.m.missed.Inc()
			t.log.Warn("container was removed before its log could be read", "container", d.name)
		}
		return since > departedFor
	})
}

// keep has what a discoverer knows of a source stored, or deleted if that is nothing.
func (t *roster) keep(spec *source.Spec, value []byte) {
	key, bucket := spec.Key(), t.buckets[spec.Kind]
	if bucket == "" || bytes.Equal(value, t.kept[key]) {
		return
	}
	if value != nil {
		t.kept[key] = value
	} else {
		delete(t.kept, key)
	}
	t.finder.saver.note(position.Change{Bucket: bucket, Key: spec.Name, Value: value})
}
