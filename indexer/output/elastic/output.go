// Package elastic is an output to one cluster of Elasticsearch, or of what answers _bulk
// as it does. It owns the client, the requests under way and how many there may be, the
// verdict on every document, and what `sluice setup` installs. It is handed documents in
// bulks and says of each what became of it; it does not know what is in them.
//
//	Add -> bulk.Filler -> flush -> request (_bulk) -> pass.judge -> settle -> Partition.Finish
//	                        ^                                         |
//	                        +------- after a pause: what is left -----+
package elastic

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/indexer/bulk"
	"github.com/sluicelog/sluice/internal/admin"
	"github.com/sluicelog/sluice/internal/logonce"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/internal/retry"
)

// Figures are what an output counts.
type Figures struct {
	Read, Stored, Duplicate, Returned, Retried metrics.Counter // events
	InFlight                                   metrics.Gauge   // events

	Refused     func(reason string) metrics.Counter // events refused for now
	Requests    func(status int) metrics.Counter
	Seconds     metrics.Histogram // of a request
	Bytes, Sent metrics.Counter   // of bodies, before compression and as sent
	Splits      metrics.Counter   // requests sent again in halves
	Allowed     metrics.Gauge     // requests allowed under way
	Refusing    metrics.Gauge     // indices that refuse documents until that is mended
	Unwell      metrics.Gauge     // hosts that do not answer as they should
	Elsewhere   metrics.Counter   // requests sent again to another host at once
}

// Letters takes the records of documents that are not sent any more. Write does not wait;
// it keeps the item's record and partition, and finishes the record once it is stored.
// lines are those of the bulk, valid during the call only.
type Letters interface {
	Write(it *bulk.Item, why *Refusal, lines []byte)
}

// HeldLetters takes those that only their own index refuses, and tries them again later.
type HeldLetters interface {
	Letters
	Open() bool // there is a topic to write them to
}

// Options are what an output works with.
type Options struct {
	Config  *config.Output
	Log     *slog.Logger
	Figures Figures
	Health  *admin.Dependency
	Dead    Letters     // what is refused for good
	Held    HeldLetters // what waits for its index to be mended; nil: it waits in bulks

	// Await is that nothing is written until Greet allows it.
	Await bool
	// Install installs what sluice setup does; nil: it cannot be told to.
	Install func(context.Context) error
}

// Output is one cluster: bulks are filled one at a time and sent many at a time. Its
// methods are safe for concurrent use. Memory: max_concurrency + 1 bulks of bulk.bytes
// each, and their compressed bodies.
type Output struct {
	Options
	ctx     context.Context // ends when nothing more is to be sent
	hosts   *hosts
	filler  *bulk.Filler
	waiting bulk.Waiting // hold refused items, and pause
	limit   *limiter

	count   int
	timeout time.Duration
	level   int           // of compression
	pauses  retry.Backoff // before a refused item is sent again
	unknown unknowns      // errors that are in no ruling
	refuse  refusing      // indices that refuse documents

	deadTypes []string // errors that are in no ruling, and are the document's as the configuration says

	open     chan struct{}          // closed when the output may write
	asked    atomic.Bool            // a bulk request was made
	trouble  atomic.Pointer[string] // last refusal, for /status
	storedAt atomic.Int64           // when a document was stored last, in ns since 1970

	saidRefused, saidMend, saidDead, saidSpate logonce.Limit
	spate                                      spate // of dead letters
}

