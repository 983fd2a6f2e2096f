package deadletter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluicelog/sluice/internal/kafka"
)

// Unreadable is the reason of a letter whose value is a whole batch, as a broker has
// stored it, which cannot be read.
const Unreadable = "unreadable_batch"

// Batch is the letter of a batch that cannot be read. It copies the bytes. Its offset is
// the batch's first one that was not read; the record's time is not known, and is the
// letter's.
func Batch(p *kafka.Poison, cluster, role, output string) *Letter {
	now := time.Now()
	return &Letter{
		Record:  kafka.Record{Value: bytes.Clone(p.Bytes), Time: now, Offset: p.From},
		Cluster: cluster, Topic: p.Topic, Partition: p.Partition, Role: role, Output: output, Died: now,
		Reason: Unreadable, Error: fmt.Sprintf("offsets %d to %d: %v", p.From, p.To, p.Err),
	}
}

// Keep writes a letter and returns when the topic holds all of it. After an error, which
// is about ctx or the writer's end, it may hold it all the same.
func (w *Writer) Keep(ctx context.Context, l *Letter) error {
	k := keeper{ctx, make(chan error, 1)}
	w.Write(l, k)
	defer context.AfterFunc(ctx, w.Sweep)()
	select {
	case err := <-k.end:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// keeper is a caller of Keep; it is the letter's owner.
type keeper struct {
	ctx context.Context
	end chan error // cap 1
}

var errDropped = errors.New("the dead-letter topic did not take it in time")

// Stored is part of Owner.
func (k keeper) Stored() { k.end <- nil }

// Dropped is part of Owner.
func (k keeper) Dropped() { k.end <- errDropped }

// Held is part of Owner.
func (k keeper) Held(bool) {}

// Ended is part of Owner.
func (k keeper) Ended() bool { return k.ctx.Err() != nil }
