package elastic

import (
	"sort"

	"github.com/sluicelog/sluice/indexer/bulk"
)

// pass is one sending of all that a bulk holds, and what came of it.
type pass struct {
	o       *Output
	b       *bulk.Bulk
	sent    int              // items of the bulk
	whole   *Refusal         // of a request; the parts after it were not sent
	verdict bulk.Verdict     // of that
	refused int              // items to be sent again
	denied  bool             // some of them because we are not allowed to
	first   *Refusal         // why the first item was refused for now
	why     map[int]*Refusal // of items that are dead, or may be
}

// send posts the items from lo to hi, in halves where that is too much.
func (p *pass) send(lo, hi int) {
	items := p.b.Items
	if p.whole != nil {
		p.mark(lo, hi, bulk.Again)
		return
	}
	before := *p
	why := p.o.post(p.b, lo, hi, p.judge)
	if why == nil {
		return
	}
	*p = before // of an answer that ends too early nothing counts
	v := bulk.Again
	if why.Status != 0 {
		v = requestVerdict(why.Status, why.Kind)
	}
	switch {
	case v != bulk.Split:
		p.whole, p.verdict = why, v
		p.mark(lo, hi, v)
	case hi-lo == 1:
		p.judge(lo, bulk.Dead, why)
	default:
		p.o.Figures.Splits.Inc()
		from := p.b.From(lo)
		size := items[hi-1].End - from
		if why.Status == 413 {
			p.o.shrink(size / 2)
		}
		mid := lo + 1 + sort.Search(hi-lo-2, func(i int) bool { return items[lo+i].End-from > size/2 })
		p.send(lo, mid)
		p.send(mid, hi)
	}
}

func (p *pass) mark(lo, hi int, v bulk.Verdict) {
	for i := lo; i < hi; i++ {
		p.b.Items[i].Verdict = v
	}
	p.refused += hi - lo
}

// judge takes the verdict on an item that was not stored now.
func (p *pass) judge(i int, v bulk.Verdict, why *Refusal) {
	it := &p.b.Items[i]
	if v == bulk.Few && it.Tries+1 >= fewTries {
		v = bulk.Dead
	}
	it.Verdict = v
	switch v {
	case bulk.Duplicate:
		return
	case bulk.Dead:
		if p.why == nil {
			p.why = map[int]*Refusal{}
		}
		p.why[i] = why
		return
	case bulk.Denied:
		p.denied = true
	}
	if p.refused++; p.first == nil {
		p.first = why
	}
}