// New makes an output that sends until ctx ends. It does not connect; an error is a wrong
// configuration.
func New(ctx context.Context, opt Options) (*Output, error) {
	c := opt.Config
	hs, err := newHosts(&c.Elasticsearch, c.Bulk.MaxConcurrency)
	if err != nil {
		return nil, err
	}
	o := &Output{
		Options: opt, ctx: ctx, hosts: hs, open: make(chan struct{}),
		deadTypes: c.Bulk.DeadLetterTypes,
		count:     max(c.Bulk.Count, 1), timeout: c.Elasticsearch.Timeout.D(), level: c.Elasticsearch.Compression,
		pauses: retry.Backoff{First: max(c.Bulk.RetryInitial.D(), time.Millisecond), Longest: max(c.Bulk.RetryMax.D(), c.Bulk.RetryInitial.D(), time.Millisecond)},
	}
	if !o.Await {
		close(o.open)
	}
	hs.log, hs.changed = o.Log, func(n int) { o.Figures.Unwell.Set(float64(n)) }
	hs.pauses = retry.Backoff{First: min(2*o.pauses.First, time.Second), Longest: min(o.pauses.Longest, 30*time.Second)}
	context.AfterFunc(ctx, hs.end)
	o.limit = newLimiter(c.Bulk.Concurrency, c.Bulk.MaxConcurrency, func(n int) { o.Figures.Allowed.Set(float64(n)) })
	o.filler = bulk.NewFiller(bulk.Options{
		Bulks: max(c.Bulk.MaxConcurrency, 1) + 1, Bytes: int(c.Bulk.Bytes), Count: o.count, Linger: c.Bulk.Linger.D(),
		Read: o.Figures.Read, InFlight: o.Figures.InFlight,
	}, o.flush)
	return o, nil
}

// Add hands over what was made of a partition's records, waiting for room. It takes the
// documents in order; when ctx ends the rest is not taken.
func (o *Output) Add(ctx context.Context, p *bulk.Partition, ch *bulk.Chunk) error {
	return o.filler.Add(ctx, p, ch)
}

// Flush sends what was handed over and is not sent yet, and does not wait.
func (o *Output) Flush() { o.filler.Flush() }

// Wait returns when nothing is under way; the context of New has to end for it.
func (o *Output) Wait() { o.filler.Wait() }

// flush sends a bulk until each of its items is finished, then frees it. Items that
// are refused for now are sent again alone, after a pause. While the cluster refuses
// whole requests the pause is spent with the permit held, so that all of us slow down;
// while it refuses single items only these wait, joined with those of other bulks; where
// only their own index refuses them, they go to the held topic and wait there. Without
// that topic they hold up nobody else's until all bulks are full of them.
func (o *Output) flush(b *bulk.Bulk) {
	defer o.filler.Free(b)
	select {
	case <-o.open:
	case <-o.ctx.Done():
	}
	var refused time.Time // what is left was sent first, and refused
	for try := 0; len(b.Items) > 0; try++ {
		if try > 0 {
			o.Figures.Retried.Add(float64(len(b.Items)))
		}
		permit, err := o.limit.acquire(o.ctx)
		if err != nil {
			o.giveBack(b)
			return
		}
		p := pass{o: o, b: b, since: refused}
		sent := time.Now()
		p.run()
		o.report(&p)
		if p.whole == nil && p.refused == 0 {
			o.limit.good(permit)
		} else if p.whole != nil || try == 0 && p.refused > p.sent/2 {
			o.limit.pushback(permit)
		}
		if p.whole == nil {
			o.limit.release()
		}
		o.settle(&p)
		if p.whole != nil {
			refused = time.Time{} // it was not these documents that were refused
		} else if refused.IsZero() {
			refused = sent
		}
		switch {
		case p.whole != nil:
			if len(b.Items) > 0 {
				o.pause(try)
			}
			o.limit.release()
		case len(b.Items) > 0:
			if len(b.Items) < p.sent {
				try = 0 // it goes on, if slowly
			}
			if try > 0 && o.waiting.Join(b, o.filler.Bytes(), o.count) { // the first time it waits alone: most have to wait no longer
				return
			}
			o.pause(try)
			if try > 0 {
				o.waiting.Leave(b)
			}
		}
	}
}

func (o *Output) pause(try int) { retry.Wait(o.ctx, o.pauses.Pause(try+1)) }

// shrink bounds the bodies to come: one of twice that size was too large for the
// cluster or a proxy before it.
func (o *Output) shrink(size int) {
	if size, less := o.filler.Shrink(size); less {
		o.Log.Warn("a bulk request was too large for the cluster, sending smaller ones", "bytes", size)
	}
}

