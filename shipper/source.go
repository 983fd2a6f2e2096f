package shipper

import (
	"hash/fnv"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/schemas"
)

const (
	kindDocker = "docker"
	kindFile   = "file"
)

// source is one log as its writer sees it: a container's output or a path, with all
// the files it was rotated into. It is owned by the tailer.
type source struct {
	kind       string
	name       string // container id or path
	path       string // of the file that is written to now
	container  string // id, if any
	docker     bool   // json-file lines
	prefix     bool   // file names stand before lines
	exclude    []string
	compressed int // most compressed rotated files seen
	dataset    string

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
	dated   []string
	joins   []*join // unfinished lines, one a stream that ever had one
	globbed bool    // found by a glob, not told by Docker
	running bool    // something may still write to it
	held    bool    // seen before its container was inspected: opened, not read
	gone    bool    // the container is removed
	opened  bool    // a file of it could be opened
	problem string  // last error, for the status and to log on change
	refusal string  // the same of events that Kafka refuses

	refused atomic.Int64 // memory of events that Kafka refuses; the sender's callback takes from it
}

func newSource(kind, name, path string, host string) *source {
	id := schemas.SourceID(host, kind, name)
	return &source{
		kind: kind, name: name, path: path, running: true,
		id: id, key: []byte(id),
		out: schemas.NewPlace(id, "", stdout), err: schemas.NewPlace(id, "", stderr),
	}
}

// describe renders what every event of the source says.
func (s *source) describe(info schemas.Source, dc, partitionBy string) {
	info.DC = dc
	s.info, s.container, s.dataset = info, info.ContainerID, info.Dataset
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

func (s *source) place(stream string) schemas.Place {
	switch stream {
	case stdout:
		return s.out
	case stderr:
		return s.err
	}
	return schemas.NewPlace(s.id, "", stream)
}

// containerPath finds the container in the path of a json-file log.
var containerPath = regexp.MustCompile(`/([0-9a-f]{64})-json\.log$`)

// newFileSource is the source of a path that a glob of the configuration matched.
func newFileSource(path, host, dc, partitionBy string, f *config.Files, labels map[string]string) *source {
	kind, name := kindFile, path
	info := schemas.Source{Path: path, Host: host, ServiceName: f.App, Dataset: f.Dataset, Labels: merge(labels, f.Labels)}
	docker := f.Codec == "docker"
	if m := containerPath.FindStringSubmatch(path); docker && m != nil {
		kind, name, info.ContainerID = kindDocker, m[1], m[1] // the same ids as through the Docker API
	}
	s := newSource(kind, name, path, host)
	s.globbed, s.docker, s.prefix, s.exclude = true, docker, f.FilePrefix, f.Exclude
	s.describe(info, dc, partitionBy)
	return s
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
func (s *source) safe(f *file, end int64) int64 {
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
func (s *source) holds(f *file) bool {
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
func (s *source) next() *file {
	for _, f := range s.files {
		if f.fd >= 0 && !f.drained && f.problem == "" && f.like == nil {
			return f
		}
	}
	return nil
}

// after tells whether a younger file of the source exists.
func (s *source) after(f *file) bool { return len(s.files) > 0 && s.files[len(s.files)-1] != f }
