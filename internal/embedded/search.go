package embedded

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blevesearch/bleve/v2/search"
	index "github.com/blevesearch/bleve_index_api"
)

const (
	maxWindow     = 10_000 // from + size, as index.max_result_window
	defaultSize   = 10
	defaultTotal  = 10_000 // hits are counted exactly; above this the answer says "gte" unless asked for more
	maxSearchBody = 1 << 20
)

// order is what hits are sorted by.
type order struct {
	field string // timeField, or arrivalField for _doc, _seq_no and no order at all
	desc  bool
	shown bool // in the sort member of hits
}

type searchRequest struct {
	query      query
	from, size int
	order      order
	total      int // count up to here, -1: not at all
	source     bool
	aggs       []aggSpec
}

func (s *Store) search(w http.ResponseWriter, r *http.Request) error {
	began := time.Now()
	q, err := parseSearch(w, r)
	if err != nil {
		return err
	}
	found, err := s.match(r)
	if err != nil {
		return err
	}
	c := newCollector(q)
	hits, err := c.run(r.Context(), found)
	if err != nil {
		return err
	}
	a := map[string]any{
		"took": time.Since(began).Milliseconds(), "timed_out": false, "_shards": shards(len(found)),
		"hits": c.hitsAnswer(hits),
	}
	if len(q.aggs) > 0 {
		a["aggregations"] = c.aggs.answer()
	}
	answer(w, http.StatusOK, a)
	return nil
}

func (s *Store) countDocs(w http.ResponseWriter, r *http.Request) error {
	q, err := parseSearch(w, r)
	if err != nil {
		return err
	}
	found, err := s.match(r)
	if err != nil {
		return err
	}
	q.size, q.from, q.aggs = 0, 0, nil
	c := newCollector(q)
	if _, err := c.run(r.Context(), found); err != nil {
		return err
	}
	answer(w, http.StatusOK, map[string]any{"count": c.total, "_shards": shards(len(found))})
	return nil
}

// parseSearch reads the body and the parameters, which win.
func parseSearch(w http.ResponseWriter, r *http.Request) (*searchRequest, error) {
	q := &searchRequest{query: allQuery{}, size: defaultSize, total: defaultTotal, source: true, order: order{field: arrivalField}}
	b, err := readBody(w, r, maxSearchBody)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(b)) > 0 {
		if err := q.parseBody(b); err != nil {
			return nil, err
		}
	}
	p := r.URL.Query()
	if text := p.Get("q"); text != "" {
		if q.query, err = parseQueryString(text, strings.EqualFold(p.Get("default_operator"), "and")); err != nil {
			return nil, err
		}
	}
	number := func(name string, n *int) {
		if v := p.Get(name); v != "" && err == nil {
			if *n, err = strconv.Atoi(v); err != nil {
				err = badArgument("Failed to parse int parameter [%s] with value [%s]", name, v)
			}
		}
	}
	number("from", &q.from)
	number("size", &q.size)
	if err != nil {
		return nil, err
	}
	if v := p.Get("sort"); v != "" {
		field, dir, _ := strings.Cut(v, ":")
		if q.order, err = orderBy(field, dir); err != nil {
			return nil, err
		}
	}
	if v := p.Get("track_total_hits"); v != "" {
		if err := q.trackTotal(json.RawMessage(v)); err != nil {
			return nil, err
		}
	}
	switch {
	case q.from < 0 || q.size < 0:
		return nil, badArgument("[from] and [size] must not be negative")
	case q.from > maxWindow || q.size > maxWindow || q.from+q.size > maxWindow:
		return nil, badArgument("Result window is too large, from + size must be less than or equal to: [%d] but was [%d]", maxWindow, q.from+q.size)
	}
	return q, nil
}

