package embedded

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/blevesearch/bleve/v2/search"
	"github.com/blevesearch/bleve/v2/search/searcher"
	index "github.com/blevesearch/bleve_index_api"
)

// A query finds documents in one index. Nothing is scored: logs are read by time.
type query interface {
	find(v view) (search.Searcher, error)
}

// view is an index at one moment.
type view struct {
	ctx    context.Context
	index  string
	reader index.IndexReader
}

type (
	allQuery    struct{}
	noneQuery   struct{}
	termQuery   struct{ field, term string }
	phraseQuery []string // words of message, one after the other
	regexpQuery struct{ field, pattern string }
	idQuery     []string
	indexQuery  string // pattern of index names
	andQuery    []query
	orQuery     []query
	notQuery    struct{ q query }
	numQuery    struct {
		field    string
		from, to float64 // both in
	}
	timeQuery struct {
		field    string // timeField or arrivalField
		from, to int64  // ns since 1970, both in
	}
)

const (
	maxBucketTerms = 1000 // above it a range of time is looked up by scanning
	maxWildcards   = 16   // of a pattern: its automaton grows with their square and more
)

var unscored = search.SearcherOptions{Score: "none"}

func init() {
	// Above so many terms, the documents of a pattern are collected in bitmaps, a batch of
	// terms at a time, instead of keeping a reader open for each term.
	searcher.DisjunctionMaxClauseCount = 1024
}

func (allQuery) find(v view) (search.Searcher, error) {
	return searcher.NewMatchAllSearcher(v.ctx, v.reader, 1, unscored)
}

func (noneQuery) find(v view) (search.Searcher, error) {
	return searcher.NewMatchNoneSearcher(v.reader)
}

func (q termQuery) find(v view) (search.Searcher, error) {
	return searcher.NewTermSearcher(v.ctx, v.reader, q.term, q.field, 1, unscored)
}

func (q regexpQuery) find(v view) (search.Searcher, error) {
	s, err := searcher.NewRegexpStringSearcher(v.ctx, v.reader, q.pattern, q.field, 1, unscored)
	if err != nil {
		return nil, badQuery("pattern too complex: %v", err)
	}
	return s, nil
}

func (q phraseQuery) find(v view) (search.Searcher, error) {
	switch len(q) {
	case 0:
		return noneQuery{}.find(v)
	case 1:
		return termQuery{messageField, q[0]}.find(v)
	}
	return searcher.NewPhraseSearcher(v.ctx, v.reader, q, 0, false, messageField, 1, unscored)
}

func (q idQuery) find(v view) (search.Searcher, error) {
	return searcher.NewDocIDSearcher(v.ctx, v.reader, q, 1, unscored)
}

func (q indexQuery) find(v view) (search.Searcher, error) {
	if globMatch(string(q), v.index) {
		return allQuery{}.find(v)
	}
	return noneQuery{}.find(v)
}

func (q andQuery) find(v view) (search.Searcher, error) {
	var must, not []query
	for _, part := range q {
		if n, ok := part.(notQuery); ok {
			not = append(not, n.q)
		} else {
			must = append(must, part)
		}
	}
	if len(must) == 0 {
		must = []query{allQuery{}}
	}
	m, err := findEach(v, must)
	if err != nil {
		return nil, err
	}
	s := m[0]
	if len(m) > 1 {
		if s, err = searcher.NewConjunctionSearcher(v.ctx, v.reader, m, unscored); err != nil {
			closeAll(m)
			return nil, err
		}
	}
	if len(not) == 0 {
		return s, nil
	}
	n, err := orQuery(not).find(v)
	if err != nil {
		s.Close()
		return nil, err
	}
	return searcher.NewBooleanSearcher(v.ctx, v.reader, s, nil, n, unscored)
}

func (q orQuery) find(v view) (search.Searcher, error) {
	if len(q) == 1 {
		return q[0].find(v)
	}
	parts, err := findEach(v, q)
	if err != nil {
		return nil, err
	}
	s, err := searcher.NewDisjunctionSearcher(v.ctx, v.reader, parts, 1, unscored)
	if err != nil {
		closeAll(parts)
		return nil, badQuery("%v", err)
	}
	return s, nil
}

