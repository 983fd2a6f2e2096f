package embedded

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/valyala/fastjson"
)

const (
	maxBody    = 100 << 20 // uncompressed, of one request; http.max_content_length
	maxPending = 256 << 20 // uncompressed, of all bulk requests; more are told to come back
	maxID      = 512
)

var parsers fastjson.ParserPool

// bulk stores the documents of one request, each answered for itself.
func (s *Store) bulk(w http.ResponseWriter, r *http.Request) error {
	began := time.Now()
	body, err := s.readBulk(w, r)
	if err != nil {
		return err
	}
	defer s.pending.Add(-int64(len(body)))
	ops, err := parseBulk(body, r.PathValue("index"))
	if err != nil {
		return err
	}
	s.run(ops)
	answerBulk(w, ops, time.Since(began), r.URL.Query().Get("filter_path") != "")
	return nil
}

// readBulk reads the body, and counts it as pending if there is no error.
func (s *Store) readBulk(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if n := s.pending.Load(); n > maxPending {
		return nil, errf(http.StatusTooManyRequests, "es_rejected_execution_exception", "rejected execution of coordinating operation [coordinating_and_primary_bytes=%d, max_coordinating_bytes=%d]", n, maxPending)
	}
	body, err := readBody(w, r, maxBody)
	if err != nil {
		return nil, err
	}
	s.pending.Add(int64(len(body)))
	return body, nil
}

// readBody reads a body, gzip or not, of at most limit bytes uncompressed.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	var in io.Reader = http.MaxBytesReader(w, r.Body, limit)
	var b bytes.Buffer
	switch enc := r.Header.Get("Content-Encoding"); enc {
	case "", "identity":
		if n := r.ContentLength; n > 0 && n <= limit {
			b.Grow(int(n) + bytes.MinRead)
		}
	case "gzip":
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, badQuery("read gzip body: %v", err)
		}
		in = z
	default:
		return nil, errf(http.StatusUnsupportedMediaType, "illegal_argument_exception", "unsupported content encoding [%s]", enc)
	}
	n, err := b.ReadFrom(io.LimitReader(in, limit+1))
	var tooLarge *http.MaxBytesError
	if n > limit || errors.As(err, &tooLarge) {
		return nil, errf(http.StatusRequestEntityTooLarge, "content_too_long_exception", "the body is longer than [%d] bytes", limit)
	}
	if err != nil {
		return nil, badQuery("read body: %v", err)
	}
	return b.Bytes(), nil
}

// parseBulk splits a body into its ops, which keep pointing into it. A wrong document
// fails its op; a wrong action line fails the whole request, for what follows it cannot be
// told apart.
func parseBulk(body []byte, defaultIndex string) ([]*op, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, errf(http.StatusBadRequest, "parse_exception", "request body is required")
	}
	if body[len(body)-1] != '\n' {
		return nil, badArgument("The bulk request must be terminated by a newline [\\n]")
	}
	p := parsers.Get()
	defer parsers.Put(p)
	var ops []*op
	for line := 1; len(body) > 0; line++ {
		var action []byte
		action, body, _ = bytes.Cut(body, []byte{'\n'})
		action = bytes.TrimSuffix(action, []byte{'\r'})
		if len(action) == 0 {
			continue
		}
		o, err := parseAction(action, line, defaultIndex)
		if err != nil {
			return nil, err
		}
		ops = append(ops, o)
		if o.action == "delete" {
			continue
		}
		line++
		doc, rest, ok := bytes.Cut(body, []byte{'\n'})
		if !ok {
			return nil, badArgument("Malformed action/metadata line [%d], expected a source line after it", line-1)
		}
		body = rest
		if o.err != nil {
			continue
		}
		d, err := newDocument(o.id, bytes.TrimSuffix(doc, []byte{'\r'}), p)
		if err != nil {
			o.err = errf(http.StatusBadRequest, "document_parsing_exception", "[1:1] %v", err)
			continue
		}
		o.doc = d
	}
	return ops, nil
}

