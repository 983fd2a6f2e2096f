package kafka

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/sluicelog/sluice/internal/kafka/wire"
	"github.com/sluicelog/sluice/internal/retry"
	"github.com/sluicelog/sluice/internal/wake"
)

const (
	fetchWait  = 100 * time.Millisecond // a broker waits so long for fetchLeast
	fetchLeast = 256 << 10              // bytes, so that at a low pace not every batch wakes us
	fetchMost  = 1 << 20                // bytes of a partition in one answer
	replicaFor = 5 * time.Minute        // a replica that is nearer is read from for so long, then its leader is asked again
)

// fetchLoop fetches from one broker.
type fetchLoop struct {
	f    *fetcher
	addr string
	wake wake.Signal
	turn int    // where the last request began; owned by run
	body []byte // of the last request; owned by run

	mu     sync.Mutex
	over   bool       // run has ended; guarded by mu
	conn   *wire.Conn // guarded by mu
	failed int        // tries to connect in a row; guarded by mu
	after  time.Time  // no try before; guarded by mu
	last   error      // why the last try failed; guarded by mu
}

func (l *fetchLoop) run() {
	defer l.close()
	for l.f.ctx.Err() == nil {
		part, rounds, wait := l.choose()
		if len(part) > 0 {
			l.fetch(part, rounds)
			continue
		}
		idle := time.NewTimer(wait)
		select {
		case <-l.wake:
		case <-idle.C:
			if wait == linkIdle && l.unused() {
				idle.Stop()
				return
			}
		case <-l.f.ctx.Done():
		}
		idle.Stop()
	}
}

// unused closes the connection. If nothing is to be read from the broker, which may be
// gone for good, the loop is over.
func (l *fetchLoop) unused() bool {
	f := l.f
	l.disconnect()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.streams {
		if s.from() == l.addr {
			return false
		}
	}
	delete(f.loops, l.addr)
	return true
}

// close ends the loop.
func (l *fetchLoop) close() {
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	l.disconnect()
}

func (l *fetchLoop) disconnect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		_ = l.conn.Close()
		l.conn = nil
	}
}

// connect is the connection to the broker. One that is worn is replaced. A broker that
// refuses is not asked again for a while.
func (l *fetchLoop) connect() (*wire.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil && !l.conn.Worn() {
		return l.conn, nil
	}
	if l.over { // there is another loop now
		return nil, net.ErrClosed
	}
	if time.Now().Before(l.after) {
		return nil, l.last
	}
	conn, err := l.f.g.cluster.dialWire(l.f.conf, l.addr, 4)
	if err != nil {
		l.failed++
		l.last, l.after = err, time.Now().Add(l.f.g.waits.backoff.Pause(l.failed))
		return nil, err
	}
	if l.conn != nil {
		l.conn.Retire()
	}
	l.conn, l.failed = conn, 0
	return conn, nil
}

// choose is what is fetched next, beginning with another partition each time, or how
// long there is nothing to fetch.
func (l *fetchLoop) choose() (part []*stream, rounds []int, wait time.Duration) {
	f, now := l.f, time.Now()
	wait = linkIdle
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.streams)
	if n > 0 {
		l.turn = (l.turn + 1) % n
	}
	for i := range n {
		s := f.streams[(l.turn+i)%n]
		if s.replica != "" && now.After(s.lease) {
			s.replica = ""
			f.loop(s.leader).wake.Raise()
		}
		switch {
		case s.from() != l.addr || s.full || s.busy:
		case now.Before(s.after):
			wait = min(wait, s.after.Sub(now)+time.Millisecond)
		default:
			s.busy = true
			part, rounds = append(part, s), append(rounds, s.round)
		}
	}
	return part, rounds, wait
}

// free makes the streams available again.
func (l *fetchLoop) free(part []*stream) {
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	for _, s := range part {
		s.busy = false
	}
}

