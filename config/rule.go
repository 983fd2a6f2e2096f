package config

import (
	"strings"

	"github.com/sluicelog/sluice/internal/rule"
)

// Match is which events are meant: all that is named has to fit. Of a list one has to fit;
// an entry after a ! must not.
type Match struct {
	App     Texts            `yaml:"app"`     // service.name: globs, /RE2/, ! for not
	Dataset Texts            `yaml:"dataset"` // event.dataset
	DC      Texts            `yaml:"dc"`      // data centre
	Host    Texts            `yaml:"host"`    // host.name
	Labels  map[string]Texts `yaml:"labels"`  // labels.*, by name
	Topic   Texts            `yaml:"topic"`   // topic of the records
	Stream  Texts            `yaml:"stream"`  // stdout, stderr
	Level   Texts            `yaml:"level"`   // log.level, in the indexer
	Text    string           `yaml:"text"`    // RE2, anywhere in the message
}

// Rule is what is done with events: one action. Of each kind of action the first rule that
// matches acts.
type Rule struct {
	Name   string            `yaml:"name"`   // it is counted by
	Match  Match             `yaml:"match"`  // which events; empty: all
	Drop   bool              `yaml:"drop"`   // they are not sent on
	Sample string            `yaml:"sample"` // this part is sent on, such as 1/10
	Mask   Texts             `yaml:"mask"`   // replaced in the message: card, token, email, id, /RE2/
	With   string            `yaml:"with"`   // of mask: name, hash, last4
	Limit  Limit             `yaml:"limit"`  // no more than this a second
	By     string            `yaml:"by"`     // of sample: line, source, text (its first capture); of limit: rule, app, container, file
	Count  bool              `yaml:"count"`  // counted, and nothing else
	Route  string            `yaml:"route"`  // in a pipeline: name of the output, or index
	Label  map[string]string `yaml:"label"`  // labels.* that they get
}

// Limit is how much may come.
type Limit struct {
	Events int      `yaml:"events"` // a second; 0: any number
	Bytes  Bytes    `yaml:"bytes"`  // a second, as read; 0: any number
	Burst  Duration `yaml:"burst"`  // what comes in this time may come at once; 0: 1s
	Over   string   `yaml:"over"`   // what is over the limit: delay (it waits, the default) or drop
}

// Spec is the match as internal/rule has it.
func (m *Match) Spec() rule.Match {
	out := rule.Match{App: m.App, Dataset: m.Dataset, DC: m.DC, Host: m.Host, Topic: m.Topic, Stream: m.Stream, Level: m.Level, Text: m.Text}
	if len(m.Labels) > 0 {
		out.Labels = map[string][]string{}
		for name, list := range m.Labels {
			out.Labels[name] = list
		}
	}
	return out
}

// Spec is the rule as internal/rule has it.
func (r *Rule) Spec() rule.Spec {
	return rule.Spec{
		Name: r.Name, Match: r.Match.Spec(), Drop: r.Drop, Count: r.Count, Sample: r.Sample, By: r.By, Mask: r.Mask, With: r.With, Route: r.Route, Label: r.Label,
		Limit: rule.Rate{Events: float64(r.Limit.Events), Bytes: float64(r.Limit.Bytes), Burst: r.Limit.Burst.D().Seconds(), Over: r.Limit.Over},
	}
}

// Stages that have rules.
var (
	// ShipperRules is what the shipper knows and can do.
	ShipperRules = rule.Stage{
		Name:   "the shipper",
		Fields: rule.FieldApp | rule.FieldDataset | rule.FieldDC | rule.FieldHost | rule.FieldLabels | rule.FieldTopic | rule.FieldStream,
		Kinds:  rule.KindsOf(rule.Count, rule.Drop, rule.Sample, rule.Limit, rule.Mask),
		Limits: []rule.By{rule.ByApp, rule.ByContainer, rule.ByFile},
	}
)

// Rules makes the rules of a stage that were judged to be right.
func Rules(stage rule.Stage, list []Rule) (*rule.Set, error) {
	set, faults := rule.New(stage, specs(list))
	if len(faults) > 0 {
		return nil, faults[0]
	}
	return set, nil
}

func specs(list []Rule) []rule.Spec {
	out := make([]rule.Spec, len(list))
	for i := range list {
		out[i] = list[i].Spec()
	}
	return out
}

func (k *checker) rules(key string, stage rule.Stage, list []Rule) {
	_, faults := rule.New(stage, specs(list))
	for _, f := range faults {
		at := entryPath(key, f.Rule)
		if f.Key != "" {
			at += "." + f.Key
		}
		k.fail(at, "%s", strings.TrimSpace(f.Msg))
	}
}
