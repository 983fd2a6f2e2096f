package shipper

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"github.com/sluicelog/sluice/internal/kafka"
)

func (t *tailer) canResend() bool {
	return len(t.refused) > 0 && !t.refused[0].again.After(t.now)
}

const (
	refusedAgain = 30 * time.Second
	refusalSize  = 256      // memory of a refused event besides its value, about
	maxRefused   = 16 << 20 // memory for refused events; above it their sources are not read
	maxBehind    = 1 << 18  // events of a file behind a refused one
)

// takeRefused sorts what Kafka refused: too large is split, anything else, and what
// cannot be split, waits and is tried again. Its file's position does not pass it.
func (t *tailer) takeRefused() {
	for _, r := range t.sender.takeRefused() {
		a, b, ok := []byte(nil), []byte(nil), false
		if errors.Is(r.err, kafka.ErrTooLarge) {
			a, b, ok = splitEvent(r.rec.Value)
		}
		if !ok {
			t.hold(r)
			continue
		}
		t.m.splitRefused.Inc()
		p := &pieces{of: r.tag}
		p.left.Store(2)
		first, second := r.rec, r.rec
		first.Value, second.Value = a, b
		tag := kafka.Tag{Owner: p}
		t.refused = slices.Insert(t.refused, 0, refusal{rec: first, tag: tag}, refusal{rec: second, tag: tag})
	}
}

// hold keeps an event that Kafka refuses, to be tried again.
func (t *tailer) hold(r refusal) {
	t.m.heldRefused.Inc()
	s := sourceOf(r.tag)
	if s.refusal != r.err.Error() {
		s.refusal = r.err.Error()
		t.log.Error("Kafka refuses an event, its file's position waits for it", "path", s.Path, "bytes", len(r.rec.Value), "err", r.err)
	}
	if _, again := r.tag.Owner.(*held); !again {
		r.rec.Value = bytes.Clone(r.rec.Value) // not to keep all of its chunk
		h := &held{of: r.tag, src: s, size: int64(len(r.rec.Value)) + refusalSize, total: &t.nRefused}
		s.refused.Add(h.size)
		t.nRefused.Add(h.size)
		r.tag = kafka.Tag{Owner: h}
	}
	r.again = t.now.Add(refusedAgain)
	t.refused = append(t.refused, r)
}

// waits tells whether f is not to be read on, since Kafka refuses events of its source
// and too much is held: of those, or of positions that wait behind them.
func (t *tailer) waits(f *file) bool {
	if f.src.refused.Load() == 0 {
		return false
	}
	if t.nRefused.Load() > maxRefused {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.window.next-f.window.base > maxBehind
}

// taken tells once that Kafka takes the events of a source again.
func (t *tailer) taken(s *origin) {
	if s.refusal != "" && s.refused.Load() == 0 {
		s.refusal = ""
		t.log.Info("Kafka takes the events it refused", "path", s.Path)
	}
}

// retryRefused brings forward what waited long enough.
func (t *tailer) retryRefused() {
	slices.SortStableFunc(t.refused, func(a, b refusal) int { return a.again.Compare(b.again) })
}

func (t *tailer) resend() {
	r := t.refused[0]
	t.refused = t.refused[1:]
	s := sourceOf(r.tag)
	t.cur.out = append(t.cur.out, outgoing{rec: r.rec, tag: r.tag, hash: s.hash})
	t.cur.bytes += len(r.rec.Value)
}