func (q notQuery) find(v view) (search.Searcher, error) { return andQuery{q}.find(v) }

func findEach(v view, qs []query) ([]search.Searcher, error) {
	found := make([]search.Searcher, 0, len(qs))
	for _, q := range qs {
		s, err := q.find(v)
		if err != nil {
			closeAll(found)
			return nil, err
		}
		found = append(found, s)
	}
	return found, nil
}

func closeAll(ss []search.Searcher) {
	for _, s := range ss {
		s.Close()
	}
}

func (q numQuery) find(v view) (search.Searcher, error) {
	if q.from > q.to {
		return noneQuery{}.find(v)
	}
	in := true
	term := func(f float64) []byte { return []byte(q.field + "\x00" + sortableFloat(f)) }
	return searcher.NewTermRangeSearcher(v.ctx, v.reader, term(q.from), term(q.to), &in, &in, numField, 1, unscored)
}

// find takes the documents of all minutes that the range touches, by their day, hour and
// minute terms, and looks at the exact time of each.
func (q timeQuery) find(v view) (search.Searcher, error) {
	if q.from > q.to {
		return noneQuery{}.find(v)
	}
	if q.from == math.MinInt64 && q.to == math.MaxInt64 {
		return exists(q.field).find(v)
	}
	near, err := q.near(v)
	if err != nil {
		return nil, err
	}
	dv, err := v.reader.DocValueReader([]string{q.field})
	if err != nil {
		near.Close()
		return nil, err
	}
	var in bool
	visit := func(_ string, term []byte) {
		ns, ok := unsortable(term)
		in = ok && q.from <= ns && ns <= q.to
	}
	return searcher.NewFilteringSearcher(v.ctx, near, func(_ *search.SearchContext, d *search.DocumentMatch) bool {
		in = false
		return dv.VisitDocValues(d.IndexInternalID, visit) == nil && in
	}), nil
}

func (q timeQuery) near(v view) (search.Searcher, error) {
	field := timeBuckets
	if q.field == arrivalField {
		field = arrivedIn
	}
	from, to, err := days(v.reader, field)
	if err != nil {
		return nil, err
	}
	from, to = max(from, q.from), min(to, q.to)
	if from > to {
		return noneQuery{}.find(v)
	}
	terms, ok := coverBuckets(from, to, maxBucketTerms)
	if !ok {
		return allQuery{}.find(v)
	}
	return searcher.NewMultiTermSearcher(v.ctx, v.reader, terms, field, 1, unscored, false)
}

// days is the time from the first day to the last one that documents have.
func days(r index.IndexReader, field string) (from, to int64, err error) {
	letter, span := bucketLevels[0].letter, bucketLevels[0].span
	dict, err := r.FieldDictPrefix(field, []byte(letter))
	if err != nil {
		return 0, 0, err
	}
	defer dict.Close()
	from, to = math.MaxInt64, math.MinInt64
	for {
		e, err := dict.Next()
		if err != nil || e == nil {
			return from, to, err
		}
		n, err := strconv.ParseInt(strings.TrimPrefix(e.Term, letter), 10, 64)
		if err != nil {
			return 0, 0, err
		}
		first := max(n, math.MinInt64/span+1) * span // a day at the edge of what int64 holds
		last := min(n, math.MaxInt64/span-1)*span + span - 1
		from, to = min(from, first), max(to, last)
	}
}

// exists finds the documents that have field.
func exists(field string) query {
	switch {
	case field == arrivalField || field == idField:
		return allQuery{}
	case field == messageField || field == timeField:
		return termQuery{kvField, hasField + "\x00" + field}
	case facets[field]:
		return regexpQuery{field, ".*"}
	}
	return regexpQuery{kvField, regexp.QuoteMeta(field+"\x00") + ".*"}
}