func parseAction(b []byte, line int, defaultIndex string) (*op, error) {
	malformed := func(why string) error {
		return badArgument("Malformed action/metadata line [%d], %s", line, why)
	}
	var actions map[string]*struct {
		Index string `json:"_index"`
		ID    string `json:"_id"`
	}
	if err := json.Unmarshal(b, &actions); err != nil {
		return nil, malformed("expected one object: " + err.Error())
	}
	if len(actions) != 1 {
		return nil, malformed("expected one action")
	}
	o := &op{index: defaultIndex}
	for action, meta := range actions {
		switch action {
		case "create", "index", "delete":
			o.action = action
		case "update":
			return nil, malformed("action [update] is not supported by this store")
		default:
			return nil, malformed("expected field [create], [delete], [index] or [update] but found [" + action + "]")
		}
		if meta == nil {
			return nil, malformed("expected an object but found [VALUE_NULL]")
		}
		if meta.Index != "" {
			o.index = meta.Index
		}
		o.id = meta.ID
	}
	switch {
	case o.index == "":
		return nil, errf(http.StatusBadRequest, "action_request_validation_exception", "Validation Failed: 1: index is missing;")
	case len(o.id) > maxID:
		return nil, errf(http.StatusBadRequest, "action_request_validation_exception", "Validation Failed: 1: id [%s...] is too long, must be no longer than %d bytes but was: %d;", o.id[:20], maxID, len(o.id))
	case o.id == "" && o.action == "delete":
		return nil, errf(http.StatusBadRequest, "action_request_validation_exception", "Validation Failed: 1: id is missing;")
	case o.id == "":
		o.id = newID()
	}
	if err := checkIndexName(o.index); err != nil {
		o.err = err.(*esError)
	}
	return o, nil
}

func newID() string {
	var b [15]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// run gives each op to the writer of its index and waits until all are on disk.
func (s *Store) run(ops []*op) {
	byIndex := map[string][]*op{}
	for _, o := range ops {
		if o.err == nil {
			byIndex[o.index] = append(byIndex[o.index], o)
		}
	}
	var done []<-chan struct{}
	for name, mine := range byIndex {
		d, err := s.submit(name, mine)
		if err != nil {
			var e *esError
			if !errors.As(err, &e) {
				e = errUnavailable(name, err)
			}
			for _, o := range mine {
				o.err = e
			}
			continue
		}
		done = append(done, d)
	}
	for _, d := range done {
		<-d
	}
}

// submit retries when the index is removed between being found and being used.
func (s *Store) submit(name string, ops []*op) (<-chan struct{}, error) {
	for {
		x, err := s.ensure(name)
		if err != nil {
			return nil, err
		}
		if done, ok := x.submit(ops); ok {
			return done, nil
		}
		select {
		case <-s.stop:
			return nil, errors.New("the store is closing")
		default:
		}
	}
}

type bulkItem struct {
	Index   string         `json:"_index,omitempty"`
	ID      string         `json:"_id,omitempty"`
	Version int            `json:"_version,omitempty"`
	Result  string         `json:"result,omitempty"`
	Status  int            `json:"status"`
	Error   map[string]any `json:"error,omitempty"`
}

// answerBulk answers for all ops in their order. short leaves out what a client with a
// filter_path has no use for.
func answerBulk(w http.ResponseWriter, ops []*op, took time.Duration, short bool) {
	failed := false
	items := make([]map[string]bulkItem, len(ops))
	for i, o := range ops {
		item := bulkItem{Status: o.status}
		if o.err != nil {
			item.Status, item.Error, failed = o.err.status, o.err.cause(), true
		}
		if !short {
			item.Index, item.ID, item.Result = o.index, o.id, o.result
			if o.err == nil {
				item.Version = 1
			}
		}
		items[i] = map[string]bulkItem{o.action: item}
	}
	answer(w, http.StatusOK, map[string]any{"took": took.Milliseconds(), "errors": failed, "items": items})
}

// rawJSON is JSON that goes into an answer as it is.
type rawJSON = json.RawMessage
