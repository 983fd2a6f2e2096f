package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/kafka/wire"
	"github.com/sluicelog/sluice/internal/logonce"
	"github.com/sluicelog/sluice/internal/wake"
)

const (
	laneLife  = 100 * time.Millisecond // of a transaction, at least
	lanesRate = 80                     // transactions a second of all lanes together, at most
	laneTouch = 24 * time.Hour         // an idle lane commits again, since offsets of groups without members expire
	laneWait  = 2 * time.Second        // for a lane to open; then who waits looks whether it still should
)

// Lanes write what a group reads into another cluster exactly once. Partition p of a topic is
// of lane p % lanes, and a lane has one transactional id, one producer and one transaction at a time,
// in which what was read of its partitions is stored together with where to read on. The
// latter is the truth; what the group commits at the source is for eyes.
//
//	claims of a lane -> Append -> Producer ---\
//	                                           transaction -> stage.Committed -> marks at the source
//	where to read on (laneNote) --------------/
//
// Whoever opens a lane fences its last owner and ends what that left open, and only then
// reads where to go on: nothing is stored twice, whatever was killed, frozen or cut off at
// whatever moment. After anything that goes wrong with a transaction the lane is opened
// anew, and its claims begin anew with it.
type Lanes struct {
	target *Cluster
	o      LaneOptions
	ctx    context.Context
	cancel context.CancelFunc
	runs   sync.WaitGroup
	busy   atomic.Int32 // lanes with a transaction
	said   logonce.Limit

	mu    sync.Mutex
	lanes map[laneKey]*lane // guarded by mu
}

// LaneOptions are the choices of Lanes.
type LaneOptions struct {
	config.Produce
	Memory *Memory // of all producers
	Name   string  // what transactional ids and the groups of offsets begin with: of the group and the source
	Count  int     // lanes of a topic
	Marks  bool    // where the target knows nothing, go on at what the group has committed at the source even if that is but a mark
	Stage  LaneStage
	Topic  func(topic string) string // of the target, that records of a topic usually go to
}

// LaneStage is the stage whose records lanes write.
type LaneStage interface {
	// Done is as in ProducerOptions. A batch without Err is stored, and not committed.
	Done(*Result)
	// Upto is the offset before which all of a claim was appended, or dealt with otherwise, so that
	// it may be committed. An error gives the transaction up. Nothing is appended meanwhile.
	Upto(c *Claim) (int64, error)
	// Committed: all before the offset is stored, and visible.
	Committed(c *Claim, upto int64)
}

// NewLanes makes lanes into a cluster; they live until Close.
func NewLanes(target *Cluster, o LaneOptions) (*Lanes, error) {
	if o.Count <= 0 {
		return nil, fmt.Errorf("relay to %s: the number of lanes must be above 0", target.Name)
	}
	ls := &Lanes{target: target, o: o, lanes: map[laneKey]*lane{}}
	ls.ctx, ls.cancel = context.WithCancel(context.Background())
	p, err := NewProducer(ls.ctx, target, ProducerOptions{Produce: o.Produce}) // is the configuration one for a producer?
	if err != nil {
		return nil, err
	}
	_ = p.Close()
	return ls, nil
}

// Close ends all lanes at once; what is not committed is not stored.
func (ls *Lanes) Close() {
	ls.cancel()
	ls.mu.Lock()
	for _, l := range ls.lanes {
		l.mu.Lock()
		l.close()
		l.mu.Unlock()
	}
	ls.mu.Unlock()
	ls.runs.Wait()
}

func (ls *Lanes) lane(topic string, partition int32) *lane {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	k := laneKey{topic, laneOf(partition, ls.o.Count)}
	l := ls.lanes[k]
	if l == nil {
		l = &lane{ls: ls, key: k, id: ls.id(topic, k.lane, ls.o.Count), changed: make(chan struct{}), wake: wake.New(), members: map[*Claim]*seat{}, given: map[int32]int{}}
		ls.lanes[k] = l
		ls.runs.Go(l.run)
	}
	return l
}

