package indexer

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/indexer/bulk"
	"github.com/sluicelog/sluice/indexer/document"
	"github.com/sluicelog/sluice/indexer/output/elastic"
	"github.com/sluicelog/sluice/internal/admin"
	"github.com/sluicelog/sluice/internal/deadletter"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/metrics"
)

// Replayer indexes dead letters again, by the code that indexes their records: with the
// parsers and the mapping of today, and the ids they would have had. Send serves one
// goroutine.
type Replayer struct {
	output  *elastic.Output
	codecs  map[string]string
	options document.Options
	done    func(*deadletter.Letter, error)
	stop    context.CancelFunc

	encoders map[string]*document.Encoder // by codec
	chunk    bulk.Chunk
	open     sync.WaitGroup // letters without an outcome
	known    events         // that were there
}

// events is a counter that can be read.
type events struct{ n atomic.Int64 }

func (e *events) Inc()          { e.n.Add(1) }
func (e *events) Add(n float64) { e.n.Add(int64(n)) }

// NewReplayer replays to one output of the indexer until Close. done is called once for
// each letter that has an outcome, from any goroutine: nil if it is indexed, else why the
// output refuses it for good. What has no outcome at Close was given up.
func NewReplayer(cfg *config.Config, o *config.Output, log *slog.Logger, done func(*deadletter.Letter, error)) (*Replayer, error) {
	ix := &cfg.Indexer
	r := &Replayer{codecs: ix.Codecs, done: done, encoders: map[string]*document.Encoder{}}
	var err error
	if r.options, err = documents(ix, o); err != nil {
		return nil, err
	}
	fig := newFigures(metrics.New("dead", cfg.Host), o.Name)
	fig.output.Duplicate = &r.known
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	health := admin.NewState("dead").Need("elasticsearch " + o.Name)
	r.output, err = elastic.New(ctx, elastic.Options{Config: o, Log: log.With("output", o.Name), Figures: fig.output, Health: health, Dead: refusedAgain{}})
	if err != nil {
		stop()
		return nil, err
	}
	return r, nil
}

// Duplicates is how many letters were found to be indexed before, under the same id.
func (r *Replayer) Duplicates() int64 { return r.known.n.Load() }

// Document is the index and the id that a letter would have, and its document.
func (r *Replayer) Document(l *deadletter.Letter) (index, id string, source []byte) {
	lines := r.lines(nil, l)
	index, id = elastic.Target(lines)
	for i, c := range lines {
		if c == '\n' {
			return index, id, lines[i+1 : len(lines)-1]
		}
	}
	return index, id, nil
}

func (r *Replayer) lines(dst []byte, l *deadletter.Letter) []byte {
	codec := r.codecs[l.Topic]
	e := r.encoders[codec]
	if e == nil {
		o := r.options
		o.Codec = codec
		e = document.NewEncoder(o)
		r.encoders[codec] = e
	}
	e.At(time.Now())
	return e.Append(dst, &l.Record, l.Topic, l.Partition)
}

// Send hands a letter over, waiting for room until ctx ends.
func (r *Replayer) Send(ctx context.Context, l *deadletter.Letter) error {
	p := bulk.NewPartition(&replayed{r: r, letter: l})
	r.chunk.Buf = r.lines(r.chunk.Buf, l)
	r.chunk.Items = append(r.chunk.Items, bulk.Item{End: len(r.chunk.Buf), Partition: p, Record: kafka.View{Offset: l.Record.Offset}})
	defer r.chunk.Reset()
	r.open.Add(1)
	if err := r.output.Add(ctx, p, &r.chunk); err != nil {
		r.open.Done()
		return fmt.Errorf("replay to %s: %w", r.output.Config.Name, err)
	}
	return nil
}

// Trouble is why the output refuses what can be mended; empty: it does not.
func (r *Replayer) Trouble() string { return r.output.Trouble() }

// Drain waits until each letter has its outcome, or ctx ends.
func (r *Replayer) Drain(ctx context.Context) error {
	idle := make(chan struct{})
	go func() {
		r.open.Wait()
		close(idle)
	}()
	for {
		r.output.Flush()
		select {
		case <-idle:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond): // what was refused for now waits to be sent again
		}
	}
}

// Close gives up what has no outcome.
func (r *Replayer) Close() {
	r.stop()
	r.output.Flush()
	r.output.Wait()
}

// replayed is a letter on its way; it is what the output knows as its partition.
type replayed struct {
	r      *Replayer
	letter *deadletter.Letter
	why    error
}

func (m *replayed) Topic() string    { return m.letter.Topic }
func (m *replayed) Partition() int32 { return m.letter.Partition }

// DoneAll implements bulk.Marker.
func (m *replayed) DoneAll(int64, int64) {
	m.r.done(m.letter, m.why)
	m.r.open.Done()
}

// refusedAgain takes letters that are refused for good once more.
type refusedAgain struct{}

// Write implements elastic.DeadLetters.
func (refusedAgain) Write(it *bulk.Item, why *elastic.Refusal, _ []byte) {
	m := it.Partition.Marker.(*replayed)
	again := *why
	m.why = &again
	it.Partition.Finish(it.Record.Offset, it.Record.Offset+1)
}

// SameCause reports whether a letter was refused again as it was before.
func SameCause(l *deadletter.Letter, why error) bool {
	r, ok := why.(*elastic.Refusal)
	return ok && (r.Kind == l.Reason || r.Kind == "" && l.Status == r.Status)
}
