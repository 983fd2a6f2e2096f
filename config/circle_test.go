package config

import (
	"strings"
	"testing"
)

func TestTargetTopic(t *testing.T) {
	f := func(template, topic, dc, want string) {
		t.Helper()
		if got := TargetTopic(template, topic, dc); got != want {
			t.Errorf("TargetTopic(%q, %q, %q) = %q, want %q", template, topic, dc, got, want)
		}
	}
	f("{topic}", "logs", "dc1", "logs")
	f("all", "logs", "dc1", "all")
	f("{dc}.{topic}", "logs", "dc1", "dc1.logs")
	f("{dc}-{topic}", "logs", "../é {topic}", "..____topic_-logs")
	f("{dc}", "logs", strings.Repeat("x", 300), strings.Repeat("x", 249))
}

// TestCircles: an aggregator does not relay what it writes itself, also if the cluster
// has two names.
func TestCircles(t *testing.T) {
	cluster := func(brokers ...string) Kafka {
		k := DefaultKafka()
		k.Brokers = brokers
		return k
	}
	f := func(source, target, topics, to, wantErr string) {
		t.Helper()
		cfg := Default()
		cfg.Host = "web1"
		cfg.Kafka = map[string]Kafka{
			"dc1":     cluster("k1:9092", "k2:9092"),
			"central": cluster("c1:9092", "c2:9092"),
			"alias":   cluster("other:9092", "K2:9092"), // k2:9092 again
		}
		cfg.Aggregator.DeadLetterTopic = "sluice-dead"
		cfg.Aggregator.Target = Target{Kafka: target, Topic: to}
		cfg.Aggregator.Sources = []Source{{Kafka: source, Topics: strings.Fields(topics), Group: "g", Start: StartEarliest}}
		err := cfg.Validate("aggregator")
		if (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("from %s %s to %s %s: %v, want %q", source, topics, target, to, err, wantErr)
		}
	}
	f("dc1", "central", "logs", "{topic}", "")
	f("dc1", "central", "^.*", "{topic}", "")
	f("dc1", "dc1", "logs", "{topic}", "circle")
	f("dc1", "alias", "logs", "{topic}", "circle")
	f("alias", "dc1", "logs", "logs", "circle")
	f("dc1", "dc1", "logs", "all", "")
	f("dc1", "dc1", "logs", "{dc}-{topic}", "")
	f("dc1", "dc1", "logs all", "all", "circle")
	f("dc1", "dc1", "a dc1-a", "{dc}-{topic}", "circle")
	f("dc1", "dc1", "^logs", "logs-all", "circle")
	f("dc1", "dc1", "^logs", "{topic}", "circle")
	f("dc1", "dc1", "^logs", "all-{topic}", "") // each topic is looked at when it is known
	f("dc1", "dc1", "logs sluice-dead", "all", "circle")
	f("dc1", "nowhere", "logs", "all", "aggregator.target.kafka")
	f("nowhere", "central", "logs", "all", "aggregator.sources")
	f("dc1", "central", "^lo(gs", "all", "missing closing")
	if err := Default().Validate("aggregator"); err == nil {
		t.Error("no sources: no error")
	}
	if !SameCluster(map[string]Kafka{"a": {Brokers: []string{"K2"}}, "b": {Brokers: []string{"k2:9092"}}}, "a", "b") {
		t.Error("K2 is not k2:9092")
	}
}
