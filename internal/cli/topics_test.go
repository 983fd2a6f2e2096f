package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sluicelog/sluice/config"
)

// setup makes the topics of the configuration that do not exist, once, and leaves those
// that do as they are.
func TestSetupMakesTopics(t *testing.T) {
	k, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.SeedTopics(3, "logs"))
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	cfg := config.Default()
	dc, central := config.DefaultKafka(), config.DefaultKafka()
	dc.Brokers, central.Brokers = k.ListenAddrs(), k.ListenAddrs()
	central.Topics = config.Topics{Partitions: 6, Replication: 1, MaxMessage: config.MiB, Retention: config.Duration(time.Hour), LetterRetention: config.Duration(2 * time.Hour)}
	cfg.Kafka = map[string]config.Kafka{"dc1": dc, "central": central}
	cfg.Shipper.Kafka, cfg.Shipper.Topic = "dc1", "fresh"
	cfg.Aggregator.Sources = []config.Source{{Kafka: "dc1", Topics: []string{"fresh", "^more-.*"}}}
	cfg.Aggregator.Target = config.Target{Kafka: "central", Topic: "{dc}-{topic}"}
	cfg.Indexer.Kafka, cfg.Indexer.Topics = "central", []string{"logs", "^x"}
	run := func(dry bool) string {
		t.Helper()
		var out bytes.Buffer
		if err := setUpTopics(t.Context(), cfg, &out, dry); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	what := func(does string) string {
		return `kafka central: topic dc1-fresh: ` + does + `: 6 partitions, 1 copies, max.message.bytes 1048576, retention.ms 3600000
kafka central: topic logs: unchanged (it is left as it is: partitions 3, configured 6; copies 2, configured 1`
	}
	letters := func(does string) string {
		return `kafka central: topic sluice-dead: ` + does + `: 1 partitions, 1 copies, max.message.bytes 1048576, retention.ms 7200000
kafka central: topic sluice-held: ` + does + `: 1 partitions, 1 copies, max.message.bytes 1048576, retention.ms 7200000
kafka dc1: topic fresh: ` + does + `: 12 partitions, 2 copies, max.message.bytes 4194304, retention.ms 259200000
`
	}
	for _, dry := range []bool{true, true, false} {
		does := map[bool]string{true: "would be created", false: "created"}[dry]
		if got := run(dry); !strings.HasPrefix(got, what(does)) || !strings.HasSuffix(got, letters(does)) {
			t.Errorf("got\n%swant\n%s...\n%s", got, what(does), letters(does))
		}
	}
	if got := run(false); strings.Contains(got, "created") || strings.Count(got, "unchanged\n") != 4 {
		t.Errorf("a second time:\n%s", got)
	}
	bad := config.DefaultKafka()
	bad.Brokers = []string{"127.0.0.1:1"}
	cfg.Kafka["dc1"] = bad
	var out bytes.Buffer
	if err := setUpTopics(t.Context(), cfg, &out, false); err == nil || !strings.Contains(err.Error(), "dc1") || !strings.Contains(out.String(), "kafka central: topic logs: unchanged") {
		t.Errorf("error %v, output\n%s", err, out.String())
	}
}
