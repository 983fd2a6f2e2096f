package rule

import (
	"strconv"
	"strings"
)

// sample keeps some of the events: those whose hash falls into the part that is kept.
type sample struct {
	keep, of uint64
	by       sampleBy
}

type sampleBy uint8

const (
	byLine   sampleBy = iota // each event by its id
	bySource                 // all of a source, or none
	byText                   // all with the same first capture of text, or none
)

const mostSample = 1_000_000

func (c *compiler) sample(s *Spec, t *text) (out sample) {
	a, b, ok := strings.Cut(s.Sample, "/")
	keep, err1 := strconv.ParseUint(strings.TrimSpace(a), 10, 32)
	of, err2 := strconv.ParseUint(strings.TrimSpace(b), 10, 32)
	if !ok || err1 != nil || err2 != nil || keep == 0 || keep >= of || of > mostSample {
		c.fail("sample", "expected a part such as 1/10 (at least 1/%d, less than 1/1), got %q", mostSample, s.Sample)
	}
	out.keep, out.of = keep, of
	switch s.By {
	case "", "line":
	case "source":
		out.by = bySource
	case "text":
		out.by = byText
		if t == nil || t.re.NumSubexp() == 0 {
			c.fail("by", "text needs a match.text with a part in ( ): events with the same part are kept or dropped together")
		}
	default:
		c.fail("by", "expected line, source or text for a sample, got %q", s.By)
	}
	return out
}

// keeps reports whether an event is kept. By a text without the capture it is as one
// with an empty one.
func (s *sample) keeps(j *Judge, r *Rule, e *Event) bool {
	var h uint64
	switch s.by {
	case bySource:
		h = hash(e.Source)
	case byText:
		plain := j.text(e.Text)
		if at := r.match.text.re.FindSubmatchIndex(plain); len(at) > 3 && at[2] >= 0 {
			h = hash(plain[at[2]:at[3]])
		}
	default:
		h = hash(e.ID)
	}
	return h%s.of < s.keep
}

// hash is FNV-1a with its bits mixed at the end, since the low ones are used. It stays as
// it is: samples of two processes agree.
func hash[S string | []byte](s S) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
