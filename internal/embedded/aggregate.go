package embedded

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxBuckets  = 65_536 // of one search, as search.max_buckets
	maxAggDepth = 4
	isoMillis   = "2006-01-02T15:04:05.000Z"
)

// aggSpec is one named aggregation of a request: date_histogram over @timestamp, or terms.
type aggSpec struct {
	name     string
	field    string
	terms    bool
	interval time.Duration
	offset   time.Duration
	size     int
	minCount *int
	from, to *int64 // extended bounds, ms
	subs     []aggSpec
}

func parseAggs(raw json.RawMessage, depth int) ([]aggSpec, error) {
	if depth >= maxAggDepth {
		return nil, badQuery("aggregations are nested too deeply")
	}
	var named map[string]map[string]json.RawMessage
	if err := json.Unmarshal(raw, &named); err != nil {
		return nil, badQuery("[aggs] %v", err)
	}
	var specs []aggSpec
	for name, parts := range named {
		a := aggSpec{name: name}
		kinds := 0
		for k, v := range parts {
			var err error
			switch k {
			case "aggs", "aggregations":
				a.subs, err = parseAggs(v, depth+1)
			case "meta":
			case "terms":
				kinds++
				err = a.parseTerms(v)
			case "date_histogram":
				kinds++
				err = a.parseHistogram(v)
			default:
				err = badQuery("Unknown aggregation type [%s]: this store has date_histogram and terms", k)
			}
			if err != nil {
				return nil, err
			}
		}
		if kinds != 1 {
			return nil, badQuery("[%s] needs one aggregation, found [%d]", name, kinds)
		}
		specs = append(specs, a)
	}
	return specs, nil
}

func (a *aggSpec) parseTerms(v json.RawMessage) error {
	t := struct {
		Field    string
		Size     int
		MinCount *int `json:"min_doc_count"`
	}{Size: 10}
	if err := json.Unmarshal(v, &t); err != nil {
		return badQuery("[terms] %v", err)
	}
	a.terms, a.field, a.size, a.minCount = true, strings.TrimSuffix(t.Field, ".keyword"), t.Size, t.MinCount
	switch {
	case t.Field == "":
		return badArgument("Required one of fields [field, script], but none were specified.")
	case t.Size <= 0:
		return badArgument("[size] must be greater than 0. Found [%d] in [%s]", t.Size, a.name)
	case a.field == messageField || a.field == timeField:
		return badArgument("Fielddata is disabled on [%s]: terms need a keyword field", a.field)
	}
	return nil
}

func (a *aggSpec) parseHistogram(v json.RawMessage) error {
	var h struct {
		Field    string
		Fixed    string `json:"fixed_interval"`
		Calendar string `json:"calendar_interval"`
		Offset   string
		TimeZone string `json:"time_zone"`
		MinCount *int   `json:"min_doc_count"`
		Bounds   *struct {
			Min, Max json.RawMessage
		} `json:"extended_bounds"`
	}
	if err := json.Unmarshal(v, &h); err != nil {
		return badQuery("[date_histogram] %v", err)
	}
	if h.Field != timeField {
		return badArgument("[date_histogram] needs the field [%s]", timeField)
	}
	if h.TimeZone != "" && h.TimeZone != "UTC" && h.TimeZone != "Z" {
		return badArgument("[date_histogram] time_zone [%s] is not supported, use [offset]", h.TimeZone)
	}
	a.field, a.minCount = h.Field, h.MinCount
	var ok bool
	switch {
	case h.Fixed != "":
		a.interval, ok = parseInterval(h.Fixed)
	case h.Calendar != "":
		a.interval, ok = map[string]time.Duration{
			"minute": time.Minute, "1m": time.Minute, "hour": time.Hour, "1h": time.Hour, "day": 24 * time.Hour, "1d": 24 * time.Hour,
		}[h.Calendar]
	}
	if !ok || a.interval < time.Millisecond {
		return badArgument("Required one of [fixed_interval] such as 30s, or [calendar_interval] minute, hour or day, found [%s%s]", h.Fixed, h.Calendar)
	}
	if h.Offset != "" {
		s, minus := strings.CutPrefix(h.Offset, "-")
		if a.offset, ok = parseInterval(strings.TrimPrefix(s, "+")); !ok {
			return badArgument("[date_histogram] offset [%s] is no interval", h.Offset)
		}
		if minus {
			a.offset = -a.offset
		}
	}
	if h.Bounds != nil {
		bound := func(v json.RawMessage, end **int64) error {
			if v == nil {
				return nil
			}
			s, err := scalar(v)
			if err != nil {
				return err
			}
			ns, _, err := parseTimeSpan(s)
			ms := floorDiv(ns, 1e6)
			*end = &ms
			return err
		}
		if err := cmp.Or(bound(h.Bounds.Min, &a.from), bound(h.Bounds.Max, &a.to)); err != nil {
			return err
		}
	}
	return nil
}

// parseInterval reads a number and ms, s, m, h or d.
func parseInterval(s string) (time.Duration, bool) {
	unit := strings.TrimLeft(s, "0123456789")
	n, err := strconv.ParseInt(strings.TrimSuffix(s, unit), 10, 32)
	u, ok := map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[unit]
	if err != nil || !ok || n > int64(100*365*24*time.Hour/u) {
		return 0, false
	}
	return time.Duration(n) * u, true
}

