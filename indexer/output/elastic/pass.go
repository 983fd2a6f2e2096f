package elastic

import (
	"maps"
	"slices"
	"sort"
	"time"

	"github.com/sluicelog/sluice/indexer/bulk"
)

// pass is one sending of all that a bulk holds, and what came of it.
type pass struct {
	o       *Output
	b       *bulk.Bulk
	since   time.Time        // when what it holds was sent first; zero: now
	sent    int              // items of the bulk
	whole   *Refusal         // of a request; the parts after it were not sent
	verdict bulk.Verdict     // of that
	alone   int              // items refused with a request that held nothing else, we do not know why
	many    *Refusal         // an error that we do not know has hit many applications; nothing more is sent
	refused int              // items to be sent again
	first   *Refusal         // why the first of them was refused
	reasons map[string]int   // items that were refused and are sent again, by reason
	mend    int              // items that an operator has to do something for, but for those that were held
	why     map[int]*Refusal // of items that are dead, to be mended, or of an index that is away
}

// run sends all that the bulk holds.
func (p *pass) run() {
	items := p.b.Items
	p.sent = len(items)
	p.send(0, p.sent)
	if p.many != nil && p.whole == nil {
		p.stop(p.many)
	}
	if p.alone == p.sent && !slices.ContainsFunc(items, func(it bulk.Item) bool { return it.Tries > 0 }) && p.sent > 1 {
		// Every request is refused, whatever document is in it.
		why := *p.first
		why.Cure = cureAddress
		p.stop(&why)
	}
}

// stop makes the pass one that the cluster has refused as a whole, until an operator
// mends it. What was stored is stored.
func (p *pass) stop(why *Refusal) {
	p.whole, p.verdict = why, bulk.Mend
	for i := range p.b.Items {
		if it := &p.b.Items[i]; it.Verdict == bulk.Unknown {
			it.Verdict = bulk.Mend
		}
	}
}

// send posts the items from lo to hi, in halves where that is too much.
func (p *pass) send(lo, hi int) {
	items := p.b.Items
	if p.whole != nil || p.many != nil {
		p.mark(lo, hi, bulk.Again)
		return
	}
	why, v := p.post(lo, hi)
	switch {
	case why == nil:
	case v != bulk.Split:
		p.whole, p.verdict = why, v
		p.mark(lo, hi, v)
	case hi-lo == 1:
		p.judge(lo, p.aloneVerdict(lo, why), why)
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

// post posts the items from lo to hi, to one host after the other as long as it is the
// host that is to blame and there is another.
func (p *pass) post(lo, hi int) (why *Refusal, v bulk.Verdict) {
	for {
		before, judged := *p, false
		judge := func(i int, v bulk.Verdict, why *Refusal) {
			if !judged {
				judged, p.reasons, p.why = true, maps.Clone(p.reasons), maps.Clone(p.why)
			}
			p.judge(i, v, why)
		}
		h := p.o.hosts.take()
		if why = p.o.post(h, p.b, lo, hi, judge); why == nil {
			p.o.hosts.give(h, nil)
			return nil, bulk.Stored
		}
		*p = before // of an answer that ends too early nothing counts
		v = requestVerdict(why)
		switch {
		case p.o.ctx.Err() != nil:
			p.o.hosts.back(h)
			return why, v
		case !why.ofHost(v):
			p.o.hosts.give(h, nil)
			return why, v
		case !p.o.hosts.give(h, why):
			return why, v
		}
		p.o.Figures.Elsewhere.Inc()
	}
}

// aloneVerdict judges a document by what was answered to a request that held nothing
// else.
func (p *pass) aloneVerdict(i int, why *Refusal) bulk.Verdict {
	if why.Status != 413 {
		v := itemVerdict(why)
		if v == bulk.Unknown {
			p.alone++
		}
		return v
	}
	if size := p.b.Items[i].End - p.b.From(i); size < tooSmall {
		why.Cure = cureSize
		return bulk.Mend
	}
	return bulk.Dead
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
	switch {
	case v == bulk.Unknown && slices.Contains(p.o.deadTypes, why.Kind):
		v = bulk.Dead
	case v == bulk.Unknown && p.o.unknown.hit(why, appOf(it, p.b.Lines(i, i+1))):
		v, why.Cure = bulk.Mend, cureUnknown
		p.many = why
	case v == bulk.Unknown && it.Tries+1 >= triesOfUnknown:
		v = bulk.Dead
	}
	it.Verdict = v
	switch v {
	case bulk.Duplicate:
		return
	case bulk.Dead:
		p.note(i, why)
		return
	case bulk.Mend:
		p.note(i, why)
		if !it.Partition.Held {
			p.mend++
		}
	case bulk.Again:
		if why.away() {
			p.note(i, why)
		}
	}
	if p.refused++; p.first == nil {
		p.first = why
	}
	if p.reasons == nil {
		p.reasons = map[string]int{}
	}
	p.reasons[why.reason()]++
}

func (p *pass) note(i int, why *Refusal) {
	if p.why == nil {
		p.why = map[int]*Refusal{}
	}
	p.why[i] = why
}