// id names a lane: its transactional id, and the group of its offsets.
func (ls *Lanes) id(topic string, lane, count int) string {
	return fmt.Sprintf("%s.%s.%dof%d", ls.o.Name, topic, lane, count)
}

// others is the lanes of which a group's name says that they are of the same topic, counted
// differently.
func (ls *Lanes) other(group, topic string) bool {
	rest, ok := strings.CutPrefix(group, ls.o.Name+"."+topic+".")
	if !ok {
		return false
	}
	lane, count, ok := strings.Cut(rest, "of")
	if _, err := strconv.Atoi(lane); !ok || err != nil {
		return false
	}
	n, err := strconv.Atoi(count)
	return err == nil && n != ls.o.Count
}

// life is how long a transaction is open, so that there are not too many; pressed: somebody
// waits for it.
func (ls *Lanes) life(pressed bool) time.Duration {
	least := time.Duration(ls.busy.Load()) * time.Second / lanesRate
	if pressed {
		return least
	}
	return max(laneLife, least)
}

// lane is one of Lanes.
type lane struct {
	ls   *Lanes
	key  laneKey
	id   string
	wake wake.Signal // something is to be done

	mu      sync.Mutex
	changed chan struct{} // closed at each change that somebody may wait for
	p       *Producer     // nil: not open
	fresh   *Producer     // about to be p
	opening bool
	round   int                // counts openings
	at      map[int32]position // committed
	old     map[int32]position // what lanes that were counted differently have committed
	commits int64
	topic   string           // of the target, that the offset is committed under
	given   map[int32]int    // round in which a partition was told where to begin
	members map[*Claim]*seat // that may append
	adding  int              // calls of Append
	closing bool             // no more of them
	open    bool             // there is a transaction
	began   time.Time        // of it
	pressed bool             // it is to be committed soon
	hurry   bool             // it is to be committed now
	last    time.Time        // commit
	failed  int              // openings in a row without a commit
	after   time.Time        // no opening before
	unsure  bool             // ask whether the claims are still ours before the next opening
}

// seat is a claim in a lane.
type seat struct {
	dirty bool // something of it is in the transaction
}

var errLane = errors.New("its lane begins anew")

// tell wakes those who wait for a change. The caller holds mu.
func (l *lane) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// wait waits for a change; the caller holds mu, which is free meanwhile.
func (l *lane) wait(ctx context.Context) error {
	ch := l.changed
	l.mu.Unlock()
	defer l.mu.Lock()
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.ls.ctx.Done():
		return ErrClosed
	}
}

// begin says where a claim begins: where the target says, and else where the group does or
// the log. It opens the lane. id is the topic's.
func (ls *Lanes) begin(ctx context.Context, c *Claim, id wire.TopicID, committed position) (position, error) {
	l := ls.lane(c.topic, c.partition)
	ctx, cancel := context.WithTimeout(ctx, laneWait)
	defer cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ensure(ctx, c); err != nil {
		return position{}, fmt.Errorf("open lane %s on %s: %w", l.id, ls.target.Name, err)
	}
	l.given[c.partition] = l.round
	at, ok := l.at[c.partition]
	if o, there := l.old[c.partition]; there && (!ok || at.origin.another(id) || o.offset > at.offset && !o.origin.another(id)) {
		at, ok = o, true
	}
	switch {
	case committed.mark && !ls.o.Marks:
		committed = position{offset: -1, origin: origin{epoch: -1}}
	case committed.mark:
	case ok && committed.offset > at.offset && !committed.origin.another(id) && !at.origin.another(id):
		return committed, nil // what was relayed otherwise since
	}
	if ok {
		return at, nil
	}
	return committed, nil
}

