package embedded

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/blevesearch/bleve/v2/document"
	index "github.com/blevesearch/bleve_index_api"
	"github.com/valyala/fastjson"

	"github.com/sluicelog/sluice/internal/rfc3339"
)

// A document becomes few fields of the index whatever it holds, so no application can
// blow the index up with names of its own:
//
//	message     its words, with positions
//	@timestamp  a sortable term of 10 bytes, for order and histograms
//	log.level.. the fields of facets: the value as it is, for search and for counting
//	_kv         any other field: name, NUL, value
//	_num        its numbers: name, NUL, sortable value, for ranges
//	_any        all other values in lower case, and the words of each, for a search that names no field
//	_time _arr  day, hour and minute of @timestamp and of the arrival, for ranges of time
//	_in         the arrival, a sortable term; it grows with each document of a store
//	_source     the document as it came, stored only
//
// What is below app is also found under app itself, as in a flattened field.
const (
	messageField = "message"
	timeField    = "@timestamp"
	kvField      = "_kv"
	numField     = "_num"
	anyField     = "_any"
	timeBuckets  = "_time"
	arrivalField = "_in"
	arrivedIn    = "_arr"
	sourceField  = "_source"
	idField      = "_id"
	hasField     = "_has" // name in _kv of the fields that are not terms themselves

	maxKeyword = 1024 // bytes; a longer value is found by its words only
)

// facets are counted fast; a terms aggregation over another field reads all names and
// values of each document.
var facets = map[string]bool{
	"log.level": true, "log.logger": true, "log.file.path": true, "stream": true, "tags": true,
	"host.name": true, "service.name": true, "event.dataset": true, "labels.dc": true,
	"container.id": true, "container.name": true, "container.image.name": true,
	"mesos.task_id": true, "marathon.app_id": true, "chronos.job": true,
}

// unindexed are what each document has its own of and nobody looks for: terms for them
// would make the index a third larger. They are in _source.
var unindexed = map[string]bool{"log.offset": true, "log.size": true, "event.created": true, "event.ingested": true}

const (
	keywordIndexing = index.IndexField | index.SkipFreqNorm
	facetIndexing   = keywordIndexing | index.DocValues
	wordIndexing    = index.IndexField | index.IncludeTermVectors
)

// leaves collects what a document says; reused from one document to the next.
type leaves struct {
	kv, num, any []string
	facets       [][2]string
	message      string
	hasMessage   bool
	time         int64
	hasTime      bool
}

// newDocument reads raw, which must stay unchanged as long as the document is used.
func newDocument(id string, raw []byte, p *fastjson.Parser) (*document.Document, error) {
	if !json.Valid(raw) {
		return nil, fmt.Errorf("failed to parse: malformed JSON, starting with %q", start(raw))
	}
	v, err := p.ParseBytes(raw)
	if err != nil {
		return nil, fmt.Errorf("failed to parse: %w", err)
	}
	o, err := v.Object()
	if err != nil {
		return nil, fmt.Errorf("failed to parse: expected an object, starting with %q", start(raw))
	}
	var l leaves
	if err := l.object("", o); err != nil {
		return nil, err
	}
	d := document.NewDocument(id)
	d.AddField(document.NewTextFieldWithIndexingOptions(sourceField, nil, pack(raw), index.StoreField))
	if l.hasMessage {
		l.kv = append(l.kv, hasField+"\x00"+messageField)
		d.AddField(document.NewTextFieldCustom(messageField, nil, []byte(l.message), wordIndexing, words{}))
	}
	if l.hasTime {
		l.kv = append(l.kv, hasField+"\x00"+timeField)
		d.AddField(document.NewTextFieldWithIndexingOptions(timeField, nil, sortable(l.time), facetIndexing))
		d.AddField(listField(timeBuckets, buckets(l.time), keywordIndexing))
	}
	for _, f := range l.facets {
		d.AddField(document.NewTextFieldWithIndexingOptions(f[0], nil, []byte(f[1]), facetIndexing))
	}
	if len(l.kv) > 0 {
		d.AddField(listField(kvField, l.kv, facetIndexing))
	}
	if len(l.num) > 0 {
		d.AddField(listField(numField, l.num, keywordIndexing))
	}
	if len(l.any) > 0 {
		d.AddField(document.NewTextFieldCustom(anyField, nil, []byte(strings.Join(l.any, "\x00")), keywordIndexing, values{}))
	}
	return d, nil
}

// arrive gives a document its place in the order of arrival.
func arrive(d *document.Document, at int64) {
	d.AddField(document.NewTextFieldWithIndexingOptions(arrivalField, nil, sortable(at), facetIndexing))
	d.AddField(listField(arrivedIn, buckets(at), keywordIndexing))
}

func listField(name string, terms []string, o index.FieldIndexingOptions) *document.TextField {
	return document.NewTextFieldCustom(name, nil, []byte(strings.Join(terms, listSeparator)), o, list{})
}

func (l *leaves) object(prefix string, o *fastjson.Object) (err error) {
	o.Visit(func(k []byte, v *fastjson.Value) {
		if err == nil {
			err = l.value(prefix+string(k), v)
		}
	})
	return err
}

