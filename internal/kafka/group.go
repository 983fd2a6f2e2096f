package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/kafka/wire"
	"github.com/sluicelog/sluice/internal/logonce"
	"github.com/sluicelog/sluice/internal/retry"
	"github.com/sluicelog/sluice/internal/wake"
)

// GroupOptions are the choices of a group's member.
type GroupOptions struct {
	config.Consume
	Group        string
	Topics       []string      // names; one that starts with ^ is a regular expression
	DrainTimeout time.Duration // for Handler.Revoked, at a rebalance and at the end
	MemberFile   string        // keeps the member's name, see MemberFile; empty: without config.Consume.InstanceID it has none
	Since        time.Duration // of a partition without a committed offset, read what is not older; 0: all of it
	Rate         int64         // bytes a second that are fetched at most, as they travel; 0: no limit
	Lanes        *Lanes        // that the handler writes to: they say where to read on; nil: there are none

	// Poisoned keeps a batch that cannot be read where somebody may look at it, and returns
	// when it is kept. It is called if config.Consume.Poison is dead_letter; the batch is then
	// left out. Otherwise, without Poisoned or after an error of it, the partition waits.
	Poisoned func(ctx context.Context, p Poison) error
}

// Group is a member of a consumer group. What is finished is committed once a second,
// when a partition is given up, and at the end; what is not finished is read again,
// here or by another member. Nothing is skipped: a group without commits starts at
// the beginning of the log, and what the log has lost is counted and logged.
type Group struct {
	cluster *Cluster
	opts    GroupOptions
	handler Handler
	views   ViewHandler   // the handler, if it is one
	records RecordHandler // the same
	batches BatchHandler  // the same
	log     *slog.Logger
	waits   timing
	names   map[string]bool
	match   []*regexp.Regexp

	fetch *fetcher // set by run
	large budget   // what is larger than a block, of all claims

	held  atomic.Int64 // bytes of all claims
	share atomic.Int64 // of the buffer for one claim

	unread unread         // partitions that cannot be read
	asking sync.WaitGroup // questions that may hang until connections are cut
	joined atomic.Bool    // there is a session
	meant  atomic.Bool    // we have ended the session

	// Owned by run and what it calls, sessionHandler included.
	hurried int         // sessions in a row that ended soon
	began   time.Time   // of the session; zero: not yet
	steady  *time.Timer // tells that the session has lasted; nil: no need yet
	cause   error       // of the session's end

	said logonce.Limit // of warnings

	mu     sync.Mutex
	claims map[*Claim]struct{}  // guarded by mu
	direct map[place]bool       // partitions that we fetch ourselves; guarded by mu
	client sarama.Client        // guarded by mu
	member sarama.ConsumerGroup // guarded by mu
	topics []string             // that are consumed; guarded by mu

	current sarama.ConsumerGroupSession // or the last one; nil: there was none; guarded by mu
}

// NewGroup prepares a member; Run joins. An error is a wrong configuration.
func NewGroup(c *Cluster, o GroupOptions, h Handler) (*Group, error) {
	g := &Group{cluster: c, opts: o, handler: h, waits: c.waits(), names: map[string]bool{}, claims: map[*Claim]struct{}{}, direct: map[place]bool{}}
	g.log = c.log().With("group", o.Group)
	g.views, _ = h.(ViewHandler)
	g.records, _ = h.(RecordHandler)
	g.batches, _ = h.(BatchHandler)
	if g.views == nil && g.records == nil {
		return nil, fmt.Errorf("consume from %s: a handler %T that reads nothing", c.Name, h)
	}
	g.unread = unread{g: g, at: map[place]*trouble{}}
	if o.Group == "" || len(o.Topics) == 0 || o.Buffer <= 0 {
		return nil, fmt.Errorf("consume from %s: group, topics and buffer must be given", c.Name)
	}
	if g.opts.DrainTimeout <= 0 {
		g.opts.DrainTimeout = 5 * time.Second
	}
	if g.opts.RecordLimit <= 0 {
		g.opts.RecordLimit = 32 << 20
	}
	g.large.limit = max(2*int64(g.opts.RecordLimit), int64(o.Buffer))
	for _, t := range o.Topics {
		if !strings.HasPrefix(t, "^") {
			g.names[t] = true
			continue
		}
		re, err := regexp.Compile(t)
		if err != nil {
			return nil, fmt.Errorf("consume from %s: topic %s: %w", c.Name, strconv.Quote(t), err)
		}
		g.match = append(g.match, re)
	}
	d := newDialer(context.Background(), g.waits)
	defer d.Close()
	if _, err := g.config(d); err != nil {
		return nil, err
	}
	return g, nil
}

