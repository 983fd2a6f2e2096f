package document

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/zeebo/xxh3"

	"github.com/sluicelog/sluice/internal/kafka"
)

// Pattern is how the index of an event is called, such as sluice-{dataset}-{yyyy.MM.dd}.
// The name depends on the record alone, and on no clock: a record read again goes to the
// same index, where its id is found. It is not changed once made.
type Pattern struct {
	parts  []part
	fields bool // one of dc, dataset, app is asked for
}

type part struct {
	text string // literal, or the date's form
	kind partKind
}

type partKind int

const (
	partText partKind = iota
	partDate
	partDC
	partDataset
	partApp
)

// NewPattern reads the configuration's form.
func NewPattern(s string) (*Pattern, error) {
	p := &Pattern{}
	for rest := s; rest != ""; {
		text, after, open := strings.Cut(rest, "{")
		if text != "" {
			p.parts = append(p.parts, part{text: text})
		}
		if !open {
			break
		}
		name, after, closed := strings.Cut(after, "}")
		if !closed {
			return nil, fmt.Errorf("index %q: { without }", s)
		}
		rest = after
		switch name {
		case "dc":
			p.parts = append(p.parts, part{kind: partDC})
		case "dataset":
			p.parts = append(p.parts, part{kind: partDataset})
		case "app":
			p.parts = append(p.parts, part{kind: partApp})
		default:
			if strings.Trim(name, "yMdH._-") != "" || !strings.Contains(name, "yyyy") && !strings.Contains(name, "MM") && !strings.Contains(name, "dd") && !strings.Contains(name, "HH") {
				return nil, fmt.Errorf("index %q: {%s} is none of {yyyy.MM.dd} or parts of it, {dc}, {dataset}, {app}", s, name)
			}
			p.parts = append(p.parts, part{kind: partDate, text: name})
			continue
		}
		p.fields = true
	}
	if len(p.parts) == 0 || p.parts[0].kind != partText || strings.ContainsAny(p.parts[0].text[:1], "-_+.") {
		return nil, fmt.Errorf("index %q: must start with a fixed text, by which the template finds its indices", s)
	}
	for _, q := range p.parts {
		if q.kind == partText && clean(q.text) != q.text {
			return nil, fmt.Errorf("index %q: %q holds what Elasticsearch does not allow in names (capitals, space or one of \\/*?\"<>|,#:)", s, q.text)
		}
	}
	return p, nil
}

// Wildcard is the pattern that matches every name: that of the index template.
func (p *Pattern) Wildcard() string {
	var b strings.Builder
	star := false
	for _, q := range p.parts {
		if q.kind == partText {
			b.WriteString(q.text)
		} else if !star {
			b.WriteByte('*')
		}
		star = q.kind != partText
	}
	return b.String()
}

// Example is the name of an index of a day whose event has no dc, dataset and app.
func (p *Pattern) Example(day time.Time) string { return p.name(day.Unix()/3600, "", "", "") }

// Fixed reports whether all events go to one name.
func (p *Pattern) Fixed() bool {
	return !p.fields && !slices.ContainsFunc(p.parts, func(q part) bool { return q.kind == partDate })
}

// noHour is the hour of what has no time: its date is undated.
const noHour = math.MinInt64

// name makes the name of the index; hours are since 1970, by the clocks of the zone in
// which days begin.
func (p *Pattern) name(hours int64, dc, dataset, app string) string {
	var b strings.Builder
	t := time.Unix(hours*3600, 0).UTC()
	for _, q := range p.parts {
		switch q.kind {
		case partText:
			b.WriteString(q.text)
		case partDate:
			if hours == noHour {
				b.WriteString("undated")
				continue
			}
			b.WriteString(strings.NewReplacer("yyyy", fmt.Sprintf("%04d", t.Year()), "MM", fmt.Sprintf("%02d", t.Month()), "dd", fmt.Sprintf("%02d", t.Day()), "HH", fmt.Sprintf("%02d", t.Hour())).Replace(q.text))
		case partDC:
			b.WriteString(legal(dc))
		case partDataset:
			b.WriteString(legal(dataset))
		case partApp:
			b.WriteString(legal(app))
		}
	}
	return cut(b.String(), 255)
}

// maxField is how much of a field's value is in an index name, in bytes.
const maxField = 100

// legal is a field's value as a part of an index name; an empty one is "none".
func legal(s string) string {
	s = strings.Trim(clean(cut(s, maxField)), "-_+.")
	if s == "" {
		return "none"
	}
	return s
}

