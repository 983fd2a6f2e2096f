package generate

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicelog/sluice/internal/jsontext"
	"github.com/sluicelog/sluice/loadtest/topic"
	"github.com/sluicelog/sluice/schemas"
)

// KafkaWriter produces lines as events of sluice, as the shipper would have, so that
// an aggregator or an indexer has something to read. Source n goes to partition
// n % Partitions, in order.
type KafkaWriter struct {
	Topic      string
	Partitions int
	Host       string // of the events; the dc is dc1

	client  *kgo.Client
	ledger  Ledger
	sources []*eventSource
	arena   []byte
	text    []byte
	err     atomic.Pointer[error]
}

type eventSource struct {
	offset  int64
	place   schemas.Place
	key     []byte
	tail    *schemas.Tail
	headers []kgo.RecordHeader
}

// NewKafkaWriter makes the topic if need be. Compression is none, lz4, zstd, snappy or gzip.
func NewKafkaWriter(ctx context.Context, brokers []string, into string, partitions int, compression string) (*KafkaWriter, error) {
	if err := topic.Create(ctx, brokers, into, partitions); err != nil {
		return nil, err
	}
	codec, err := topic.Codec(compression)
	if err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec),
		kgo.ProducerBatchMaxBytes(1<<20), kgo.MaxBufferedRecords(200_000), kgo.MaxBufferedBytes(64<<20), kgo.ProducerLinger(10*time.Millisecond))
	if err != nil {
		return nil, err
	}
	return &KafkaWriter{Topic: into, Partitions: partitions, Host: "loadtest", client: cl}, nil
}

// Ledger is what was written so far. Bytes are those of the lines with their newlines.
func (k *KafkaWriter) Ledger() *Ledger { return &k.ledger }

// WriteNext waits when 64 MiB are not yet acknowledged.
func (k *KafkaWriter) WriteNext(l *Lines) error {
	if err := k.err.Load(); err != nil {
		return *err
	}
	m := l.Next()
	s := k.source(m)
	k.text = l.AppendText(k.text[:0])
	size := int64(len(k.text)) + 1
	at := m.At()
	if cap(k.arena)-len(k.arena) < 2*len(k.text)+2048 {
		k.arena = make([]byte, 0, 1<<20)
	}
	from := len(k.arena)
	message := jsontext.Append(nil, k.text)
	k.arena = schemas.AppendEvent(k.arena, &schemas.Line{ID: s.place.Line(s.offset).Add(k.text).ID(at), Time: at, Message: message, Stream: "stdout", Offset: s.offset, Size: size}, s.tail)
	k.client.Produce(context.Background(), &kgo.Record{
		Topic: k.Topic, Partition: int32(m.Source % k.Partitions), Key: s.key, Value: k.arena[from:len(k.arena):len(k.arena)], Headers: s.headers, Timestamp: time.Now(),
	}, k.acknowledged)
	k.ledger.Add(m, s.offset, size)
	s.offset += size
	return nil
}

func (k *KafkaWriter) acknowledged(_ *kgo.Record, err error) {
	if err != nil {
		err = fmt.Errorf("produce to %s: %w", k.Topic, err)
		k.err.CompareAndSwap(nil, &err)
	}
}

func (k *KafkaWriter) source(m Mark) *eventSource {
	for m.Source >= len(k.sources) {
		k.sources = append(k.sources, nil)
	}
	if s := k.sources[m.Source]; s != nil {
		return s
	}
	id := ContainerID(m.Run, m.Source)
	app := fmt.Sprintf("/prod/app-%d", m.Source)
	source := schemas.SourceID(k.Host, "docker", id)
	s := &eventSource{
		key:   []byte(source),
		place: schemas.NewPlace(source, "", "stdout"),
		tail: schemas.NewTail(&schemas.Source{
			Path: "/var/lib/docker/containers/" + id + "/" + id + "-json.log", ContainerID: id, ContainerName: fmt.Sprintf("mesos-lt%06d", m.Source), Image: "registry/app:1",
			ContainerLabels: map[string]string{"team": "order"}, TaskID: fmt.Sprintf("prod_app-%d.%s", m.Source, id[:8]), AppID: app, AppVersion: "2026-11-20T10:00:00.000Z",
			Host: k.Host, DC: "dc1",
		}),
		headers: []kgo.RecordHeader{{Key: schemas.HeaderDC, Value: []byte("dc1")}, {Key: schemas.HeaderApp, Value: []byte(app)}},
	}
	k.sources[m.Source] = s
	return s
}

// Flush does nothing: batches go out by themselves.
func (k *KafkaWriter) Flush(time.Time) error { return nil }

// Close waits until all is acknowledged.
func (k *KafkaWriter) Close() error {
	err := k.client.Flush(context.Background())
	k.client.Close()
	if failed := k.err.Load(); failed != nil {
		return *failed
	}
	return err
}
