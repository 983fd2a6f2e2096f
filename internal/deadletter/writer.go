package deadletter

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/logonce"
	"github.com/sluicelog/sluice/internal/wake"
)

// Producer is what the writer needs of kafka.Producer.
type Producer interface {
	Ensure(ctx context.Context, topic string) (partitions int32, err error)
	Append(ctx context.Context, topic string, partition int32, r kafka.Record, tag kafka.Tag) error
}

// Owner answers for the record of a letter. Its methods are called from any goroutine,
// one at a time for one letter, and must not block or call the writer.
type Owner interface {
	// Stored: the topic holds all of the letter. It is the last call.
	Stored()
	// Dropped: the letter is not in the topic and never will be by this writer. It is
	// the last call.
	Dropped()
	// Held: the topic refuses the letter, which is tried again from time to time (true),
	// or it does no more (false, before one of the last calls).
	Held(held bool)
	// Ended reports whether the record is no longer its owner's to store, since its
	// partition is another's: the letter is then dropped.
	Ended() bool
}

// A letter that the topic refuses for its size is stored in parts, one after the other:
// of this size, far below any usual limit, then of half as much, down to the smallest.
const (
	partSize  = 64 << 10
	leastPart = 512
)

// Writer stores letters in a dead-letter topic. What the topic refuses for its size is
// cut; what it refuses all the same is tried again for ever, since an operator may mend
// the topic, and until then nothing after that record is to be committed.
type Writer struct {
	topic    string
	producer Producer
	retry    time.Duration
	log      *slog.Logger

	wake wake.Signal // there is something in queue, or an owner has ended
	mu   sync.Mutex
	// All below is guarded by mu.
	queue   []*mail               // to be sent
	refused []*mail               // to be sent again after retry
	holding map[place]int         // letters that hold a partition
	failing logonce.States[place] // partitions that are held
}

type place struct {
	cluster, topic string
	partition      int32
}

// mail is a letter on its way, of which one record at most is under way; it is the owner
// of that record's tag. It is in queue, in refused, or with the producer.
type mail struct {
	letter *Letter
	owner  Owner

	body   []byte // set once it has to be cut
	beside bool
	from   int  // of body: what is before is stored
	step   int  // size of a part; 0: whole
	held   bool // the topic refused it; guarded by the writer's mu
}

func (m *mail) place() place { return place{m.letter.Cluster, m.letter.Topic, m.letter.Partition} }

// record is what is to be sent next.
func (m *mail) record() kafka.Record {
	if m.step == 0 {
		return m.letter.stored()
	}
	return m.letter.part(m.body, m.beside, m.from, m.to())
}

func (m *mail) to() int { return min(m.from+m.step, len(m.body)) }

// cut makes the next part smaller; false: it is as small as can be.
func (m *mail) cut() bool {
	if m.step == 0 {
		if m.body == nil {
			m.body, m.beside = m.letter.body()
		}
		m.step = min(2*partSize, len(m.body))
	}
	size := m.to() - m.from
	m.step = max((min(size, m.step)+1)/2, leastPart)
	return size > leastPart
}

// NewWriter makes a writer of a topic; Run is what sends. A letter that is held is tried
// again after retry.
func NewWriter(topic string, p Producer, retry time.Duration, log *slog.Logger) *Writer {
	return &Writer{topic: topic, producer: p, retry: retry, log: log, wake: wake.New(), holding: map[place]int{}}
}

// Write takes a letter, which nobody may change from now on; it does not block. One call
// of the owner's Stored or Dropped follows.
func (w *Writer) Write(l *Letter, o Owner) { w.put(&mail{letter: l, owner: o}) }

func (w *Writer) put(m *mail) {
	w.mu.Lock()
	w.queue = append(w.queue, m)
	w.mu.Unlock()
	w.wake.Raise()
}

// Sweep has letters dropped whose owners have ended.
func (w *Writer) Sweep() { w.wake.Raise() }

// Waiting is how many letters are to be sent, and those that the topic refuses. What was
// handed to the producer is in neither.
func (w *Writer) Waiting() (queued int, held []*Letter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.refused {
		held = append(held, m.letter)
	}
	return len(w.queue), held
}

