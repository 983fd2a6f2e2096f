package kafka

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/sluicelog/sluice/internal/kafka/wire"
	"github.com/sluicelog/sluice/internal/logonce"
	"github.com/sluicelog/sluice/internal/retry"
)

// control asks brokers the small questions: who leads what, an id for a producer, a
// coordinator. It has connections of its own, since sarama holds a connection while
// it waits for such an answer. One goroutine uses it at a time.
type control struct {
	cluster *Cluster
	conf    *sarama.Config
	brokers map[string]*sarama.Broker // open ones by address
	known   []string                  // addresses from the last metadata
}

func newControl(c *Cluster, conf *sarama.Config) *control {
	return &control{cluster: c, conf: conf, brokers: map[string]*sarama.Broker{}}
}

// control is one for questions until ctx ends, which also cuts what is under way. end
// closes it.
func (c *Cluster) control(ctx context.Context) (k *control, end func(), err error) {
	d := newDialer(ctx, c.waits())
	conf, err := c.sarama(d)
	if err != nil {
		d.Close()
		return nil, nil, err
	}
	k = newControl(c, conf)
	stop := context.AfterFunc(ctx, d.Close)
	return k, func() {
		k.Close()
		stop()
		d.Close()
	}, nil
}

// Close closes its connections.
func (k *control) Close() {
	for _, b := range k.brokers {
		_ = b.Close()
	}
	clear(k.brokers)
}

// at asks the broker of an address. A broker that cannot be asked is forgotten, so
// that the next try connects anew.
func (k *control) at(addr string, ask func(*sarama.Broker) error) error {
	b, err := k.open(addr)
	if err != nil {
		return err
	}
	err = ask(b)
	var code sarama.KError
	if err != nil && !errors.As(err, &code) {
		_ = b.Close()
		delete(k.brokers, addr)
		return fmt.Errorf("ask broker %s: %w", addr, err)
	}
	return err
}

func (k *control) open(addr string) (*sarama.Broker, error) {
	if b := k.brokers[addr]; b != nil {
		if ok, _ := b.Connected(); ok {
			return b, nil
		}
		delete(k.brokers, addr)
	}
	b := sarama.NewBroker(addr)
	if err := connect(b, k.conf); err != nil {
		return nil, err
	}
	k.brokers[addr] = b
	return b, nil
}

// connect waits until the broker is connected and has let us in.
func connect(b *sarama.Broker, conf *sarama.Config) error {
	if err := b.Open(conf); err != nil {
		return err
	}
	ok, err := b.Connected()
	if err == nil && !ok {
		err = sarama.ErrNotConnected
	}
	if err != nil {
		_ = b.Close()
		return fmt.Errorf("connect to broker %s: %w", b.Addr(), err)
	}
	return nil
}

// any asks one broker after the other until one answers: first those that are
// connected, then those of the last metadata, then the configured ones.
func (k *control) any(ask func(*sarama.Broker) error) error {
	var open, rest []string
	for _, addr := range k.known {
		if k.brokers[addr] != nil {
			open = append(open, addr)
		} else {
			rest = append(rest, addr)
		}
	}
	rand.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	seeds := slices.Clone(k.cluster.Config.Brokers)
	rand.Shuffle(len(seeds), func(i, j int) { seeds[i], seeds[j] = seeds[j], seeds[i] })
	var errs, kinds []string
	var last error
	tried := map[string]bool{}
	for _, addr := range slices.Concat(open, rest, seeds) {
		if tried[addr] {
			continue
		}
		tried[addr] = true
		err := k.at(addr, ask)
		var code sarama.KError
		if err == nil || errors.As(err, &code) {
			return err
		}
		last = err
		errs, kinds = append(errs, err.Error()), append(kinds, kind(err))
	}
	slices.Sort(kinds) // they were asked in a random order
	return &unreachable{text: strings.Join(errs, "; "), kind: strings.Join(kinds, "; "), last: last}
}

// unreachable is when no broker answers.
type unreachable struct {
	text, kind string
	last       error
}

