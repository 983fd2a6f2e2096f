package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestValidate changes one thing of a good configuration and lists what is reported.
func TestValidate(t *testing.T) {
	f := func(role string, change func(*Config), want ...string) {
		t.Helper()
		c := Default()
		exampleEntries(c)
		c.Host = "web1"
		change(c)
		var got []string
		if err := c.Validate(role); err != nil {
			got = strings.Split(err.Error(), "\n")
		}
		if len(got) != len(want) {
			t.Errorf("got  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
			return
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("got  %s\nwant %s", got[i], want[i])
			}
		}
	}
	for _, role := range Roles {
		f(role, func(*Config) {})
	}
	cluster := func(change func(*Kafka)) func(*Config) {
		return func(c *Config) {
			k := c.Kafka["dc1"]
			change(&k)
			c.Kafka["dc1"] = k
		}
	}
	output := func(change func(*Output)) func(*Config) {
		return func(c *Config) { change(&c.Indexer.Outputs[0]) }
	}

	// Every role.
	f("shipper", func(c *Config) { c.Host = "" }, `host: expected a name without spaces, got ""`)
	f("indexer", func(c *Config) { c.DC = "a b" }, `dc: expected a name without spaces, got "a b"`)
	f("indexer", func(c *Config) { c.ShutdownTimeout = 0 }, "shutdown_timeout: expected at least 100ms, got 0s")
	f("indexer", func(c *Config) { c.Log.Level = "warning" }, `log.level: expected one of debug, info, warn, error, got "warning"; did you mean warn?`)
	f("indexer", func(c *Config) { c.Log.Format = "" }, `log.format: expected one of text, json, got ""`)
	f("indexer", func(c *Config) { c.Admin.Listen = "8686" }, `admin.listen: expected host:port, got "8686"`)
	f("indexer", func(c *Config) { c.Admin.Listen = "" })
	f("indexer", func(c *Config) { c.Admin.Listen = "127.0.0.1:0" })
	f("indexer", func(c *Config) { c.Statsd.Address = "h:99999" }, `statsd.address: expected host:port, got "h:99999"`)
	f("indexer", func(c *Config) { c.Statsd.MTU = 70000 }, "statsd.mtu: expected at most 65507, got 70000")
	f("indexer", func(c *Config) { c.Statsd.Prefix = "a..b" }, "statsd.prefix: expected letters")
	f("indexer", func(c *Config) { c.Statsd.Prefix = "" })
	// Kafka clusters that the role uses; others are not its business.
	f("shipper", cluster(func(k *Kafka) { k.Brokers = nil }), "kafka.dc1.brokers: missing")
	f("indexer", cluster(func(k *Kafka) { k.Brokers = nil }))
	f("shipper", cluster(func(k *Kafka) { k.Brokers = []string{"a:1", "a"} }), `kafka.dc1.brokers[1]: expected host:port, got "a"`)
	f("shipper", cluster(func(k *Kafka) { k.TLS.CAFile = "x" }), "kafka.dc1.tls.enabled: is false, but other keys of tls are set")
	f("shipper", cluster(func(k *Kafka) { k.TLS = TLS{Enabled: true, CertFile: "x"} }), "kafka.dc1.tls.cert_file: cert_file and key_file go together")
	f("shipper", cluster(func(k *Kafka) { k.SASL.Mechanism = "scram" }), "kafka.dc1.sasl.mechanism: expected one of none, plain, scram-sha-256,", "kafka.dc1.sasl.username", "kafka.dc1.sasl.password")
	f("shipper", cluster(func(k *Kafka) { k.SASL.Mechanism = "plain" }), "kafka.dc1.sasl.username: missing: mechanism plain needs it", "kafka.dc1.sasl.password: missing")
	f("shipper", cluster(func(k *Kafka) { k.SASL.Mechanism = "oauthbearer" }), "kafka.dc1.sasl.token_file: missing")
	f("shipper", cluster(func(k *Kafka) { k.SASL.Password = "x" }), "kafka.dc1.sasl.mechanism: is none, but other keys of sasl are set")
	f("shipper", func(c *Config) { c.Kafka["a b"], c.Shipper.Kafka = c.Kafka["dc1"], "a b" }, "kafka.a b: expected a cluster name")
	// Shipper.
	f("shipper", func(c *Config) { c.Shipper.Kafka = "" }, "shipper.kafka: missing: name a Kafka cluster; clusters under kafka are central, dc1")
	f("shipper", func(c *Config) { c.Shipper.Kafka = "dc2" }, `shipper.kafka: no Kafka cluster is named "dc2"; clusters under kafka are central, dc1`)
	f("shipper", func(c *Config) { c.Kafka = nil }, `shipper.kafka: no Kafka cluster is named "dc1"; none is defined under kafka`)
	f("shipper", func(c *Config) { c.DataDir = "" }, "data_dir: missing")
	f("shipper", func(c *Config) { c.Shipper.Topic = "a/b" }, `shipper.topic: expected a topic name of letters, digits, ., _ and -, got "a/b"`)
	f("shipper", func(c *Config) { c.Shipper.Topic = "" }, `shipper.topic: expected a topic name`)
	for _, from := range []string{"", "Marathon", "marathon:x", "label:", "env: X", "app", "label"} {
		f("shipper", func(c *Config) { c.Shipper.AppFrom = []string{"env:APP_NAME", from} }, `shipper.app_from[1]: expected marathon, chronos, name, image, label:NAME or env:NAME, got "`+from+`"`)
	}
	f("shipper", func(c *Config) { c.Shipper.PartitionBy = "key" }, "shipper.partition_by: expected one of host, source, spread")
	f("shipper", func(c *Config) { c.Shipper.MaxLine = 64 * MiB }, "shipper.max_line: expected at most produce.buffer (32MiB), got 64MiB")
	f("shipper", func(c *Config) { c.Shipper.MaxLine = 0 }, "shipper.max_line: expected at least 1KiB, got 0")
	f("shipper", func(c *Config) { c.Shipper.Poll = -1 }, "shipper.poll_interval: expected at least 10ms, got -1ns")
	f("shipper", func(c *Config) { c.Shipper.HoldDeleted = -1 }, "shipper.hold_deleted: expected at least 0s, got -1ns")
	f("shipper", func(c *Config) { c.Shipper.Produce.Linger = -1 }, "shipper.produce.linger: expected at least 0s")
	f("shipper", func(c *Config) { c.Shipper.Produce.BatchBytes = 64 * MiB }, "shipper.produce.buffer: expected at least batch_bytes (64MiB), got 32MiB")
	f("shipper", func(c *Config) { c.Shipper.Produce.Compression = "zst" }, "shipper.produce.compression: expected one of none, lz4, zstd, snappy, gzip, got \"zst\"; did you mean zstd?")
	f("shipper", func(c *Config) { c.Shipper.Files = nil }, "shipper.files: nothing to read")
	f("shipper", func(c *Config) { c.Shipper.Files, c.Shipper.Docker.Enabled = nil, true })
	f("shipper", func(c *Config) { c.Shipper.Files[0].Paths = nil }, "shipper.files[0].paths: missing")
	f("shipper", func(c *Config) { c.Shipper.Files[0].Paths = []string{"/a", "b"} }, `shipper.files[0].paths[1]: expected an absolute path, got "b"`)
	f("shipper", func(c *Config) { c.Shipper.Files[0].Paths = []string{"/a[", ""} }, "shipper.files[0].paths[0]: expected a glob", "shipper.files[0].paths[1]: expected a glob")
	f("shipper", func(c *Config) { c.Shipper.Multiline.Preset = "cobol" }, "shipper.multiline.preset: expected one of auto, none, java")
	f("shipper", func(c *Config) { c.Shipper.Multiline.Pattern = `^\s` })
	f("shipper", func(c *Config) { c.Shipper.Multiline.Pattern, c.Shipper.Multiline.Preset = `^\s`, "java" }, "shipper.multiline.pattern: is beside preset java")
	f("shipper", func(c *Config) { c.Shipper.Files[0].Multiline.Pattern = "(" }, "shipper.files[0].multiline.pattern: expected a regular expression")
	f("shipper", func(c *Config) { c.Shipper.Files[0].Multiline.Match = "between" }, "shipper.files[0].multiline.match: expected after or before")
	f("shipper", func(c *Config) { c.Shipper.Files[0].Codec = "json" }, "shipper.files[0].codec: expected one of plain, docker")
	f("shipper", func(c *Config) { c.Shipper.Files[0].Labels = map[string]string{"": "x"} }, "shipper.files[0].labels: a label has no name")
	f("shipper", func(c *Config) { c.Shipper.Docker.Enabled, c.Shipper.Docker.Endpoint = true, "/run/docker.sock" }, "shipper.docker.endpoint: expected unix:///path")
	f("shipper", func(c *Config) { c.Shipper.Docker.RootTo = "/x" }, "shipper.docker.root_from: root_from and root_to go together")
	f("shipper", func(c *Config) { c.Shipper.Docker.IncludeNames = []string{"[a"} }, "shipper.docker.include_names[0]: expected a glob")
	f("shipper", func(c *Config) { c.Indexer.Kafka, c.Aggregator.Sources = "none", nil })
	// Aggregator.
	f("aggregator", func(c *Config) { c.Aggregator.Sources = nil }, "aggregator.sources: missing")
	f("aggregator", func(c *Config) { c.Aggregator.Sources[0].Kafka = "x" }, `aggregator.sources[0].kafka: no Kafka cluster is named "x"`)
	f("aggregator", func(c *Config) { c.Aggregator.Sources[0].Topics = nil }, "aggregator.sources[0].topics: missing")
	f("aggregator", func(c *Config) { c.Aggregator.Sources[0].Topics = []string{"^(", "a b"} }, "aggregator.sources[0].topics[0]: error parsing regexp", "aggregator.sources[0].topics[1]: expected a topic name")
	f("aggregator", func(c *Config) { c.Aggregator.Sources[0].Group = "" }, "aggregator.sources[0].group: expected a consumer group name")
	f("aggregator", func(c *Config) { c.Aggregator.Sources = append(c.Aggregator.Sources, c.Aggregator.Sources[0]) }, "aggregator.sources[1].group: another source reads dc1 with the same group")
	f("aggregator", func(c *Config) { c.Aggregator.Sources[0].Kafka = "central" }, "aggregator.sources[0].topics: would read what the aggregator itself writes to central")
	f("aggregator", func(c *Config) { c.Aggregator.Sources[0].Kafka, c.Aggregator.Target.Topic = "central", "all" })
	f("aggregator", func(c *Config) {
		c.Aggregator.Sources[0].Kafka, c.Aggregator.Target.Topic, c.Aggregator.Sources[0].Topics = "central", "all", []string{"^a"}
	}, "aggregator.sources[0].topics: would read")
	f("aggregator", func(c *Config) { c.Aggregator.Sources[0].Start = "group" })
	f("aggregator", func(c *Config) { c.Aggregator.Sources[0].Start = "24h" })
	f("aggregator", func(c *Config) { c.Aggregator.Sources[0].Start = "latest" }, `aggregator.sources[0].start: expected earliest, group or a time such as 24h, got "latest"`)
	f("aggregator", func(c *Config) { c.Aggregator.Sources[0].Start = "-1h" }, "aggregator.sources[0].start: expected earliest, group or a time")
	f("aggregator", func(c *Config) { c.Aggregator.Delivery = "once" }, "aggregator.delivery: expected one of")
	f("aggregator", func(c *Config) { c.Aggregator.Lanes = 0 }, "aggregator.lanes: expected at least 1, got 0")
	f("aggregator", func(c *Config) { c.Aggregator.Target.Kafka = "" }, "aggregator.target.kafka: missing")
	f("aggregator", func(c *Config) { c.Aggregator.Target.Topic = "{dc}-{topic}" })
	f("aggregator", func(c *Config) { c.Aggregator.Target.Topic = "{dcs}" }, `aggregator.target.topic: "{dcs}" is no placeholder; known here are {topic}, {dc}`)
	f("aggregator", func(c *Config) { c.Aggregator.Target.Topic = "" }, "aggregator.target.topic: expected a topic name")
	f("aggregator", func(c *Config) { c.Aggregator.DeadLetterTopic = "" }, "aggregator.dead_letter_topic: expected a topic name")
	f("aggregator", func(c *Config) { c.Aggregator.Consume.SessionTimeout = Duration(time.Second) }, "aggregator.consume.session_timeout: expected at least 6s, got 1s")
	// Indexer.
	f("indexer", func(c *Config) { c.Indexer.Kafka = "" }, "indexer.kafka: missing")
	f("indexer", func(c *Config) { c.Indexer.Topics = nil }, "indexer.topics: missing")
	f("indexer", func(c *Config) { c.Indexer.Group = "a b" }, "indexer.group: expected a consumer group name")
	f("indexer", func(c *Config) { c.Indexer.DeadLetterTopic = "logs" }, "indexer.dead_letter_topic: is one of indexer.topics")
	f("indexer", func(c *Config) { c.Indexer.Outputs[0].Elasticsearch.Headers = map[string]string{"authorization": "x"} }, "indexer.outputs[0].elasticsearch.headers.authorization: is set by sluice; credentials belong in api_key, or username and password")
	f("indexer", func(c *Config) { c.Indexer.Outputs[0].Elasticsearch.Headers = map[string]string{"a b": "x"} }, "indexer.outputs[0].elasticsearch.headers.a b: expected a name and value of an HTTP header")
	f("indexer", func(c *Config) { c.Indexer.Outputs[0].Elasticsearch.Parameters = map[string]string{"filter_path": "x"} }, "indexer.outputs[0].elasticsearch.parameters.filter_path: is set by sluice, which needs all of an answer that it reads")
	f("indexer", func(c *Config) { c.Indexer.HeldTopic = "logs" }, "indexer.held_topic: is one of indexer.topics")
	f("indexer", func(c *Config) { c.Indexer.HeldTopic = "sluice-dead" }, "indexer.held_topic: is dead_letter_topic too")
	f("indexer", func(c *Config) { c.Indexer.HeldTopic = "a b" }, "indexer.held_topic: expected a topic name")
	f("indexer", func(c *Config) { c.Indexer.Outputs[0].IndexTimezone = "Berlin" }, "indexer.outputs[0].index_timezone: expected a name of the time zone database")
	f("indexer", func(c *Config) { c.Indexer.Topics = []string{"^.*dead$"} }, "indexer.dead_letter_topic: is one of indexer.topics")
	f("indexer", func(c *Config) { c.Indexer.Topics = []string{"^.*held$"} }, "indexer.held_topic: is one of indexer.topics")
	f("indexer", func(c *Config) { c.Indexer.Timezone = "Berlin" }, `indexer.timezone: expected a name of the time zone database such as UTC or Europe/Berlin, got "Berlin"`)
	f("indexer", func(c *Config) { c.Indexer.Timezone = "Europe/Berlin" })
	f("indexer", func(c *Config) { c.Indexer.Timezones[0].Timezone = "Berlin" }, `indexer.timezones[0].timezone: expected a name of the time zone database`)
	f("indexer", func(c *Config) { c.Indexer.Timezones[0].App = nil }, "indexer.timezones[0]: fits every event")
	f("indexer", func(c *Config) { c.Indexer.Codecs = map[string]string{"logs": "yaml"} }, "indexer.codecs.logs: expected one of ecs, filebeat, json, plain, syslog")
	f("indexer", func(c *Config) { c.Indexer.Codecs = map[string]string{"log": "ecs"} }, "indexer.codecs.log: is none of indexer.topics")
	f("indexer", func(c *Config) { c.Indexer.Consume.Buffer = KiB }, "indexer.consume.buffer: expected at least 1MiB, got 1KiB")
	f("indexer", func(c *Config) { c.Indexer.Outputs = nil }, "indexer.outputs: missing")
	f("indexer", output(func(o *Output) { o.Name = "" }), "indexer.outputs[0].name: missing")
	f("indexer", output(func(o *Output) { o.Name = "a/b" }), "indexer.outputs[0].name: expected a consumer group name")
	f("indexer", output(func(o *Output) { o.Name = "standby" }), `indexer.outputs[1].name: another output has the name "standby" too`)
	f("indexer", output(func(o *Output) { o.Elasticsearch.Hosts = nil }), "indexer.outputs[0].elasticsearch.hosts: missing")
	f("indexer", output(func(o *Output) {
		o.Elasticsearch.Hosts = []string{"es1:9200", "http://", "http://u:hunter2@e", "http://[a:hunter2"}
	}),
		"indexer.outputs[0].elasticsearch.hosts[0]: expected a URL such as http://es1:9200",
		"indexer.outputs[0].elasticsearch.hosts[1]: expected a URL",
		"indexer.outputs[0].elasticsearch.hosts[2]: a URL cannot hold user and password here; use username and password",
		"indexer.outputs[0].elasticsearch.hosts[3]: expected a URL")
	f("indexer", output(func(o *Output) { o.Elasticsearch.TLS.Enabled = true }), "indexer.outputs[0].elasticsearch.hosts[0]: expected https://", "indexer.outputs[0].elasticsearch.hosts[1]: expected https://")
	f("indexer", output(func(o *Output) { o.Elasticsearch.Username = "u" }), "indexer.outputs[0].elasticsearch.username: username and password go together")
	f("indexer", output(func(o *Output) { e := &o.Elasticsearch; e.Username, e.Password, e.APIKey = "u", "p", "k" }), "indexer.outputs[0].elasticsearch.api_key: api_key and username exclude each other")
	f("indexer", output(func(o *Output) { o.Elasticsearch.Compression = 10 }), "indexer.outputs[0].elasticsearch.compression: expected at most 9, got 10")
	f("indexer", output(func(o *Output) { o.Bulk.Concurrency = 9 }), "indexer.outputs[0].bulk.max_concurrency: expected at least concurrency (9), got 8")
	f("indexer", output(func(o *Output) { o.Bulk.RetryMax = Duration(time.Millisecond) }), "indexer.outputs[0].bulk.retry_max: expected at least retry_initial (500ms), got 1ms")
	f("indexer", output(func(o *Output) { o.Template.Shards = 0 }), "indexer.outputs[0].template.shards: expected at least 1, got 0")
	f("indexer", output(func(o *Output) { o.Template.DeleteAfter = 0 }))
	for _, good := range []string{"a", "logs-{dc}-{yyyy.MM}", "x-{dataset}-{app}-{yyyy-MM-dd}", "x-{yyyy}", "x-{dd}"} {
		f("indexer", output(func(o *Output) { o.Index = good }))
	}
	for bad, want := range map[string]string{
		"":                   "missing",
		"Logs":               "expected lower case outside of { }",
		"a b":                "an index name cannot hold",
		"_a":                 "an index name cannot start with _",
		"logs-{host}":        `"{host}" is no placeholder; known here are {yyyy.MM.dd}, {dc}, {dataset}, {app}`,
		"logs-{YYYY.MM.dd}":  `"{YYYY.MM.dd}" is no placeholder`,
		"logs-{yMd}":         `"{yMd}" is no placeholder`,
		"{dc}-logs":          "expected a fixed text first",
		"logs-{yyyy.MM.dd":   "{ and } do not match",
		"logs-{{yyyy.MM.dd}": "{ and } do not match",
	} {
		f("indexer", output(func(o *Output) { o.Index = bad }), "indexer.outputs[0].index: "+want)
	}
	if err := Default().Validate("shiper"); err == nil {
		t.Error("Validate took a role that there is not")
	}
}

