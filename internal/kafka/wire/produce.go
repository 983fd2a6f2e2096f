package wire

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ProduceKey is the number of the request that brings batches.
const ProduceKey = 0

// Produce is a request that stores batches, at most one for each partition.
type Produce struct {
	Version       int16 // 3 to 8; zstd takes 7
	TransactionID *string
	Ack           time.Duration // for the replicas, measured by the broker
	Batches       []Addressed
}

// Addressed is a batch and where it goes. Those of one topic are next to each other.
type Addressed struct {
	Topic     string
	Partition int32
	Batch     *Batch
}

// Stored is what became of a batch.
type Stored struct {
	Code   int16 // 0: stored
	Offset int64 // of its first record; -1 unknown
	Start  int64 // of the log; -1 unknown
	Text   string
	Missed bool // the answer says nothing of it
}

// Body is the request's body, for a Frame: the batches are in it as they are, not copied.
func (p *Produce) Body() [][]byte {
	head := make([]byte, 0, 64+48*len(p.Batches))
	if p.TransactionID == nil {
		head = be.AppendUint16(head, 0xffff)
	} else {
		head = appendString(head, *p.TransactionID, false)
	}
	head = be.AppendUint16(head, 0xffff) // all replicas
	head = be.AppendUint32(head, uint32(p.Ack/time.Millisecond))
	topics := 0
	for i := range p.Batches {
		if i == 0 || p.Batches[i].Topic != p.Batches[i-1].Topic {
			topics++
		}
	}
	head = be.AppendUint32(head, uint32(topics))
	body := make([][]byte, 0, 2*len(p.Batches))
	for i := range p.Batches {
		b := &p.Batches[i]
		if i == 0 || b.Topic != p.Batches[i-1].Topic {
			n := i + 1
			for n < len(p.Batches) && p.Batches[n].Topic == b.Topic {
				n++
			}
			head = appendString(head, b.Topic, false)
			head = be.AppendUint32(head, uint32(n-i))
		}
		head = be.AppendUint32(head, uint32(b.Partition))
		head = be.AppendUint32(head, uint32(b.Batch.Size()))
		body = append(body, head, b.Batch.Bytes())
		head = head[len(head):]
	}
	return body
}

// Answer reads the answer: what became of each batch, in their order, and how long the
// broker wants no more.
func (p *Produce) Answer(body []byte) ([]Stored, time.Duration, error) {
	resp := kmsg.ProduceResponse{Version: p.Version}
	if err := resp.ReadFrom(body); err != nil {
		return nil, 0, fmt.Errorf("answer to a produce request: %w", err)
	}
	out := make([]Stored, len(p.Batches))
	for i := range p.Batches {
		out[i] = stored(&resp, p.Batches[i].Topic, p.Batches[i].Partition)
	}
	return out, time.Duration(resp.ThrottleMillis) * time.Millisecond, nil
}

// stored finds a partition in an answer.
func stored(resp *kmsg.ProduceResponse, topic string, partition int32) Stored {
	for i := range resp.Topics {
		if resp.Topics[i].Topic != topic {
			continue
		}
		for j := range resp.Topics[i].Partitions {
			r := &resp.Topics[i].Partitions[j]
			if r.Partition != partition {
				continue
			}
			s := Stored{Code: r.ErrorCode, Offset: r.BaseOffset, Start: r.LogStartOffset}
			if r.ErrorMessage != nil {
				s.Text = *r.ErrorMessage
			}
			return s
		}
	}
	return Stored{Offset: -1, Start: -1, Missed: true}
}
