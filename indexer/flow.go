package indexer

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/sluicelog/sluice/indexer/bulk"
	"github.com/sluicelog/sluice/indexer/document"
	"github.com/sluicelog/sluice/indexer/output/elastic"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/logonce"
	"github.com/sluicelog/sluice/internal/retry"
)

// flow is the way from Kafka to one cluster: a consumer group, of which it is the
// Handler, and an output.
//
//	kafka.Group -> Views -> partition.encoder -> chunk -> elastic.Output -> Claim.DoneAll
//	                                                           |
//	                                                       letters -> Claim.DoneAll
type flow struct {
	log          *slog.Logger
	figures      *figures
	codecs       map[string]string // by topic
	documents    document.Options  // but for the codec
	group        *kafka.Group
	groupOptions kafka.GroupOptions
	output       *elastic.Output
	dead         *letters
	pause        time.Duration      // until an index is tried again that may not be opened
	said         logonce.Limit      // of errors
	held         *held              // nil: there is no held topic
	stop         context.CancelFunc // ends sending

	mu         sync.Mutex
	partitions map[*kafka.Claim]*partition // guarded by mu
}

// partition is a partition while it is ours.
type partition struct {
	*bulk.Partition
	encoder *document.Encoder // used by Views alone
	headers []kafka.Header    // of the record that is being encoded; the same
}

func newBareFlow(log *slog.Logger, fig *figures) *flow {
	return &flow{log: log, figures: fig, partitions: map[*kafka.Claim]*partition{}}
}

func (f *flow) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var greeting, holding sync.WaitGroup
	greeting.Go(f.output.Greet)
	if f.held != nil {
		holding.Go(func() { f.held.run(ctx) })
	}
	err := f.group.Run(ctx)
	stop()
	holding.Wait()
	f.close()
	greeting.Wait()
	return err
}

func (f *flow) close() {
	f.stop()
	f.output.Flush() // of a partition that was lost: given back
	f.output.Wait()
	if err := f.dead.close(); err != nil {
		f.log.Warn("close the dead-letter producer", "error", err)
	}
	if f.held != nil {
		if err := f.held.close(); err != nil {
			f.log.Warn("close the producer of held events", "error", err)
		}
	}
}

// Assigned implements kafka.Handler.
func (f *flow) Assigned(k *kafka.Claim) {
	p := f.newPartition(k, f.codecs[k.Topic()])
	f.mu.Lock()
	defer f.mu.Unlock()
	f.partitions[k] = p
}

func (f *flow) newPartition(m bulk.Marker, codec string) *partition {
	return &partition{Partition: bulk.NewPartition(m), encoder: f.newEncoder(codec)}
}

func (f *flow) newEncoder(codec string) *document.Encoder {
	o := f.documents
	o.Codec = codec
	return document.NewEncoder(o)
}

func (f *flow) partition(k *kafka.Claim) *partition {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.partitions[k]
}

// Views implements kafka.ViewHandler: parsing runs in the partition's own goroutine, into
// a chunk that is then copied to the bulk being filled.
func (f *flow) Views(ctx context.Context, k *kafka.Claim, records []kafka.View) {
	f.take(ctx, f.partition(k), records)
}

const headersKept = 64 // of a record at most; their room serves the next one

var chunks = sync.Pool{New: func() any { return new(bulk.Chunk) }}

func (f *flow) take(ctx context.Context, p *partition, records []kafka.View) {
	ch := chunks.Get().(*bulk.Chunk)
	p.encoder.At(time.Now())
	topic, number := p.Topic(), p.Marker.Partition()
	for i := range records {
		if records[i].Value == nil { // in a topic that is compacted: a key is deleted
			f.figures.tombstones.Inc()
			p.DoneAll(records[i].Offset, records[i].Offset+1)
		} else if p.encode(ch, &records[i], topic, number); p.encoder.Over() && f.overflow(ctx, p, ch, &records[i], topic, number) != nil {
			ch.Reset()
			break // the rest is read again
		}
		if len(ch.Items) == 0 || len(ch.Buf) < bulk.ChunkBytes && i < len(records)-1 {
			continue
		}
		err := f.output.Add(ctx, p.Partition, ch)
		ch.Reset()
		if err != nil {
			break // the rest is read again
		}
	}
	f.figures.encoded(p.encoder.Tally())
	if f.documents.Open != nil {
		f.figures.open.Set(float64(f.documents.Open.Len()))
	}
	if cap(ch.Buf) <= 4*bulk.ChunkBytes {
		chunks.Put(ch)
	}
}