// TestValidationNamesPositions: of the key, or of the nearest section in the file; and
// a key that has an error already gets no second one.
func TestValidationNamesPositions(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		_, err := Parse("f.yaml", []byte(text))
		if got := strings.Split(fmt.Sprint(err), "\n"); !reflect.DeepEqual(got, want) {
			t.Errorf("%q\ngot  %s\nwant %s", text, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		}
	}
	f("kafka:\n  a: {brokers: [x]}\nshipper:\n  kafka: b\n  files: [{paths: [/x]}]\n",
		`f.yaml:4:10: shipper.kafka: no Kafka cluster is named "b"; clusters under kafka are a`)
	f("kafka: {a: {brokers: [x]}}\n\nshipper:\n  kafka: a\n",
		`f.yaml:1:23: kafka.a.brokers[0]: expected host:port, got "x"`,
		"f.yaml:4:3: shipper.files: nothing to read: set docker.enabled or name files")
	f("shipper:\n  kafak: a\n  docker: {enabled: true}\n",
		"f.yaml:2:3: shipper.kafak: unknown key; did you mean kafka?")
	f("kafka: {a: {brokers: [x:1]}}\nshipper:\n  kafka: a\n  max_line: huge\n  files: {a: b}\n",
		`f.yaml:4:13: shipper.max_line: expected a size such as 512, 64KiB or 8MiB, got "huge"`,
		"f.yaml:5:10: shipper.files: expected a list such as [a, b], got a section")
}