func (u *unreachable) Error() string { return u.text }
func (u *unreachable) Unwrap() error { return u.last }

// leader is the broker that takes a partition's records.
type leader struct {
	id    int32
	addr  string // empty: none now
	epoch int32  // how often the leader changed; -1: unknown
}

// topicMeta is what the cluster says of a topic.
type topicMeta struct {
	err     error // unknown, not authorized, ...
	id      wire.TopicID
	leaders []leader
	brokers map[int32]string // addresses of all brokers, the same map for all topics
	heard   time.Time
	copies  int16 // of a partition
}

// metadata reads what the cluster knows of the topics (nil: all of them), letting it
// create those that are missing if create and if it does so at all.
func (k *control) metadata(topics []string, create bool) (map[string]topicMeta, error) {
	if topics != nil && len(topics) == 0 {
		return nil, nil // an empty list would mean all
	}
	req := sarama.NewMetadataRequest(k.conf.Version, topics)
	req.AllowAutoTopicCreation = create
	var resp *sarama.MetadataResponse
	err := k.any(func(b *sarama.Broker) (err error) {
		resp, err = b.GetMetadata(req)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	addrs := map[int32]string{}
	known := make([]string, 0, len(resp.Brokers))
	for _, b := range resp.Brokers {
		addrs[b.ID()] = b.Addr()
		known = append(known, b.Addr())
	}
	if len(known) > 0 {
		k.known = known
		for addr, b := range k.brokers { // gone from the cluster
			if !slices.Contains(known, addr) && !slices.Contains(k.cluster.Config.Brokers, addr) {
				_ = b.Close()
				delete(k.brokers, addr)
			}
		}
	}
	heard := time.Now()
	out := make(map[string]topicMeta, len(resp.Topics))
	for _, t := range resp.Topics {
		m := topicMeta{id: wire.TopicID(t.Uuid), brokers: addrs, heard: heard}
		if t.Err != sarama.ErrNoError && t.Err != sarama.ErrLeaderNotAvailable {
			m.err = t.Err
		}
		for _, p := range t.Partitions {
			if p.ID < 0 || p.ID > 1<<20 {
				continue
			}
			for int(p.ID) >= len(m.leaders) {
				m.leaders = append(m.leaders, leader{id: -1, epoch: -1})
			}
			m.leaders[p.ID] = leader{id: p.Leader, addr: addrs[p.Leader], epoch: p.LeaderEpoch}
			m.copies = int16(len(p.Replicas))
		}
		if m.err == nil && len(m.leaders) == 0 {
			m.err = sarama.ErrLeaderNotAvailable // being created
		}
		out[t.Name] = m
	}
	return out, nil
}

// coordinator finds the broker that keeps a group or a transactional id.
func (k *control) coordinator(kind sarama.CoordinatorType, key string) (string, error) {
	var addr string
	err := k.any(func(b *sarama.Broker) error {
		resp, err := b.FindCoordinator(&sarama.FindCoordinatorRequest{Version: 2, CoordinatorType: kind, CoordinatorKey: key})
		if err != nil {
			return err
		}
		if resp.Err != sarama.ErrNoError {
			return resp.Err
		}
		addr = resp.Coordinator.Addr()
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("find the coordinator of %s: %w", key, err)
	}
	return addr, nil
}

// producerID asks for an identity that nobody had before.
func (k *control) producerID() (identity, error) {
	var id identity
	err := k.any(func(b *sarama.Broker) error {
		resp, err := b.InitProducerID(&sarama.InitProducerIDRequest{Version: 4, ProducerID: -1, ProducerEpoch: -1})
		if err != nil {
			return err
		}
		if resp.Err != sarama.ErrNoError {
			return resp.Err
		}
		id = identity{producer: resp.ProducerID, epoch: resp.ProducerEpoch}
		return nil
	})
	if err != nil {
		return id, fmt.Errorf("ask for a producer id: %w", err)
	}
	return id, nil
}

const ensureTime = 30 * time.Second

// EnsureTopic creates a topic if it is missing and waits until each of its
// partitions has a leader. It leaves one that exists as it is. Zero partitions or
// replicas mean the cluster's defaults. It tries for half a minute, or until ctx ends,
// also while it is not allowed to, which is logged. Only a name that no topic can have
// is an error at once.
func EnsureTopic(ctx context.Context, c *Cluster, topic string, partitions int32, replication int16) error {
	return ensureFor(ctx, c, Topic{Name: topic, Partitions: partitions, Replication: replication})
}

// EnsureCompacted is EnsureTopic of one partition of which Kafka keeps the newest record
// of each key.
func EnsureCompacted(ctx context.Context, c *Cluster, topic string) error {
	return ensureFor(ctx, c, Topic{Name: topic, Partitions: 1, Config: map[string]string{"cleanup.policy": "compact"}})
}

func ensureFor(ctx context.Context, c *Cluster, t Topic) error {
	ctx, cancel := context.WithTimeout(ctx, ensureTime)
	defer cancel()
	return ensureTopic(ctx, c, t)
}

// Ensure is Partitions of a topic that is created with the cluster's defaults if it is
// missing. It tries that until the topic is there, whoever makes it: it may be allowed
// later, and brokers may make a topic that is asked for.
func (p *Producer) Ensure(ctx context.Context, topic string) (int32, error) {
	if n := p.topic(topic).count.Load(); n > 0 {
		return n, nil
	}
	making, stop := context.WithCancel(ctx)
	var maker sync.WaitGroup
	defer maker.Wait()
	defer stop()
	maker.Go(func() {
		if err := ensureTopic(making, p.cluster, Topic{Name: topic}); err != nil && making.Err() == nil {
			p.cluster.log().Error("cannot create topic", "topic", topic, "error", err)
		}
	})
	return p.Partitions(ctx, topic)
}

// ensureTopic is EnsureTopic until ctx ends, which also cuts a request under way.
func ensureTopic(ctx context.Context, c *Cluster, t Topic) error {
	topic := t.Name
	k, end, err := c.control(ctx)
	if err != nil {
		return err
	}
	defer end()
	var trouble logonce.State
	for failed := 1; ; failed++ {
		err := k.ensure(t)
		if err == nil {
			return nil
		}
		pause, r := c.waits().backoff.Pause(failed), judge(err, 1)
		switch r {
		case single:
			return fmt.Errorf("create topic %s on %s: %w", topic, c.Name, err)
		case slowly:
			pause = retry.Jitter(c.waits().backoff.Longest)
		}
		if (r == slowly || failed > 5) && trouble.Failed(kind(err)) {
			c.log().Warn("cannot create topic, trying again", "topic", topic, "error", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("create topic %s on %s: %w (%w)", topic, c.Name, ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}

// ensure is one try of EnsureTopic; sarama.ErrLeaderNotAvailable: created, not ready.
func (k *control) ensure(t Topic) error {
	topic := t.Name
	md, err := k.metadata([]string{topic}, false)
	if err != nil {
		return err
	}
	switch m := md[topic]; {
	case errors.Is(m.err, sarama.ErrUnknownTopicOrPartition):
	case m.err != nil:
		return m.err
	default:
		for _, l := range m.leaders {
			if l.addr == "" {
				return sarama.ErrLeaderNotAvailable
			}
		}
		return nil
	}
	if err := k.create(t); err != nil && !errors.Is(err, sarama.ErrTopicAlreadyExists) {
		return err
	}
	return sarama.ErrLeaderNotAvailable
}

// controller is the address of the broker that creates topics.
func (k *control) controller() (string, error) {
	var addr string
	err := k.any(func(b *sarama.Broker) error {
		resp, err := b.GetMetadata(sarama.NewMetadataRequest(k.conf.Version, []string{"__consumer_offsets"}))
		if err != nil {
			return err
		}
		for _, b := range resp.Brokers {
			if b.ID() == resp.ControllerID {
				addr = b.Addr()
			}
		}
		if addr == "" {
			return sarama.ErrNotController
		}
		return nil
	})
	return addr, err
}
