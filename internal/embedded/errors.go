package embedded

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// esError is an error as Elasticsearch tells it. The zero status of an op means that its
// error has it.
type esError struct {
	status int
	typ    string
	reason string
	index  string
	plain  bool // the body is the reason alone, as for an unknown path
}

func (e *esError) Error() string { return e.typ + ": " + e.reason }

func errf(status int, typ, format string, args ...any) *esError {
	return &esError{status: status, typ: typ, reason: fmt.Sprintf(format, args...)}
}

// badQuery is an error in a search that its author can mend.
func badQuery(format string, args ...any) *esError {
	return errf(http.StatusBadRequest, "parsing_exception", format, args...)
}

func badArgument(format string, args ...any) *esError {
	return errf(http.StatusBadRequest, "illegal_argument_exception", format, args...)
}

func errConflict(index, id string) *esError {
	e := errf(http.StatusConflict, "version_conflict_engine_exception", "[%s]: version conflict, document already exists (current version [1])", id)
	e.index = index
	return e
}

func errNoIndex(name string) *esError {
	e := errf(http.StatusNotFound, "index_not_found_exception", "no such index [%s]", name)
	e.index = name
	return e
}

// errUnavailable is a failure of our own disk: the client shall try again.
func errUnavailable(index string, err error) *esError {
	e := errf(http.StatusServiceUnavailable, "unavailable_shards_exception", "[%s] %v", index, err)
	e.index = index
	return e
}

// cause is what the error member of a bulk item holds.
func (e *esError) cause() map[string]any {
	c := map[string]any{"type": e.typ, "reason": e.reason}
	if e.index != "" {
		c["index"] = e.index
	}
	return c
}

func (e *esError) body() map[string]any {
	if e.plain {
		return map[string]any{"error": e.reason, "status": e.status}
	}
	c := e.cause()
	c["root_cause"] = []any{e.cause()}
	return map[string]any{"error": c, "status": e.status}
}

// answerError answers with err in the shape that clients of Elasticsearch expect.
func answerError(w http.ResponseWriter, err error) {
	var e *esError
	if !errors.As(err, &e) {
		e = errf(http.StatusInternalServerError, "exception", "%v", err)
	}
	answer(w, e.status, e.body())
}

func answer(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // documents as they came
	if err := enc.Encode(v); err != nil {
		status = http.StatusInternalServerError
		b.Reset()
		b.WriteString(`{"error":"unencodable answer","status":500}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(b.Bytes()) // a client that went away is no news
}