// fetch makes one request and hands out its answer.
func (l *fetchLoop) fetch(part []*stream, rounds []int) {
	defer l.free(part)
	conn, err := l.connect()
	if err != nil {
		l.trouble(part, err)
		return
	}
	version := min(conn.Highest(wire.KeyFetch), wire.FetchHighest)
	if version < wire.FetchLowest {
		l.f.tooOld(l.addr, version)
		for _, s := range part {
			s.c.renew(wire.ErrOldFormat)
		}
		return
	}
	part, rounds = l.checked(conn, part, rounds)
	if len(part) == 0 || retry.Wait(l.f.ctx, l.f.pace.pause()) != nil {
		return
	}
	version = l.request(part, version)
	type answer struct {
		body []byte
		err  error
	}
	var block *wire.Block
	got := make(chan answer, 1)
	frame := &wire.Frame{Key: wire.KeyFetch, Version: version, Flexible: version >= 12, Body: [][]byte{l.body},
		Room: func(n int) []byte { block = wire.NewBlock(n); return block.Bytes(n) },
		Done: func(body []byte, err error) { got <- answer{body, err} }}
	if err := conn.Send(l.f.ctx, frame); err != nil {
		l.trouble(part, err)
		return
	}
	select {
	case a := <-got:
		if a.err != nil {
			l.trouble(part, a.err)
			return
		}
		l.f.pace.took(len(a.body))
		l.answer(conn, part, rounds, version, a.body, block)
	case <-l.f.ctx.Done():
		_ = conn.Close()
		<-got // who fills our memory has let go of it
	}
}

// request writes the request, and says in which version.
func (l *fetchLoop) request(part []*stream, version int16) int16 {
	f := l.f
	buffer := int64(f.g.opts.Buffer)
	each := int32(max(64<<10, min(buffer/32, fetchMost)))
	req := wire.FetchRequest{
		Wait: int32(fetchWait / time.Millisecond), MinBytes: min(fetchLeast, each/2), MaxBytes: int32(max(64<<10, min(buffer/32, 8<<20))),
		Rack: f.conf.RackID, Partitions: make([]wire.FetchPartition, len(part)),
	}
	now := time.Now()
	f.mu.Lock()
	for i, s := range part {
		if now.Before(s.alone) {
			req.Rack = ""
		}
		req.Partitions[i] = wire.FetchPartition{Topic: s.place.topic, ID: s.id, Partition: s.place.partition, LeaderEpoch: s.epoch, Offset: s.next, MaxBytes: each}
		if s.id == (wire.TopicID{}) {
			version = min(version, wire.FetchTopicIDs-1)
		}
	}
	f.mu.Unlock()
	l.body = req.Append(l.body[:0], version)
	return version
}

// checked leaves out streams whose log has lost what was fetched, or that cannot be
// asked about it.
func (l *fetchLoop) checked(conn *wire.Conn, part []*stream, rounds []int) ([]*stream, []int) {
	f := l.f
	var good []*stream
	var goodRounds []int
	for i, s := range part {
		f.mu.Lock()
		check, last, epoch, next := s.check && s.from() == s.leader, s.last, s.epoch, s.next
		f.mu.Unlock()
		if check {
			end, ok, err := epochEnd(f.ctx, conn, s.place, epoch, last)
			if err != nil {
				l.trouble([]*stream{s}, err)
				continue
			}
			if ok && end < next {
				s.c.renew(errCutLog)
				continue
			}
			f.mu.Lock()
			s.check = s.epoch != epoch
			f.mu.Unlock()
		}
		good, goodRounds = append(good, s), append(goodRounds, rounds[i])
	}
	return good, goodRounds
}

