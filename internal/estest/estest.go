// Package estest is an Elasticsearch that answers what a test tells it: bulk requests
// with create semantics over a real set of ids, faults by item, by request and by
// connection, and the endpoints that install templates and policies.
package estest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// Doc is one document of a bulk request.
type Doc struct {
	Index, ID string
	Source    []byte
}

// Item is the answer to a document. The zero Item is what Elasticsearch would answer:
// 201, or 409 for an id that is there.
type Item struct {
	Status       int
	Type, Reason string
}

// Request is a bulk request as a test's function sees it.
type Request struct {
	N     int // 1 for the first
	Docs  []Doc
	Bytes int // of the body, uncompressed
}

// Answer is what becomes of a whole request. The zero Answer indexes by item.
type Answer struct {
	Status int           // other than 0 and 200: answered without indexing
	Type   string        // of the error; empty: the body is no JSON, as a proxy's
	Delay  time.Duration // before the answer
	Hang   bool          // no answer until the client goes or the server closes
	Cut    bool          // indexed, then the connection is closed without an answer
	Half   bool          // indexed, then the connection is closed in the middle of the answer
	Only   int           // not 0: only so many of the documents are indexed and answered for, as if these were all
	Body   string        // not empty: indexed, and answered so, whatever came of it
}

// Server is safe for concurrent use.
type Server struct {
	URL string

	http   *httptest.Server
	closed chan struct{}
	once   sync.Once

	mu       sync.Mutex
	request  func(*Request) Answer // guarded by mu
	item     func(*Doc) Item       // guarded by mu
	docs     map[string][]byte     // by index/id; guarded by mu
	stored   map[string]string     // bodies put, by path; guarded by mu
	without  []string              // prefixes of paths that are not there; guarded by mu
	lists    bool                  // its templates; guarded by mu
	null     bool                  // keep nothing; guarded by mu
	counts   Counts                // guarded by mu
	underWay int                   // guarded by mu
}

// Counts is what the server has seen.
type Counts struct {
	Requests, Items   int
	Created, Conflict int
	Puts              int
	MaxUnderWay       int // bulk requests at the same time
	MaxBytes          int // of a body, uncompressed
	Last              http.Header
}

// New starts a server; Close ends it.
func New() *Server {
	s := &Server{closed: make(chan struct{}), docs: map[string][]byte{}, stored: map[string]string{}}
	s.http = httptest.NewServer(s)
	s.URL = s.http.URL
	return s
}

// Close ends the server, requests that hang included. It may be called twice.
func (s *Server) Close() {
	s.once.Do(func() {
		close(s.closed)
		s.http.CloseClientConnections()
		s.http.Close()
	})
}

// OnRequest sets what becomes of whole requests; nil: nothing special.
func (s *Server) OnRequest(f func(*Request) Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.request = f
}

// OnItem sets the answers to documents; nil: those of Elasticsearch.
func (s *Server) OnItem(f func(*Doc) Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.item = f
}

// Without makes paths with these prefixes answer as a cluster that lacks the feature.
func (s *Server) Without(prefixes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.without = prefixes
}

// List makes the server list its templates: those that were put. Before that nobody can
// find out which there are.
func (s *Server) List() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists = true
}

// Store puts a body to a path.
func (s *Server) Store(path, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored[path] = body
}

// Null makes the server forget documents at once, for measurements: every item is 201.
func (s *Server) Null() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.null = true
}

// Docs is what is stored, by index/id.
func (s *Server) Docs() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.docs)
}

// Len is the number of documents stored.
func (s *Server) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.docs)
}

// Counts is what was seen so far.
func (s *Server) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Put is the body that was put to a path.
func (s *Server) Put(path string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stored[path]
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/_bulk" && r.Method == http.MethodPost {
		s.bulk(w, r)
		return
	}
	s.admin(w, r)
}

