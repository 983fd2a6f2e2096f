package indexer

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicelog/sluice/indexer/bulk"
	"github.com/sluicelog/sluice/indexer/document"
	"github.com/sluicelog/sluice/indexer/output/elastic"
	"github.com/sluicelog/sluice/internal/deadletter"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/logonce"
	"github.com/sluicelog/sluice/internal/retry"
)

// held keeps what only its own index refuses in a topic, and tries it again from there:
// under the same id, for the same index, until it is stored.
//
//	elastic.Output -> letters -> held topic -> kafka.Group -> Batch -> elastic.Output
//	                               ^                            |
//	                               +--- while the index refuses +
//
// A letter that is not stored goes to the end of the topic before it is finished where
// it was, so the letters of one index do not hold up those of another, and retention
// runs from the last try. It is the Handler of its own consumer group.
type held struct {
	letters
	flow      *flow // its documents and output
	kafka     *kafka.Cluster
	topic     string
	group     *kafka.Group
	pause     time.Duration // before a letter is tried again; ten times that for one that has waited long
	there     atomic.Bool   // the topic exists
	retention atomic.Int64  // of the topic, in ns; 0: not known, or for ever
	said      logonce.Limit

	mu     sync.Mutex
	claims map[*kafka.Claim]*heldClaim // guarded by mu
}

// Open implements elastic.HeldLetters.
func (h *held) Open() bool { return h.there.Load() }

// run waits for the topic to exist, then reads it until ctx ends. It is not made here: a
// topic that nobody asked for has the wrong retention.
func (h *held) run(ctx context.Context) {
	var trouble logonce.State
	for ctx.Err() == nil && !h.there.Load() {
		switch exists, err := h.look(ctx); {
		case err != nil && ctx.Err() == nil && trouble.Failed(err.Error()):
			h.flow.log.Warn("cannot find out whether the held topic exists, trying again", "topic", h.topic, "error", err)
		case exists:
			h.there.Store(true)
		default:
			retry.Wait(ctx, h.pause)
		}
	}
	if ctx.Err() != nil {
		return
	}
	if err := h.group.Run(ctx); err != nil {
		h.flow.log.Error("cannot read the held topic", "topic", h.topic, "error", err)
	}
}

// look asks whether the topic exists, and for its retention.
func (h *held) look(ctx context.Context) (bool, error) {
	const retention = "retention.ms"
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	topics, err := kafka.DescribeTopics(ctx, h.kafka, []string{h.topic}, nil)
	if err != nil || topics[0].Partitions == 0 {
		return false, err
	}
	if topics, err = kafka.DescribeTopics(ctx, h.kafka, []string{h.topic}, []string{retention}); err != nil {
		return true, nil // a user who may not read settings may write
	}
	if ms, err := strconv.ParseInt(topics[0].Config[retention], 10, 64); err == nil && ms > 0 {
		h.retention.Store(int64(min(time.Duration(ms), time.Duration(1<<63-1)/time.Millisecond) * time.Millisecond))
	}
	return true, nil
}

// heldClaim is a partition of the held topic while it is ours. It finishes letters of
// several records.
type heldClaim struct {
	claim    *kafka.Claim
	part     *bulk.Partition // of which the heldClaim is the Marker
	reader   *deadletter.Reader
	encoders map[string]*document.Encoder // by codec
	chunk    bulk.Chunk
	parts    map[string]*openParts // of letters that are not complete, by where they were read

	mu      sync.Mutex
	taken   map[int64]*deadletter.Letter // not finished, by the offset of their last record; guarded by mu
	earlier map[int64][]int64            // offsets of their other parts; guarded by mu
}

// openParts are records that are parts of one letter.
type openParts struct {
	offsets []int64
	newest  time.Time
}

// Topic implements bulk.Marker.
func (k *heldClaim) Topic() string { return k.claim.Topic() }

// Partition implements bulk.Marker.
func (k *heldClaim) Partition() int32 { return k.claim.Partition() }

// DoneAll implements bulk.Marker.
func (k *heldClaim) DoneAll(from, to int64) {
	k.mu.Lock()
	var parts []int64
	for o := from; o < to; o++ {
		parts = append(parts, k.earlier[o]...)
		delete(k.earlier, o)
		delete(k.taken, o)
	}
	k.mu.Unlock()
	for _, o := range parts {
		k.claim.Done(o)
	}
	k.claim.DoneAll(from, to)
}

// letter is the one whose last record is at an offset, and that is not finished.
func (k *heldClaim) letter(offset int64) *deadletter.Letter {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.taken[offset]
}

// mostParts is how much of letters in parts a partition keeps in memory.
const mostParts = 32 << 20

// Assigned implements kafka.Handler.
func (h *held) Assigned(c *kafka.Claim) {
	k := &heldClaim{claim: c, reader: deadletter.NewReader(h.topic, mostParts), encoders: map[string]*document.Encoder{}, parts: map[string]*openParts{},
		taken: map[int64]*deadletter.Letter{}, earlier: map[int64][]int64{}}
	k.part = bulk.NewPartition(k)
	k.part.Held = true
	h.mu.Lock()
	defer h.mu.Unlock()
	h.claims[c] = k
}

func (h *held) claim(c *kafka.Claim) *heldClaim {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.claims[c]
}

