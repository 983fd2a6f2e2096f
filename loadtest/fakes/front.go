package fakes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluicelog/sluice/loadtest/wait"
)

// Front is before an Elasticsearch and answers badly when it is set to. With the zero
// Trouble it hands requests on as they are. All methods are safe for concurrent use.
type Front struct {
	Upstream string // http://host:port

	trouble atomic.Pointer[Trouble]
	client  http.Client
	did     FrontStats
}

// Trouble is how requests are spoilt; several may be set.
type Trouble struct {
	Status int           // answer this instead of asking upstream ...
	Share  float64       // ... to this share of requests; 0: to all
	Items  float64       // this share of a bulk's items is refused with 429 and the rest handed on
	Slow   float64       // an answer takes so many times as long
	Delay  time.Duration // and so much longer
	Drop   float64       // this share of bulks is handed on, but the connection is cut instead of an answer
}

// FrontStats counts what was spoilt.
type FrontStats struct{ Passed, Refused, RefusedItems, Slowed, Dropped atomic.Int64 }

// Figures are the counts by the names that a scenario knows them by.
func (s *FrontStats) Figures() map[string]float64 {
	return map[string]float64{"refused": float64(s.Refused.Load()), "refused_items": float64(s.RefusedItems.Load()), "slowed": float64(s.Slowed.Load()), "dropped": float64(s.Dropped.Load())}
}

// Set replaces the trouble.
func (f *Front) Set(t Trouble) { f.trouble.Store(&t) }

// Did is the live count.
func (f *Front) Did() *FrontStats { return &f.did }

func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var t Trouble
	if p := f.trouble.Load(); p != nil {
		t = *p
	}
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	if t.Status > 0 && (t.Share <= 0 || rand.Float64() < t.Share) {
		io.Copy(io.Discard, r.Body)
		f.did.Refused.Add(1)
		answer(w, t.Status, map[string]any{"status": t.Status, "error": map[string]string{"type": "loadtest", "reason": "set to refuse"}})
		return
	}
	bulk := strings.HasSuffix(r.URL.Path, "/_bulk")
	if bulk && t.Items > 0 {
		f.refuseItems(w, r, t)
		return
	}
	start := time.Now()
	resp, err := f.send(r, r.Body, r.ContentLength)
	if err != nil {
		panic(http.ErrAbortHandler) // as if upstream had cut the connection
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if later := t.Delay + time.Duration(max(0, t.Slow-1)*float64(time.Since(start))); later > 0 {
		f.did.Slowed.Add(1)
		wait.Sleep(r.Context(), later)
	}
	if bulk && t.Drop > 0 && rand.Float64() < t.Drop {
		f.did.Dropped.Add(1)
		panic(http.ErrAbortHandler)
	}
	f.did.Passed.Add(1)
	for k, v := range resp.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(resp.StatusCode)
	w.Write(text)
}

func (f *Front) send(r *http.Request, body io.Reader, length int64) (*http.Response, error) {
	out, err := http.NewRequestWithContext(r.Context(), r.Method, f.Upstream+r.URL.RequestURI(), body)
	if err != nil {
		return nil, err
	}
	out.ContentLength = length
	out.Header = r.Header.Clone()
	out.Header.Del("Accept-Encoding") // the transport unpacks
	return f.client.Do(out)
}

// refuseItems hands a bulk on without some of its items, and puts their 429 into the
// answer at their places.
func (f *Front) refuseItems(w http.ResponseWriter, r *http.Request, t Trouble) {
	b, err := readBody(r)
	if err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	defer b.free()
	var keep bytes.Buffer
	var refused [][]byte // by item: its answer, or nil
	if err := bulkItems(b.Bytes(), func(it bulkItem) {
		if rand.Float64() < t.Items {
			refused = append(refused, appendItem(nil, it.verb(), it.id(), 429, false))
			f.did.RefusedItems.Add(1)
			return
		}
		keep.Write(it.whole)
		refused = append(refused, nil)
	}); err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	var upstream struct {
		Took   int64             `json:"took"`
		Errors bool              `json:"errors"`
		Items  []json.RawMessage `json:"items"`
	}
	if keep.Len() > 0 {
		r.Header.Del("Content-Encoding")
		r.URL.RawQuery = "" // a filter_path might hide what is merged
		resp, err := f.send(r, &keep, int64(keep.Len()))
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(text, &upstream) != nil {
			w.WriteHeader(resp.StatusCode)
			w.Write(text)
			return
		}
	}
	items := make([]string, 0, len(refused))
	for _, a := range refused {
		if a == nil {
			if len(upstream.Items) == 0 {
				panic(http.ErrAbortHandler)
			}
			a, upstream.Items = upstream.Items[0], upstream.Items[1:]
		} else {
			upstream.Errors = true
		}
		items = append(items, string(a))
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"took":%d,"errors":%s,"items":[%s]}`, upstream.Took, strconv.FormatBool(upstream.Errors), strings.Join(items, ","))
}
