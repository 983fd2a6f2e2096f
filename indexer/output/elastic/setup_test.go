package elastic

import (
	"bytes"
	"context"
	"encoding/json"
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
				} else if k != "ecs.version" && prefix != "agent." { // others' own
					f(prefix + k)
				}
			}
		}
		walk("", v)
	}
}