func (l *leaves) value(path string, v *fastjson.Value) error {
	switch v.Type() {
	case fastjson.TypeObject:
		if path == messageField || path == timeField {
			return fmt.Errorf("failed to parse field [%s]: found an object", path)
		}
		o, _ := v.Object()
		return l.object(path+".", o)
	case fastjson.TypeArray:
		a, _ := v.Array()
		for _, e := range a {
			if err := l.value(path, e); err != nil {
				return err
			}
		}
		return nil
	case fastjson.TypeNull:
		return nil
	case fastjson.TypeString:
		b, _ := v.StringBytes()
		s := string(b)
		if !utf8.ValidString(s) {
			s = strings.ToValidUTF8(s, "\uFFFD")
		}
		return l.leaf(path, s)
	case fastjson.TypeNumber:
		s := string(v.MarshalTo(nil))
		if f, err := strconv.ParseFloat(s, 64); err == nil && path != timeField && !unindexed[path] {
			l.num = append(l.num, path+"\x00"+sortableFloat(f))
		}
		return l.leaf(path, s)
	default:
		return l.leaf(path, v.String())
	}
}

func (l *leaves) leaf(path, s string) error {
	switch {
	case path == messageField:
		if l.hasMessage {
			s = l.message + "\n" + s // an array of lines
		}
		l.message, l.hasMessage = s, true
		return nil
	case path == timeField:
		ns, err := parseTime(s)
		if err != nil {
			return fmt.Errorf("failed to parse field [%s] of type [date]: %w", path, err)
		}
		l.time, l.hasTime = ns, true
		return nil
	case unindexed[path]:
		return nil
	}
	l.any = append(l.any, s)
	switch {
	case len(s) > maxKeyword || strings.Contains(path, "\x00") || !utf8.ValidString(path):
	case facets[path]:
		l.facets = append(l.facets, [2]string{path, s})
	default:
		l.kv = append(l.kv, path+"\x00"+s)
		if strings.HasPrefix(path, "app.") {
			l.kv = append(l.kv, "app\x00"+s)
		}
	}
	return nil
}

// parseTime reads RFC 3339, a date, or milliseconds since 1970.
func parseTime(s string) (int64, error) {
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil && len(s) > 4 {
		if ms > math.MaxInt64/1_000_000 || ms < math.MinInt64/1_000_000 {
			return 0, fmt.Errorf("%q is out of range", s)
		}
		return ms * 1e6, nil
	}
	t, ok := rfc3339.Parse([]byte(s))
	for _, layout := range []string{"2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02", "2006-01", "2006"} {
		if ok {
			break
		}
		var err error
		t, err = time.Parse(layout, s)
		ok = err == nil
	}
	switch y := t.Year(); {
	case !ok:
		return 0, fmt.Errorf("%q is neither RFC 3339 nor milliseconds since 1970", start([]byte(s)))
	case y < 1678 || y > 2261: // what nanoseconds can hold
		return 0, fmt.Errorf("%q is out of range", s)
	}
	return t.UnixNano(), nil
}

// sortable is n as 10 bytes of 7 bits: their order is that of the numbers, and they
// hold no 0xff, which separates the values of a document.
func sortable(n int64) []byte {
	u := uint64(n) ^ 1<<63
	b := make([]byte, 10)
	for i := range b {
		b[i] = byte(u >> (63 - 7*i) & 0x7f)
	}
	return b
}

// unsortable is the inverse of sortable; ok is false for anything else.
func unsortable(b []byte) (n int64, ok bool) {
	if len(b) != 10 {
		return 0, false
	}
	var u uint64
	for _, c := range b {
		u = u<<7 | uint64(c&0x7f)
	}
	return int64(u ^ 1<<63), true
}

func sortableFloat(f float64) string {
	n := int64(math.Float64bits(f))
	if n < 0 {
		n = math.MinInt64 - n // below zero the bits grow with the distance from zero
	}
	return string(sortable(n))
}

// bucketLevels are the spans of the terms that a range of time is made of.
var bucketLevels = [...]struct {
	letter string
	span   int64
}{{"d", int64(24 * time.Hour)}, {"h", int64(time.Hour)}, {"m", int64(time.Minute)}}

func buckets(ns int64) []string {
	b := make([]string, 0, len(bucketLevels))
	for _, l := range bucketLevels {
		b = append(b, l.letter+strconv.FormatInt(floorDiv(ns, l.span), 10))
	}
	return b
}

// coverBuckets are the terms whose spans together cover [from, to], up to a minute more
// at both ends. ok is false if that would be more than limit terms.
func coverBuckets(from, to int64, limit int) (terms []string, ok bool) {
	ok = true
	var cover func(level int, from, to int64) // buckets [from, to] of a level
	cover = func(level int, from, to int64) {
		if !ok || from > to {
			return
		}
		if level > 0 {
			ratio := bucketLevels[level-1].span / bucketLevels[level].span
			first, last := floorDiv(from+ratio-1, ratio), floorDiv(to+1, ratio)-1 // whole ones of the level above
			if first <= last {
				cover(level-1, first, last)
				plain(level, from, first*ratio-1, limit, &terms, &ok)
				plain(level, (last+1)*ratio, to, limit, &terms, &ok)
				return
			}
		}
		plain(level, from, to, limit, &terms, &ok)
	}
	minute := len(bucketLevels) - 1
	span := bucketLevels[minute].span
	cover(minute, floorDiv(from, span), floorDiv(to, span))
	return terms, ok
}

func plain(level int, from, to int64, limit int, terms *[]string, ok *bool) {
	if to-from >= int64(limit-len(*terms)) {
		*ok = false
		return
	}
	for n := from; n <= to; n++ {
		*terms = append(*terms, bucketLevels[level].letter+strconv.FormatInt(n, 10))
	}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// start is the beginning of b, for messages.
func start(b []byte) string {
	const n = 40
	if len(b) > n {
		return string(b[:n]) + "..."
	}
	return string(b)
}