func (s *Server) bulk(w http.ResponseWriter, r *http.Request) {
	req, err := read(r)
	if err != nil {
		fail(w, http.StatusBadRequest, "illegal_argument_exception", err.Error())
		return
	}
	s.mu.Lock()
	s.counts.Requests++
	s.counts.Items += len(req.Docs)
	s.counts.MaxBytes = max(s.counts.MaxBytes, req.Bytes)
	s.counts.Last = r.Header.Clone()
	s.underWay++
	s.counts.MaxUnderWay = max(s.counts.MaxUnderWay, s.underWay)
	req.N = s.counts.Requests
	decide := s.request
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.underWay--
		s.mu.Unlock()
	}()
	var a Answer
	if decide != nil {
		a = decide(req)
	}
	if a.Hang {
		select {
		case <-r.Context().Done():
		case <-s.closed:
		}
		panic(http.ErrAbortHandler)
	}
	if a.Delay > 0 {
		select {
		case <-time.After(a.Delay):
		case <-r.Context().Done():
		case <-s.closed:
		}
	}
	if a.Status != 0 && a.Status != http.StatusOK {
		fail(w, a.Status, a.Type, "as the test says")
		return
	}
	if a.Only > 0 {
		req.Docs = req.Docs[:min(a.Only, len(req.Docs))]
	}
	answer := s.index(req)
	if a.Body != "" {
		answer = []byte(a.Body)
	}
	switch {
	case a.Cut:
		panic(http.ErrAbortHandler)
	case a.Half:
		w.Write(answer[:len(answer)/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	w.Write(answer)
}

func read(r *http.Request) (*Request, error) {
	in := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, err
		}
		in = z
	}
	body, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	if len(body) == 0 || body[len(body)-1] != '\n' {
		return nil, fmt.Errorf("the bulk request must be terminated by a newline [\\n]")
	}
	req := &Request{Bytes: len(body)}
	lines := bufio.NewReaderSize(bytes.NewReader(body), 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return req, nil
		}
		var action struct {
			Create *struct {
				Index string `json:"_index"`
				ID    string `json:"_id"`
			}
		}
		if err := json.Unmarshal(line, &action); err != nil || action.Create == nil {
			return nil, fmt.Errorf("malformed action/metadata line %q", line)
		}
		source, err := lines.ReadBytes('\n')
		if err != nil {
			return nil, fmt.Errorf("no source for %q", line)
		}
		req.Docs = append(req.Docs, Doc{action.Create.Index, action.Create.ID, bytes.TrimSuffix(source, []byte("\n"))})
	}
}

// index stores what is to be stored and makes the answer, as filter_path leaves it.
func (s *Server) index(req *Request) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var items bytes.Buffer
	failed := false
	for i := range req.Docs {
		d := &req.Docs[i]
		var it Item
		if s.item != nil {
			it = s.item(d)
		}
		key := d.Index + "/" + d.ID
		switch {
		case it.Status != 0:
		case s.null:
			it.Status = 201
			s.counts.Created++
		case !json.Valid(d.Source):
			it = Item{400, "document_parsing_exception", "failed to parse"}
		case s.docs[key] != nil:
			it = Item{409, "version_conflict_engine_exception", "[" + d.ID + "]: version conflict, document already exists (current version [1])"}
			s.counts.Conflict++
		default:
			it.Status = 201
			s.docs[key] = bytes.Clone(d.Source)
			s.counts.Created++
		}
		if i > 0 {
			items.WriteByte(',')
		}
		fmt.Fprintf(&items, `{"create":{"status":%d`, it.Status)
		if it.Status > 201 {
			failed = true
			reason, _ := json.Marshal(it.Reason)
			fmt.Fprintf(&items, `,"error":{"type":%q,"reason":%s}`, it.Type, reason)
		}
		items.WriteString("}}")
	}
	return fmt.Appendf(nil, `{"errors":%v,"items":[%s]}`, failed, items.Bytes())
}

