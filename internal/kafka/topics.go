package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/IBM/sarama"
)

// Topic is what a topic is like, or is to be like.
type Topic struct {
	Name        string
	Partitions  int32             // 0: of one that is read, there is none; of one to be made, as the cluster has it by default
	Replication int16             // 0: as Partitions
	Config      map[string]string // settings by Kafka's names, such as retention.ms
}

// DescribeTopics says what topics are like, in the order of their names given, with the
// settings asked for; those that do not exist have no partitions. Nothing is made by
// asking. It asks once, until ctx ends.
func DescribeTopics(ctx context.Context, c *Cluster, names, settings []string) ([]Topic, error) {
	var out []Topic
	err := c.ask(ctx, func(k *control) error {
		md, err := k.metadata(names, false)
		if err != nil {
			return err
		}
		var there []*sarama.ConfigResource
		for _, name := range names {
			m := md[name]
			switch {
			case errors.Is(m.err, sarama.ErrUnknownTopicOrPartition):
				m = topicMeta{}
			case m.err != nil:
				return fmt.Errorf("topic %s: %w", name, m.err)
			}
			out = append(out, Topic{Name: name, Partitions: int32(len(m.leaders)), Replication: m.copies, Config: map[string]string{}})
			if len(m.leaders) > 0 {
				there = append(there, &sarama.ConfigResource{Type: sarama.TopicResource, Name: name, ConfigNames: settings})
			}
		}
		if len(settings) == 0 || len(there) == 0 {
			return nil
		}
		return k.settings(there, out)
	})
	if err != nil {
		return nil, fmt.Errorf("read what topics of %s are like: %w", c.Name, err)
	}
	return out, nil
}

// settings reads the settings of topics into those of out.
func (k *control) settings(of []*sarama.ConfigResource, out []Topic) error {
	return k.any(func(b *sarama.Broker) error {
		resp, err := b.DescribeConfigs(&sarama.DescribeConfigsRequest{Version: 1, Resources: of})
		if err != nil {
			return err
		}
		for _, r := range resp.Resources {
			if code := sarama.KError(r.ErrorCode); code != sarama.ErrNoError {
				return fmt.Errorf("settings of topic %s: %w", r.Name, code)
			}
			for i := range out {
				for _, e := range r.Configs {
					if out[i].Name == r.Name {
						out[i].Config[e.Name] = e.Value
					}
				}
			}
		}
		return nil
	})
}

// CreateTopic makes a topic. It asks once, until ctx ends. Not made and no error: it is
// there already, of which DescribeTopics may not know yet if it is new.
func CreateTopic(ctx context.Context, c *Cluster, t Topic) (made bool, err error) {
	err = c.ask(ctx, func(k *control) error { return k.create(t) })
	switch {
	case errors.Is(err, sarama.ErrTopicAlreadyExists):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("create topic %s on %s: %w", t.Name, c.Name, err)
	}
	return true, nil
}

// Brokers is how many brokers the cluster has now.
func Brokers(ctx context.Context, c *Cluster) (n int, err error) {
	err = c.ask(ctx, func(k *control) error {
		_, err := k.metadata([]string{"__consumer_offsets"}, false)
		n = len(k.known)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read the brokers of %s: %w", c.Name, err)
	}
	return n, nil
}

// ask lets a question be asked until ctx ends, which also cuts what is under way.
func (c *Cluster) ask(ctx context.Context, question func(*control) error) error {
	k, end, err := c.control(ctx)
	if err != nil {
		return err
	}
	defer end()
	if err := question(k); err != nil {
		return errors.Join(err, ctx.Err())
	}
	return nil
}

// create asks the controller to make a topic.
func (k *control) create(t Topic) error {
	detail := &sarama.TopicDetail{NumPartitions: t.Partitions, ReplicationFactor: t.Replication, ConfigEntries: map[string]*string{}}
	if detail.NumPartitions == 0 {
		detail.NumPartitions = -1
	}
	if detail.ReplicationFactor == 0 {
		detail.ReplicationFactor = -1
	}
	for _, name := range slices.Sorted(maps.Keys(t.Config)) {
		value := t.Config[name]
		detail.ConfigEntries[name] = &value
	}
	addr, err := k.controller()
	if err != nil {
		return err
	}
	return k.at(addr, func(b *sarama.Broker) error {
		resp, err := b.CreateTopics(&sarama.CreateTopicsRequest{Version: 4, Timeout: 10 * time.Second, TopicDetails: map[string]*sarama.TopicDetail{t.Name: detail}})
		if err != nil {
			return err
		}
		if e := resp.TopicErrors[t.Name]; e != nil && e.Err != sarama.ErrNoError {
			if e.ErrMsg != nil {
				return fmt.Errorf("%q (%w)", *e.ErrMsg, e.Err)
			}
			return e.Err
		}
		return nil
	})
}
