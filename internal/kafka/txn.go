package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/sluicelog/sluice/internal/wake"
)

// Transactions (ProducerOptions.TransactionalID set)
//
//	p.Committed(...)                 where to go on; what the predecessor left open is aborted by then
//	p.Begin()
//	  p.Append(...)                  as usual; Result without Err: stored, seen by nobody yet
//	  p.SendOffset(group, ...)       goes into the same transaction
//	p.Commit(ctx)                    all or nothing
//
// One goroutine begins, commits and aborts; records are appended in between, by any,
// but by none while it commits or aborts.
// The offset is of another cluster's partition: it is kept in this cluster as a
// commit of a group without members, one group for each partition that is read. When Commit says ErrAborted, Abort and begin
// again from Committed; when it says ErrFenced, a younger producer with the same id
// is at work, or the transaction took longer than txnTimeout: Close, and make a new
// producer only if the partition that is read is still yours.
var (
	// ErrAborted: the transaction cannot be committed. Results of records that it
	// takes with it have it as well, and hold the whole batch.
	ErrAborted = errors.New("transaction cannot be committed")
	// ErrFenced: another producer with this transactional id was started since, or
	// the cluster gave up the transaction. This producer can write no more.
	ErrFenced = errors.New("another producer has taken over the transactional id")
	// ErrNoTransaction: Append, SendOffset or Commit without Begin.
	ErrNoTransaction = errors.New("no transaction was begun")
)

// txnTimeout is after how long the cluster aborts a transaction that hears no more
// of its producer. Readers of committed records wait for that long after it, and for as
// long again, since brokers look for such transactions only every 10 s.
const txnTimeout = 10 * time.Second

type txnPhase int32

const (
	txnStarting txnPhase = iota // no id yet
	txnReady                    // none open
	txnOpen
	txnBroken // open, and can only be aborted
	txnFenced
)

// txn talks to the coordinator of a transactional id.
type txn struct {
	p       *Producer
	id      string
	ready   chan struct{} // closed when the first id is there
	wake    wake.Signal   // partitions are to be added
	phase   atomic.Int32
	broken  wake.Signal // phase became broken, for Commit to see
	control *control    // guarded by talk

	talk     sync.Mutex // one conversation at a time
	identity identity   // guarded by talk
	named    bool       // there is an identity; guarded by talk
	addr     string     // of the coordinator; empty: ask; guarded by talk
	told     bool       // that it does not answer; guarded by talk

	mu      sync.Mutex
	add     []*partition                         // to be added to the transaction; guarded by mu
	added   int                                  // since Begin; guarded by mu
	topics  map[string]bool                      // that records were to be written to since Begin; guarded by mu
	offsets map[string]map[string]map[int32]note // by group, topic, partition; guarded by mu
	err     error                                // why it is broken or fenced; guarded by mu
}

// note is an offset as it is committed, and what is said of it.
type note struct {
	offset int64
	text   string
}

func newTxn(p *Producer, id string) *txn {
	return &txn{p: p, id: id, ready: make(chan struct{}), wake: wake.New(), broken: wake.New(), control: newControl(p.cluster, p.conf)}
}

func (x *txn) now() txnPhase { return txnPhase(x.phase.Load()) }

// fail notes that the open transaction can only be aborted, or that we are fenced.
func (x *txn) fail(err error, fence bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case fence:
		x.err = fmt.Errorf("%w: %w", ErrFenced, err)
		x.phase.Store(int32(txnFenced))
	case x.now() == txnOpen:
		x.err = fmt.Errorf("%w: %w", ErrAborted, err)
		x.phase.Store(int32(txnBroken))
	}
	x.broken.Raise()
}

func (x *txn) reason() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err == nil {
		return ErrAborted
	}
	return x.err
}

// run gets the first id and adds partitions when the sender wants to write to them.
func (x *txn) run(ctx context.Context) {
	defer func() {
		x.talk.Lock()
		defer x.talk.Unlock()
		x.control.Close()
	}()
	x.talk.Lock()
	err := x.start(ctx)
	x.talk.Unlock()
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		x.fail(err, true)
	}
	close(x.ready)
	for {
		select {
		case <-x.wake:
		case <-ctx.Done():
			return
		}
		x.addPartitions(ctx)
	}
}

