package kafka

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/sluicelog/sluice/internal/retry"
	"github.com/sluicelog/sluice/internal/wake"
)

const (
	linkRequests = 8               // requests of one link that wait for their answer at most
	linkBytes    = 8 << 20         // batches are joined to requests up to this size before compression
	linkRecords  = 32 << 10        // and up to so many records
	linkIdle     = 3 * time.Minute // a connection unused for this long is closed, before the broker does it
)

// link is one connection to one broker, for produce requests alone. Its goroutine
// encodes and compresses what it sends, since sarama does that while it holds the
// connection: several links to a broker put several cores to work.
type link struct {
	addr    string
	conf    *sarama.Config
	ack     time.Duration
	txn     *string
	answers func([]answer)
	started bool // owned by the sender

	mu    sync.Mutex
	queue []*batch // to be sent; guarded by mu

	wake wake.Signal
	free chan struct{}                 // cap linkRequests; a token for each request under way
	dead atomic.Pointer[sarama.Broker] // a connection that failed, for run to close

	broker *sarama.Broker // owned by run
	packer packer         // owned by run
	wrote  atomic.Int64   // bytes on the wire
	failed int            // connection tries in a row; owned by run
	after  time.Time      // no try before; owned by run
	last   error          // why the last try failed; owned by run
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

func newLink(addr string, conf *sarama.Config, ack time.Duration, txn *string, answers func([]answer)) *link {
	l := &link{addr: addr, ack: ack, txn: txn, answers: answers,
		wake: wake.New(), free: make(chan struct{}, linkRequests)}
	own := *conf
	own.Net.Proxy.Dialer = tally{conf.Net.Proxy.Dialer, &l.wrote}
	l.conf = &own
	return l
}

// tally counts what is written to the connections that are made by it.
type tally struct {
	dialer interface {
		Dial(network, addr string) (net.Conn, error)
	}
	wrote *atomic.Int64
}

// Dial is what sarama calls.
func (t tally) Dial(network, addr string) (net.Conn, error) {
	c, err := t.dialer.Dial(network, addr)
	if err != nil {
		return nil, err
	}
	return tallied{c, t.wrote}, nil
}

type tallied struct {
	net.Conn
	wrote *atomic.Int64
}

func (c tallied) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.wrote.Add(int64(n))
	return n, err
}

// send queues a batch that was built; its answer comes through answers, from any
// goroutine.
func (l *link) send(b *batch) {
	l.mu.Lock()
	l.queue = append(l.queue, b)
	l.mu.Unlock()
	l.poke()
}

func (l *link) poke() {
	l.wake.Raise()
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
			l.close()
		case <-ctx.Done():
			return
		}
		l.bury()
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
			l.request(batches)
		}
		idle.Reset(linkIdle)
	}
}

// bury closes the connection if it failed since.
func (l *link) bury() {
	if dead := l.dead.Swap(nil); dead != nil && dead == l.broker {
		l.close()
	}
}

func (l *link) close() {
	if l.broker != nil {
		_ = l.broker.Close()
		l.broker = nil
	}
}

// take is what goes into the next request: as much as may be joined, at least one.
func (l *link) take() []*batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	var bytes int64
	n, records := 0, 0
	for n < len(l.queue) {
		b := l.queue[n]
		if n > 0 && (bytes+b.bytes > linkBytes || records+len(b.in) > linkRecords) {
			break
		}
		bytes += b.bytes
		records += len(b.in)
		n++
	}
	if n == 0 {
		return nil
	}
	out := append([]*batch(nil), l.queue[:n]...)
	l.queue = append(l.queue[:0], l.queue[n:]...)
	return out
}

// request sends the batches; it has a slot.
func (l *link) request(batches []*batch) {
	if err := l.connect(); err != nil {
		<-l.free
		l.fail(batches, err)
		return
	}
	req := &sarama.ProduceRequest{RequiredAcks: sarama.WaitForAll, Timeout: int32(l.ack / time.Millisecond), Version: 8, TransactionalID: l.txn}
	l.packer.pack(batches)
	topic, plain := batches[0].p.topic, int64(0)
	for _, b := range batches {
		req.AddBatch(b.p.topic.name, b.p.num, &b.wire)
		plain += b.bytes
		if b.p.topic != topic {
			topic = nil
		}
	}
	broker, wrote := l.broker, l.wrote.Load()
	err := broker.AsyncProduce(req, func(resp *sarama.ProduceResponse, err error) { // on sarama's goroutine: it may not call the broker
		<-l.free
		if err != nil {
			l.dead.Store(broker)
			l.fail(batches, err)
			l.poke()
			return
		}
		answers := make([]answer, len(batches))
		for i, b := range batches {
			answers[i] = answer{b: b, offset: -1, start: -1, err: sarama.ErrIncompleteResponse}
			if block := resp.GetBlock(b.p.topic.name, b.p.num); block != nil {
				answers[i].offset, answers[i].start, answers[i].err = block.Offset, block.StartOffset, nil
				if block.Err != sarama.ErrNoError {
					answers[i].err = block.Err
				}
				if block.ErrorMessage != nil {
					answers[i].text = *block.ErrorMessage
				}
			}
		}
		l.answers(answers)
	})
	l.packer.reset() // the batches may be the callback's already
	if err != nil {
		<-l.free
		l.close() // part of it may have gone out
		l.fail(batches, err)
	} else if topic != nil {
		topic.packed(plain, l.wrote.Load()-wrote)
	}
}

// connect makes sure there is a connection. A broker that refuses is not asked again
// for a while, however many partitions want to.
func (l *link) connect() error {
	l.bury()
	if l.broker != nil {
		return nil
	}
	if time.Now().Before(l.after) {
		return l.last
	}
	b := sarama.NewBroker(l.addr)
	if err := connect(b, l.conf); err != nil {
		l.failed++
		l.last, l.after = err, time.Now().Add(retry.Backoff{First: 20 * time.Millisecond, Longest: time.Second}.Pause(l.failed))
		return err
	}
	l.broker, l.failed = b, 0
	return nil
}

func (l *link) fail(batches []*batch, err error) {
	answers := make([]answer, len(batches))
	for i, b := range batches {
		answers[i] = answer{b: b, offset: -1, start: -1, err: err}
	}
	l.answers(answers)
}