func fail(w http.ResponseWriter, status int, kind, reason string) {
	if kind == "" {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<html><h1>%d %s</h1>", status, http.StatusText(status))
		return
	}
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"status": status, "error": map[string]any{
		"type": kind, "reason": reason, "root_cause": []any{map[string]any{"type": kind, "reason": reason}}}})
}

// admin keeps what is put and gives it back in Elasticsearch's form.
func (s *Server) admin(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.without {
		if strings.HasPrefix(r.URL.Path, p) {
			w.WriteHeader(http.StatusBadRequest)
			json.NewEncoder(w).Encode(map[string]any{"status": 400,
				"error": fmt.Sprintf("no handler found for uri [%s] and method [%s]", r.URL.Path, r.Method)})
			return
		}
	}
	dir, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if dir == "_ilm" {
		_, name, _ = strings.Cut(name, "/")
	}
	switch r.Method {
	case http.MethodPut:
		body, _ := io.ReadAll(r.Body)
		if !json.Valid(body) {
			fail(w, 400, "x_content_parse_exception", "not JSON")
			return
		}
		s.stored[r.URL.Path] = string(body)
		s.counts.Puts++
		io.WriteString(w, `{"acknowledged":true}`)
	case http.MethodGet:
		if s.lists && (r.URL.Path == "/_index_template" || r.URL.Path == "/_template") {
			json.NewEncoder(w).Encode(s.list(r.URL.Path))
			return
		}
		body, ok := s.stored[r.URL.Path]
		if !ok {
			fail(w, 404, "resource_not_found_exception", name)
			return
		}
		var v map[string]any
		json.Unmarshal([]byte(body), &v)
		normalise(v)
		var answer any
		switch dir {
		case "_component_template":
			answer = map[string]any{"component_templates": []any{map[string]any{"name": name, "component_template": v}}}
		case "_index_template":
			answer = map[string]any{"index_templates": []any{map[string]any{"name": name, "index_template": v}}}
		case "_ilm":
			answer = map[string]any{name: map[string]any{"version": 1, "modified_date": 0, "policy": v["policy"]}}
		default:
			answer = v
		}
		json.NewEncoder(w).Encode(answer)
	default:
		fail(w, http.StatusMethodNotAllowed, "method_not_allowed", r.Method)
	}
}

// list is all templates of a kind as Elasticsearch lists them.
func (s *Server) list(path string) any {
	old, templates := map[string]any{}, []any{}
	for p, body := range s.stored {
		name, ok := strings.CutPrefix(p, path+"/")
		if !ok {
			continue
		}
		var v map[string]any
		json.Unmarshal([]byte(body), &v)
		old[name] = v
		templates = append(templates, map[string]any{"name": name, "index_template": v})
	}
	if path == "/_template" {
		return old
	}
	return map[string]any{"index_templates": templates}
}

// normalise does to the settings of a template what Elasticsearch does: nested below
// index, and every value a string.
func normalise(v map[string]any) {
	t, _ := v["template"].(map[string]any)
	settings, _ := t["settings"].(map[string]any)
	if settings == nil {
		return
	}
	out := map[string]any{}
	var walk func(prefix string, m map[string]any)
	walk = func(prefix string, m map[string]any) {
		for k, val := range m {
			if sub, ok := val.(map[string]any); ok {
				walk(prefix+k+".", sub)
				continue
			}
			path := prefix + k
			if !strings.HasPrefix(path, "index.") {
				path = "index." + path
			}
			at := out
			parts := strings.Split(path, ".")
			for _, p := range parts[:len(parts)-1] {
				next, ok := at[p].(map[string]any)
				if !ok {
					next = map[string]any{}
					at[p] = next
				}
				at = next
			}
			if _, list := val.([]any); !list {
				val = fmt.Sprint(val)
			}
			at[parts[len(parts)-1]] = val
		}
	}
	walk("", settings)
	t["settings"] = out
}