// answer hands out what was fetched.
func (l *fetchLoop) answer(conn *wire.Conn, part []*stream, rounds []int, version int16, body []byte, block *wire.Block) {
	f := l.f
	if block == nil {
		block = wire.NewBlock(1) // the body has memory of its own
	}
	defer block.Free()
	asked := make(map[*stream]int, len(part))
	for i, s := range part {
		asked[s] = rounds[i]
	}
	said, err := wire.ReadFetch(body, version, func(p *wire.Fetched) {
		f.mu.Lock()
		topic := string(p.Topic)
		if version >= wire.FetchTopicIDs {
			topic = f.names[p.ID]
		}
		s := f.at[place{topic, p.Partition}]
		f.mu.Unlock()
		if round, ok := asked[s]; ok {
			l.take(s, round, p, block)
		}
	})
	conn.Throttle(throttled(said.ThrottleMs))
	if err == nil && said.Code != 0 {
		err = code(said.Code)
	}
	if err != nil {
		l.trouble(part, fmt.Errorf("fetch from broker %s: %w", l.addr, err))
		if errors.Is(err, wire.ErrBroken) {
			_ = conn.Close()
		}
	}
}

// take is one partition's part of an answer.
func (l *fetchLoop) take(s *stream, round int, p *wire.Fetched, block *wire.Block) {
	f := l.f
	if p.Code != 0 {
		l.refused(s, code(p.Code))
		return
	}
	next, epoch, n := wire.End(p.Batches)
	if next > p.High { // offsets have no checksum, and would be passed over
		l.trouble([]*stream{s}, fmt.Errorf("fetch %s/%d from broker %s: a batch up to offset %d, of a log that ends at %d: %w",
			s.place.topic, s.place.partition, l.addr, next-1, p.High, wire.ErrBroken))
		return
	}
	f.mu.Lock()
	if s.round != round { // it was asked for what is not wanted any more
		f.mu.Unlock()
		return
	}
	if p.Replica >= 0 && s.from() == s.leader {
		if addr := f.meta[s.place.topic].brokers[p.Replica]; addr != "" && addr != s.leader {
			s.replica, s.lease = addr, time.Now().Add(replicaFor)
			f.loop(addr).wake.Raise()
		}
	}
	from, was := s.next, s.failed
	if n > 0 {
		s.next, s.last = max(s.next, next), epoch
	}
	s.failed = 0
	f.mu.Unlock()
	if was > 0 {
		f.g.unread.tell(s.place, nil)
	}
	s.c.push(fetched{Set: p.Set, from: from, block: block, high: p.High, start: p.Start})
}

var (
	errOtherLog = errors.New("the topic was deleted and made anew")
	errCutLog   = errors.New("the log has lost records that were read")
)

// refused is when the broker does not answer with records.
func (l *fetchLoop) refused(s *stream, err error) {
	f := l.f
	if errors.Is(err, sarama.ErrOffsetOutOfRange) {
		f.mu.Lock()
		replica := s.replica != ""
		s.replica = ""
		if replica { // it may not have it yet
			f.loop(s.leader).wake.Raise()
		}
		f.mu.Unlock()
		if !replica {
			s.c.renew(err)
		}
		return
	}
	l.trouble([]*stream{s}, err)
}

// trouble holds up streams that cannot be fetched, and asks who leads them.
func (l *fetchLoop) trouble(part []*stream, err error) {
	f := l.f
	if f.ctx.Err() != nil {
		return
	}
	now := time.Now()
	var told []*stream
	f.mu.Lock()
	for _, s := range part {
		s.failed++
		if s.replica != "" { // the leader would name it again
			s.replica, s.alone = "", now.Add(replicaFor)
		}
		s.after = now.Add(f.g.waits.backoff.Pause(s.failed))
		if judge(err, 1) == slowly && !errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
			s.after = now.Add(f.g.waits.backoff.Longest)
		}
		if s.failed > 5 {
			told = append(told, s)
		}
	}
	f.mu.Unlock()
	f.stale.Raise()
	for _, s := range told {
		f.g.unread.tell(s.place, err)
	}
	if !moved(err) || errors.Is(err, sarama.ErrTopicAuthorizationFailed) || len(told) > 0 {
		f.g.report(err)
	}
}

// code is the error of a code in an answer.
func code(c int16) error { return sarama.KError(c) }

func throttled(ms int32) time.Duration { return time.Duration(ms) * time.Millisecond }
