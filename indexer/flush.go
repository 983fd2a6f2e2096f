package indexer

import (
	"context"
	"math/rand/v2"
	"slices"
	"sort"
	"time"
)

// pass is one sending of all that a bulk holds.
type pass struct {
	t       *target
	b       *bulk
	sent    int              // items of the bulk
	whole   *refusal         // of a request; the parts behind it were not sent
	verdict verdict          // of that
	refused int              // items to be sent again
	denied  bool             // some of them because we are not allowed to
	first   *refusal         // why the first item was refused for now
	why     map[int]*refusal // of items that are dead, or may be
}

// flush sends a bulk until each of its items is finished, then frees it. Items that
// are refused for now are sent again alone, after a pause. While the cluster refuses
// whole requests the pause is spent with the permit held, so that all of us slow down;
// while it refuses single items only these wait, joined with those of other bulks, so
// that one index that cannot be written to holds up nobody else's until all bulks are
// full of its documents.
func (t *target) flush(ctx context.Context, b *bulk) {
	defer func() {
		b.reset(t.most)
		t.free <- b
	}()
	for try := 0; len(b.items) > 0; try++ {
		if try > 0 {
			t.fig.retried.Add(float64(len(b.items)))
		}
		permit, err := t.limit.acquire(ctx)
		if err != nil {
			t.giveBack(b)
			return
		}
		p := pass{t: t, b: b, sent: len(b.items)}
		p.send(ctx, 0, len(b.items))
		t.tell(&p)
		if p.whole == nil && p.refused == 0 {
			t.limit.good(permit)
		} else if p.whole != nil || try == 0 && p.refused > p.sent/2 {
			t.limit.pushback(permit)
		}
		if p.whole == nil {
			t.limit.release()
		}
		t.settle(&p)
		switch {
		case p.whole != nil:
			if len(b.items) > 0 {
				pause(ctx, backoff(t.first, t.top, try))
			}
			t.limit.release()
		case len(b.items) > 0:
			if len(b.items) < p.sent {
				try = 0 // it goes on, if slowly
			}
			if try > 0 && t.join(b) { // the first time it waits alone: most have to wait no longer
				return
			}
			pause(ctx, backoff(t.first, t.top, try))
			if try > 0 {
				t.leave(b)
			}
		}
	}
}

// join adds what a bulk still holds to another one that waits, if there is one with
// room, and reports whether it did. If not, the bulk is now one that waits, until it
// leaves, and others may join it.
func (t *target) join(b *bulk) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.waiting {
		size := len(w.buf)
		if len(w.items)+len(b.items) > t.count || size+len(b.buf) > int(t.bytes.Load()) {
			continue
		}
		w.buf = append(w.buf, b.buf...)
		for _, it := range b.items {
			it.end += size
			w.items = append(w.items, it)
		}
		return true
	}
	t.waiting = append(t.waiting, b)
	return false
}

// leave makes the bulk its sender's alone again.
func (t *target) leave(b *bulk) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = slices.DeleteFunc(t.waiting, func(w *bulk) bool { return w == b })
}

// send posts the items from lo to hi, in halves where that is too much.
func (p *pass) send(ctx context.Context, lo, hi int) {
	items := p.b.items
	if p.whole != nil {
		p.mark(lo, hi, again)
		return
	}
	why := p.t.post(ctx, p.b, lo, hi, p.judge)
	if why == nil {
		return
	}
	v := again
	if why.status != 0 {
		v = requestVerdict(why.status, why.kind)
	}
	switch {
	case v != split:
		p.whole, p.verdict = why, v
		p.mark(lo, hi, v)
	case hi-lo == 1:
		p.judge(lo, dead, why)
	default:
		p.t.fig.splits.Inc()
		from := p.b.from(lo)
		size := items[hi-1].end - from
		if why.status == 413 {
			p.t.shrink(size / 2)
		}
		mid := lo + 1 + sort.Search(hi-lo-2, func(i int) bool { return items[lo+i].end-from > size/2 })
		p.send(ctx, lo, mid)
		p.send(ctx, mid, hi)
	}
}

func (p *pass) mark(lo, hi int, v verdict) {
	for i := lo; i < hi; i++ {
		p.b.items[i].verdict = v
	}
	p.refused += hi - lo
}

