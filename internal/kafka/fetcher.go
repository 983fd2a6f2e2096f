package kafka

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/sluicelog/sluice/internal/kafka/wire"
	"github.com/sluicelog/sluice/internal/wake"
)

// fetcher fetches batches for the claims of a group, on connections of its own: one to
// each broker that has something to read, with one request under way for all partitions
// that have room. An answer's batches go to their claims as they are.
//
//	scout: who leads what -> streams -> loop a broker: request, answer -> Claim.push
type fetcher struct {
	g    *Group
	conf *sarama.Config
	ctx  context.Context
	runs sync.WaitGroup
	old  sync.Once // it was said that a broker is too old

	pace  *pace
	stale wake.Signal // leaders are to be looked up

	asking  sync.Mutex // held while the cluster is asked who leads what
	control *control   // guarded by asking

	mu      sync.Mutex
	streams []*stream               // by topic and partition; guarded by mu
	at      map[place]*stream       // guarded by mu
	names   map[wire.TopicID]string // guarded by mu
	ancient map[place]bool          // has batches that only sarama reads; guarded by mu
	loops   map[string]*fetchLoop   // by address; guarded by mu
	meta    map[string]topicMeta    // as last heard; guarded by mu
	over    bool                    // no loop begins any more; guarded by mu
}

// stream is what is to be fetched of a partition. The fetcher's mu guards all but the
// first line.
type stream struct {
	c       *Claim
	place   place
	id      wire.TopicID
	leader  string // address; empty: unknown
	epoch   int32  // of the leader
	replica string // to read from instead; empty: none
	lease   time.Time
	alone   time.Time // until then its leader is not asked for a replica: one has failed
	next    int64     // offset to fetch from
	last    int32     // leader epoch of what was fetched last; -1: nothing was
	check   bool      // there is a new leader: its log may have lost what was fetched
	full    bool      // the claim has no room
	busy    bool      // part of a request
	round   int       // counts changes of next that are not by an answer
	failed  int       // in a row
	after   time.Time
}

// from is the broker to read from.
func (s *stream) from() string {
	if s.replica != "" {
		return s.replica
	}
	return s.leader
}

func newFetcher(ctx context.Context, g *Group, conf *sarama.Config) *fetcher {
	return &fetcher{
		g: g, conf: conf, ctx: ctx, pace: &pace{rate: g.opts.Rate}, stale: wake.New(), control: newControl(g.cluster, conf),
		at: map[place]*stream{}, names: map[wire.TopicID]string{}, ancient: map[place]bool{}, loops: map[string]*fetchLoop{},
	}
}

// run looks up leaders until ctx ends.
func (f *fetcher) run() {
	defer f.close()
	for failed := 0; ; {
		pause := f.g.waits.refresh
		if err := f.look(); err != nil {
			failed++
			pause = f.g.waits.backoff.Pause(failed)
		} else {
			failed = 0
		}
		select {
		case <-time.After(f.g.waits.backoff.First): // at most this often
		case <-f.ctx.Done():
			return
		}
		select {
		case <-f.stale:
		case <-time.After(pause):
		case <-f.ctx.Done():
			return
		}
	}
}

func (f *fetcher) close() {
	f.mu.Lock()
	f.over = true
	f.mu.Unlock()
	f.runs.Wait()
	f.asking.Lock()
	defer f.asking.Unlock()
	f.control.Close()
}

// look asks who leads the partitions that are fetched.
func (f *fetcher) look() error {
	f.mu.Lock()
	var topics []string
	for _, s := range f.streams {
		if len(topics) == 0 || topics[len(topics)-1] != s.place.topic {
			topics = append(topics, s.place.topic)
		}
	}
	f.mu.Unlock()
	if len(topics) == 0 {
		return nil
	}
	return f.ask(topics)
}

// ask reads the metadata of topics, and takes note of them.
func (f *fetcher) ask(topics []string) error {
	f.asking.Lock()
	defer f.asking.Unlock()
	md, err := f.control.metadata(topics, false)
	if err != nil {
		return err
	}
	f.mu.Lock()
	if f.meta == nil {
		f.meta = map[string]topicMeta{}
	}
	for t, m := range md {
		f.meta[t] = m
		if m.id != (wire.TopicID{}) {
			f.names[m.id] = t
		}
	}
	var gone []*Claim
	for _, s := range f.streams {
		if m, ok := md[s.place.topic]; ok && !f.lead(s, m) {
			gone = append(gone, s.c)
		}
	}
	f.mu.Unlock()
	for _, c := range gone {
		c.renew(errOtherLog)
	}
	return nil
}

