package fakes

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// bulkItem is one item of a _bulk body. Both slices point into the body.
type bulkItem struct {
	action []byte // {"create":{...}}
	doc    []byte // nil for a delete
	whole  []byte // both lines with their newlines
}

// bulkItems calls each for every item of a body, which must end with a newline.
func bulkItems(body []byte, each func(bulkItem)) error {
	for len(body) > 0 {
		a := bytes.IndexByte(body, '\n')
		if a < 0 {
			return fmt.Errorf("the bulk body does not end with a newline")
		}
		it := bulkItem{action: body[:a]}
		end := a + 1
		if len(bytes.TrimSpace(it.action)) == 0 {
			body = body[end:]
			continue
		}
		if !bytes.HasPrefix(it.action, []byte(`{"delete"`)) {
			d := bytes.IndexByte(body[end:], '\n')
			if d < 0 {
				return fmt.Errorf("an item of the bulk body has no document: %.200s", it.action)
			}
			it.doc = body[end : end+d]
			end += d + 1
		}
		it.whole = body[:end]
		each(it)
		body = body[end:]
	}
	return nil
}

// id is the item's _id, nil if it has none.
func (it bulkItem) id() []byte {
	i := bytes.Index(it.action, bulkID)
	if i < 0 {
		return nil
	}
	id := it.action[i+len(bulkID):]
	return id[:max(0, bytes.IndexByte(id, '"'))]
}

// verb is create or index or what else the action says.
func (it bulkItem) verb() []byte {
	from := bytes.IndexByte(it.action, '"') + 1
	return it.action[from : from+max(0, bytes.IndexByte(it.action[from:], '"'))]
}

var bulkID = []byte(`"_id":"`)

// body is a request's body, unpacked; give it back with free.
type body struct {
	bytes.Buffer
	zip gzip.Reader
}

var bodies = sync.Pool{New: func() any { return new(body) }}

func readBody(r *http.Request) (*body, error) {
	b := bodies.Get().(*body)
	b.Reset()
	var from io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		if err := b.zip.Reset(r.Body); err != nil {
			b.free()
			return nil, fmt.Errorf("read gzip body: %w", err)
		}
		from = &b.zip
	}
	if _, err := b.ReadFrom(from); err != nil {
		b.free()
		return nil, fmt.Errorf("read body: %w", err)
	}
	return b, nil
}

func (b *body) free() { bodies.Put(b) }
