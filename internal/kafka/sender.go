package kafka

import (
	"container/heap"
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/sluicelog/sluice/internal/kafka/wire"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/internal/retry"
	"github.com/sluicelog/sluice/internal/wake"
)

// sender decides when which batch goes to which broker, and what an answer means. It
// is one goroutine that owns all delivery state; it works by the batch, never waits
// for the network, and so no partition and no broker holds up another.
type sender struct {
	p     *Producer
	log   *slog.Logger
	w     timing
	inbox *inbox

	packer  wire.Packer // of single records
	links   map[linkKey]*link
	topics  map[string]topicMeta // as last read
	id      identity             // for partitions that have none
	hasID   bool
	parked  []*partition // wait for metadata or an id
	retries retryQueue   // wait for their time
	opened  []opening    // linger, oldest first

	troubles map[string]*trouble // by topic
	down     map[string]*trouble // questions that were not answered the last time, or with an error, by what they are about
	stuck    metrics.Gauge
}

type linkKey struct {
	addr string
	lane int
}

// delivery is what the sender knows of a partition.
type delivery struct {
	head   *batch    // not acknowledged; under way, parked or waiting for its next try
	front  []*batch  // the rest of one that was split; before all that was appended since
	failed int       // tries of head in a row
	at     time.Time // of the next try, while in retries
	id     identity  // of the next record
	hasID  bool
	sent   bool  // head is on a link
	stuck  bool  // counted in trouble
	begun  int64 // generation of the transaction that the partition was last added to
	adding bool  // head waits for that
}

// opening is a batch that was begun at a time.
type opening struct {
	p     *partition
	since time.Time
}

// news is what the scout and the transaction's conversation bring.
type news struct {
	topics     map[string]topicMeta
	id         *identity
	added      []*partition // to the transaction
	broken     bool         // the transaction can only be aborted
	generation int64        // of the transaction that is meant
	about      string       // what was asked
	err        error        // nobody answered
}

// inbox is how others tell the sender. All methods return at once.
type inbox struct {
	wake wake.Signal

	mu    sync.Mutex
	mail  mail // guarded by mu
	spare mail // guarded by mu; its slices are reused
}

type mail struct {
	ready   []*partition // have a full batch
	opened  []opening
	answers []answer
	news    []news
	flush   bool
}

func (m *mail) empty() bool {
	return len(m.ready) == 0 && len(m.opened) == 0 && len(m.answers) == 0 && len(m.news) == 0 && !m.flush
}

func (i *inbox) put(add func(*mail)) {
	i.mu.Lock()
	add(&i.mail)
	i.mu.Unlock()
	i.wake.Raise()
}

func (i *inbox) ready(p *partition)  { i.put(func(m *mail) { m.ready = append(m.ready, p) }) }
func (i *inbox) open(o opening)      { i.put(func(m *mail) { m.opened = append(m.opened, o) }) }
func (i *inbox) answered(a []answer) { i.put(func(m *mail) { m.answers = append(m.answers, a...) }) }
func (i *inbox) tell(n news)         { i.put(func(m *mail) { m.news = append(m.news, n) }) }
func (i *inbox) flushAll()           { i.put(func(m *mail) { m.flush = true }) }

// take returns all that came; it is valid until the next take.
func (i *inbox) take() mail {
	i.mu.Lock()
	defer i.mu.Unlock()
	m := i.mail
	clear(i.spare.ready)
	clear(i.spare.opened)
	clear(i.spare.answers)
	clear(i.spare.news)
	i.mail = mail{ready: i.spare.ready[:0], opened: i.spare.opened[:0], answers: i.spare.answers[:0], news: i.spare.news[:0]}
	i.spare = m
	return m
}

func newSender(p *Producer) *sender {
	return &sender{
		p: p, log: p.cluster.log(), w: p.cluster.waits(), inbox: &inbox{wake: wake.New()},
		links: map[linkKey]*link{}, topics: map[string]topicMeta{}, troubles: map[string]*trouble{}, down: map[string]*trouble{},
		stuck: p.cluster.registry().Gauge(produceTrouble, p.cluster.Name),
	}
}