// want asks for a partition to be added; the sender hears of it.
func (x *txn) want(p *partition) {
	x.mu.Lock()
	x.add = append(x.add, p)
	x.mu.Unlock()
	x.wake.Raise()
}

// start gets an identity that fences all earlier producers with the same id and
// aborts what they left open. The caller holds talk. An error means that we are
// fenced ourselves.
func (x *txn) start(ctx context.Context) error {
	old := identity{producer: -1, epoch: -1}
	if x.named {
		old = x.identity
	}
	id := x.id
	err := x.ask(ctx, sarama.CoordinatorTransaction, x.id, func(b *sarama.Broker) error {
		resp, err := b.InitProducerID(&sarama.InitProducerIDRequest{
			Version: 4, TransactionalID: &id, TransactionTimeout: txnTimeout, ProducerID: old.producer, ProducerEpoch: old.epoch,
		})
		if err != nil {
			return err
		}
		if resp.Err != sarama.ErrNoError {
			return resp.Err
		}
		x.identity, x.named = identity{producer: resp.ProducerID, epoch: resp.ProducerEpoch}, true
		return nil
	})
	if err != nil {
		return err
	}
	x.phase.Store(int32(txnReady))
	x.p.sender.inbox.tell(news{id: new(x.identity)})
	return nil
}

// addPartitions adds the partitions that are wanted, if the transaction they are
// wanted in is still the open one, and tells the sender.
func (x *txn) addPartitions(ctx context.Context) {
	x.talk.Lock()
	defer x.talk.Unlock()
	x.mu.Lock()
	parts, generation := x.add, x.p.generation.Load()
	x.add = nil
	x.added += len(parts)
	for _, p := range parts {
		x.topics[p.topic.name] = true
	}
	x.mu.Unlock()
	if len(parts) == 0 || x.now() != txnOpen {
		return
	}
	topics := map[string][]int32{}
	for _, p := range parts {
		topics[p.topic.name] = append(topics[p.topic.name], p.num)
	}
	err := x.ask(ctx, sarama.CoordinatorTransaction, x.id, func(b *sarama.Broker) error {
		resp, err := b.AddPartitionsToTxn(&sarama.AddPartitionsToTxnRequest{
			Version: 3, TransactionalID: x.id, ProducerID: x.identity.producer, ProducerEpoch: x.identity.epoch, TopicPartitions: topics,
		})
		if err != nil {
			return err
		}
		return firstError(resp.Errors)
	})
	switch {
	case err == nil:
		x.p.sender.inbox.tell(news{added: parts, generation: generation})
	case ctx.Err() == nil:
		x.fail(err, judgeTxn(err) == fenced)
		x.p.sender.inbox.tell(news{broken: true, generation: generation})
	}
}

// firstError is the worst of a response: one that ends the transaction goes before
// one that asks for another try, and "not attempted" says nothing by itself.
func firstError(errs map[string][]*sarama.PartitionError) error {
	var err error
	for _, ps := range errs {
		for _, p := range ps {
			if p.Err == sarama.ErrNoError || p.Err == sarama.ErrOperationNotAttempted && err != nil {
				continue
			}
			if err == nil || errors.Is(err, sarama.ErrOperationNotAttempted) || judgeTxn(p.Err) != again {
				err = p.Err
			}
		}
	}
	return err
}

// judgeTxn says what a coordinator's answer means.
func judgeTxn(err error) remedy {
	var code sarama.KError
	if !errors.As(err, &code) {
		return again
	}
	switch code {
	case sarama.ErrProducerFenced, sarama.ErrInvalidProducerEpoch, sarama.ErrTransactionCoordinatorFenced:
		return fenced
	case sarama.ErrInvalidTxnState, sarama.ErrInvalidProducerIDMapping, sarama.ErrUnknownProducerID,
		sarama.ErrIllegalGeneration, sarama.ErrUnknownMemberId, sarama.ErrFencedInstancedId:
		return aborted
	}
	return again
}