// encode appends the lines of a record to a chunk.
func (p *partition) encode(ch *bulk.Chunk, v *kafka.View, topic string, number int32) {
	r := kafka.RecordOf(v, p.headers[:0])
	ch.Buf = p.encoder.Append(ch.Buf, &r, topic, number)
	ch.Items = append(ch.Items, bulk.Item{End: len(ch.Buf), Partition: p.Partition, Record: *v})
	if n := len(r.Headers); n > cap(p.headers) && n <= headersKept {
		p.headers = r.Headers
	}
	if len(r.Value) > bulk.ChunkBytes/2 {
		p.encoder.Shed(bulk.ChunkBytes)
	}
}

// overflow takes the last document out of a chunk, whose index is one too many to be open,
// and holds its record, or waits until the index may be opened and puts it back. An error is
// that ctx has ended.
func (f *flow) overflow(ctx context.Context, p *partition, ch *bulk.Chunk, v *kafka.View, topic string, number int32) error {
	for p.encoder.Over() {
		last := len(ch.Items) - 1
		from := 0
		if last > 0 {
			from = ch.Items[last-1].End
		}
		item, lines := ch.Items[last], ch.Buf[from:]
		index, _ := elastic.Target(lines)
		f.reportOverflow(index)
		if f.held != nil && f.held.Open() {
			p.Take(1)
			f.figures.output.Read.Inc()
			f.figures.output.InFlight.Add(1)
			f.held.Write(&item, &elastic.Refusal{Kind: tooManyIndices, Reason: "max_open_indices are open: " + index}, lines)
			ch.Buf, ch.Items = ch.Buf[:from], ch.Items[:last]
			return nil
		}
		ch.Buf, ch.Items = ch.Buf[:from], ch.Items[:last]
		err := f.output.Add(ctx, p.Partition, ch)
		ch.Reset()
		if err == nil {
			err = retry.Wait(ctx, f.pause)
		}
		if err != nil {
			return err
		}
		p.encoder.At(time.Now())
		p.encode(ch, v, topic, number)
	}
	return nil
}

// tooManyIndices is why an event is held that no server has refused.
const tooManyIndices = "too_many_open_indices"

func (f *flow) reportOverflow(index string) {
	if f.said.Allow(tooManyIndices) {
		f.log.Error("events wait: their indices are more than may be open at a time; raise max_open_indices of the output, or take a part such as {app} out of its index",
			"index", index, "max_open_indices", f.documents.Open.Most())
	}
}

// Revoked implements kafka.Handler: what is in bulks is sent, and its outcome awaited.
func (f *flow) Revoked(ctx context.Context, k *kafka.Claim) {
	p := f.partition(k)
	defer f.forget(k, p)
	f.drain(ctx, p.Partition)
}

// drain sends what was taken of a partition, and waits for its outcome until ctx ends.
func (f *flow) drain(ctx context.Context, p *bulk.Partition) {
	for p.Open() > 0 {
		f.output.Flush()
		f.dead.flush()
		if f.held != nil {
			f.held.flush()
		}
		select {
		case <-p.Idle():
		case <-time.After(50 * time.Millisecond): // letters may have been written since
		case <-ctx.Done():
			f.log.Warn("a partition is given up with events unfinished, they will be read again", "topic", p.Topic(), "partition", p.Marker.Partition(), "events", p.Open())
			return
		}
	}
}

// Lost implements kafka.Handler.
func (f *flow) Lost(k *kafka.Claim) { f.forget(k, f.partition(k)) }

func (f *flow) forget(k *kafka.Claim, p *partition) {
	p.Lose()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.partitions, k)
}

// status is the section of /status.
func (f *flow) status() any {
	var held any
	if f.held != nil && f.held.Open() {
		held = f.held.group.Status()
	}
	return struct {
		Group any `json:"group"`
		Held  any `json:"held,omitempty"`
		elastic.Status
	}{f.group.Status(), held, f.output.Status()}
}