// lead takes note of a stream's leader; false: the topic is another one. The caller
// holds mu.
func (f *fetcher) lead(s *stream, m topicMeta) bool {
	if m.err != nil || int(s.place.partition) >= len(m.leaders) {
		return true
	}
	if (origin{topic: s.id}).another(m.id) {
		return false
	}
	l := m.leaders[s.place.partition]
	if l.addr == "" || l.epoch < s.epoch {
		return true // none now, or a broker that has not heard of the newest
	}
	if l.epoch > s.epoch && s.epoch >= 0 {
		s.check = s.last >= 0
	}
	if l.addr != s.leader {
		s.replica = ""
	}
	if l.addr != s.leader || l.epoch != s.epoch {
		s.after = time.Now() // whatever it was, it may be over
	}
	s.id, s.leader, s.epoch = m.id, l.addr, l.epoch
	f.loop(s.from()).wake.Raise()
	return true
}

// leads is who leads a partition now, and the topic's id.
func (f *fetcher) leads(at place) (leader, wire.TopicID, error) {
	f.mu.Lock()
	m, ok := f.meta[at.topic]
	fresh := ok && time.Since(m.heard) < f.g.waits.backoff.First*10
	f.mu.Unlock()
	if !fresh || m.err != nil || int(at.partition) >= len(m.leaders) || m.leaders[at.partition].addr == "" {
		if err := f.ask([]string{at.topic}); err != nil {
			return leader{}, m.id, err
		}
		f.mu.Lock()
		m = f.meta[at.topic]
		f.mu.Unlock()
	}
	switch {
	case m.err != nil:
		return leader{}, m.id, m.err
	case int(at.partition) >= len(m.leaders) || m.leaders[at.partition].addr == "":
		return leader{}, m.id, sarama.ErrLeaderNotAvailable
	}
	return m.leaders[at.partition], m.id, nil
}

// able says whether the partition can be fetched by ourselves: its leader lets us, and
// it has no batches of old formats. A leader that cannot be reached may let us.
func (f *fetcher) able(at place) bool {
	f.mu.Lock()
	old := f.ancient[at]
	f.mu.Unlock()
	if old {
		return false
	}
	l, _, err := f.leads(at)
	if err != nil {
		return true
	}
	conn, err := f.broker(l.addr).connect()
	if err != nil {
		return true
	}
	if v := conn.Highest(wire.KeyFetch); v < wire.FetchLowest {
		f.tooOld(l.addr, v)
		return false
	}
	return true
}

func (f *fetcher) tooOld(addr string, v int16) {
	f.old.Do(func() {
		f.g.log.Warn("a broker, or a proxy before it, does not take the requests that read batches unopened: reading costs more", "broker", addr, "fetch_version", v, "needed", wire.FetchLowest)
	})
}

// add begins to fetch for a claim, which is its stream from now on.
func (f *fetcher) add(c *Claim, o origin, l leader, id wire.TopicID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &stream{c: c, place: place{c.topic, c.partition}, id: id, leader: l.addr, epoch: l.epoch, next: c.from, last: o.epoch}
	c.stream = s // before a loop sees it
	f.at[s.place] = s
	i, _ := slices.BinarySearchFunc(f.streams, s, byPlace)
	f.streams = slices.Insert(f.streams, i, s)
	if s.leader == "" {
		f.stale.Raise()
	} else {
		f.loop(s.leader).wake.Raise()
	}
}

func byPlace(a, b *stream) int {
	return cmp.Or(strings.Compare(a.place.topic, b.place.topic), cmp.Compare(a.place.partition, b.place.partition))
}

// remove ends fetching for a claim.
func (f *fetcher) remove(s *stream) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.Index(f.streams, s); i >= 0 {
		f.streams = slices.Delete(f.streams, i, i+1)
	}
	if f.at[s.place] == s {
		delete(f.at, s.place)
	}
}

// room says whether a claim has room for more.
func (f *fetcher) room(s *stream, has bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.full = !has; has && s.from() != "" {
		f.loop(s.from()).wake.Raise()
	}
}

// reset goes on from another offset, after a pause; what is under way is dropped.
func (f *fetcher) reset(s *stream, next int64, pause time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.next, s.after = next, time.Now().Add(pause)
	s.round++
	if s.from() != "" {
		f.loop(s.from()).wake.Raise()
	}
}

// loop is the loop for a broker. The caller holds mu.
func (f *fetcher) loop(addr string) *fetchLoop {
	l := f.loops[addr]
	if l == nil {
		l = &fetchLoop{f: f, addr: addr, wake: wake.New()}
		f.loops[addr] = l
		if !f.over {
			f.runs.Go(l.run)
		}
	}
	return l
}

// leave leaves a partition to sarama for good.
func (f *fetcher) leave(at place) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ancient[at] = true
}

func (f *fetcher) broker(addr string) *fetchLoop {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.loop(addr)
}