// config is the client's configuration; docs/kafka.md says why.
func (g *Group) config(d *dialer) (*sarama.Config, error) {
	conf, err := g.cluster.sarama(d)
	if err != nil {
		return nil, err
	}
	buffer := int64(g.opts.Buffer)
	conf.Metadata.Full = false
	conf.ChannelBufferSize = 256
	cc := &conf.Consumer
	cc.Return.Errors = true
	cc.IsolationLevel = sarama.ReadCommitted
	cc.MaxProcessingTime = 10 * time.Millisecond
	cc.MaxWaitTime = 100 * time.Millisecond // joins, commits and heartbeats wait behind a fetch on the same connection
	cc.Retry.Backoff = g.waits.backoff.First * 4
	// What is fetched is compressed and what is held is not, and a fetch that is under
	// way when a partition is paused still comes, from each broker.
	cc.Fetch.MaxBytes = int32(max(64<<10, min(buffer/32, 50<<20)))
	cc.Fetch.Default = min(1<<20, cc.Fetch.MaxBytes)
	cc.Offsets.Initial = sarama.OffsetOldest
	cc.Offsets.AutoCommit.Enable = true
	cc.Offsets.AutoCommit.Interval = time.Second
	cc.Group.ResetInvalidOffsets = true // to the start of the log; Claim.begin tells of it
	cc.Group.Heartbeat.Interval = 500 * time.Millisecond
	cc.Group.Session.Timeout = 30 * time.Second
	if s := g.opts.SessionTimeout.D(); s > 0 {
		cc.Group.Session.Timeout = s
		cc.Group.Heartbeat.Interval = min(cc.Group.Heartbeat.Interval, s/3)
	}
	cc.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyCooperativeSticky()}
	if g.opts.Lanes != nil {
		cc.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{newLaneBalance(g.opts.Lanes.o.Count)}
	}
	// Below the time for an answer, so that a join which waits for members that are gone is answered and not cut.
	cc.Group.Rebalance.Timeout = max(g.waits.answer*2/3, 2*g.opts.DrainTimeout)
	conf.Net.ReadTimeout = max(conf.Net.ReadTimeout, cc.Group.Rebalance.Timeout*3/2)
	cc.Group.Rebalance.Retry.Backoff = g.waits.backoff.First * 4
	if err := conf.Validate(); err != nil {
		return nil, fmt.Errorf("consume from %s: %w", g.cluster.Name, err)
	}
	return conf, nil
}

// Run joins the group and consumes until ctx ends; while the cluster is away it tries
// for ever. Then every claim is revoked, which gives the handler DrainTimeout, what is
// done is committed, and the member leaves. It returns at most a second after that
// time, whether the cluster answers or not.
func (g *Group) Run(ctx context.Context) error {
	d := newDialer(context.WithoutCancel(ctx), g.waits)
	defer d.Close()
	conf, err := g.config(d)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		m := &membership{g: g}
		m.join()
		for g.run(ctx, conf, d, m) {
			m.fenced()
		}
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-done:
		return nil
	case <-time.After(g.opts.DrainTimeout + 500*time.Millisecond):
	}
	d.Close() // sarama waits for answers
	select {
	case <-done:
	case <-time.After(400 * time.Millisecond):
		g.log.Warn("left without waiting for the connection to end")
	}
	return nil
}