// ask asks a coordinator until it gives an answer that another try does not change.
// The caller holds talk.
func (x *txn) ask(ctx context.Context, kind sarama.CoordinatorType, key string, question func(*sarama.Broker) error) error {
	w := x.p.cluster.waits()
	addr := x.addr
	if kind != sarama.CoordinatorTransaction {
		addr = ""
	}
	for failed := 1; ; failed++ {
		var err error
		if addr == "" {
			addr, err = x.control.coordinator(kind, key)
		}
		if err == nil {
			err = x.control.at(addr, question)
		}
		if kind == sarama.CoordinatorTransaction {
			x.addr = addr
		}
		if err == nil {
			if x.told {
				x.told = false
				x.p.sender.inbox.tell(news{about: "transaction"})
			}
			return nil
		}
		if judgeTxn(err) != again {
			return err
		}
		pause := w.backoff.Pause(failed)
		if errors.Is(err, sarama.ErrConcurrentTransactions) { // the markers of the last one are still being written
			pause = min(pause, 5*time.Millisecond)
		} else {
			addr, x.addr = "", ""
			if failed > 2 {
				x.told = true
				x.p.sender.inbox.tell(news{about: "transaction", err: fmt.Errorf("transaction %s: %w", x.id, err)})
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", ctx.Err(), err)
		case <-x.p.dialer.ctx.Done():
			return ErrClosed
		case <-time.After(pause):
		}
	}
}

// Begin opens a transaction. It waits until the producer has its identity.
func (p *Producer) Begin(ctx context.Context) error {
	x := p.txn
	if x == nil {
		return fmt.Errorf("begin: %w: the producer has no transactional id", ErrNoTransaction)
	}
	if err := x.wait(ctx); err != nil {
		return fmt.Errorf("begin transaction %s: %w", x.id, err)
	}
	switch x.now() {
	case txnFenced:
		return x.reason()
	case txnReady:
	default:
		return fmt.Errorf("begin transaction %s: one is open", x.id)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.added, x.add, x.err, x.topics = 0, nil, nil, map[string]bool{}
	x.offsets = map[string]map[string]map[int32]note{}
	select {
	case <-x.broken:
	default:
	}
	p.generation.Add(1)
	x.phase.Store(int32(txnOpen))
	return nil
}

func (x *txn) wait(ctx context.Context) error {
	select {
	case <-x.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-x.p.dialer.ctx.Done():
		return ErrClosed
	}
}

// SendOffset puts an offset into the open transaction: that of the next record to
// read. The topic and partition must exist in this cluster, which refuses to keep
// offsets of others; which partition of another cluster is meant is for the group's
// name to say. text is kept with it. The last offset given before Commit counts.
func (p *Producer) SendOffset(group, topic string, partition int32, offset int64, text string) error {
	x := p.txn
	if x == nil || x.now() != txnOpen && x.now() != txnBroken {
		return ErrNoTransaction
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.offsets[group] == nil {
		x.offsets[group] = map[string]map[int32]note{}
	}
	if x.offsets[group][topic] == nil {
		x.offsets[group][topic] = map[int32]note{}
	}
	x.offsets[group][topic][partition] = note{offset, text}
	return nil
}

// Commit waits until all records are stored and makes them and the offsets visible,
// all or nothing. After ErrAborted, Abort; after ErrFenced, Close. Any other error
// (ctx ended) leaves open whether it was committed: Close, and start anew from
// Committed.
func (p *Producer) Commit(ctx context.Context) error {
	x := p.txn
	if x == nil {
		return ErrNoTransaction
	}
	if err := x.settle(ctx); err != nil {
		return err
	}
	if err := x.commit(ctx); err != nil {
		if r := judgeTxn(err); r == fenced || r == aborted {
			x.fail(err, r == fenced)
			return x.reason()
		}
		return fmt.Errorf("commit transaction %s: %w", x.id, err)
	}
	x.phase.Store(int32(txnReady))
	return nil
}

func (x *txn) commit(ctx context.Context) error {
	x.talk.Lock()
	defer x.talk.Unlock()
	x.mu.Lock()
	offsets, added := x.offsets, x.added
	x.mu.Unlock()
	if len(offsets) == 0 && added == 0 {
		return nil
	}
	for group, topics := range offsets {
		if err := x.sendOffsets(ctx, group, topics); err != nil {
			return err
		}
	}
	return x.end(ctx, true)
}

// end commits or aborts what is open. The caller holds talk.
func (x *txn) end(ctx context.Context, commit bool) error {
	return x.ask(ctx, sarama.CoordinatorTransaction, x.id, func(b *sarama.Broker) error {
		resp, err := b.EndTxn(&sarama.EndTxnRequest{
			Version: 3, TransactionalID: x.id, ProducerID: x.identity.producer, ProducerEpoch: x.identity.epoch, TransactionResult: commit,
		})
		if err == nil && resp.Err != sarama.ErrNoError {
			err = resp.Err
		}
		return err
	})
}

func (x *txn) sendOffsets(ctx context.Context, group string, topics map[string]map[int32]note) error {
	err := x.ask(ctx, sarama.CoordinatorTransaction, x.id, func(b *sarama.Broker) error {
		resp, err := b.AddOffsetsToTxn(&sarama.AddOffsetsToTxnRequest{
			Version: 3, TransactionalID: x.id, ProducerID: x.identity.producer, ProducerEpoch: x.identity.epoch, GroupID: group,
		})
		if err == nil && resp.Err != sarama.ErrNoError {
			err = resp.Err
		}
		return err
	})
	if err != nil {
		return err
	}
	req := &sarama.TxnOffsetCommitRequest{
		Version: 3, TransactionalID: x.id, GroupID: group, GenerationID: sarama.GroupGenerationUndefined,
		ProducerID: x.identity.producer, ProducerEpoch: x.identity.epoch, Topics: map[string][]*sarama.PartitionOffsetMetadata{},
	}
	for topic, parts := range topics {
		for num, n := range parts {
			req.Topics[topic] = append(req.Topics[topic], &sarama.PartitionOffsetMetadata{Partition: num, Offset: n.offset, LeaderEpoch: -1, Metadata: &n.text})
		}
	}
	return x.ask(ctx, sarama.CoordinatorGroup, group, func(b *sarama.Broker) error {
		resp, err := b.TxnOffsetCommit(req)
		if err != nil {
			return err
		}
		return firstError(resp.Topics)
	})
}

// Abort gives up the open transaction: nobody will see its records and offsets. What
// was not stored yet gets a Result with ErrAborted. It waits until the cluster has
// taken note; after an error other than ErrFenced it may be tried again.
func (p *Producer) Abort(ctx context.Context) error {
	x := p.txn
	if x == nil {
		return ErrNoTransaction
	}
	switch x.now() {
	case txnOpen:
		x.fail(errors.New("aborted by its owner"), false)
	case txnBroken:
	case txnFenced:
		return x.reason()
	default:
		return ErrNoTransaction
	}
	p.sender.inbox.tell(news{broken: true, generation: p.generation.Load()})
	if err := p.Drain(ctx); err != nil {
		return fmt.Errorf("abort transaction %s: %w", x.id, err)
	}
	x.talk.Lock()
	defer x.talk.Unlock()
	err := x.end(ctx, false)
	if err == nil || judgeTxn(err) == aborted { // nothing was open there
		// With a new epoch, whatever of ours is still on its way to a broker is refused.
		err = x.start(ctx)
	}
	if err != nil {
		if judgeTxn(err) == fenced {
			x.fail(err, true)
			return x.reason()
		}
		return fmt.Errorf("abort transaction %s: %w", x.id, err)
	}
	return nil
}

// Committed is the offset that was committed last for a group (-1: none), by this
// producer or the one before it with the same id: no transaction of either is open
// when it returns, if none was begun since.
func (p *Producer) Committed(ctx context.Context, group, topic string, partition int32) (int64, error) {
	notes, err := p.committed(ctx, group, map[string][]int32{topic: {partition}})
	if n, ok := notes[place{topic, partition}]; ok && err == nil {
		return n.offset, nil
	}
	return -1, err
}

// committed is Committed for several partitions, or with nil for all that the group has: of
// those a broker leaves out what was committed for the first time and is not settled yet, so
// that is for a producer that has begun no transaction, when there is no such thing.
func (p *Producer) committed(ctx context.Context, group string, of map[string][]int32) (map[place]note, error) {
	x := p.txn
	if x == nil {
		return nil, ErrNoTransaction
	}
	if err := x.wait(ctx); err != nil {
		return nil, fmt.Errorf("read what %s has committed: %w", group, err)
	}
	if x.now() == txnFenced {
		return nil, x.reason()
	}
	x.talk.Lock()
	defer x.talk.Unlock()
	notes, err := x.committed(ctx, group, of, true)
	if errors.Is(err, errUnstable) {
		// Brokers before 2.5 do not wait for transactions that are being committed when
		// they are asked for offsets, but when they are asked for an identity.
		if x.now() == txnReady {
			err = x.start(ctx)
		} else {
			err = nil
		}
		if err == nil {
			notes, err = x.committed(ctx, group, of, false)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read what %s has committed: %w", group, err)
	}
	return notes, nil
}

// errUnstable: the broker cannot wait for transactions that may change an offset.
var errUnstable = errors.New("the broker is older than 2.5")

// committed asks for what a group has of partitions, nil being all; stable: once no transaction may change it, or
// errUnstable. The caller holds talk.
func (x *txn) committed(ctx context.Context, group string, of map[string][]int32, stable bool) (map[place]note, error) {
	unstable := false
	notes := map[place]note{}
	err := x.ask(ctx, sarama.CoordinatorGroup, group, func(b *sarama.Broker) error {
		clear(notes)
		req := sarama.NewOffsetFetchRequest(x.p.conf.Version, group, of)
		req.RequireStable = stable
		resp, err := b.FetchOffset(req)
		if _, unstable = errors.AsType[sarama.PacketEncodingError](err); unstable {
			return nil
		}
		if err != nil {
			return err
		}
		switch code := resp.GroupError(); {
		case code == sarama.ErrGroupIDNotFound:
			return nil
		case code != sarama.ErrNoError:
			return code
		}
		topics := resp.Blocks
		if g := resp.GetGroup(group); g != nil {
			topics = g.Blocks
		}
		for topic, parts := range topics {
			for num, block := range parts {
				if block.Err != sarama.ErrNoError {
					return block.Err
				}
				if block.Offset >= 0 {
					notes[place{topic, num}] = note{block.Offset, block.Metadata}
				}
			}
		}
		return nil
	})
	if unstable {
		return nil, errUnstable
	}
	return notes, err
}

// settle waits until all records are stored; one that cannot be ends the wait.
func (x *txn) settle(ctx context.Context) error {
	switch x.now() {
	case txnFenced, txnBroken:
		return x.reason()
	case txnOpen:
	default:
		return ErrNoTransaction
	}
	drain, stop := context.WithCancel(ctx)
	defer stop()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-x.broken:
			stop()
		case <-drain.Done():
		}
	}()
	err := x.p.Drain(drain)
	stop()
	<-watched
	if now := x.now(); now == txnBroken || now == txnFenced {
		return x.reason()
	}
	if err != nil {
		return fmt.Errorf("commit transaction %s: %w", x.id, err)
	}
	return nil
}

// wrote is a topic that records of the transaction were written to: the one given, if there
// are such or there are none, and else any.
func (x *txn) wrote(topic string) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.topics[topic] {
		return topic
	}
	for t := range x.topics {
		return t
	}
	return topic
}

// groups is the names of all groups of the cluster that we may see. A broker that is away has
// none: others have what it had.
func (p *Producer) groups(ctx context.Context) ([]string, error) {
	x := p.txn
	if err := x.wait(ctx); err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	x.talk.Lock()
	defer x.talk.Unlock()
	var addrs []string
	err := x.control.any(func(b *sarama.Broker) error {
		resp, err := b.GetMetadata(sarama.NewMetadataRequest(p.conf.Version, []string{"__consumer_offsets"}))
		if err != nil {
			return err
		}
		addrs = nil
		for _, b := range resp.Brokers {
			addrs = append(addrs, b.Addr())
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	var names []string
	for _, addr := range addrs {
		var code sarama.KError
		err := x.control.at(addr, func(b *sarama.Broker) error {
			resp, err := b.ListGroups(&sarama.ListGroupsRequest{Version: 2})
			if err != nil {
				return err
			}
			if resp.Err != sarama.ErrNoError {
				return resp.Err
			}
			for g := range resp.Groups {
				names = append(names, g)
			}
			return nil
		})
		if errors.As(err, &code) {
			return nil, fmt.Errorf("list groups of broker %s: %w", addr, err)
		}
	}
	return names, nil
}
