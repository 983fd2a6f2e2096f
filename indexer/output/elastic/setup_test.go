package elastic

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/indexer/document"
	"github.com/sluicelog/sluice/indexer/internal/samples"
	"github.com/sluicelog/sluice/internal/estest"
)

func setupConfig(es *estest.Server) *config.Config {
	cfg := config.Default()
	o := config.DefaultOutput()
	o.Name, o.Index = "online", "sluice-{dataset}-{yyyy.MM.dd}"
	o.Elasticsearch.Hosts = []string{es.URL}
	cfg.Indexer.Outputs = []config.Output{o}
	return cfg
}

func TestSetup(t *testing.T) {
	es := estest.New()
	defer es.Close()
	cfg := setupConfig(es)
	run := func(want string) {
		t.Helper()
		var out bytes.Buffer
		if err := Setup(context.Background(), cfg, &out); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
	run(`online: lifecycle policy sluice: created
online: component template sluice@settings: created
online: component template sluice@mappings: created
online: component template sluice@custom: created
online: index template sluice: created
`)
	if puts := es.Counts().Puts; puts != 5 {
		t.Errorf("%d puts, want 5", puts)
	}
	if got := es.Put("/_index_template/sluice"); !strings.Contains(got, `"index_patterns":["sluice-*-*"]`) {
		t.Errorf("index template %s", got)
	}
	if got := es.Put("/_ilm/policy/sluice"); !strings.Contains(got, `"min_age":"30d"`) {
		t.Errorf("policy %s", got)
	}
	run(`online: lifecycle policy sluice: unchanged
online: component template sluice@settings: unchanged
online: component template sluice@mappings: unchanged
online: component template sluice@custom: unchanged (it is yours)
online: index template sluice: unchanged
`)
	if puts := es.Counts().Puts; puts != 5 {
		t.Errorf("%d puts after the second run, want 5", puts)
	}
	cfg.Indexer.Outputs[0].Template.Replicas = 2
	cfg.Indexer.Outputs[0].Template.DeleteAfter = 0
	run(`online: component template sluice@settings: updated
online: component template sluice@mappings: unchanged
online: component template sluice@custom: unchanged (it is yours)
online: index template sluice: unchanged
`)
	if got := es.Put("/_component_template/sluice@settings"); strings.Contains(got, "lifecycle") || !strings.Contains(got, `"number_of_replicas":2`) {
		t.Errorf("settings %s", got)
	}
}

func TestSetupWithoutLifecycle(t *testing.T) {
	es := estest.New()
	defer es.Close()
	es.Without("/_ilm")
	cfg := setupConfig(es)
	var out bytes.Buffer
	if err := Setup(context.Background(), cfg, &out); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "lifecycle policy sluice: left out") || !strings.Contains(got, "index template sluice: created") {
		t.Errorf("got %s", got)
	}
	if got := es.Put("/_component_template/sluice@settings"); strings.Contains(got, "lifecycle") {
		t.Errorf("settings ask for a lifecycle that the cluster does not have: %s", got)
	}
}

func TestSetupReportsErrors(t *testing.T) {
	es := estest.New()
	es.Close()
	cfg := setupConfig(es)
	cfg.Indexer.Outputs[0].Elasticsearch.Timeout = config.Duration(time.Second)
	err := Setup(context.Background(), cfg, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "output online: GET /_ilm/policy/sluice") {
		t.Errorf("error %v", err)
	}
}

