// Package kafka is the only importer of sarama. It produces by the batch and
// consumes by the claim: the unit of work, of acknowledgement and of memory is a
// partition's batch, never a single record.
package kafka

import (
	"context"
	"log/slog"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/admin"
	"github.com/sluicelog/sluice/internal/kafka/wire"
	"github.com/sluicelog/sluice/internal/metrics"
)

// Cluster is how the clients of this package reach one Kafka cluster and where
// they tell what they see of it.
type Cluster struct {
	Name    string // of the configuration, for logs and metrics
	Config  config.Kafka
	Log     *slog.Logger
	Metrics *metrics.Registry
	Health  *admin.Dependency // told of every success and failure to reach the cluster

	timing *timing // nil: the usual; tests make it shorter
}

// Header is a record header.
type Header = wire.Pair

// Record is one Kafka record.
type Record struct {
	Key, Value []byte
	Headers    []Header
	Time       time.Time // create time, millisecond precision on the wire

	// Set on records that were fetched.
	Offset   int64
	Appended bool // Time was set by the broker (log append time), not by the producer
}

// Tag is what a stage wants back when a record of its own is acknowledged: which
// of its sources the record came from and a position in it. Owner is a pointer, so
// storing it allocates nothing.
type Tag struct {
	Owner any
	Pos   int64
}

// Size is how long a record's key and value are.
type Size struct{ Key, Value int32 }

// Result is the outcome of one produced batch. It and all it points to but Record are
// valid only during the callback.
type Result struct {
	Topic      string
	Partition  int32
	BaseOffset int64     // of the first record; -1 with Err
	Count      int       // of records
	Tags       []Tag     // one a record, in the order of Append; of a stored batch the one of AppendStored
	Sizes      []Size    // one a record; of a stored batch none
	Bytes      int64     // of all records as they travel, before compression; of a stored batch with it
	First      time.Time // of the first record
	Err        error     // nil: stored on all in-sync replicas. Otherwise no try can store this batch (it then holds one record): ErrTooLarge, ErrInvalidRecord
	Record     Record    // a copy of the one that cannot be stored, with ErrTooLarge and ErrInvalidRecord
}

// ProducerOptions are the choices of a producer.
type ProducerOptions struct {
	config.Produce
	TransactionalID string  // not empty: all batches go into transactions (Begin, Commit, Abort)
	Memory          *Memory // shared with other producers, instead of Buffer; nil: not shared

	// Done is called once for every batch, in order per partition, from a goroutine
	// of the producer. It must not call the producer's blocking methods.
	Done func(*Result)
}

// Handler is what a stage does with the partitions it is given, and one of RecordHandler,
// ViewHandler and BatchHandler, which say in what form it reads them. Calls for one
// partition never overlap and come in this order: Assigned, what is read, then Revoked
// or Lost; different partitions run in parallel. What is read comes in order. Blocking
// holds up this partition alone. Every record is to be finished once with Claim.Done.
type Handler interface {
	// Assigned comes before the first record of the claim.
	Assigned(c *Claim)
	// Revoked: the partition moves to another member. The stage should finish what
	// it has taken before ctx ends; what is Done when it returns is committed.
	Revoked(ctx context.Context, c *Claim)
	// Lost: the partition is already another member's; nothing more is committed.
	Lost(c *Claim)
}

// RecordHandler reads records, each of them with a slice of headers.
type RecordHandler interface {
	Handler
	// Batch hands over records. The slice is valid during the call; keys, values and
	// headers stay valid (they are garbage collected) and must not be written to.
	Batch(ctx context.Context, c *Claim, records []Record)
}

// View is a record as it is in the memory that it was unpacked to: it costs no
// allocation. Its bytes are valid until Claim.Done is called for it, and must not be
// written to. Those of a record that is not finished when its claim ends stay valid.
type View = wire.Record

// ViewHandler reads records as views.
type ViewHandler interface {
	Handler
	// Views hands over records. The slice is valid during the call.
	Views(ctx context.Context, c *Claim, records []View)
}

// Stored is a batch as a broker has stored it, which nobody has opened.
type Stored struct {
	wire.Header
	// Bytes is all of it; its CRC was found right. It is valid as long as a View, and its
	// header may be written to (wire.Readdress).
	Bytes []byte
}

// Records hands the records of the batch to f, one after the other, as views that are
// valid during the call. limit is the most bytes of one. It ends with the first error, of
// f or of a batch that cannot be unpacked.
func (s *Stored) Records(limit int, f func(*View) error) error {
	return wire.EachRecord(s.Bytes, limit, f)
}

// BatchHandler takes batches unopened where it can, to send them on. Those of aborted
// transactions and the ends of transactions are left out. What it does not take comes as
// views, and so does what cannot be taken as it is: a batch in which reading begins, one of
// which a part was compacted away, and what sarama has to fetch, from brokers or of formats that
// are too old. Its records have the times that their producers gave them, whatever time the log
// has given them.
type BatchHandler interface {
	ViewHandler
	// Takes says whether a batch is to come by Stored. It is asked once for each.
	Takes(c *Claim, s *Stored) bool
	// Stored hands over a batch. It is finished with all its offsets.
	Stored(ctx context.Context, c *Claim, s *Stored)
}

// Poison is a batch that cannot be read: damaged, packed by no codec that there is, or
// with a record that needs more memory than config.Consume allows.
type Poison struct {
	Topic     string
	Partition int32
	From, To  int64  // its offsets, To included
	Bytes     []byte // as stored, valid during the call
	Err       error
}