// Run sends until ctx ends.
func (w *Writer) Run(ctx context.Context) {
	again := time.NewTicker(w.retry)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-again.C:
			w.mu.Lock()
			w.queue, w.refused = append(w.queue, w.refused...), nil
			w.mu.Unlock()
		}
		w.drop(Owner.Ended)
		for m := w.next(); m != nil; m = w.next() {
			w.send(ctx, m)
		}
	}
}

// Close drops what is not stored. It is to be called when Run has returned and the
// producer is closed.
func (w *Writer) Close() { w.drop(func(Owner) bool { return true }) }

func (w *Writer) next() *mail {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		return nil
	}
	m := w.queue[0]
	w.queue = slices.Delete(w.queue, 0, 1)
	return m
}

// send hands a letter or its next part to the producer; Done hears what became of it.
func (w *Writer) send(ctx context.Context, m *mail) {
	partitions, err := int32(0), ctx.Err()
	if err == nil {
		partitions, err = w.producer.Ensure(ctx, w.topic)
	}
	if err == nil {
		err = w.producer.Append(ctx, w.topic, m.letter.Partition%max(partitions, 1), m.record(), kafka.Tag{Owner: m, Pos: m.letter.Record.Offset})
	}
	switch {
	case err != nil && (ctx.Err() != nil || errors.Is(err, kafka.ErrClosed)): // it is for Close to drop
		w.mu.Lock()
		w.refused = append(w.refused, m)
		w.mu.Unlock()
	case err != nil:
		w.hold(m, err)
	}
}

// Done is to be called by the producer's callback for each tag that may be the writer's;
// it reports false for any other. err is why the topic will never take the record.
func (w *Writer) Done(tag *kafka.Tag, err error) bool {
	m, ok := tag.Owner.(*mail)
	switch {
	case !ok:
		return false
	case err == nil && m.step > 0 && m.to() < len(m.body):
		m.from = m.to()
		w.put(m)
	case err == nil:
		w.release(m)
		m.owner.Stored()
	case errors.Is(err, kafka.ErrTooLarge) && m.cut():
		w.put(m)
	default:
		m.step = 0 // whoever mends the topic may do more than is needed: the next try is with all that is left
		if m.from > 0 {
			m.step = partSize
		}
		w.hold(m, err)
	}
	return true
}

// hold keeps what the topic refuses, to be sent again.
func (w *Writer) hold(m *mail, err error) {
	w.mu.Lock()
	w.refused = append(w.refused, m)
	if !m.held {
		m.held = true
		w.holding[m.place()]++
		m.owner.Held(true)
	}
	log := w.failing.Failed(m.place(), err.Error())
	w.mu.Unlock()
	if log {
		w.log.Error("partition held: the dead-letter topic refuses a letter, which is tried again; nothing after it is committed",
			append(m.letter.attrs(), "dead_letter_topic", w.topic, "error", err)...)
	}
	w.wake.Raise() // its owner may have ended meanwhile
}

// release undoes hold at the end of a letter.
func (w *Writer) release(m *mail) {
	var down time.Duration
	ended := false
	w.mu.Lock()
	if m.held {
		m.held = false
		at := m.place()
		if w.holding[at]--; w.holding[at] == 0 {
			delete(w.holding, at)
			down, ended = w.failing.OK(at)
		}
		m.owner.Held(false)
	}
	w.mu.Unlock()
	if ended {
		w.log.Info("partition no longer held", append(m.letter.attrs(), "dead_letter_topic", w.topic, "after", down)...)
	}
}

// drop ends the letters of owners that are not with the producer.
func (w *Writer) drop(of func(Owner) bool) {
	var dropped []*mail
	w.mu.Lock()
	end := func(m *mail) bool {
		if !of(m.owner) {
			return false
		}
		dropped = append(dropped, m)
		return true
	}
	w.queue, w.refused = slices.DeleteFunc(w.queue, end), slices.DeleteFunc(w.refused, end)
	w.mu.Unlock()
	for _, m := range dropped {
		w.release(m)
		m.owner.Dropped()
	}
}

// attrs are what a log says of a letter.
func (l *Letter) attrs() []any {
	return []any{"kafka", l.Cluster, "topic", l.Topic, "partition", l.Partition, "offset", l.Record.Offset, "bytes", len(l.Record.Value), "reason", l.Reason}
}