// clean lowers the case and replaces what Elasticsearch does not allow.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r <= ' ' || r == 0x7f || strings.ContainsRune(`\/*?"<>|,#:{}`, r) {
			return '-'
		}
		return unicode.ToLower(r)
	}, s)
}

// cut shortens s to n bytes, at a rune's start.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// names keeps the names made so far; it serves one goroutine.
type names struct {
	pattern *Pattern
	zone    *time.Location // in which days begin; nil: UTC
	open    *OpenIndices   // nil: any number may be
	now     time.Time
	known   map[nameKey]string
	noted   map[string]time.Time // when a name was noted as open
	last    string               // of a name that is open
	over    bool                 // the name made last is of an index too many
}

type nameKey struct {
	hours            int64 // as name takes them
	dc, dataset, app string
}

// maxNames bounds the memory, some 300 KB for each partition: beyond it all are forgotten.
const maxNames = 512

// of is the name for a day, that of no day where t is zero.
func (n *names) of(t time.Time, dc, dataset, app []byte) string {
	const most = maxField + utf8.UTFMax // of a longer one the rest is in no name
	dc, dataset, app = dc[:min(len(dc), most)], dataset[:min(len(dataset), most)], app[:min(len(app), most)]
	hours := n.hours(t)
	s, ok := n.known[nameKey{hours, string(dc), string(dataset), string(app)}]
	if !ok {
		if n.known == nil || len(n.known) >= maxNames {
			n.known = map[nameKey]string{}
		}
		k := nameKey{hours, string(dc), string(dataset), string(app)}
		s = n.pattern.name(hours, k.dc, k.dataset, k.app)
		n.known[k] = s
	}
	if n.open != nil && s != n.last {
		n.note(s)
	}
	return s
}

// note notes that an index is written to, unless that was done lately, and whether it may be.
func (n *names) note(name string) {
	if at, ok := n.noted[name]; !ok || n.now.Sub(at) > openNote {
		if n.over = !n.open.use(name, n.now); n.over {
			n.last = ""
			return
		}
		if n.noted == nil || len(n.noted) >= maxNames {
			n.noted = map[string]time.Time{}
		}
		n.noted[name] = n.now
	}
	n.last, n.over = name, false
}

// at sets the time that it is.
func (n *names) at(now time.Time) {
	if now.Sub(n.now) > openNote/2 {
		n.now, n.last = now, "" // to be noted again
	}
}

// hours are those since 1970 by the clocks of the zone.
func (n *names) hours(t time.Time) int64 {
	if t.IsZero() {
		return noHour
	}
	seconds := t.Unix()
	if n.zone != nil && n.zone != time.UTC {
		_, east := t.In(n.zone).Zone()
		seconds += int64(east)
	}
	hours := seconds / 3600
	if seconds%3600 < 0 {
		hours--
	}
	return hours
}

// appendRecordID appends the id of an event that brought none: where it is in Kafka, and
// a hash of its time and value, since another event is at the same offset once the topic
// was made again, and in another cluster's topic of that name.
func appendRecordID(dst []byte, topic string, partition int32, r *kafka.Record) []byte {
	dst = append(append(dst, topic...), '-')
	dst = append(strconv.AppendInt(dst, int64(partition), 10), '-')
	dst = append(strconv.AppendInt(dst, r.Offset, 10), '-')
	return strconv.AppendUint(dst, xxh3.HashSeed(r.Value, uint64(r.Time.UnixNano())), 36)
}

// Days say which day an index name may have: that of the event's own time, as long as
// this is near to that of its record.
type Days struct {
	Zone     *time.Location // in which days begin; nil: UTC
	MaxAge   time.Duration  // before the record's time; 0: any
	MaxAhead time.Duration  // after the record's time; 0: any
}

// day is the time by which the index is called, of an event at a time of its own whose
// record is of another; zero: there is none to be trusted. The tag says what is odd about
// it. One application with old lines, or a clock gone wrong, would else make an index for
// every day that it names.
func (d *Days) day(at, record time.Time) (time.Time, string) {
	switch {
	case record.IsZero():
		return time.Time{}, tagUndated
	case d.MaxAge > 0 && record.Sub(at) > d.MaxAge, d.MaxAhead > 0 && at.Sub(record) > d.MaxAhead:
		return record, tagOtherDay
	}
	return at, ""
}