// run consumes until ctx ends; or, if it returns true, another has the member's name.
func (g *Group) run(ctx context.Context, conf *sarama.Config, d *dialer, m *membership) (fenced bool) {
	defer g.asking.Wait()
	conf.Consumer.Group.InstanceId = m.name
	client, err := sarama.NewClient(g.cluster.Config.Brokers, conf) // connects when it is asked something
	if err != nil {
		g.fail("make a client", err)
		return false
	}
	defer client.Close()
	fetching, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	g.fetch = newFetcher(fetching, g, conf)
	defer func() {
		if !fenced {
			d.Close() // all is said; who still asks need not wait for an answer
		}
	}()
	member, err := sarama.NewConsumerGroupFromClient(g.opts.Group, &patient{Client: client, g: g, ctx: ctx, asked: map[place]*question{}})
	if err != nil {
		g.fail("make a consumer", err)
		return false
	}
	g.mu.Lock()
	g.client, g.member, g.current = client, member, nil
	g.mu.Unlock()
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer end()
	defer func() {
		if !fenced {
			m.leave(client)
		}
	}()
	defer member.Close()
	helpers.Go(func() { g.hear(member.Errors()) })
	ticking, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	helpers.Go(g.fetch.run)
	helpers.Go(func() { g.tick(ticking) })
	g.asking.Go(func() { g.survey(ticking) })
	lister := newControl(g.cluster, conf)
	defer lister.Close()
	for failed := 0; ctx.Err() == nil; {
		topics, err := g.list(lister)
		if err == nil && len(topics) > 0 {
			err = g.session(ctx, topics, lister)
		}
		pause := g.waits.backoff.Longest / 5
		switch {
		case ctx.Err() != nil:
			return false
		case errors.Is(err, sarama.ErrFencedInstancedId):
			return true
		case err != nil:
			failed++
			pause = g.waits.backoff.Pause(failed)
			g.fail("consume", err)
		case len(topics) == 0:
			g.cluster.Health.OK()
			g.say("none of the topics exists", "", "topics", strings.Join(g.opts.Topics, " "))
		default:
			failed, pause = 0, g.waits.backoff.First
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return false
}

// soon is how long a session lasts at least that is not a failed try to have one.
func (g *Group) soon() time.Duration { return g.waits.backoff.Longest }

// session consumes the topics until there are others, the session breaks or ctx ends.
// One that breaks soon is an error, so that the pauses in between grow: each makes all
// members of the group join anew.
func (g *Group) session(ctx context.Context, topics []string, lister *control) error {
	g.mu.Lock()
	g.topics = topics
	g.mu.Unlock()
	sctx, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-sctx.Done():
				return
			case <-time.After(g.waits.refresh):
			}
			now, err := g.list(lister)
			if err == nil && len(now) > 0 && !slices.Equal(now, topics) {
				g.log.Info("topics changed", "topics", strings.Join(now, " "))
				stop()
				return
			}
		}
	})
	g.began, g.cause = time.Time{}, context.Canceled
	g.meant.Store(false)
	err := g.member.Consume(sctx, topics, (*sessionHandler)(g))
	g.joined.Store(false)
	wanted := sctx.Err() != nil || g.meant.Load()
	stop()
	watch.Wait()
	if g.steady != nil {
		g.steady.Stop()
	}
	switch {
	case err != nil || g.began.IsZero() || wanted:
		return err
	case time.Since(g.began) < g.soon():
		g.hurried++
		return fmt.Errorf("the session ended soon: %w", g.cause)
	}
	g.hurried = 0
	return nil
}

// list is the topics to consume that exist, sorted.
func (g *Group) list(lister *control) ([]string, error) {
	var ask []string // nil: all
	if len(g.match) == 0 {
		for n := range g.names {
			ask = append(ask, n)
		}
	}
	md, err := lister.metadata(ask, false)
	if err != nil {
		return nil, err
	}
	var out []string
	for t, m := range md {
		switch {
		case !g.wants(t):
		case m.err == nil:
			out = append(out, t)
		case !errors.Is(m.err, sarama.ErrUnknownTopicOrPartition) && !errors.Is(m.err, sarama.ErrLeaderNotAvailable):
			g.say("topic cannot be read", t+kind(m.err), "topic", t, "error", m.err)
		}
	}
	slices.Sort(out)
	return out, nil
}

func (g *Group) wants(topic string) bool {
	if g.names[topic] {
		return true
	}
	if strings.HasPrefix(topic, "__") {
		return false // Kafka's own
	}
	for _, re := range g.match {
		if re.MatchString(topic) {
			return true
		}
	}
	return false
}

// logStart reads where a partition's log begins.
func (g *Group) logStart(topic string, partition int32) (int64, error) {
	start, err := g.clientNow().GetOffset(topic, partition, sarama.OffsetOldest)
	if err != nil {
		return 0, fmt.Errorf("read the log start of %s/%d: %w", topic, partition, err)
	}
	return start, nil
}

// offsets reads the start of a partition's log and what the group has committed; offset
// -1: nothing.
func (g *Group) offsets(topic string, partition int32) (start int64, committed position, err error) {
	committed = position{offset: -1, origin: origin{epoch: -1}}
	client := g.clientNow()
	if start, err = g.logStart(topic, partition); err != nil {
		return 0, committed, err
	}
	broker, err := client.Coordinator(g.opts.Group)
	if err != nil {
		return 0, committed, fmt.Errorf("find the coordinator of %s: %w", g.opts.Group, err)
	}
	resp, err := broker.FetchOffset(sarama.NewOffsetFetchRequest(client.Config().Version, g.opts.Group, map[string][]int32{topic: {partition}}))
	if err != nil {
		return 0, committed, fmt.Errorf("read the committed offset of %s/%d: %w", topic, partition, err)
	}
	block := resp.GetBlock(topic, partition)
	code := resp.GroupError()
	if block != nil && code == sarama.ErrNoError {
		code = block.Err
	}
	switch {
	case code == sarama.ErrGroupIDNotFound || block == nil && code == sarama.ErrNoError:
		return start, committed, nil
	case code != sarama.ErrNoError:
		return 0, committed, fmt.Errorf("read the committed offset of %s/%d: %w", topic, partition, code)
	}
	return start, position{offset: block.Offset, origin: parseOrigin(block.Metadata), mark: isMark(block.Metadata)}, nil
}