// ensure opens the lane. The caller holds mu.
func (l *lane) ensure(ctx context.Context, c *Claim) error {
	for l.p == nil {
		if l.opening {
			if err := l.wait(ctx); err != nil {
				return err
			}
			continue
		}
		if d := time.Until(l.after); d > 0 {
			l.mu.Unlock()
			t := time.NewTimer(d)
			select {
			case <-t.C:
			case <-ctx.Done():
			}
			t.Stop()
			l.mu.Lock()
			if err := ctx.Err(); err != nil {
				return err
			}
			continue
		}
		l.opening = true
		unsure, p := l.unsure, l.fresh
		l.mu.Unlock()
		p, n, topic, old, err := l.start(ctx, c, p, unsure)
		l.mu.Lock()
		l.opening = false
		l.tell()
		if l.ls.ctx.Err() != nil && p != nil {
			l.drop(p)
			p, err = nil, ErrClosed
		}
		if l.fresh = p; err != nil {
			return err
		}
		l.p, l.fresh, l.unsure = p, nil, false
		l.round++
		l.at, l.old, l.commits = map[int32]position{}, old, 0
		if n != nil {
			l.at, l.commits, l.topic = n.at, n.commits, topic
		}
		l.last = time.Now()
	}
	return nil
}

// start makes a producer, which fences the last one of the lane, and reads where that has
// come to. One that could not be asked yet is returned with the error, for the next try.
func (l *lane) start(ctx context.Context, c *Claim, p *Producer, unsure bool) (*Producer, *laneNote, string, map[int32]position, error) {
	if unsure { // a member that is out would fence the one that has the lane now, and be fenced by it, in turn
		if err := c.ours(); err != nil {
			return p, nil, "", nil, err
		}
	}
	if p == nil {
		var err error
		if p, err = NewProducer(l.ls.ctx, l.ls.target, ProducerOptions{Produce: l.ls.o.Produce, Memory: l.ls.o.Memory, TransactionalID: l.id, Done: l.ls.o.Stage.Done}); err != nil {
			return nil, nil, "", nil, err
		}
	}
	notes, err := p.committed(ctx, l.id, nil)
	var old map[int32]position
	if err == nil {
		old, err = l.elsewhere(ctx, p)
	}
	if err != nil {
		if errors.Is(err, ErrFenced) || errors.Is(err, ErrClosed) {
			l.drop(p)
			p = nil
		}
		return p, nil, "", nil, err
	}
	n, topic := latest(notes)
	return p, n, topic, old, nil
}

// elsewhere is what lanes of the topic have committed that were counted differently: the
// furthest of each partition of this lane.
func (l *lane) elsewhere(ctx context.Context, p *Producer) (map[int32]position, error) {
	groups, err := p.groups(ctx)
	if err != nil {
		return nil, err
	}
	out := map[int32]position{}
	for _, g := range groups {
		if !l.ls.other(g, l.key.topic) {
			continue
		}
		notes, err := p.committed(ctx, g, nil)
		if err != nil {
			return nil, err
		}
		if n, _ := latest(notes); n != nil {
			for num, at := range n.at {
				if laneOf(num, l.ls.o.Count) == l.key.lane && at.offset > out[num].offset {
					out[num] = at
				}
			}
		}
	}
	return out, nil
}

// Assigned lets a claim append. One that was told where to begin before the lane was opened
// anew begins anew as well.
func (ls *Lanes) Assigned(c *Claim) {
	l := ls.lane(c.topic, c.partition)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.p == nil || l.given[c.partition] != l.round {
		c.restart(errLane)
		return
	}
	l.members[c] = &seat{}
	l.at[c.partition] = position{offset: c.from, origin: origin{c.ids, c.origin.epoch}}
}