// is finds the documents that hold text in field; an empty field is any.
func is(field, text string) (query, error) {
	switch field {
	case "":
		return orQuery{phraseQuery(terms(text)), termQuery{anyField, strings.ToLower(text)}}, nil
	case messageField:
		return phraseQuery(terms(text)), nil
	case timeField, arrivalField:
		from, to, err := parseTimeSpan(text)
		return timeQuery{field, from, to}, err
	case idField:
		return idQuery{text}, nil
	case "_index":
		return indexQuery(text), nil
	}
	if unindexed[field] {
		return nil, errUnindexed(field)
	}
	if facets[field] {
		return termQuery{field, text}, nil
	}
	return termQuery{kvField, field + "\x00" + text}, nil
}

func errUnindexed(field string) error {
	return badQuery("Cannot search on field [%s] since it is not indexed.", field)
}

// like finds the documents that hold a value in field which matches a pattern, * being any
// text, ? one character and \ taking the next character as it is.
func like(field, pattern string) (query, error) {
	if n := strings.Count(pattern, "*") + strings.Count(pattern, "?"); n > maxWildcards || len(pattern) > maxKeyword {
		return nil, badQuery("pattern [%s] is too complex: at most %d wildcards and %d bytes", start([]byte(pattern)), maxWildcards, maxKeyword)
	}
	if unindexed[field] {
		return nil, errUnindexed(field)
	}
	return likeQuery(field, pattern), nil
}

func likeQuery(field, pattern string) query {
	if strings.Trim(pattern, "*") == "" {
		if field == "" {
			return allQuery{}
		}
		return exists(field)
	}
	switch field {
	case "":
		re := wildcard(strings.ToLower(pattern))
		return orQuery{regexpQuery{messageField, re}, regexpQuery{anyField, re}}
	case messageField:
		return regexpQuery{messageField, wildcard(strings.ToLower(pattern))}
	case idField:
		return regexpQuery{idField, wildcard(pattern)}
	case "_index":
		return indexQuery(pattern)
	}
	if facets[field] {
		return regexpQuery{field, wildcard(pattern)}
	}
	return regexpQuery{kvField, regexp.QuoteMeta(field+"\x00") + wildcard(pattern)}
}

// wildcard is pattern as a regular expression.
func wildcard(pattern string) string {
	var b strings.Builder
	escaped := false
	for _, c := range pattern {
		switch {
		case escaped:
			b.WriteString(regexp.QuoteMeta(string(c)))
			escaped = false
		case c == '\\':
			escaped = true
		case c == '*':
			b.WriteString(".*")
		case c == '?':
			b.WriteByte('.')
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	return b.String()
}

// bounds are the ends of a range as they came; an empty one is open.
type bounds struct{ gt, gte, lt, lte string }

func between(field string, b bounds) (query, error) {
	if field == timeField || field == arrivalField {
		return betweenTimes(field, b)
	}
	q := numQuery{field, math.Inf(-1), math.Inf(1)}
	var err error
	limit := func(s string, end *float64, shift float64) {
		if s == "" || s == "*" || err != nil {
			return
		}
		var f float64
		if _, e := fmt.Sscanf(s, "%g", &f); e != nil || math.IsNaN(f) {
			err = badQuery("range on [%s]: [%s] is no number; text has no ranges", field, s)
			return
		}
		if shift != 0 {
			f = math.Nextafter(f, shift)
		}
		*end = f
	}
	limit(b.gte, &q.from, 0)
	limit(b.gt, &q.from, math.Inf(1))
	limit(b.lte, &q.to, 0)
	limit(b.lt, &q.to, math.Inf(-1))
	if err == nil && (facets[field] || unindexed[field] || field == messageField) {
		err = badQuery("field [%s] has no ranges", field)
	}
	return q, err
}

func betweenTimes(field string, b bounds) (query, error) {
	q := timeQuery{field, math.MinInt64, math.MaxInt64}
	var err error
	limit := func(s string, set func(from, to int64)) {
		if s == "" || s == "*" || err != nil {
			return
		}
		var from, to int64
		if from, to, err = parseTimeSpan(s); err == nil {
			set(from, to)
		}
	}
	limit(b.gte, func(from, _ int64) { q.from = from })
	limit(b.gt, func(_, to int64) { q.from = to + 1 })
	limit(b.lte, func(_, to int64) { q.to = to })
	limit(b.lt, func(from, _ int64) { q.to = from - 1 })
	return q, err
}
