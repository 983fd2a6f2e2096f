package shipper

import (
	"bytes"
	"encoding/json"
	"time"
)

// containerGone has the rest of a removed container's files shipped.
func (t *tailer) containerGone(s *source, tg target) {
	t.keepContainer(tg.name, nil)
	if s != nil {
		s.gone, s.running = true, false
		t.discover(s)
		t.release(s)
	}
	// What the lookout opened of it may come later, so it is counted as missed later.
	d, told := t.departed[tg.name]
	if !told {
		d.at = t.now
	}
	d.ran = d.ran || tg.missed || s != nil && !s.held
	d.opened = d.opened || s != nil && s.opened
	t.departed[tg.name] = d
}

// departure is a container that was removed a moment ago.
type departure struct {
	at      time.Time
	ran     bool // Docker said that it started
	opened  bool // its log could be opened
	counted bool
}

const (
	missedAfter = 2 * time.Second
	departedFor = time.Minute
)

// release has a held source read though its container is gone: all that is known of it
// is its id, which is better than nothing, unless it may be one that is not wanted.
func (t *tailer) release(s *source) {
	if s.opened && len(t.cfg.Docker.IncludeNames) == 0 {
		s.held = false
	}
	t.lookAt(s)
	for _, f := range s.files {
		t.enqueue(f)
	}
}

// countMissed counts the containers whose log was deleted before it could be opened.
func (t *tailer) countMissed() {
	for id, d := range t.departed {
		since := t.now.Sub(d.at)
		if d.ran && !d.opened && !d.counted && since >= missedAfter {
			d.counted = true
			t.departed[id] = d
			t.m.missed.Inc()
			t.log.Warn("container was removed before its log could be read", "container", id)
		}
		if since > departedFor {
			delete(t.departed, id)
		}
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

// keepContainer has what is known of a container stored, or deleted if c is nil.
func (t *tailer) keepContainer(id string, c *container) {
	r := record{bucket: bucketContainers, key: id}
	if c != nil {
		var err error
		if r.value, err = json.Marshal(c); err != nil || bytes.Equal(r.value, t.known[id]) {
			return
		}
		t.known[id] = r.value
	} else {
		if t.known[id] == nil {
			return
		}
		delete(t.known, id)
	}
	t.later = append(t.later, r)
}
