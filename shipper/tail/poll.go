package tail

import (
	"time"

	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/position"
	"github.com/sluicelog/sluice/shipper/send"
)

const forget = 7 * 24 * time.Hour // records of files not found for this long are deleted

// poller looks at everything once in a while, since neither inotify nor discoverers are
// sure to report all.
type poller struct {
	*room
	roster *roster

	started time.Time
	probed  time.Time // when all paths were last looked at
	swept   time.Time // when records were last
}

// poll looks at every source: what inotify does not report is found here.
func (t *poller) poll(out *send.Batch) {
	full := t.now.Sub(t.probed) >= t.cfg.Scan.D()
	if full {
		t.probed = t.now
	}
	r := t.roster
	for _, s := range r.sources {
		if s.waits {
			for _, f := range s.files {
				f.times.seen = t.now // it was not looked for
			}
		} else if full || !(s.gone && s.live == nil) && r.finder.changed(s) { // nothing comes to the directory of what is gone
			r.finder.discover(s)
		}
		if s.gone && s.spec.Hints.Pending {
			r.release(s, out)
		}
		r.reader.lookAt(s, out)
		if s.sent.Mended() {
			t.log.Info("Kafka takes the events it refused", "path", s.spec.Path)
		}
		if len(s.files) == 0 && s.live == nil && (s.gone || !s.spec.Hints.EndReported) && vanished(s) {
			r.remove(s)
		}
	}
	r.finder.serve()
	r.finder.enough()
	r.finder.writers.ask(t.now)
	r.countMissed()
	r.refusals.Order()
	if t.now.Sub(t.swept) > time.Hour {
		t.sweep()
	}
}

// sweep deletes the records of files that were not found for long.
func (t *poller) sweep() {
	t.swept = t.now
	if t.now.Sub(t.started) < time.Hour {
		return
	}
	f := t.roster.finder
	for key, p := range f.resume {
		if t.now.Sub(time.Unix(p.Stored, 0)) < forget {
			continue
		}
		if st, err := disk.StatPath(p.Path); err == nil && position.Key(st.Key(), p.Clone) == key {
			continue
		}
		f.saver.note(position.Change{Bucket: position.Files, Key: key})
		delete(f.resume, key)
	}
}
