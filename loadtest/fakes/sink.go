package fakes

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeebo/xxh3"
)

// Sink answers _bulk as Elasticsearch would and stores nothing, so that an indexer is
// measured and not what comes after it. It speaks just enough of the rest for
// go-elasticsearch and for `sluice setup`. All methods are safe for concurrent use.
type Sink struct {
	// See is called with every document, from any goroutine; nil: documents are only counted.
	See func(doc []byte, at time.Time)
	// RememberIDs answers 409 to a `create` whose id was there before, at about 20
	// bytes an id.
	RememberIDs bool

	items, duplicates, requests, bytes atomic.Int64

	mu  sync.Mutex
	ids map[uint64]struct{}
}

// SinkStats is what a sink has counted.
type SinkStats struct {
	Requests   int64 `json:"requests"`
	Items      int64 `json:"items"`
	Duplicates int64 `json:"duplicates"` // items answered 409
	Bytes      int64 `json:"bytes"`      // of bodies, unpacked
}

// Stats is what was counted so far.
func (s *Sink) Stats() SinkStats {
	return SinkStats{s.requests.Load(), s.items.Load(), s.duplicates.Load(), s.bytes.Load()}
}

// ServeHTTP answers one request. /stats has the counters.
func (s *Sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	switch {
	case strings.HasSuffix(r.URL.Path, "/_bulk"):
		s.bulk(w, r)
	case r.URL.Path == "/stats":
		answer(w, http.StatusOK, s.Stats())
	case r.URL.Path == "/_cluster/health":
		answer(w, http.StatusOK, map[string]any{"cluster_name": "sink", "status": "green", "timed_out": false, "number_of_nodes": 1, "number_of_data_nodes": 1})
	case strings.HasSuffix(r.URL.Path, "/_count"):
		answer(w, http.StatusOK, map[string]any{"count": s.items.Load() - s.duplicates.Load()})
	case r.URL.Path == "/":
		answer(w, http.StatusOK, map[string]any{"name": "sink", "cluster_name": "sink", "version": map[string]string{"number": "8.18.8", "build_flavor": "default"}, "tagline": "You Know, for Search"})
	default:
		io.Copy(io.Discard, r.Body)
		answer(w, http.StatusOK, map[string]any{"acknowledged": true})
	}
}

var answers = sync.Pool{New: func() any { return new([]byte) }}

func (s *Sink) bulk(w http.ResponseWriter, r *http.Request) {
	b, err := readBody(r)
	if err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	defer b.free()
	now := time.Now()
	out := answers.Get().(*[]byte)
	defer answers.Put(out)
	n, errors := 0, false
	filter := r.URL.Query().Get("filter_path")
	short := filter != "" && !strings.Contains(filter, "_id") && !strings.HasSuffix(filter, "items")
	items := append((*out)[:0], `{"took":1,"items":[`...)
	err = bulkItems(b.Bytes(), func(it bulkItem) {
		id, status := it.id(), 201
		if s.known(id) {
			status, errors = 409, true
		} else if s.See != nil && it.doc != nil {
			s.See(it.doc, now)
		}
		if n++; n > 1 {
			items = append(items, ',')
		}
		items = appendItem(items, it.verb(), id, status, short)
	})
	if err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	items = append(items, `],"errors":`...)
	items = append(strconv.AppendBool(items, errors), '}')
	*out = items
	s.requests.Add(1)
	s.items.Add(int64(n))
	s.bytes.Add(int64(b.Len()))
	w.Header().Set("Content-Type", "application/json")
	w.Write(items)
}

func appendItem(dst, verb, id []byte, status int, short bool) []byte {
	dst = append(append(append(dst, `{"`...), verb...), `":{`...)
	if !short {
		dst = append(append(append(dst, `"_index":"sink","_id":"`...), id...), `",`...)
	}
	dst = strconv.AppendInt(append(dst, `"status":`...), int64(status), 10)
	switch status {
	case 409:
		dst = append(dst, `,"error":{"type":"version_conflict_engine_exception","reason":"document already exists"}`...)
	case 429:
		dst = append(dst, `,"error":{"type":"es_rejected_execution_exception","reason":"rejected execution of coordinating operation"}`...)
	}
	return append(dst, "}}"...)
}

// known notes an id and says whether it was there before.
func (s *Sink) known(id []byte) bool {
	if !s.RememberIDs || len(id) == 0 {
		return false
	}
	h := xxh3.Hash(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids == nil {
		s.ids = map[uint64]struct{}{}
	}
	if _, ok := s.ids[h]; ok {
		s.duplicates.Add(1)
		return true
	}
	s.ids[h] = struct{}{}
	return false
}

// Server is an HTTP server on a port of 127.0.0.1.
type Server struct {
	URL  string
	http *http.Server
	done chan struct{}
}

// Serve listens on addr (127.0.0.1:0: any free port) and serves until Close.
func Serve(addr string, h http.Handler) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &Server{URL: "http://" + l.Addr().String(), http: &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.http.Serve(l)
	}()
	return s, nil
}

// Close cuts all connections.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.done
	return err
}