func (q *searchRequest) parseBody(b []byte) error {
	var body map[string]json.RawMessage
	if err := json.Unmarshal(b, &body); err != nil {
		return badQuery("the body is no JSON object: %v", err)
	}
	for k, v := range body {
		var err error
		switch k {
		case "query":
			q.query, err = parseQuery(v, 0)
		case "from":
			err = json.Unmarshal(v, &q.from)
		case "size":
			err = json.Unmarshal(v, &q.size)
		case "sort":
			q.order, err = parseOrder(v)
		case "track_total_hits":
			err = q.trackTotal(v)
		case "aggs", "aggregations":
			q.aggs, err = parseAggs(v, 0)
		case "_source":
			q.source = string(v) != "false"
		case "timeout", "version", "seq_no_primary_term", "track_scores", "stored_fields":
		default:
			return badQuery("unknown key for a value in [%s]", k)
		}
		var e *esError
		if err != nil && !errors.As(err, &e) {
			return badQuery("[%s] %v", k, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (q *searchRequest) trackTotal(v json.RawMessage) error {
	switch s := string(v); s {
	case "true":
		q.total = int(^uint(0) >> 1)
	case "false":
		q.total = -1
	default:
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			return badArgument("[track_total_hits] parameter must be positive or equals to -1, got %s", start(v))
		}
		q.total = n
	}
	return nil
}

// parseOrder reads "field", {"field":"desc"}, {"field":{"order":"desc"}} or an array of
// these; ties are in order of arrival, so of several only the first one counts.
func parseOrder(v json.RawMessage) (order, error) {
	var list []json.RawMessage
	if json.Unmarshal(v, &list) != nil {
		list = []json.RawMessage{v}
	}
	if len(list) == 0 {
		return order{field: arrivalField}, nil
	}
	var name string
	if json.Unmarshal(list[0], &name) == nil {
		field, dir, _ := strings.Cut(name, ":")
		return orderBy(field, dir)
	}
	var byField map[string]json.RawMessage
	if err := json.Unmarshal(list[0], &byField); err != nil || len(byField) != 1 {
		return order{}, badQuery("[sort] expected a field, found [%s]", start(v))
	}
	for field, o := range byField {
		var dir string
		if json.Unmarshal(o, &dir) == nil {
			return orderBy(field, dir)
		}
		var long struct{ Order string }
		if err := json.Unmarshal(o, &long); err != nil {
			return order{}, badQuery("[sort] %v", err)
		}
		return orderBy(field, long.Order)
	}
	panic("unreachable")
}

func orderBy(field, dir string) (order, error) {
	o := order{field: field, desc: strings.EqualFold(dir, "desc"), shown: true}
	if dir != "" && !o.desc && !strings.EqualFold(dir, "asc") {
		return o, badArgument("Unknown SortOrder [%s]", dir)
	}
	switch field {
	case timeField, arrivalField:
	case "_doc", "_seq_no", "_score":
		o.field = arrivalField
	default:
		return o, badArgument("No mapping found for [%s] in order to sort on: this store sorts by %s, %s and _doc", field, timeField, arrivalField)
	}
	return o, nil
}

// hit is a found document. key is its time in the order asked for, ascending; a document
// without a time comes last either way.
type hit struct {
	key, arrival int64
	missing      bool
	view         int
	doc          index.IndexInternalID
}

// before tells whether a comes before b, ties by arrival in the same direction.
func (o order) before(a, b *hit) bool {
	if a.missing != b.missing {
		return b.missing
	}
	c := cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.arrival, b.arrival))
	if o.desc {
		return c > 0
	}
	return c < 0
}

// collector goes through the documents of a search once: it counts, keeps the first ones
// in order, and feeds the aggregations. One goroutine uses it.
type collector struct {
	q     *searchRequest
	total int
	best  []*hit // a heap, the last one in order on top
	aggs  *bucketSet
}

func newCollector(q *searchRequest) *collector {
	return &collector{q: q, aggs: newBuckets(q.aggs)}
}

func (c *collector) Len() int           { return len(c.best) }
func (c *collector) Less(i, j int) bool { return c.q.order.before(c.best[j], c.best[i]) }
func (c *collector) Swap(i, j int)      { c.best[i], c.best[j] = c.best[j], c.best[i] }
func (c *collector) Push(h any)         { c.best = append(c.best, h.(*hit)) }
func (c *collector) Pop() any {
	h := c.best[len(c.best)-1]
	c.best = c.best[:len(c.best)-1]
	return h
}

// answerHit is a hit as clients see it.
type answerHit struct {
	Index  string   `json:"_index"`
	ID     string   `json:"_id"`
	Score  *float64 `json:"_score"`
	Source rawJSON  `json:"_source,omitempty"`
	Sort   []any    `json:"sort,omitempty"`
}

// run searches all of found and reads the documents to be shown.
func (c *collector) run(ctx context.Context, found []*logIndex) (hits []answerHit, err error) {
	views := make([]view, 0, len(found))
	var open func(rest []*logIndex) error
	open = func(rest []*logIndex) error {
		if len(rest) == 0 {
			hits, err = c.collect(views)
			return err
		}
		x := rest[0]
		ok, err := x.read(func(r index.IndexReader) error {
			views = append(views, view{ctx, x.name, r})
			return open(rest[1:])
		})
		if err == nil && !ok { // removed meanwhile
			return open(rest[1:])
		}
		return err
	}
	return hits, open(found)
}

func (c *collector) collect(views []view) ([]answerHit, error) {
	for i, v := range views {
		if err := c.scan(v, i); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(c.best, func(a, b *hit) int {
		if c.q.order.before(a, b) {
			return -1
		}
		return 1
	})
	shown := c.best[min(c.q.from, len(c.best)):]
	hits := make([]answerHit, 0, len(shown))
	for _, h := range shown {
		v := views[h.view]
		id, err := v.reader.ExternalID(h.doc)
		if err != nil {
			return nil, err
		}
		a := answerHit{Index: v.index, ID: id}
		if c.q.source {
			if a.Source, err = sourceOf(v.reader, id); err != nil {
				return nil, err
			}
		}
		if c.q.order.shown {
			a.Sort = []any{h.sortValue(c.q.order)}
		}
		hits = append(hits, a)
	}
	return hits, nil
}

// sortValue is what clients see: milliseconds of a time, all digits of an arrival.
func (h *hit) sortValue(o order) any {
	switch {
	case h.missing:
		return nil
	case o.field == timeField:
		return floorDiv(h.key, 1e6)
	}
	return h.key
}

// scan goes through the documents of one index.
func (c *collector) scan(v view, number int) error {
	if _, all := c.q.query.(allQuery); all && c.q.from+c.q.size == 0 && len(c.q.aggs) == 0 {
		n, err := v.reader.DocCount()
		c.total += int(n)
		return err
	}
	s, err := c.q.query.find(v)
	if err != nil {
		return err
	}
	defer s.Close()
	d, err := newDocValues(v.reader, c.q)
	if err != nil {
		return err
	}
	sctx := &search.SearchContext{DocumentMatchPool: search.NewDocumentMatchPool(s.DocumentMatchPoolSize()+1, 0), IndexReader: v.reader}
	window := c.q.from + c.q.size
	for n := 0; ; n++ {
		if n%1024 == 0 && v.ctx.Err() != nil {
			return v.ctx.Err()
		}
		m, err := s.Next(sctx)
		if err != nil || m == nil {
			return err
		}
		c.total++
		if err := d.read(m.IndexInternalID); err != nil {
			return err
		}
		if window > 0 {
			c.keep(d, m.IndexInternalID, number, window)
		}
		if err := c.aggs.add(d); err != nil {
			return err
		}
		sctx.DocumentMatchPool.Put(m)
	}
}

// keep puts the document into the window if it belongs there.
func (c *collector) keep(d *docValues, id index.IndexInternalID, number, window int) {
	h := hit{key: d.time, missing: !d.hasTime, arrival: d.arrival, view: number}
	if c.q.order.field == arrivalField {
		h.key, h.missing = d.arrival, false
	}
	if len(c.best) == window && !c.q.order.before(&h, c.best[0]) {
		return
	}
	h.doc = append(index.IndexInternalID(nil), id...)
	heap.Push(c, &h)
	if len(c.best) > window {
		heap.Pop(c)
	}
}

func (c *collector) hitsAnswer(hits []answerHit) map[string]any {
	a := map[string]any{"max_score": nil, "hits": hits}
	switch {
	case c.q.total < 0:
	case c.total > c.q.total:
		a["total"] = map[string]any{"value": c.q.total, "relation": "gte"}
	default:
		a["total"] = map[string]any{"value": c.total, "relation": "eq"}
	}
	return a
}

// docValues reads what a search needs of each document: its times, and the values of the
// fields that are aggregated.
type docValues struct {
	reader        index.DocValueReader // nil if nothing is needed
	time, arrival int64
	hasTime       bool
	values        map[string][]string // by field
	visit         index.DocValueVisitor
}

func newDocValues(r index.IndexReader, q *searchRequest) (*docValues, error) {
	d := &docValues{values: map[string][]string{}}
	want := map[string]bool{}
	if q.from+q.size > 0 {
		want[arrivalField] = true
		want[timeField] = q.order.field == timeField
	}
	prefixes := map[string]string{} // of terms in _kv, by field
	for _, f := range aggFields(q.aggs) {
		switch {
		case f == timeField || facets[f]:
			want[f] = true
		default:
			want[kvField] = true
			prefixes[f] = f + "\x00"
		}
	}
	var fields []string
	for f, ok := range want {
		if ok {
			fields = append(fields, f)
		}
	}
	d.visit = func(field string, term []byte) {
		switch field {
		case timeField:
			d.time, d.hasTime = unsortable(term)
		case arrivalField:
			d.arrival, _ = unsortable(term)
		case kvField:
			for f, p := range prefixes {
				if len(term) >= len(p) && string(term[:len(p)]) == p {
					d.values[f] = append(d.values[f], string(term[len(p):]))
				}
			}
		default:
			d.values[field] = append(d.values[field], string(term))
		}
	}
	if len(fields) == 0 {
		return d, nil
	}
	var err error
	d.reader, err = r.DocValueReader(fields)
	return d, err
}

func (d *docValues) read(id index.IndexInternalID) error {
	d.time, d.arrival, d.hasTime = 0, 0, false
	for f, v := range d.values {
		d.values[f] = v[:0]
	}
	if d.reader == nil {
		return nil
	}
	return d.reader.VisitDocValues(id, d.visit)
}