// Two outputs on one cluster share the template, which is for the indices of both.
func TestSetupOfTwoOutputsOnOneCluster(t *testing.T) {
	es, far := estest.New(), estest.New()
	defer es.Close()
	defer far.Close()
	cfg := setupConfig(es)
	second := cfg.Indexer.Outputs[0]
	second.Name, second.Index = "audit", "audit-{yyyy.MM}"
	third := second
	third.Name, third.Index, third.Elasticsearch.Hosts = "far", "far-{yyyy}", []string{far.URL}
	cfg.Indexer.Outputs = append(cfg.Indexer.Outputs, second, third)
	for range 2 {
		if err := Setup(context.Background(), cfg, &bytes.Buffer{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := es.Put("/_index_template/sluice"); !strings.Contains(got, `"index_patterns":["sluice-*-*","audit-*"]`) {
		t.Errorf("index template %s", got)
	}
	if puts := es.Counts().Puts; puts != 5 {
		t.Errorf("%d puts, want 5", puts)
	}
	if got := far.Put("/_index_template/sluice"); !strings.Contains(got, `"index_patterns":["far-*"]`) {
		t.Errorf("index template %s", got)
	}
}

// Two configurations may write to one cluster.
func TestSetupKeepsThePatternsOfOthers(t *testing.T) {
	es := estest.New()
	defer es.Close()
	cfg := setupConfig(es)
	for _, index := range []string{"shop-{yyyy.MM.dd}", "bank-{yyyy.MM.dd}", "shop-{yyyy.MM.dd}"} {
		cfg.Indexer.Outputs[0].Index = index
		if err := Setup(context.Background(), cfg, &bytes.Buffer{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := es.Put("/_index_template/sluice"); !strings.Contains(got, `"index_patterns":["shop-*","bank-*"]`) {
		t.Errorf("index template %s", got)
	}
	if puts := es.Counts().Puts; puts != 6 {
		t.Errorf("%d puts, want 5 and one for the second pattern", puts)
	}
}

// Every field that sluice writes is mapped.
func TestMappingsHoldEveryField(t *testing.T) {
	props := dig(embedded("mappings"), "template", "mappings", "properties")
	f := func(field string) {
		t.Helper()
		at := props
		parts := strings.Split(field, ".")
		for i, p := range parts {
			m, ok := at[p].(map[string]any)
			if !ok {
				t.Errorf("%s is not mapped", field)
				return
			}
			if m["type"] == "flattened" || i == len(parts)-1 {
				return
			}
			at, _ = m["properties"].(map[string]any)
		}
	}
	pattern, err := document.NewPattern("sluice-{yyyy.MM.dd}")
	if err != nil {
		t.Fatal(err)
	}
	othersOwn := map[string]bool{"_mine": true, "ecs.version": true, "event.timezone": true, "fields": true, "input": true, "kubernetes.labels.a.b": true,
		"kubernetes.pod.name": true, "log.file.device_id": true, "log.file.inode": true, "process.x.y": true}
	for _, s := range samples.Records {
		if strings.HasPrefix(s.What, "foreign") { // these have what they like
			continue
		}
		e := document.NewEncoder(document.Options{Pattern: pattern, Zone: time.UTC, Codec: s.Codec})
		e.At(samples.ReadTime)
		r := s.Kafka()
		_, doc, _ := bytes.Cut(e.Append(nil, &r, "logs", 3), []byte("\n"))
		var v map[string]any
		if err := json.Unmarshal(doc, &v); err != nil {
			t.Fatal(err)
		}
		var walk func(prefix string, v map[string]any)
		walk = func(prefix string, v map[string]any) {
			for k, x := range v {
				if sub, ok := x.(map[string]any); ok {
					walk(prefix+k+".", sub)
				} else if prefix != "agent." && !othersOwn[prefix+k] {
					f(prefix + k)
				}
			}
		}
		walk("", v)
	}
}

// A dry run says what would be done and does nothing; with diff it says what differs.
func TestSetupDryRunAndDiff(t *testing.T) {
	es := estest.New()
	defer es.Close()
	cfg := setupConfig(es)
	try := func(diff bool) string {
		t.Helper()
		var out bytes.Buffer
		puts := es.Counts().Puts
		if err := SetupWith(context.Background(), cfg, &out, SetupOptions{DryRun: true, Diff: diff}); err != nil {
			t.Fatal(err)
		}
		if es.Counts().Puts != puts {
			t.Error("a dry run has changed something")
		}
		return out.String()
	}
	if got, want := try(false), `online: lifecycle policy sluice: would be created
online: component template sluice@settings: would be created
online: component template sluice@mappings: would be created
online: component template sluice@custom: would be created
online: index template sluice: would be created
`; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := try(true); !strings.Contains(got, "\n  + template.settings.index.number_of_replicas: \"1\"\n") || !strings.Contains(got, `  + index_patterns: ["sluice-*-*"]`) || strings.Contains(got, "\n  - ") {
		t.Errorf("diff of what is not there:\n%s", got)
	}
	if err := Setup(context.Background(), cfg, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	if got := try(true); strings.Contains(got, "would be") || strings.Contains(got, "  ") {
		t.Errorf("diff of what is the same:\n%s", got)
	}
	o := &cfg.Indexer.Outputs[0]
	o.Template.Replicas, o.Template.DeleteAfter, o.Index = 2, config.Duration(7*24*time.Hour), "other-{yyyy}"
	want := `online: lifecycle policy sluice: would be updated
  - policy.phases.delete.min_age: "30d"
  + policy.phases.delete.min_age: "7d"
online: component template sluice@settings: would be updated
  - template.settings.index.number_of_replicas: "1"
  + template.settings.index.number_of_replicas: "2"
online: component template sluice@mappings: unchanged
online: component template sluice@custom: unchanged (it is yours)
online: index template sluice: would be updated
  - index_patterns: ["sluice-*-*"]
  + index_patterns: ["sluice-*-*","other-*"]
`
	if got := try(true); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// What of a cluster does not go with the configuration is said, and so is what cannot be
// found out.
func TestCheck(t *testing.T) {
	f := func(health, settings, node string, change func(*config.Output), want ...string) {
		t.Helper()
		es := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer := map[string]string{"/_cluster/health": health, "/_cluster/settings": settings, "/_nodes/_local": node}[r.URL.Path]
			if answer == "" {
				w.WriteHeader(403)
				answer = `{"error":{"type":"security_exception","reason":"no"},"status":403}`
			}
			io.WriteString(w, answer)
		}))
		defer es.Close()
		o := config.DefaultOutput()
		o.Name, o.Elasticsearch.Hosts = "online", []string{es.URL}
		change(&o)
		cfg := config.Default()
		cfg.Indexer.Outputs = []config.Output{o}
		var out bytes.Buffer
		Check(context.Background(), cfg, &out)
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(want) == 0 && out.Len() > 0 || len(want) > 0 && len(lines) != len(want) {
			t.Errorf("%d lines, want %d:\n%s", len(lines), len(want), out.String())
			return
		}
		for i, w := range want {
			if !strings.HasPrefix(lines[i], "online: warning: ") || !strings.Contains(lines[i], w) {
				t.Errorf("%s\nwant %s", lines[i], w)
			}
		}
	}
	health, settings, data := `{"status":"green","number_of_data_nodes":3,"active_shards":100}`, `{"defaults":{"cluster":{"max_shards_per_node":"1000"}}}`, `{"nodes":{"x":{"name":"n1","roles":["data","ingest","master"]}}}`
	as := func(*config.Output) {}
	f(health, settings, data, as)
	f(health, settings, data, func(o *config.Output) { o.Template.Replicas = 3 }, "template.replicas is 3, which needs 4 data nodes, and the cluster has 3")
	f(health, settings, data, func(o *config.Output) { o.Template.Shards = 60 }, "template.shards is 60", "kept for 30 days")
	f(health, settings, data, func(o *config.Output) { o.Template.Shards = 60; o.Index = "all" }, "template.shards is 60")
	f(health, `{"persistent":{"cluster":{"max_shards_per_node":"34"}},"transient":{},"defaults":{"cluster":{"max_shards_per_node":"1000"}}}`, data, func(o *config.Output) { o.Template.Shards = 2 }, "there is no room for an index of 4")
	f(health, `{"persistent":{"cluster":{"max_shards_per_node":1}},"transient":{"cluster":{"max_shards_per_node":"500"}}}`, data, as)
	f(health, settings, `{"nodes":{"x":{"name":"m1","roles":["master"]}}}`, as, "node m1, which only masters")
	f(health, settings, `{"nodes":{"x":{"name":"m1","roles":["master","remote_cluster_client"]}}}`, as, "node m1, which only masters")
	f(health, settings, `{"nodes":{"x":{"name":"c1","roles":[]}}}`, as)
	f(health, settings, `{"nodes":{"x":{"name":"h1","roles":["data_hot","master"]}}}`, as)
	f("", settings, data, as, "shards are not checked against data nodes: answered 403 security_exception")
	f(health, "", data, as, "shards are not checked against the cluster's limit: ")
	f(health, settings, "", as, "is not checked: ")
}