// aggFields are the fields whose values aggregations need.
func aggFields(specs []aggSpec) []string {
	var fields []string
	for _, a := range specs {
		fields = append(append(fields, a.field), aggFields(a.subs)...)
	}
	return fields
}

// bucketSet are the aggregations of one level: of a whole search, or within a bucket.
type bucketSet struct {
	aggs []*aggregation
	made *int // buckets of the whole search
}

type aggregation struct {
	spec   aggSpec
	times  map[int64]*bucket // by start, ms
	values map[string]*bucket
	other  int // documents of values that came after too many others
}

type bucket struct {
	count int
	subs  *bucketSet // nil without sub-aggregations
}

func newBuckets(specs []aggSpec) *bucketSet {
	return subBuckets(specs, new(int))
}

func subBuckets(specs []aggSpec, made *int) *bucketSet {
	b := &bucketSet{made: made}
	for _, s := range specs {
		a := &aggregation{spec: s}
		if s.terms {
			a.values = map[string]*bucket{}
		} else {
			a.times = map[int64]*bucket{}
		}
		b.aggs = append(b.aggs, a)
	}
	return b
}

// add counts the document that d has read.
func (b *bucketSet) add(d *docValues) error {
	for _, a := range b.aggs {
		if !a.spec.terms {
			if !d.hasTime {
				continue
			}
			step, offset := a.spec.interval.Nanoseconds(), a.spec.offset.Nanoseconds()
			key := floorDiv(floorDiv(d.time-offset, step)*step+offset, 1e6)
			k := a.times[key]
			if k == nil {
				k = b.bucket(a)
				a.times[key] = k
			}
			if *b.made > maxBuckets {
				return errf(http.StatusBadRequest, "too_many_buckets_exception", "Trying to create too many buckets. Must be less than or equal to: [%d]", maxBuckets)
			}
			if err := k.add(d); err != nil {
				return err
			}
			continue
		}
		for _, v := range d.values[a.spec.field] {
			k := a.values[v]
			if k == nil {
				if *b.made >= maxBuckets {
					a.other++
					continue
				}
				k = b.bucket(a)
				a.values[v] = k
			}
			if err := k.add(d); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bucketSet) bucket(a *aggregation) *bucket {
	*b.made++
	k := &bucket{}
	if len(a.spec.subs) > 0 {
		k.subs = subBuckets(a.spec.subs, b.made)
	}
	return k
}

func (k *bucket) add(d *docValues) error {
	k.count++
	if k.subs == nil {
		return nil
	}
	return k.subs.add(d)
}

func (b *bucketSet) answer() map[string]any {
	a := map[string]any{}
	for _, g := range b.aggs {
		if g.spec.terms {
			a[g.spec.name] = g.answerTerms()
		} else {
			a[g.spec.name] = map[string]any{"buckets": g.answerTimes()}
		}
	}
	return a
}

func (k *bucket) answer(specs []aggSpec) map[string]any {
	a := map[string]any{}
	switch {
	case k.subs != nil:
		a = k.subs.answer()
	case len(specs) > 0:
		a = newBuckets(specs).answer()
	}
	a["doc_count"] = k.count
	return a
}

func (g *aggregation) answerTerms() map[string]any {
	keys := make([]string, 0, len(g.values))
	for v := range g.values {
		keys = append(keys, v)
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(cmp.Compare(g.values[b].count, g.values[a].count), cmp.Compare(a, b))
	})
	list := []any{}
	other := g.other
	for _, v := range keys {
		k := g.values[v]
		switch {
		case g.spec.minCount != nil && k.count < *g.spec.minCount:
		case len(list) >= g.spec.size:
			other += k.count
		default:
			a := k.answer(g.spec.subs)
			a["key"] = v
			list = append(list, a)
		}
	}
	return map[string]any{"doc_count_error_upper_bound": 0, "sum_other_doc_count": other, "buckets": list}
}

// answerTimes are the buckets in order; those without documents as well, unless
// min_doc_count leaves them out.
func (g *aggregation) answerTimes() []any {
	list := []any{}
	least := 0
	if g.spec.minCount != nil {
		least = *g.spec.minCount
	}
	keys := make([]int64, 0, len(g.times))
	for ms := range g.times {
		keys = append(keys, ms)
	}
	step, offset := g.spec.interval.Milliseconds(), g.spec.offset.Milliseconds()
	round := func(ms int64) int64 { return floorDiv(ms-offset, step)*step + offset }
	if least == 0 && g.spec.from != nil {
		keys = append(keys, round(*g.spec.from))
	}
	if least == 0 && g.spec.to != nil {
		keys = append(keys, round(*g.spec.to))
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	show := func(ms int64, k *bucket) {
		a := k.answer(g.spec.subs)
		a["key"], a["key_as_string"] = ms, time.UnixMilli(ms).UTC().Format(isoMillis)
		list = append(list, a)
	}
	for i, ms := range keys {
		if least == 0 && i > 0 {
			for gap := keys[i-1] + step; gap < ms && len(list) < maxBuckets; gap += step {
				show(gap, &bucket{})
			}
		}
		k := g.times[ms]
		if k == nil {
			k = &bucket{}
		}
		if k.count >= least {
			show(ms, k)
		}
	}
	return list
}