// unasked is how long nobody has asked for a partition that could not be read, until
// it is taken to be another member's. Sarama asks every 5 s.
const unasked = 30 * time.Second

// tick publishes marks and figures, twice a second. It never waits for a broker: marks
// of all partitions would wait with it.
func (g *Group) tick(ctx context.Context) {
	fast := time.NewTicker(500 * time.Millisecond)
	defer fast.Stop()
	held := g.cluster.registry().Gauge(groupHeld, g.cluster.Name, g.opts.Group)
	for {
		select {
		case <-fast.C:
			for _, c := range g.owned() {
				c.look()
			}
			held.Set(float64(g.held.Load()))
			g.unread.forget(time.Now().Add(-unasked))
		case <-ctx.Done():
			return
		}
	}
}

// survey asks for the ends of the logs that stand still, one after the other.
func (g *Group) survey(ctx context.Context) {
	slow := time.NewTicker(g.waits.refresh)
	defer slow.Stop()
	for {
		select {
		case <-slow.C:
		case <-ctx.Done():
			return
		}
		for _, c := range g.owned() {
			if ctx.Err() != nil {
				return
			}
			c.survey()
		}
	}
}

// hear counts and logs what sarama reports.
func (g *Group) hear(errs <-chan error) {
	for err := range errs {
		g.report(err)
	}
}

// report counts and logs an error that is tried again.
func (g *Group) report(err error) {
	g.cluster.registry().Counter(groupErrors, g.cluster.Name, g.opts.Group, name(err)).Inc()
	g.say("consumer", kind(err), "error", err)
}

// fail tells that the cluster cannot be used.
func (g *Group) fail(doing string, err error) {
	g.cluster.Health.Fail(fmt.Errorf("%s as %s: %w", doing, g.opts.Group, err))
	g.cluster.registry().Counter(groupErrors, g.cluster.Name, g.opts.Group, name(err)).Inc()
	g.say("cannot consume, trying again", kind(err), "error", err)
}

// say logs a warning unless one of the same kind was logged less than a minute ago.
func (g *Group) say(text, kind string, args ...any) {
	if g.said.Allow(text + kind) {
		g.log.Warn(text, args...)
	}
}

// well tells that the cluster can be used.
func (g *Group) well() {
	g.said.Reset()
	if !g.unread.any() && g.cluster.Health.OK() {
		g.log.Info("consuming")
	}
}

func (g *Group) clientNow() sarama.Client {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.client
}

func (g *Group) consumer() sarama.ConsumerGroup {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.member
}

// owned is the claims now.
func (g *Group) owned() []*Claim {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]*Claim, 0, len(g.claims))
	for c := range g.claims {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b *Claim) int {
		return cmp.Or(strings.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	})
	return out
}

func (g *Group) enter(c *Claim) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.claims[c] = struct{}{}
	g.divide()
}

func (g *Group) leave(c *Claim) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.claims, c)
	g.divide()
}

// divide gives each claim its part of the buffer. The caller holds mu.
func (g *Group) divide() {
	g.share.Store(int64(g.opts.Buffer) / int64(max(1, len(g.claims))))
}

// Status is what /status shows of the group.
func (g *Group) Status() any {
	type partition struct {
		Topic     string `json:"topic"`
		Partition int32  `json:"partition"`
		Mark      int64  `json:"mark"`
		End       int64  `json:"high_watermark"`
		Lag       int64  `json:"lag"`
		Held      int64  `json:"held_bytes"`
		Paused    bool   `json:"paused"`
	}
	out := struct {
		Group      string      `json:"group"`
		Topics     []string    `json:"topics"`
		Held       int64       `json:"held_bytes"`
		Partitions []partition `json:"partitions"`
	}{Group: g.opts.Group, Held: g.held.Load(), Partitions: []partition{}}
	g.mu.Lock()
	out.Topics = g.topics
	g.mu.Unlock()
	for _, c := range g.owned() {
		c.mu.Lock()
		out.Partitions = append(out.Partitions, partition{c.topic, c.partition, c.acks.Mark(),
			c.top(), c.behind(), c.queued + c.open, c.paused})
		c.mu.Unlock()
	}
	return out
}

