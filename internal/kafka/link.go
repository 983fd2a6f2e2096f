package kafka

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/sluicelog/sluice/internal/kafka/wire"
	"github.com/sluicelog/sluice/internal/retry"
)

const (
	linkRequests = 8               // requests of one link that wait for their answer at most
	linkBytes    = 8 << 20         // batches are joined to requests up to this size
	linkIdle     = 3 * time.Minute // a connection unused for this long is closed, before the broker does it

	produceOldest, produceNewest = 3, 8 // versions of the request: 3 is the first that knows our batches
	produceZstd                  = 7    // and this one the first that takes zstd
)

// link is one connection to one broker, for produce requests alone. A broker answers
// the requests of a connection one after the other: several links to it let it work on
// several.
type link struct {
	p       *Producer
	addr    string
	answers func([]answer)
	started bool // owned by the sender

	mu    sync.Mutex
	queue []*batch // to be sent; guarded by mu

	wake chan struct{} // cap 1
	free chan struct{} // cap linkRequests; a token for each request under way

	conn   *wire.Conn // owned by run
	failed int        // connection tries in a row; owned by run
	after  time.Time  // no try before; owned by run
	last   error      // why the last try failed; owned by run
}

// answer is what became of one batch: err is nil, a sarama.KError of the broker's, or
// why there is no answer.
type answer struct {
	b      *batch
	offset int64
	start  int64 // of the log; -1 unknown
	err    error
	text   string // what the broker says besides
}

func newLink(p *Producer, addr string, answers func([]answer)) *link {
	return &link{p: p, addr: addr, answers: answers, wake: make(chan struct{}, 1), free: make(chan struct{}, linkRequests)}
}

// send queues a packed batch; its answer comes through answers, from any goroutine.
func (l *link) send(b *batch) {
	l.mu.Lock()
	l.queue = append(l.queue, b)
	l.mu.Unlock()
	l.poke()
}

func (l *link) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run sends until ctx ends.
func (l *link) run(ctx context.Context) {
	defer l.close()
	idle := time.NewTimer(linkIdle)
	defer idle.Stop()
	for {
		select {
		case <-l.wake:
		case <-idle.C:
			l.retire()
		case <-ctx.Done():
			return
		}
		for {
			// The slot first and the batches then: what becomes ready while all slots
			// are taken goes out in one request.
			select {
			case l.free <- struct{}{}:
			case <-ctx.Done():
				return
			}
			batches := l.take()
			if len(batches) == 0 {
				<-l.free
				break
			}
			l.request(ctx, batches)
		}
		idle.Reset(linkIdle)
	}
}

func (l *link) close() {
	if l.conn != nil {
		_ = l.conn.Close()
		l.conn = nil
	}
}

// retire closes the connection when all on it is answered.
func (l *link) retire() {
	if l.conn != nil {
		l.conn.Retire()
		l.conn = nil
	}
}

// take is what goes into the next request: as much as may be joined, at least one, by topic.
func (l *link) take() []*batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	bytes, n := 0, 0
	for n < len(l.queue) {
		if size := l.queue[n].packed.Size(); n == 0 || bytes+size <= linkBytes {
			bytes += size
			n++
			continue
		}
		break
	}
	if n == 0 {
		return nil
	}
	out := slices.Clone(l.queue[:n])
	rest := copy(l.queue, l.queue[n:])
	clear(l.queue[rest:])
	l.queue = l.queue[:rest]
	slices.SortStableFunc(out, func(a, b *batch) int { return strings.Compare(a.p.topic.name, b.p.topic.name) })
	return out
}

// request sends the batches; it has a slot.
func (l *link) request(ctx context.Context, batches []*batch) {
	version, err := l.connect()
	if err != nil {
		<-l.free
		l.fail(batches, err)
		return
	}
	req := &wire.Produce{Version: version, TransactionID: l.p.txnID(), Ack: l.p.cluster.waits().ack, Batches: make([]wire.Addressed, len(batches))}
	for i, b := range batches {
		b.packed.Address(wire.Identity{Producer: b.id.producer, Epoch: b.id.epoch, Sequence: b.id.sequence})
		req.Batches[i] = wire.Addressed{Topic: b.p.topic.name, Partition: b.p.num, Batch: &b.packed}
	}
	conn := l.conn
	err = conn.Send(ctx, &wire.Frame{Key: wire.ProduceKey, Version: version, Body: req.Body(), Done: func(body []byte, err error) {
		<-l.free
		if err == nil {
			err = l.answered(conn, req, batches, body)
		}
		if err != nil {
			l.fail(batches, err)
		}
	}})
	if err != nil {
		<-l.free
		l.close() // part of it may have gone out
		l.fail(batches, err)
	}
}

// answered takes in an answer; an error means that it says nothing.
func (l *link) answered(conn *wire.Conn, req *wire.Produce, batches []*batch, body []byte) error {
	stored, pause, err := req.Answer(body)
	if err != nil {
		return err
	}
	conn.Throttle(pause)
	answers := make([]answer, len(batches))
	for i, b := range batches {
		s := &stored[i]
		answers[i] = answer{b: b, offset: s.Offset, start: s.Start, text: s.Text}
		switch {
		case s.Missed:
			answers[i].err = sarama.ErrIncompleteResponse
		case s.Code != 0:
			answers[i].err = sarama.KError(s.Code)
		}
	}
	l.answers(answers)
	return nil
}

// connect makes sure there is a connection and says which version the broker takes. A
// broker that refuses is not asked again for a while, however many partitions want to.
func (l *link) connect() (version int16, err error) {
	if l.conn != nil && l.conn.Worn() {
		l.retire()
	}
	if l.conn == nil {
		if time.Now().Before(l.after) {
			return 0, l.last
		}
		c, err := l.p.cluster.dialWire(l.p.conf, l.addr, linkRequests)
		if err != nil {
			l.failed++
			l.last, l.after = err, time.Now().Add(retry.Backoff{First: 20 * time.Millisecond, Longest: time.Second}.Pause(l.failed))
			return 0, err
		}
		l.conn, l.failed = c, 0
	}
	switch version = l.conn.Highest(wire.ProduceKey); {
	case version < 0 || version > produceNewest: // one that does not say takes what Kafka 2.4 does
		return produceNewest, nil
	case version < produceOldest:
		return 0, sarama.ErrUnsupportedVersion
	case version < produceZstd && l.p.codec == wire.Zstd:
		return 0, sarama.ErrUnsupportedCompressionType
	}
	return version, nil
}

func (l *link) fail(batches []*batch, err error) {
	answers := make([]answer, len(batches))
	for i, b := range batches {
		answers[i] = answer{b: b, offset: -1, start: -1, err: err}
	}
	l.answers(answers)
}