// Append calls do with the producer of the claim's lane, in a transaction. It waits while
// one is committed. An error means that the claim is about to end.
func (ls *Lanes) Append(ctx context.Context, c *Claim, do func(*Producer) error) error {
	l := ls.lane(c.topic, c.partition)
	l.mu.Lock()
	for {
		if l.members[c] == nil {
			l.mu.Unlock()
			return errLane
		}
		if !l.closing {
			break
		}
		if err := l.wait(ctx); err != nil {
			l.mu.Unlock()
			return err
		}
	}
	p := l.p
	if !l.open {
		if err := p.Begin(ctx); err != nil {
			l.reset(err)
			l.mu.Unlock()
			return err
		}
		l.open, l.began, l.pressed, l.hurry = true, time.Now(), false, false
		ls.busy.Add(1)
		l.wake.Raise()
	}
	l.members[c].dirty = true
	l.adding++
	l.mu.Unlock()
	err := do(p)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.adding--; l.adding == 0 {
		l.tell()
	}
	if err != nil && ctx.Err() == nil && l.p == p { // else what comes next would go after a gap
		l.reset(err)
	}
	return err
}

// Press has the claim's lane commit as soon as it may: the claim waits for room.
func (ls *Lanes) Press(c *Claim) {
	l := ls.lane(c.topic, c.partition)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open && !l.pressed {
		l.pressed = true
		l.wake.Raise()
	}
}

// Flush commits what was appended of a claim; it returns when that is done, or given up, or
// ctx ends.
func (ls *Lanes) Flush(ctx context.Context, c *Claim) {
	l := ls.lane(c.topic, c.partition)
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.members[c] != nil && l.members[c].dirty {
		l.hurry = true
		l.wake.Raise()
		if l.wait(ctx) != nil {
			return
		}
	}
}

// Leave ends a claim's appending. What was appended of it and not committed is given up, and
// with it all of the transaction.
func (ls *Lanes) Leave(c *Claim) {
	l := ls.lane(c.topic, c.partition)
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.members[c]
	if s == nil {
		return
	}
	delete(l.members, c)
	switch {
	case s.dirty:
		l.reset(errors.New("a partition was taken away in the middle of a transaction"))
	case len(l.members) == 0:
		l.close()
	}
	l.tell()
}

// reset gives up the transaction and the producer; all claims begin anew. The caller holds
// mu.
func (l *lane) reset(why error) {
	if l.p == nil {
		return
	}
	ls := l.ls
	l.unsure = true
	l.failed++
	l.after = time.Now().Add(ls.target.waits().backoff.Pause(l.failed))
	for c := range l.members {
		c.restart(fmt.Errorf("%w: %w", errLane, why))
	}
	if ls.ctx.Err() == nil {
		ls.target.registry().Counter(laneResets, ls.target.Name, l.key.topic).Inc()
		if ls.said.Allow("lane" + kind(why)) {
			ls.target.log().Warn("a transaction is given up, what it held is read again", "lane", l.id, "error", why)
		}
	}
	l.close()
}

// close ends the producer and what is open. The caller holds mu.
func (l *lane) close() {
	if l.open {
		l.open = false
		l.ls.busy.Add(-1)
	}
	clear(l.members)
	for _, p := range []*Producer{l.p, l.fresh} {
		if p != nil {
			l.drop(p)
		}
	}
	l.p, l.fresh = nil, nil
	l.tell()
}

// drop closes a producer without waiting for it: callbacks of it may want what we hold.
func (l *lane) drop(p *Producer) { l.ls.runs.Go(func() { _ = p.Close() }) }

// run commits when it is time.
func (l *lane) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(l.step())
		select {
		case <-l.wake:
		case <-timer.C:
		case <-l.ls.ctx.Done():
			return
		}
	}
}

// step does what is to be done now, and says when to look again.
func (l *lane) step() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	switch {
	case l.p == nil:
		return time.Hour
	case !l.open:
		if len(l.at) == 0 || l.topic == "" {
			return time.Hour
		}
		if d := l.last.Add(l.ls.touch()).Sub(now); d > 0 {
			return d
		}
		if err := l.p.Begin(l.ls.ctx); err != nil {
			l.reset(err)
			return time.Hour
		}
		l.open = true
		l.ls.busy.Add(1)
	case !l.hurry:
		if d := l.began.Add(l.ls.life(l.pressed)).Sub(now); d > 0 {
			return d
		}
	}
	l.commit()
	return 0 // look when the next one is due
}