// sessionHandler is the Group as sarama calls it.
type sessionHandler Group

// Setup tells that we are a member; after sessions that ended soon only if this one
// lasts.
func (h *sessionHandler) Setup(s sarama.ConsumerGroupSession) error {
	g := (*Group)(h)
	g.mu.Lock()
	g.current = s
	g.mu.Unlock()
	g.began = time.Now()
	g.joined.Store(true)
	if g.hurried > 0 {
		g.steady = time.AfterFunc(g.soon(), g.well)
		return nil
	}
	g.well()
	return nil
}

// Cleanup notes why the session ended. Claims end by themselves.
func (h *sessionHandler) Cleanup(s sarama.ConsumerGroupSession) error {
	(*Group)(h).cause = context.Cause(s.Context())
	return nil
}

// ConsumeClaim runs one claim after the other, until the partition is taken from us: one
// ends when the log turns out to be another one than it was, and the next finds out where
// to begin. A log that only sarama can read is left to it by another session.
func (h *sessionHandler) ConsumeClaim(s sarama.ConsumerGroupSession, source sarama.ConsumerGroupClaim) error {
	g := (*Group)(h)
	at := place{source.Topic(), source.Partition()}
	reg, cluster, group, number := g.cluster.registry(), g.cluster.Name, g.opts.Group, strconv.Itoa(int(at.partition))
	defer reg.Forget(lag, cluster, group, at.topic, number)
	wired := g.wired(at)
	if wired { // it is at the end of the log, see patient
		g.consumer().Pause(map[string][]int32{at.topic: {at.partition}})
	}
	var before *position
	for {
		c := g.newClaim(s, source)
		c.wired = wired
		if !c.begin(before) {
			c.end()
			return nil
		}
		reg.Counter(assignments, cluster, group).Inc()
		g.enter(c)
		g.log.Info("partition assigned", "topic", c.topic, "partition", c.partition, "from", c.from)
		g.handler.Assigned(c)
		c.consume()
		g.leave(c)
		c.end()
		reg.Counter(revocations, cluster, group).Inc()
		g.log.Info("partition given up", "topic", c.topic, "partition", c.partition, "mark", c.Mark())
		if c.why == nil || s.Context().Err() != nil {
			return nil
		}
		g.log.Warn("partition begins anew", "topic", c.topic, "partition", c.partition, "error", c.why)
		before = &position{offset: c.Mark(), origin: origin{c.ids, c.origin.epoch}, out: errors.Is(c.why, sarama.ErrOffsetOutOfRange)}
		if old := errors.Is(c.why, wire.ErrOldFormat); old || !wired { // sarama cannot go back
			if old {
				g.fetch.leave(at)
			}
			g.meant.Store(true)
			return nil // which ends the session
		}
		_ = retry.Wait(s.Context(), g.waits.backoff.First)
	}
}

// newClaim is a claim that has not begun.
func (g *Group) newClaim(s sarama.ConsumerGroupSession, source sarama.ConsumerGroupClaim) *Claim {
	reg, cluster, group := g.cluster.registry(), g.cluster.Name, g.opts.Group
	c := &Claim{
		g: g, topic: source.Topic(), partition: source.Partition(), session: s, source: source, wake: wake.New(),
		anew: make(chan error, 1), final: make(chan error, 1),
		lag:     reg.Gauge(lag, cluster, group, source.Topic(), strconv.Itoa(int(source.Partition()))),
		records: reg.Counter(fetchedRecords, cluster, group, source.Topic()), bytes: reg.Counter(fetchedBytes, cluster, group, source.Topic()),
	}
	c.ctx, c.end = context.WithCancel(context.WithoutCancel(s.Context()))
	c.taking, c.stop = context.WithCancel(c.ctx)
	c.reader = wire.Reader{Limit: int(g.opts.RecordLimit), Big: c.big, Produced: g.batches != nil}
	return c
}

// lost says whether a session's end means that its partitions are others' already.
func lost(cause error) bool {
	return errors.Is(cause, sarama.ErrUnknownMemberId) || errors.Is(cause, sarama.ErrIllegalGeneration) ||
		errors.Is(cause, sarama.ErrFencedInstancedId) || errors.Is(cause, sarama.ErrRebalanceTimedOut)
}