// judge takes the verdict on an item that was not stored now.
func (p *pass) judge(i int, v verdict, why *refusal) {
	it := &p.b.items[i]
	if v == few {
		if it.tries++; it.tries >= fewTries {
			v = dead
		}
	}
	it.verdict = v
	switch v {
	case duplicate:
		return
	case dead:
		if p.why == nil {
			p.why = map[int]*refusal{}
		}
		p.why[i] = why
		return
	case denied:
		p.denied = true
	}
	if p.refused++; p.first == nil {
		p.first = why
	}
}

// shrink bounds the bodies to come: one of twice that size was too large for the
// cluster or a proxy before it.
func (t *target) shrink(size int) {
	const least = 64 << 10
	size = max(size, least)
	if old := t.bytes.Load(); int64(size) < old && t.bytes.CompareAndSwap(old, int64(size)) {
		t.log.Warn("a bulk request was too large for the cluster, sending smaller ones", "bytes", size)
	}
}

// tell tells of the cluster's health, in the log on a change only.
func (t *target) tell(p *pass) {
	why := p.whole
	if why == nil {
		why = p.first
	}
	if why == nil {
		t.trouble.Store(nil)
	} else {
		s := why.Error()
		t.trouble.Store(&s)
	}
	switch {
	case p.whole != nil && t.ctx.Err() != nil: // we are going
	case p.whole != nil && p.verdict == denied, p.denied:
		if t.health.Fail(why) {
			t.log.Error("elasticsearch does not let us write; nothing is committed until it does", "error", why)
		}
	case p.whole != nil:
		if t.health.Fail(why) {
			t.log.Error("elasticsearch does not take documents, trying again", "error", why)
		}
	default:
		if t.health.OK() {
			t.log.Info("elasticsearch takes documents")
		}
		if p.first != nil {
			t.once(&t.saidRefused, p.first, "documents are refused for now, sending them again")
		}
	}
}

// once logs a refusal of a kind, at most once a minute.
func (t *target) once(said *sayings, why *refusal, text string, args ...any) {
	said.mu.Lock()
	defer said.mu.Unlock()
	if at, ok := said.at[why.kind]; ok && time.Since(at) < time.Minute {
		return
	}
	if said.at == nil || len(said.at) > 100 {
		said.at = map[string]time.Time{}
	}
	said.at[why.kind] = time.Now()
	t.log.Warn(text, append(args, "error", why)...)
}

// settle finishes what has its outcome and leaves in the bulk what is to be sent again.
func (t *target) settle(p *pass) {
	items := p.b.items
	var stored, doubled, returned int
	for i := 0; i < len(items); i++ {
		it := &items[i]
		switch it.verdict {
		case indexed, duplicate:
			// Neighbours of a partition are finished together.
			k := i
			for ; k < len(items) && items[k].claim == it.claim && items[k].record.Offset == it.record.Offset+int64(k-i) &&
				(items[k].verdict == indexed || items[k].verdict == duplicate); k++ {
				if items[k].verdict == indexed {
					stored++
				} else {
					doubled++
				}
				items[k].verdict = indexed
			}
			it.claim.finish(it.record.Offset, it.record.Offset+int64(k-i), int64(k-i))
			i = k - 1
		case dead:
			if why := p.why[i]; !it.claim.over.Load() {
				t.dead.write(it, why, p.b.buf[p.b.from(i):it.end])
				t.once(&t.saidDead, why, "a document was refused for good, its event goes to the dead-letter topic",
					"topic", it.claim.Topic(), "partition", it.claim.Partition(), "offset", it.record.Offset)
			} else {
				it.claim.drop(1)
				returned++
			}
			it.verdict = indexed
		default:
			if it.claim.over.Load() { // it is another's to send
				it.claim.drop(1)
				returned++
				it.verdict = indexed
			}
		}
	}
	t.fig.indexed.Add(float64(stored))
	t.fig.duplicate.Add(float64(doubled))
	t.fig.returned.Add(float64(returned))
	t.fig.inFlight.Add(-float64(stored + doubled + returned))
	p.b.keep()
}

// giveBack leaves what a bulk holds to be read again.
func (t *target) giveBack(b *bulk) {
	for i := range b.items {
		b.items[i].claim.drop(1)
	}
	t.fig.returned.Add(float64(len(b.items)))
	t.fig.inFlight.Add(-float64(len(b.items)))
}

// backoff doubles from first to top; a random part of it keeps us from coming all at
// once.
func backoff(first, top time.Duration, try int) time.Duration {
	d := max(first, time.Millisecond)
	for ; try > 0 && d < top; try-- {
		d *= 2
	}
	d = min(d, max(top, first))
	return d/2 + rand.N(d/2+1)
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
