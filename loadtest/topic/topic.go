// Package topic makes, deletes and measures topics of Kafka.
package topic

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Create makes a topic with the cluster's default replication, unless it is there.
func Create(ctx context.Context, brokers []string, topic string, partitions int) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return err
	}
	defer cl.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, int32(partitions), -1
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	}
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	return nil
}

// Delete deletes a topic; one that is not there is no error.
func Delete(ctx context.Context, brokers []string, topic string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return err
	}
	defer cl.Close()
	req := kmsg.NewPtrDeleteTopicsRequest()
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.Topic = &topic
	req.TopicNames, req.Topics = []string{topic}, append(req.Topics, t)
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	}
	if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("delete topic %s: %w", topic, err)
	}
	return nil
}

// Codec is the compression of batches by its name: lz4 (also if empty), none, zstd, snappy, gzip.
func Codec(name string) (kgo.CompressionCodec, error) {
	switch name {
	case "", "lz4":
		return kgo.Lz4Compression(), nil
	case "none":
		return kgo.NoCompression(), nil
	case "zstd":
		return kgo.ZstdCompression(), nil
	case "snappy":
		return kgo.SnappyCompression(), nil
	case "gzip":
		return kgo.GzipCompression(), nil
	}
	return kgo.CompressionCodec{}, fmt.Errorf("compression %q is none of none, lz4, zstd, snappy, gzip", name)
}

// Counter counts the records of a topic by its end offsets, which costs a broker nothing.
type Counter struct {
	cl         *kgo.Client
	topic      string
	partitions int
}

// NewCounter counts a topic of so many partitions; Close ends its client.
func NewCounter(brokers []string, topic string, partitions int) (*Counter, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	return &Counter{cl, topic, partitions}, err
}

// Count is how many records the topic has now.
func (c *Counter) Count(ctx context.Context) (int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = c.topic
	for p := range int32(c.partitions) {
		part := kmsg.NewListOffsetsRequestTopicPartition()
		part.Partition, part.Timestamp = p, -1
		t.Partitions = append(t.Partitions, part)
	}
	req.Topics = append(req.Topics, t)
	sum := int64(0)
	for _, shard := range c.cl.RequestSharded(ctx, req) {
		if shard.Err != nil {
			return 0, shard.Err
		}
		for _, t := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return 0, err
				}
				sum += p.Offset
			}
		}
	}
	return sum, nil
}

// Close ends the client.
func (c *Counter) Close() { c.cl.Close() }

// Ends are where a reader of committed records finds nothing more.
func Ends(ctx context.Context, brokers, topics []string) (map[Partition]int64, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := endsRequest(ctx, cl, topics)
	if err != nil {
		return nil, err
	}
	ends := map[Partition]int64{}
	for _, shard := range cl.RequestSharded(ctx, req) {
		if shard.Err != nil {
			return nil, shard.Err
		}
		for _, t := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return nil, fmt.Errorf("%s/%d: %w", t.Topic, p.Partition, err)
				}
				ends[Partition{t.Topic, p.Partition}] = p.Offset
			}
		}
	}
	return ends, nil
}

// endsRequest asks for all partitions of the topics.
func endsRequest(ctx context.Context, cl *kgo.Client, topics []string) (*kmsg.ListOffsetsRequest, error) {
	about := kmsg.NewPtrMetadataRequest()
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		about.Topics = append(about.Topics, t)
	}
	known, err := about.RequestWith(ctx, cl)
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.IsolationLevel = 1 // committed
	for _, t := range known.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return nil, fmt.Errorf("%s: %w", *t.Topic, err)
		}
		ask := kmsg.NewListOffsetsRequestTopic()
		ask.Topic = *t.Topic
		for _, p := range t.Partitions {
			part := kmsg.NewListOffsetsRequestTopicPartition()
			part.Partition, part.Timestamp = p.Partition, -1
			ask.Partitions = append(ask.Partitions, part)
		}
		req.Topics = append(req.Topics, ask)
	}
	return req, nil
}

// Partition is one of a topic.
type Partition struct {
	Topic     string
	Partition int32
}
