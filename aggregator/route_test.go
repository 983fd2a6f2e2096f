package aggregator

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/kafka"
)

func TestRender(t *testing.T) {
	f := func(template, topic, dc, want string) {
		t.Helper()
		if got := render(template, topic, dc); got != want {
			t.Errorf("render(%q, %q, %q) = %q, want %q", template, topic, dc, got, want)
		}
	}
	f("{topic}", "logs", "dc1", "logs")
	f("all", "logs", "dc1", "all")
	f("{dc}.{topic}", "logs", "dc1", "dc1.logs")
	f("{dc}-{topic}", "logs", "../é {topic}", "..____topic_-logs")
	f("{dc}", "logs", strings.Repeat("x", 300), strings.Repeat("x", 249))
}

func TestCheckRefusesCircles(t *testing.T) {
	f := func(source, target, topics, to, wantErr string) {
		t.Helper()
		cfg := config.Default()
		cfg.Kafka = map[string]config.Kafka{
			"dc1":     {Brokers: []string{"k1:9092", "k2:9092"}},
			"central": {Brokers: []string{"c1:9092", "c2:9092"}},
			"alias":   {Brokers: []string{"other:9092", "K2"}}, // k2:9092 again
		}
		cfg.Aggregator.DeadLetterTopic = "sluice-dead"
		cfg.Aggregator.Target = config.Target{Kafka: target, Topic: to}
		cfg.Aggregator.Sources = []config.Source{{Kafka: source, Topics: strings.Fields(topics), Group: "g"}}
		err := check(cfg)
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
	if err := check(config.Default()); err == nil {
		t.Error("no sources: no error")
	}
}

func TestWithDC(t *testing.T) {
	label := []kafka.Header{{Key: dcKey, Value: []byte("dc1")}}
	f := func(headers, want, wantDC string) {
		t.Helper()
		var in []kafka.Header
		for _, h := range strings.Fields(headers) {
			k, v, _ := strings.Cut(h, "=")
			in = append(in, kafka.Header{Key: []byte(k), Value: []byte(v)})
		}
		with, dc, rest := withDC(in, label, nil, 3)
		got := ""
		for _, h := range with {
			got += fmt.Sprintf(" %s=%s", h.Key, h.Value)
		}
		if got[1:] != want || string(dc) != wantDC {
			t.Errorf("withDC(%s) = %s, dc %s, want %s, %s", headers, got[1:], dc, want, wantDC)
		}
		if len(rest)%(len(in)+1) != 0 || cap(with) != len(with) && len(rest) > 0 {
			t.Errorf("withDC(%s) leaves %d free, %d after it", headers, len(rest), cap(with)-len(with))
		}
	}
	f("", "dc=dc1", "dc1")
	f("app=x", "app=x dc=dc1", "dc1")
	f("app=x dc=dc2 y=", "app=x dc=dc2 y=", "dc2")
	f("dc=", "dc=", "")
	if with, _, rest := withDC(make([]kafka.Header, 10_000), label, nil, 4096); len(with) != 10_001 || len(rest) > 1024 {
		t.Errorf("a record of 10,000 headers has %d, and %d are free", len(with), len(rest))
	}
}

func BenchmarkWithDC(b *testing.B) {
	label := []kafka.Header{{Key: dcKey, Value: []byte("dc1")}}
	app := kafka.Header{Key: []byte("app"), Value: []byte("web")}
	for name, headers := range map[string][]kafka.Header{"none": nil, "other": {app}, "there": {app, label[0]}} {
		b.Run(name, func(b *testing.B) {
			const batch = 1000
			b.ReportAllocs()
			for b.Loop() {
				var free []kafka.Header
				for i := range batch {
					_, _, free = withDC(headers, label, free, batch-i)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/record")
		})
	}
}