func (ls *Lanes) touch() time.Duration {
	if t := ls.target.waits().touch; t > 0 {
		return t
	}
	return laneTouch
}

// commit ends the transaction. The caller holds mu, which is free while the cluster is asked.
func (l *lane) commit() {
	p, ctx := l.p, l.ls.ctx
	l.closing = true
	p.Flush()
	defer func() {
		l.closing = false
		l.tell()
	}()
	for l.adding > 0 {
		if l.wait(ctx) != nil {
			return
		}
	}
	l.mu.Unlock()
	err := p.txn.settle(ctx)
	l.mu.Lock()
	if l.p != p {
		return // given up meanwhile
	}
	upto := map[*Claim]int64{}
	n := laneNote{commits: l.commits + 1, at: map[int32]position{}}
	for num, at := range l.at {
		n.at[num] = at
	}
	for c := range l.members {
		if err != nil {
			break
		}
		var offset int64
		if offset, err = l.ls.o.Stage.Upto(c); err == nil {
			upto[c] = offset
			n.at[c.partition] = c.position(offset)
		}
	}
	topic := p.txn.wrote(l.topic)
	if topic == "" {
		topic = l.ls.o.Topic(l.key.topic)
	}
	if text := n.String(); err == nil && len(text) > noteMost {
		err = fmt.Errorf("the offsets of %d partitions take %d bytes, more than the %d that a broker keeps: set more lanes", len(n.at), len(text), noteMost)
	}
	if err == nil {
		l.mu.Unlock()
		if err = p.SendOffset(l.id, topic, 0, n.sum(), n.String()); err == nil {
			err = p.Commit(ctx)
		}
		l.mu.Lock()
		if l.p != p {
			return
		}
	}
	if err != nil {
		l.reset(err)
		return
	}
	l.at, l.commits, l.topic, l.last = n.at, n.commits, topic, time.Now()
	l.failed, l.after = 0, time.Time{}
	l.open, l.pressed, l.hurry = false, false, false
	l.ls.busy.Add(-1)
	l.ls.target.registry().Counter(laneCommits, l.ls.target.Name).Inc()
	for c, s := range l.members {
		if offset, ok := upto[c]; ok {
			s.dirty = false
			l.ls.o.Stage.Committed(c, offset)
		}
	}
}

// position is where to read on after an offset.
func (c *Claim) position(offset int64) position {
	c.mu.Lock()
	defer c.mu.Unlock()
	epoch := c.origin.epoch
	for _, p := range c.pieces {
		if p.end > offset {
			break
		}
		epoch = p.epoch
	}
	return position{offset: offset, origin: origin{topic: c.ids, epoch: epoch}}
}

// ours asks the group's coordinator whether we are still a member of the generation that the
// claim is of.
func (c *Claim) ours() error {
	f := c.g.fetch
	f.asking.Lock()
	defer f.asking.Unlock()
	addr, err := f.control.coordinator(sarama.CoordinatorGroup, c.g.opts.Group)
	if err != nil {
		return err
	}
	return f.control.at(addr, func(b *sarama.Broker) error {
		req := &sarama.HeartbeatRequest{Version: 3, GroupId: c.g.opts.Group, GenerationId: c.session.GenerationID(), MemberId: c.session.MemberID()}
		if id := c.g.clientNow().Config().Consumer.Group.InstanceId; id != "" {
			req.GroupInstanceId = &id
		}
		resp, err := b.Heartbeat(req)
		if err == nil && resp.Err != sarama.ErrNoError && resp.Err != sarama.ErrRebalanceInProgress {
			err = resp.Err
		}
		return err
	})
}