// Batch implements kafka.RecordHandler: each letter of this output is tried when its time has
// come.
func (h *held) Batch(ctx context.Context, c *kafka.Claim, records []kafka.Record) {
	k := h.claim(c)
	defer k.chunk.Reset()
	for i := range records {
		r := &records[i]
		l := k.read(h, r)
		if l == nil {
			continue
		}
		h.warn(l)
		if wait := time.Until(h.due(l)); wait > 0 {
			if h.hand(ctx, k) != nil || retry.Wait(ctx, wait) != nil {
				return // the rest is read again
			}
		}
		h.try(k, l, r.Offset)
		if len(k.chunk.Buf) >= bulk.ChunkBytes && h.hand(ctx, k) != nil {
			return
		}
	}
	_ = h.hand(ctx, k) // what is not taken is read again
}

// hand hands over what was made.
func (h *held) hand(ctx context.Context, k *heldClaim) error {
	err := h.flow.output.Add(ctx, k.part, &k.chunk)
	k.chunk.Reset()
	return err
}

// due is when a letter is to be tried again.
func (h *held) due(l *deadletter.Letter) time.Time {
	return l.Died.Add(min(max(l.Died.Sub(l.Since), h.pause), 10*h.pause))
}

// try makes the document of a letter once more, or moves the letter on at once while its
// index is known to refuse.
func (h *held) try(k *heldClaim, l *deadletter.Letter, offset int64) {
	from := len(k.chunk.Buf)
	e := k.encoder(h.flow, l.Topic)
	e.At(time.Now())
	k.chunk.Buf = e.Append(k.chunk.Buf, &l.Record, l.Topic, l.Partition)
	h.flow.figures.encoded(e.Tally())
	index, _ := elastic.Target(k.chunk.Buf[from:])
	why := h.flow.output.Refuses(index, time.Now().Add(-h.pause))
	if e.Over() {
		h.flow.reportOverflow(index)
		why = &elastic.Refusal{Kind: tooManyIndices, Reason: "max_open_indices are open: " + index}
	}
	if why != nil {
		k.chunk.Buf = k.chunk.Buf[:from]
		next := *l
		h.sign(&next, why)
		next.Target = index
		k.part.Take(1)
		h.writer.Write(&next, &moved{k.part, offset})
		return
	}
	record := kafka.View{Offset: offset, Headers: kafka.RenderHeaders(l.Record.Headers)} // the letter has the rest
	k.chunk.Items = append(k.chunk.Items, bulk.Item{End: len(k.chunk.Buf), Partition: k.part, Record: record})
}

// encoder is that of the codec of a topic.
func (k *heldClaim) encoder(f *flow, topic string) *document.Encoder {
	codec := f.codecs[topic]
	if k.encoders[codec] == nil {
		k.encoders[codec] = f.newEncoder(codec)
	}
	return k.encoders[codec]
}

// moved is a letter on its way to the end of the topic.
type moved struct {
	partition *bulk.Partition
	offset    int64
}

// Stored is part of deadletter.Owner.
func (m *moved) Stored() { m.partition.Finish(m.offset, m.offset+1) }

// Dropped is part of deadletter.Owner.
func (m *moved) Dropped() { m.partition.Return(1) }

// Held is part of deadletter.Owner.
func (m *moved) Held(bool) {}

// Ended is part of deadletter.Owner.
func (m *moved) Ended() bool { return m.partition.Lost() }

// oldPart is how old a part is whose letter will not be completed: who wrote it has not
// committed its event, and wrote it again.
const oldPart = time.Hour

// read is the letter that a record completes, if it is one of the output's; all others
// are finished.
func (k *heldClaim) read(h *held, r *kafka.Record) *deadletter.Letter {
	for origin, p := range k.parts {
		if r.Time.Sub(p.newest) > oldPart {
			for _, o := range p.offsets {
				k.claim.Done(o)
			}
			delete(k.parts, origin)
		}
	}
	l, err := k.reader.Read(k.claim.Partition(), r)
	origin, output := deadletter.Origin(r)
	switch {
	case err != nil:
		if !errors.Is(err, deadletter.ErrNoLetter) || h.said.Allow("no letter") {
			h.flow.log.Error("a record of the held topic cannot be tried again, it is left out", "error", err)
		}
		k.claim.Done(r.Offset)
		return nil
	case output != h.output:
		k.claim.Done(r.Offset)
		return nil
	case l == nil:
		if k.parts[origin] == nil {
			k.parts[origin] = &openParts{}
		}
		k.parts[origin].offsets, k.parts[origin].newest = append(k.parts[origin].offsets, r.Offset), r.Time
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.parts[origin]; p != nil {
		k.earlier[r.Offset] = p.offsets
		delete(k.parts, origin)
	}
	k.taken[r.Offset] = l
	return l
}

// warn logs when the retention of the topic will soon delete letters that are not tried.
func (h *held) warn(l *deadletter.Letter) {
	if keep := time.Duration(h.retention.Load()); keep > 0 && time.Since(l.Died) > keep/2 && h.said.Allow("retention") {
		h.flow.log.Error("held events will be lost: the retention of the topic is about to delete them; raise retention.ms, or mend their index",
			"topic", h.topic, "index", l.Target, "held_since", l.Since, "retention", keep, "written", l.Died)
	}
}

// Revoked implements kafka.Handler.
func (h *held) Revoked(ctx context.Context, c *kafka.Claim) {
	k := h.claim(c)
	h.flow.drain(ctx, k.part)
	h.forget(c, k)
}

// Lost implements kafka.Handler.
func (h *held) Lost(c *kafka.Claim) { h.forget(c, h.claim(c)) }

func (h *held) forget(c *kafka.Claim, k *heldClaim) {
	k.part.Lose()
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.claims, c)
}