// report notes and logs how the cluster takes what we send, in the log on a change only.
func (o *Output) report(p *pass) {
	why := p.whole
	if why == nil {
		why = p.first
	}
	if why == nil {
		o.trouble.Store(nil)
	} else {
		s := why.Error()
		o.trouble.Store(&s)
	}
	taken := 0
	for i := range p.b.Items {
		if v := p.b.Items[i].Verdict; v == bulk.Stored || v == bulk.Duplicate {
			if !p.b.Items[i].Partition.Held {
				taken++
			}
			if o.refuse.some.Load() {
				o.tookAgain(p.b.Lines(i, i+1))
			}
		}
	}
	if taken > 0 {
		o.storedAt.Store(time.Now().UnixNano())
	}
	if p.since.IsZero() && p.whole == nil {
		o.refuse.count(taken, p.mend)
	}
	for i, why := range p.why {
		if p.b.Items[i].Verdict != bulk.Dead {
			index, _ := Target(p.b.Lines(i, i+1))
			o.refuse.note(index, why)
		}
	}
	o.Figures.Refusing.Set(float64(o.refuse.len()))
	for reason, n := range p.reasons {
		o.Figures.Refused(reason).Add(float64(n))
	}
	switch {
	case p.whole != nil && o.ctx.Err() != nil: // we are going
	case p.whole != nil && p.verdict != bulk.Mend:
		if o.Health.Fail(why) {
			o.Log.Error("elasticsearch is rejecting bulk requests, trying again", "error", why)
		}
	case p.whole != nil, p.mend > 0 && time.Since(time.Unix(0, o.storedAt.Load())) > time.Second:
		if o.Health.Refuse(why) {
			o.Log.Error("elasticsearch does not let us write; nothing is committed until that is mended", "error", why)
		}
	default:
		if (taken > 0 || p.refused == 0) && o.Health.OK() { // what was held says nothing of others
			o.Log.Info("elasticsearch is taking bulk requests")
		}
		o.reportItems(p)
	}
}

// reportItems logs why single documents were refused.
func (o *Output) reportItems(p *pass) {
	mend := false
	for i, why := range p.why {
		if p.b.Items[i].Verdict != bulk.Mend {
			continue
		}
		mend = true
		index, _ := Target(p.b.Lines(i, i+1))
		if o.saidMend.Allow(index + why.Kind) {
			o.Log.Error("documents are refused until that is mended, "+o.meanwhile(), "index", index, "error", why)
		}
	}
	if !mend && p.first != nil && o.saidRefused.Allow(p.first.Kind) {
		o.Log.Warn("documents are refused for now, sending them again", "error", p.first)
	}
}

// meanwhile is what becomes of documents that their index refuses.
func (o *Output) meanwhile() string {
	switch {
	case o.Held == nil:
		return "sending them again meanwhile; with indexer.held_topic they would not hold up others"
	case !o.Held.Open():
		return "sending them again meanwhile; once the held topic exists (sluice setup makes it) they hold up no others"
	}
	return "they wait in the held topic meanwhile, if others are taken"
}

// tookAgain logs that an index which refused documents has taken one.
func (o *Output) tookAgain(lines []byte) {
	index, _ := Target(lines)
	if down := o.refuse.took(index); down > 0 {
		o.Log.Info("an index takes documents again", "index", index, "after", down.Round(time.Second))
	}
}

// Refuses is why an index has refused documents since a time, and taken none; nil: it has
// not.
func (o *Output) Refuses(index string, since time.Time) *Refusal {
	return o.refuse.lately(index, since)
}

// holds reports whether a document that was refused is to wait in the held topic: it was
// refused before, and others were taken since it was sent first. What is likely to be the whole cluster's
// has to be the exception, or the held topic would get all that comes.
func (o *Output) holds(p *pass, v bulk.Verdict, why *Refusal) bool {
	if o.Held == nil || why == nil || p.whole != nil || p.since.IsZero() || o.storedAt.Load() <= p.since.UnixNano() || !o.Held.Open() {
		return false
	}
	switch {
	case v == bulk.Mend && why.ofIndex():
		return true
	case v == bulk.Again && time.Since(p.since) < o.pauses.Longest:
		return false // it may well pass
	}
	return o.refuse.mostTaken()
}

