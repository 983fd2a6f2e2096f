package shipper

import (
	"hash/fnv"
	"strings"
	"sync/atomic"

	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/schemas"
	"github.com/sluicelog/sluice/shipper/source"
)

// origin is one log as its writer sees it: a container's output or a path, with all
// the files it was rotated into. It is owned by the tailer.
type origin struct {
	source.Spec
	compressed int // most compressed rotated files seen

	id       string // 16 hex digits
	key      []byte
	headers  []kafka.Header
	tail     *schemas.Tail
	tailLen  int    // bytes of an event without message and file name, at most
	hash     uint32 // of what its partition hangs on
	out, err schemas.Place
	info     schemas.Source

	n       *kindTally
	files   []*file // oldest first
	live    *file   // under path now; nil if there is none
	joins   []*join // unfinished lines, one a stream that ever had one
	gone    bool    // its writer is gone
	opened  bool    // a file of it could be opened
	problem string  // last error, for the status and to log on change
	refusal string  // the same of events that Kafka refuses

	refused atomic.Int64 // memory of events that Kafka refuses; the sender's callback takes from it
}

func newOrigin(spec source.Spec, host string) *origin {
	id := schemas.SourceID(host, spec.Kind, spec.Name)
	return &origin{
		Spec: spec,
		id:   id, key: []byte(id),
		out: schemas.NewPlace(id, "", stdout), err: schemas.NewPlace(id, "", stderr),
	}
}

// describe renders what every event of the source says: its tags, and what the host adds.
func (s *origin) describe(host, dc string, labels map[string]string, partitionBy string) {
	info := s.Tags
	info.Path, info.Host, info.DC, info.Labels = s.Path, host, dc, merge(labels, info.Labels)
	s.info = info
	s.tail = schemas.NewTail(&info)
	widest := schemas.Line{Stream: stdout, Offset: 1<<63 - 1, Size: 1<<63 - 1, Flags: flagSets[len(flagSets)-1], FileName: []byte("x")}
	s.tailLen = len(schemas.AppendEvent(nil, &widest, s.tail)) + 64
	s.headers = nil
	for _, h := range [][2]string{{schemas.HeaderDC, dc}, {schemas.HeaderApp, info.ServiceName}, {schemas.HeaderDataset, info.Dataset}} {
		if h[1] != "" {
			s.headers = append(s.headers, kafka.Header{Key: []byte(h[0]), Value: []byte(h[1])})
		}
	}
	h := fnv.New32a()
	if partitionBy == "source" {
		h.Write(s.key)
	} else {
		h.Write([]byte(info.Host))
	}
	s.hash = h.Sum32()
}

func (s *origin) place(stream string) schemas.Place {
	switch stream {
	case stdout:
		return s.out
	case stderr:
		return s.err
	}
	return schemas.NewPlace(s.id, "", stream)
}

func merge(maps ...map[string]string) map[string]string {
	var out map[string]string
	for _, m := range maps {
		for k, v := range m {
			if out == nil {
				out = map[string]string{}
			}
			out[strings.ReplaceAll(k, ".", "_")] = v
		}
	}
	return out
}

// safe is the position in f that may be stored once all events up to end are
// acknowledged: unfinished lines that began before end hold it back.
func (s *origin) safe(f *file, end int64) int64 {
	for _, j := range s.joins {
		for _, h := range j.holds {
			if h.file == f && h.offset < end {
				end = h.offset
			}
		}
	}
	return end
}

// holds tells whether an unfinished line has pieces in f.
func (s *origin) holds(f *file) bool {
	for _, j := range s.joins {
		for _, h := range j.holds {
			if h.file == f {
				return true
			}
		}
	}
	return false
}

// next is the file to be read before all others: the oldest that may have unread
// bytes and for which no later one may be read yet.
func (s *origin) next() *file {
	for _, f := range s.files {
		if f.fd >= 0 && !f.drained && f.problem == "" && f.like == nil {
			return f
		}
	}
	return nil
}

// after tells whether a younger file of the source exists.
func (s *origin) after(f *file) bool { return len(s.files) > 0 && s.files[len(s.files)-1] != f }