func (s *sender) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		m := s.inbox.take()
		now := time.Now()
		for i := range m.answers {
			s.answer(&m.answers[i])
		}
		for i := range m.news {
			s.hear(&m.news[i])
		}
		for _, p := range m.ready {
			s.next(p)
		}
		s.opened = append(s.opened, m.opened...)
		s.ripen(now, m.flush || s.p.linger.Load() > 0)
		for len(s.retries) > 0 && !s.retries[0].at.After(now) {
			s.dispatch(heap.Pop(&s.retries).(*partition))
		}
		for _, l := range s.links {
			if !l.started {
				l.started = true
				s.p.links.Go(func() { l.run(ctx) })
			}
		}
		if !m.empty() {
			continue
		}
		timer.Reset(s.sleep(now))
		select {
		case <-s.inbox.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// sleep is until when there is nothing to do unless told.
func (s *sender) sleep(now time.Time) time.Duration {
	d := time.Hour
	if len(s.opened) > 0 {
		d = s.opened[0].since.Add(s.p.opts.Linger.D()).Sub(now)
	}
	if len(s.retries) > 0 {
		d = min(d, s.retries[0].at.Sub(now))
	}
	return max(d, 0)
}

// ripen sends the batches that have lingered long enough, or all.
func (s *sender) ripen(now time.Time, all bool) {
	n := 0
	for _, o := range s.opened {
		if !all && o.since.Add(s.p.opts.Linger.D()).After(now) {
			break
		}
		n++
		if o.p.ripen(o.since) {
			s.next(o.p)
		}
	}
	s.opened = s.opened[:copy(s.opened, s.opened[n:])]
}

// next takes the partition's next batch under way, unless one is.
func (s *sender) next(p *partition) {
	if p.head != nil {
		return
	}
	if p.head = s.following(p, s.p.linger.Load() > 0, anyGeneration); p.head == nil {
		return
	}
	s.p.busy.Add(1)
	s.dispatch(p)
}

// following takes the batch that comes after the partition's head, or nil: the sender
// is told when there is one.
func (s *sender) following(p *partition, all bool, of int64) *batch {
	if len(p.front) == 0 {
		return p.take(s.p, all, of)
	}
	b := p.front[0]
	if !p.isReady(b) {
		return nil
	}
	p.front = p.front[1:]
	return b
}

// dispatch sends the partition's head to its leader, or parks the partition until it
// is known.
func (s *sender) dispatch(p *partition) {
	if x := s.p.txn; x != nil && x.now() != txnOpen {
		s.drop(p, x.reason())
		return
	}
	if !p.hasID {
		if !s.hasID {
			s.parked = append(s.parked, p)
			if s.p.txn == nil {
				s.p.scout.identify()
			}
			return
		}
		p.id, p.hasID = s.id, true
	}
	if x := s.p.txn; x != nil && p.begun != s.p.generation.Load() {
		p.begun, p.adding = s.p.generation.Load(), true
		x.want(p) // comes back as news
		return
	}
	m, ok := s.topics[p.topic.name]
	switch {
	case !ok:
		s.parked = append(s.parked, p)
		s.p.scout.look()
		return
	case judge(m.err, 1) == single: // no name for a topic
		s.refuse(p, m.err)
		return
	case m.err != nil:
		s.failed(p, m.err, "")
		return
	case int(p.num) >= len(m.leaders):
		s.failed(p, sarama.ErrUnknownTopicOrPartition, "")
		return
	case m.leaders[p.num].addr == "":
		s.failed(p, sarama.ErrLeaderNotAvailable, "")
		return
	}
	b := p.head
	b.id = p.id
	b.tries++
	if b.sent.IsZero() {
		b.sent = time.Now()
	}
	p.sent = true
	s.link(m.leaders[p.num].addr, p.lane).send(b)
}

// refuse hands back the partition's head, record by record, and asks to be called for
// what follows.
func (s *sender) refuse(p *partition, err error) {
	b := p.head
	code := name(err)
	err = fmt.Errorf("%w: %w", ErrInvalidRecord, err)
	each := make([]int, b.count())
	for i := range each {
		each[i] = i + 1
	}
	if parts, broken := b.parts(each); broken == nil {
		for _, one := range parts {
			one.pack(&s.packer, wire.None, s.p.txn != nil)
			s.p.outbox.put(finished{b: one, offset: -1, err: err, code: code})
		}
		b.recycle()
	} else {
		s.p.outbox.put(finished{b: b, offset: -1, err: fmt.Errorf("%w (%w)", err, broken), code: code})
	}
	p.head, p.failed = nil, 0
	s.p.busy.Add(-1)
	s.well(p)
	s.inbox.ready(p)
}

// drop gives up all that the partition holds of its head's transaction, which is
// lost. As soon as all of that is told to the stage, it may be writing the next one.
func (s *sender) drop(p *partition, why error) {
	if p.head == nil {
		return
	}
	for of := p.head.generation; p.head != nil; {
		s.finish(p, finished{b: p.head, offset: -1, err: why, code: "aborted"})
		if p.head = s.following(p, true, of); p.head != nil {
			s.p.busy.Add(1)
		}
	}
	s.inbox.ready(p) // of the next one there may be something already
}

// abandon drops what of a transaction is not on a link; what is follows when its
// answer comes. If nothing was held the owner may have begun the next one by now.
func (s *sender) abandon(of int64, why error) {
	s.retries = nil
	s.parked = nil
	s.eachPartition(func(p *partition) {
		if p.sent {
			return
		}
		p.adding = false
		if p.head == nil {
			if p.head = s.following(p, true, of); p.head == nil {
				return
			}
			s.p.busy.Add(1)
		}
		s.drop(p, why)
		s.well(p)
	})
}

func (s *sender) eachPartition(f func(*partition)) {
	for _, t := range *s.p.topics.Load() {
		for _, p := range *t.parts.Load() {
			if p != nil {
				f(p)
			}
		}
	}
}

func (s *sender) link(addr string, lane int) *link {
	key := linkKey{addr, lane}
	l := s.links[key]
	if l == nil {
		l = newLink(s.p, addr, s.inbox.answered)
		s.links[key] = l
	}
	return l
}

// hear takes in what the scout found out.
func (s *sender) hear(n *news) {
	s.heard(n.about, n.err)
	if n.err != nil {
		return
	}
	if n.id != nil {
		s.id, s.hasID = *n.id, true
		if s.p.txn != nil {
			s.eachPartition(func(p *partition) { p.hasID = false })
		}
	}
	// The transaction may have been aborted, and the next begun, before we hear of it.
	if x := s.p.txn; n.broken && n.generation == s.p.generation.Load() && (x.now() == txnBroken || x.now() == txnFenced) {
		s.abandon(n.generation, x.reason())
	}
	for _, p := range n.added {
		if p.adding && p.begun == n.generation {
			p.adding = false
			s.dispatch(p)
		}
	}
	for t, m := range n.topics {
		s.topics[t] = m
		s.found(t, m.err)
	}
	s.health()
	if n.id != nil || n.topics != nil {
		parked := s.parked
		s.parked = nil
		for _, p := range parked {
			s.dispatch(p)
		}
	}
}

// answer does what the broker's answer to a batch asks for.
func (s *sender) answer(a *answer) {
	b := a.b
	p := b.p
	r := judge(a.err, b.tries)
	p.sent = false
	if r != accept {
		s.p.cluster.registry().Counter(produceRetries, s.p.cluster.Name, name(a.err)).Inc()
	}
	if x := s.p.txn; x != nil && r != accept {
		switch {
		case x.now() != txnOpen:
			s.drop(p, x.reason())
			s.well(p)
			return
		case r == epoch || r == renew || r == fenced || r == aborted || b.maybe && (r == halve || r == single):
			x.fail(a.err, false)
			s.abandon(b.generation, x.reason()) // this one as well
			return
		}
	}
	switch r {
	case accept:
		p.id = p.id.next(b.count())
		s.finish(p, finished{b: b, offset: a.offset})
		p.grow(s.most(p.topic))
		s.well(p)
		s.next(p)
	case halve, single:
		s.refused(p, a, r)
	case epoch:
		s.restart(p)
		s.failed(p, a.err, a.text)
	case renew:
		if s.hasID && s.id.producer == p.id.producer {
			s.hasID = false
		}
		s.forget(p)
		s.failed(p, a.err, a.text)
	default:
		b.maybe = true
		s.failed(p, a.err, a.text)
	}
}

// restart begins the partition's sequence anew: in the next epoch of its producer id,
// which the broker takes from 0 on, as the Java client does.
func (s *sender) restart(p *partition) {
	if p.id.epoch == math.MaxInt16 {
		s.forget(p)
		return
	}
	p.id.epoch++
	p.id.sequence = 0
	p.topic.resets.Inc()
}

// forget makes the partition take another producer id.
func (s *sender) forget(p *partition) {
	p.hasID = false
	p.topic.resets.Inc()
}

// refused handles a batch that the broker did not store because of what is in it:
// halves are tried until the record is found that is to blame.
func (s *sender) refused(p *partition, a *answer, r remedy) {
	b := a.b
	if b.maybe {
		// An earlier try may have been stored after all, and its sequence used up:
		// other records under the same numbers would be taken for copies and dropped.
		s.restart(p)
	}
	if b.count() == 1 {
		kind := ErrInvalidRecord
		if r == halve {
			kind = ErrTooLarge
		}
		err := fmt.Errorf("%w: %w", kind, a.err)
		if a.text != "" {
			err = fmt.Errorf("%w: %s (%w)", kind, a.text, a.err)
		}
		s.finish(p, finished{b: b, offset: -1, err: err, code: name(a.err)})
		s.well(p)
		s.next(p)
		return
	}
	if r == halve && b.whole == 0 {
		p.shrink(b.bytes / 2)
	}
	first, second, err := b.split()
	if err != nil {
		s.finish(p, finished{b: b, offset: -1, err: fmt.Errorf("%w: %w (%w)", ErrInvalidRecord, a.err, err), code: name(a.err)})
		s.next(p)
		return
	}
	b.recycle()
	p.head, p.front = nil, append([]*batch{first, second}, p.front...)
	s.p.busy.Add(-1)
	s.p.packers.put(first)
	s.p.packers.put(second) // the sender hears of each
}

func (s *sender) finish(p *partition, f finished) {
	p.head, p.failed = nil, 0
	s.p.busy.Add(-1)
	s.p.outbox.put(f)
}

// failed tries the partition's head again later.
func (s *sender) failed(p *partition, err error, text string) {
	p.failed++
	pause := s.w.backoff.Pause(p.failed)
	r := judge(err, 1)
	if r == slowly {
		pause = retry.Jitter(s.w.backoff.Longest)
	}
	if moved(err) {
		s.p.scout.look()
	}
	p.at = time.Now().Add(pause)
	heap.Push(&s.retries, p)
	if p.failed > 1 || r == slowly {
		s.ill(p, err, text)
	}
}

// While a batch is under way the next one grows up to so many times the configured
// size, as long as it compresses to less than packedMost: brokers take 1 MiB, unless
// they are told otherwise. So a partition that is far away is not held to one batch
// of the configured size a round trip.
const (
	stretch    = 8
	packedMost = 896 << 10
)

// most is the largest batch of the topic that is tried.
func (s *sender) most(t *topic) int64 {
	size := int64(s.p.opts.BatchBytes)
	return max(size, min(stretch*size, t.density.Load()*(packedMost>>10)))
}

// packed takes in what a request of the topic alone came to, unless it is too small to
// say much. It believes at once that records compress worse, and slowly that they
// compress better.
func (t *topic) packed(plain, wire int64) {
	if plain < 8<<10 {
		return
	}
	now, before := plain<<10/max(wire, 1), t.density.Load()
	if before > 0 && now > before {
		now = before + (now-before)/16
	}
	t.density.Store(now)
}

// shrink keeps the partition's next batches below what was refused. They grow again
// with each that is taken, since the limit is on compressed bytes.
func (part *partition) shrink(to int64) {
	part.mu.Lock()
	defer part.mu.Unlock()
	part.limit, part.meek = max(min(part.limit, to), 16<<10), true
}

func (part *partition) grow(most int64) {
	part.mu.Lock()
	defer part.mu.Unlock()
	if part.meek {
		most = min(most, part.limit+part.limit/64+1)
	}
	part.meek = part.meek && most > part.limit // false: as large as it may be
	part.limit = most
}

// retryQueue is a heap of partitions by the time of their next try.
type retryQueue []*partition

func (q retryQueue) Len() int           { return len(q) }
func (q retryQueue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q retryQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *retryQueue) Push(p any)        { *q = append(*q, p.(*partition)) }
func (q *retryQueue) Pop() any {
	n := len(*q) - 1
	p := (*q)[n]
	(*q)[n] = nil
	*q = (*q)[:n]
	return p
}