// settle finishes what has its outcome and leaves in the bulk what is to be sent again.
func (o *Output) settle(p *pass) {
	items := p.b.Items
	var stored, doubled, returned int
	for i := 0; i < len(items); i++ {
		it := &items[i]
		switch it.Verdict {
		case bulk.Stored, bulk.Duplicate:
			// Neighbours of a partition are finished together.
			k := i
			for ; k < len(items) && items[k].Partition == it.Partition && items[k].Record.Offset == it.Record.Offset+int64(k-i) &&
				(items[k].Verdict == bulk.Stored || items[k].Verdict == bulk.Duplicate); k++ {
				if items[k].Verdict == bulk.Stored {
					stored++
				} else {
					doubled++
				}
				items[k].Verdict = bulk.Stored
			}
			it.Partition.Finish(it.Record.Offset, it.Record.Offset+int64(k-i))
			i = k - 1
		case bulk.Dead:
			if why := p.why[i]; !it.Partition.Lost() {
				o.Dead.Write(it, why, p.b.Lines(i, i+1))
				o.reportDead(it, why, p.b.Lines(i, i+1))
			} else {
				it.Partition.Return(1)
				returned++
			}
			it.Verdict = bulk.Stored
		default:
			if it.Verdict == bulk.Unknown {
				it.Tries++
			}
			switch {
			case it.Partition.Lost(): // it is another's to send
				it.Partition.Return(1)
				returned++
				it.Verdict = bulk.Stored
			case o.holds(p, it.Verdict, p.why[i]):
				o.Held.Write(it, p.why[i], p.b.Lines(i, i+1))
				it.Verdict = bulk.Stored
			}
		}
	}
	o.Figures.Stored.Add(float64(stored))
	o.Figures.Duplicate.Add(float64(doubled))
	o.Figures.Returned.Add(float64(returned))
	o.Figures.InFlight.Add(-float64(stored + doubled + returned))
	p.b.Keep()
}

// reportDead logs that a document was refused for good, and the alarm where very many of
// one application are.
func (o *Output) reportDead(it *bulk.Item, why *Refusal, lines []byte) {
	if o.saidDead.Allow(why.Kind) {
		o.Log.Warn("a document was refused for good, its event goes to the dead-letter topic",
			"topic", it.Partition.Topic(), "partition", it.Partition.Partition(), "offset", it.Record.Offset, "error", why)
	}
	app := appOf(it, lines)
	if n := o.spate.more(app); n > 0 && o.saidSpate.Allow(app) {
		o.Log.Error("very many documents of one application are refused for good", "app", app, "events", n, "error", why)
	}
}

// giveBack leaves what a bulk holds to be read again.
func (o *Output) giveBack(b *bulk.Bulk) {
	for i := range b.Items {
		b.Items[i].Partition.Return(1)
	}
	o.Figures.Returned.Add(float64(len(b.Items)))
	o.Figures.InFlight.Add(-float64(len(b.Items)))
}

// Status is an output in /status.
type Status struct {
	Concurrency int    `json:"concurrency"`
	Busy        int    `json:"requests_under_way"`
	Waiting     int    `json:"bulks_waiting"`
	Free        int    `json:"bulks_free"`
	BulkBytes   int    `json:"bulk_bytes"`
	Trouble     string `json:"trouble,omitempty"`

	Hosts    []HostStatus   `json:"hosts"`
	Refusing []IndexTrouble `json:"refusing_indices,omitempty"` // those that do so longest
}

// Status is how the output does now.
func (o *Output) Status() Status {
	s := Status{BulkBytes: o.filler.Bytes(), Trouble: o.Trouble(), Hosts: o.hosts.status()}
	s.Concurrency, s.Busy, s.Waiting = o.limit.state()
	s.Free, _ = o.filler.State()
	s.Refusing = o.refuse.list()
	return s
}

// Trouble is the last refusal, empty while there is none.
func (o *Output) Trouble() string {
	if s := o.trouble.Load(); s != nil {
		return *s
	}
	return ""
}
