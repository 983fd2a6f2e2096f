package shipper

import (
	"errors"
	"slices"
	"time"

	"github.com/sluicelog/sluice/internal/kafka"
)

func (t *tailer) canResend() bool {
	return len(t.refused) > 0 && !t.refused[0].again.After(t.now)
}

const refusedAgain = 30 * time.Second

// takeRefused sorts what Kafka refused: too large is split, anything else, and what
// cannot be split, waits and is tried again. Its file's position does not pass it.
func (t *tailer) takeRefused() {
	for _, r := range t.sender.takeRefused() {
		a, b, ok := []byte(nil), []byte(nil), false
		if errors.Is(r.err, kafka.ErrTooLarge) {
			a, b, ok = splitEvent(r.rec.Value)
		}
		if !ok {
			t.m.heldRefused.Inc()
			if s := sourceOf(r.tag); s != nil && s.problem != r.err.Error() {
				s.problem = r.err.Error()
				t.log.Error("Kafka refuses an event, its file's position waits for it", "path", s.path, "bytes", len(r.rec.Value), "err", r.err)
			}
			r.again = t.now.Add(refusedAgain)
			t.refused = append(t.refused, r)
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
