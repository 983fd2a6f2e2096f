package send

import (
	"hash/fnv"
	"sync/atomic"
	"time"

	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/logonce"
	"github.com/sluicelog/sluice/internal/rule"
	"github.com/sluicelog/sluice/schemas"
	"github.com/sluicelog/sluice/shipper/line"
	"github.com/sluicelog/sluice/shipper/source"
)

// Source is what the events of one source have in common on their way, and what of them
// Kafka refuses. It is owned by who makes events, but for what is atomic.
type Source struct {
	key     []byte
	headers []byte // as they travel
	tail    *schemas.Tail
	bare    *schemas.Tail // without labels, for events that are too large; nil: there are none
	width   int           // bytes of an event without message, stream and file name, at most
	hash    uint32        // of what its partition hangs on

	id     string
	facts  rule.Source // what rules look at
	view   *rule.View  // those that its events may match; nil: none
	viewed bool        // view is of these facts
	until  time.Time   // it is not read on before, as a rule says

	path    string        // for messages
	made    *int64        // events made, counted for its kind
	refused atomic.Int64  // memory of events that Kafka refuses, in bytes
	memory  *atomic.Int64 // the same of all sources
	problem logonce.State // it refuses them
}

// widestGeneration has the length of the longest log.generation: two numbers of 64 bits
// and two of 32, at most.
const widestGeneration = "18446744073709551615-9223372036854775807-18446744073709551615-4294967295"

// NewSource is a source whose events are counted in made. It needs Describe before its
// first event.
func (r *Refusals) NewSource(made *int64) *Source { return &Source{made: made, memory: &r.memory} }

// Describe has what events say of their source rendered. info.ID is the source's id.
func (s *Source) Describe(info *schemas.Source, partitionBy string) {
	s.path, s.key, s.id = info.Path, []byte(info.ID), info.ID
	s.facts, s.viewed = rule.Source{App: info.ServiceName, Dataset: info.Dataset, DC: info.DC, Host: info.Host, Labels: info.Labels}, false
	s.tail, s.bare = schemas.NewTail(info), nil
	if len(info.Labels)+len(info.ContainerLabels) > 0 {
		bare := *info
		bare.Labels, bare.ContainerLabels, bare.Tags = nil, nil, []string{source.TagCut}
		s.bare = schemas.NewTail(&bare)
	}
	widest := schemas.Line{Stream: line.Stdout, Offset: 1<<63 - 1, Size: 1<<63 - 1, Flags: line.AllFlags.Texts(), FileName: []byte("x"), Generation: widestGeneration}
	s.width = len(schemas.AppendEvent(nil, &widest, s.tail)) + 64
	var headers []kafka.Header
	for _, h := range [][2]string{{schemas.HeaderDC, info.DC}, {schemas.HeaderApp, info.ServiceName}, {schemas.HeaderDataset, info.Dataset}} {
		if h[1] != "" {
			headers = append(headers, kafka.Header{Key: []byte(h[0]), Value: []byte(h[1])})
		}
	}
	s.headers = kafka.RenderHeaders(headers)
	h := fnv.New32a()
	if partitionBy == BySource {
		h.Write(s.key)
	} else {
		h.Write([]byte(info.Host))
	}
	s.hash = h.Sum32()
}

// Delayed reports whether the source is not to be read on yet, since it has more than a
// rule allows. It is for who makes events.
func (s *Source) Delayed(now time.Time) bool { return now.Before(s.until) }

// Problem is why Kafka refuses events of the source; empty: it takes all.
func (s *Source) Problem() string { return s.problem.Reason() }

// Waits reports whether a file of the source is not to be read on, since Kafka refuses
// events of it and too much is kept: of those, or of positions that wait after them.
func (s *Source) Waits(w *Window) bool {
	if s.refused.Load() == 0 {
		return false
	}
	if s.memory.Load() > maxRefused {
		return true
	}
	_, n := w.Position()
	return n > maxAfter
}

// Mended reports once that Kafka takes the events of the source again.
func (s *Source) Mended() bool {
	if s.refused.Load() > 0 {
		return false
	}
	_, ended := s.problem.OK()
	return ended
}

// strip leaves the labels of the source out of one of its events; false if they are not
// much of it, so that it is better split.
func (s *Source) strip(value []byte) ([]byte, bool) {
	if s.bare == nil {
		return nil, false
	}
	bare, ok := s.tail.Instead(value, s.bare)
	return bare, ok && len(bare) < len(value)-len(value)/8
}

func (s *Source) refuse(err error) (news bool) {
	return s.problem.Failed(err.Error())
}

// keep counts the memory of an event that is kept until Kafka takes it.
func (s *Source) keep(size int64) {
	s.refused.Add(size)
	s.memory.Add(size)
}

func (s *Source) release(size int64) {
	s.refused.Add(-size)
	s.memory.Add(-size)
}
