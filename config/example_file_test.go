package config

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

// exampleEntries puts into c what sluice.yaml shows besides defaults.
func exampleEntries(c *Config) {
	dc1, central := DefaultKafka(), DefaultKafka()
	dc1.Brokers = []string{"kafka1:9092", "kafka2:9092"}
	central.Brokers = []string{"central1:9092", "central2:9092"}
	c.Kafka = map[string]Kafka{"dc1": dc1, "central": central}

	files := DefaultFiles()
	files.Paths, files.Exclude = []string{"/var/log/nginx/*.log"}, []string{"/var/log/nginx/debug*.log"}
	files.Dataset, files.App, files.Labels = "nginx", "web", map[string]string{"tier": "edge"}
	c.Shipper.Kafka, c.Shipper.Files = "dc1", []Files{files}
	c.Shipper.Rules = []Rule{{Name: "health-checks", Match: Match{App: Texts{"web*"}, Text: "GET /healthz"}, Drop: true}}

	source := DefaultSource()
	source.Kafka = "dc1"
	c.Aggregator.Sources, c.Aggregator.Target.Kafka = []Source{source}, "central"

	online, standby := DefaultOutput(), DefaultOutput()
	online.Name, online.Elasticsearch.Hosts = "online", []string{"http://es1:9200", "http://es2:9200"}
	standby.Name, standby.Elasticsearch.Hosts = "standby", []string{"http://standby1:9200"}
	c.Indexer.Timezones = []Timezone{{App: []string{"none-such/*"}, Timezone: "Asia/Shanghai"}}
	c.Indexer.Kafka, c.Indexer.Outputs = "central", []Output{online, standby}
}

func loadExample(t *testing.T) *Config {
	t.Helper()
	c, err := parse("sluice.yaml", Example, testEnv, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestExampleShowsTheDefaults(t *testing.T) {
	got := loadExample(t)
	got.file = nil
	want := Default()
	want.Host = "web1"
	exampleEntries(want)
	// A list that is empty in the file and one that is absent mean the same.
	if a, b := marshal(t, got), marshal(t, want); a != b {
		t.Errorf("sluice.yaml and Default differ:\n%s", diff(a, b))
	}
}

// TestExampleHasEveryKey: a key is missing, or has no word of explanation.
func TestExampleHasEveryKey(t *testing.T) {
	c := loadExample(t)
	lines := strings.Split(string(Example), "\n")
	var walk func(typ reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		at, ok := c.file.at[path]
		if !ok {
			t.Errorf("sluice.yaml does not show %s", path)
			return
		}
		switch {
		case typ.Kind() == reflect.Struct:
			for _, k := range keys(typ) {
				walk(k.typ, join(path, k.name))
			}
		case typ.Kind() == reflect.Map && typ.Elem().Kind() == reflect.Struct:
			walk(typ.Elem(), join(path, "dc1"))
		case typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Struct:
			walk(typ.Elem(), entryPath(path, 0))
		default:
			line, above := lines[at.line-1], strings.TrimSpace(lines[at.line-2])
			if !strings.Contains(line, " # ") && !strings.HasPrefix(above, "# ") {
				t.Errorf("sluice.yaml:%d: %s has no comment", at.line, path)
			}
		}
	}
	c.file.at[""] = position{line: 1, column: 1}
	walk(reflect.TypeFor[Config](), "")
}

func TestMarshalReadsBack(t *testing.T) {
	c := Default()
	exampleEntries(c)
	c.Host, c.DC = `we"ird:#host`, "${N}$"
	c.Shipper.Labels = map[string]string{"a b": "1.10", "": "true", "<<": "~", "x": "two\nlines"}
	c.Indexer.Topics = []string{"^logs-.*$", "a,b", "- c"}
	c.Indexer.Codecs = map[string]string{"logs": "ecs"}
	text := marshal(t, c)
	got, err := load(text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if again := marshal(t, got); again != text {
		t.Errorf("written, read and written:\n%s", diff(again, text))
	}
	if !reflect.DeepEqual(got.Shipper.Labels, c.Shipper.Labels) || !reflect.DeepEqual(got.Indexer.Topics, c.Indexer.Topics) || got.DC != c.DC || got.Host != c.Host {
		t.Errorf("read back %q %q %q %q", got.Shipper.Labels, got.Indexer.Topics, got.DC, got.Host)
	}
}

func TestMarshalMasksSecrets(t *testing.T) {
	c := loadExample(t)
	k := c.Kafka["dc1"]
	k.SASL.Password = "hunter2"
	c.Kafka["dc1"] = k
	c.Indexer.Outputs[0].Elasticsearch.APIKey = "hunter2"
	text := marshal(t, c)
	if strings.Contains(text, "hunter2") || strings.Count(text, masked) != 2 {
		t.Errorf("secrets are not masked:\n%s", text)
	}
}

func marshal(t *testing.T, c *Config) string {
	t.Helper()
	b, err := Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(b))
}

// diff shows the lines that differ.
func diff(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	var out []string
	for i := range max(len(as), len(bs)) {
		var x, y string
		if i < len(as) {
			x = as[i]
		}
		if i < len(bs) {
			y = bs[i]
		}
		if x != y {
			out = append(out, "- "+x, "+ "+y)
		}
	}
	return strings.Join(out, "\n")
}
