package tail

import (
	"slices"

	"github.com/sluicelog/sluice/shipper/send"
)

// leftovers are the windows of files that are not followed any more, whose last events
// are still under way: they are made and in flight until Kafka has them.
type leftovers struct{ windows []*send.Window }

func (l *leftovers) add(f *file) {
	if f.window().UnderWay() > 0 {
		l.windows = append(l.windows, f.window())
	}
}

// underWay is how many events that are, and forgets the windows that have none.
func (l *leftovers) underWay() (all int64) {
	l.windows = slices.DeleteFunc(l.windows, func(w *send.Window) bool {
		n := w.UnderWay()
		all += n
		return n == 0
	})
	return all
}
