package send

import (
	"sync/atomic"

	"github.com/sluicelog/sluice/internal/kafka"
)

// Owner learns what became of its events, each by the sequence number it was sent
// under. An event that was cut or joined on its way has an owner that informs the owner of
// what it came from, once all that came from that is stored. Methods may be called from
// any goroutine, but Refused only from the one that makes events.
type Owner interface {
	// Stored learns that n events in a row are stored on all in-sync replicas, and
	// returns how many events are finished by that.
	Stored(seq int64, n int) (finished int)
	// Refused learns that Kafka does not take an event as it is. It comes again, whole
	// or in pieces. It reports whether this is news of its source.
	Refused(err error) (news bool)
	// Source is where the events are from.
	Source() *Source
}

// Owners of an event that are not simply the window of a file.
type (
	// span is an event with bytes in several files.
	span struct{ parts []place }
	// place is an event in a window.
	place struct {
		window *Window
		seq    int64
	}
	// pieces is an event that Kafka refused as too large and that is sent in parts.
	pieces struct {
		derived
		left atomic.Int32
	}
	// again is an event that Kafka refused and that is sent again and again.
	again struct {
		derived
		size int64 // of memory, in bytes
	}
	// derived is what came from an event of another owner.
	derived struct {
		of  Owner
		seq int64
	}
)

// ownerOf is who learns of a record: every tag of this package has an Owner.
func ownerOf(t kafka.Tag) Owner { return t.Owner.(Owner) }

func (s *span) Source() *Source          { return s.parts[0].window.source }
func (s *span) Refused(err error) bool   { return s.Source().refuse(err) }
func (d derived) Source() *Source        { return d.of.Source() }
func (d derived) Refused(err error) bool { return d.of.Refused(err) }

func (s *span) Stored(int64, int) int {
	for _, p := range s.parts {
		p.window.Stored(p.seq, 1)
	}
	return 1
}

func (p *pieces) Stored(_ int64, n int) int {
	if p.left.Add(-int32(n)) == 0 {
		return p.of.Stored(p.seq, 1)
	}
	return 0
}

func (a *again) Stored(int64, int) int {
	a.Source().release(a.size)
	return a.of.Stored(a.seq, 1)
}
