package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/kafka"
)

// Names of topics' settings.
const (
	maxMessage = "max.message.bytes"
	retention  = "retention.ms"
)

// setUpTopics makes the topics of the configuration that do not exist, and writes to out
// what it did, or with dry what it would do. A topic that exists is left as it is, and what
// of it is not as configured is said. A cluster that does not answer is an error, and the
// others are set up all the same.
func setUpTopics(ctx context.Context, cfg *config.Config, out io.Writer, dry bool) error {
	var errs []error
	want := topicsOf(cfg)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		c := &kafka.Cluster{Name: name, Config: cfg.Kafka[name], Log: slog.New(slog.DiscardHandler)}
		if err := setUpCluster(ctx, c, want[name], out, dry); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// setupTime is for the topics of one cluster.
const setupTime = time.Minute

func setUpCluster(ctx context.Context, c *kafka.Cluster, want []kafka.Topic, out io.Writer, dry bool) error {
	ctx, cancel := context.WithTimeout(ctx, setupTime)
	defer cancel()
	brokers, err := kafka.Brokers(ctx, c)
	if err != nil {
		return err
	}
	var names []string
	for _, t := range want {
		names = append(names, t.Name)
	}
	have, err := kafka.DescribeTopics(ctx, c, names, []string{maxMessage, retention})
	if err != nil {
		return err
	}
	for i, t := range want {
		if t.Replication == 0 {
			t.Replication = int16(min(3, max(brokers, 1)))
		}
		say := func(what string) { fmt.Fprintf(out, "kafka %s: topic %s: %s\n", c.Name, t.Name, what) }
		is := fmt.Sprintf("%d partitions, %d copies, %s %s, %s %s", t.Partitions, t.Replication, maxMessage, t.Config[maxMessage], retention, t.Config[retention])
		switch {
		case have[i].Partitions > 0:
			say("unchanged" + differs(&t, &have[i]))
		case dry:
			say("would be created: " + is)
		default:
			made, err := kafka.CreateTopic(ctx, c, t)
			switch {
			case err != nil:
				return err
			case made:
				say("created: " + is)
			default:
				say("unchanged, somebody else has just made it")
			}
		}
	}
	return nil
}

// differs says what of a topic is not as configured.
func differs(want, have *kafka.Topic) string {
	var is []string
	note := func(name, w, h string) {
		if w != h && h != "" {
			is = append(is, fmt.Sprintf("%s %s, configured %s", name, h, w))
		}
	}
	note("partitions", strconv.Itoa(int(want.Partitions)), strconv.Itoa(int(have.Partitions)))
	note("copies", strconv.Itoa(int(want.Replication)), strconv.Itoa(int(have.Replication)))
	note(maxMessage, want.Config[maxMessage], have.Config[maxMessage])
	note(retention, want.Config[retention], have.Config[retention])
	if len(is) == 0 {
		return ""
	}
	return " (it is left as it is: " + strings.Join(is, "; ") + ")"
}

// topicsOf are the topics that the parts of the configuration read and write, by cluster,
// in order. Those that are named by a regular expression alone are for others to make.
func topicsOf(cfg *config.Config) map[string][]kafka.Topic {
	out := map[string][]kafka.Topic{}
	add := func(cluster, name string, letters bool) {
		if name == "" || cluster == "" || strings.HasPrefix(name, "^") || slices.ContainsFunc(out[cluster], func(t kafka.Topic) bool { return t.Name == name }) {
			return
		}
		c := cfg.Kafka[cluster].Topics
		t := kafka.Topic{Name: name, Partitions: int32(c.Partitions), Replication: int16(c.Replication)}
		keep := c.Retention
		if letters {
			t.Partitions, keep = max(t.Partitions/4, 1), c.LetterRetention
		}
		t.Config = map[string]string{maxMessage: strconv.FormatInt(int64(c.MaxMessage), 10), retention: strconv.FormatInt(keep.D().Milliseconds(), 10)}
		out[cluster] = append(out[cluster], t)
	}
	if s := &cfg.Shipper; s.Kafka != "" {
		add(s.Kafka, s.Topic, false)
	}
	a := &cfg.Aggregator
	for _, s := range a.Sources {
		for _, topic := range s.Topics {
			add(s.Kafka, topic, false)
			if !strings.HasPrefix(topic, "^") {
				add(a.Target.Kafka, strings.NewReplacer("{topic}", topic, "{dc}", cmp.Or(s.DC, s.Kafka)).Replace(a.Target.Topic), false)
			}
		}
	}
	if len(a.Sources) > 0 {
		add(a.Target.Kafka, a.DeadLetterTopic, true)
	}
	ix := &cfg.Indexer
	for _, topic := range ix.Topics {
		add(ix.Kafka, topic, false)
	}
	add(ix.Kafka, ix.DeadLetterTopic, true)
	add(ix.Kafka, ix.HeldTopic, true)
	for _, topics := range out {
		slices.SortFunc(topics, func(x, y kafka.Topic) int { return cmp.Compare(x.Name, y.Name) })
	}
	return out
}
