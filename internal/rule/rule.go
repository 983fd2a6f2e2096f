// Package rule decides what becomes of an event by rules that an operator wrote: drop it,
// keep one of many, mask what nobody may read, limit, route, label or count it. It knows
// no stage, no clock and no metric: a stage says which fields it knows and which actions
// it can take, shows each event, and does what the verdict says.
//
//	Spec -> New -> Set -> View of a source -> Judge.Judge(event) -> Verdict
//
// A rule matches an event if all that it names fits. Of each kind of action the first
// rule that matches acts, so narrow rules are written before wide ones. What a rule
// decides on is the event alone (limits apart), so an event read again is judged the same.
package rule

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is an action.
type Kind uint8

// Kinds, in the order in which they act: what is dropped is counted before, and what is
// not kept is neither limited nor masked.
const (
	Count Kind = iota
	Drop
	Sample
	Limit
	Label
	Route
	Mask
	numKinds
)

var kindNames = [numKinds]string{"count", "drop", "sample", "limit", "label", "route", "mask"}

func (k Kind) String() string { return kindNames[k] }

// Kinds is a set of actions.
type Kinds uint8

// KindsOf is the set of these actions.
func KindsOf(list ...Kind) (s Kinds) {
	for _, k := range list {
		s |= 1 << k
	}
	return s
}

func (s Kinds) has(k Kind) bool { return s>>k&1 == 1 }

// String lists the actions.
func (s Kinds) String() string {
	var out []string
	for k := range numKinds {
		if s.has(k) {
			out = append(out, k.String())
		}
	}
	return strings.Join(out, ", ")
}

// Stage is what a stage can do with rules.
type Stage struct {
	Name   string // for messages, such as shipper
	Fields Fields // that it knows of an event
	Kinds  Kinds  // that it can do
	Limits []By   // what it can limit by; By.Rule is always there
}

// Spec is a rule as it is written. One action is set.
type Spec struct {
	Name  string
	Match Match

	Drop   bool
	Count  bool
	Sample string            // "1/10"
	By     string            // of sample: line, source, text; of limit: rule, app, container, file
	Mask   []string          // names of patterns, or /RE2/
	With   string            // of mask: name, hash or last4
	Limit  Rate              // events or bytes a second
	Route  string            // output or index, as the stage understands it
	Label  map[string]string // labels.* of the event
}

// Rule is a rule of a Set. It is not changed once made.
type Rule struct {
	Name string
	Kind Kind
	// Index is where the rule is in its list.
	Index int
	// Route and Label are those of the Spec.
	Route string
	Label map[string]string

	match  matcher
	sample sample
	masks  []masker
	with   with
	limit  Rate
	by     By
}

// Searched reports whether a pass over the text, made for all rules at once, finds out
// that a line cannot match; if not, the expression is run on each line of its sources.
func (r *Rule) Searched() bool { return r.match.text == nil || len(r.match.text.literals) > 0 }

// Set is the rules of a stage. It may be used by several goroutines.
type Set struct {
	rules []*Rule
	views views
}

// Rules are the rules in their order; not to be changed.
func (s *Set) Rules() []*Rule { return s.rules }

// Len is how many rules there are; none for a nil set.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.rules)
}

// Fault is what is wrong with one of the rules.
type Fault struct {
	Rule int    // index
	Key  string // of the rule, such as match.text; empty: the rule as a whole
	Msg  string
}

func (f Fault) Error() string {
	return strings.TrimSuffix(fmt.Sprintf("rule %d: %s", f.Rule, f.Key), ": ") + ": " + f.Msg
}

// New makes the rules of a stage. With faults there is no set.
func New(stage Stage, specs []Spec) (*Set, []Fault) {
	s := &Set{}
	var faults []Fault
	seen := map[string]int{}
	for i := range specs {
		c := compiler{stage: stage, spec: &specs[i], index: i}
		r := c.rule()
		if first, ok := seen[r.Name]; ok {
			c.fail("name", "%q is the name of rule %d too; counters go by name", r.Name, first)
		}
		seen[r.Name] = i
		s.rules = append(s.rules, r)
		faults = append(faults, c.faults...)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return s, nil
}

// Same reports whether two rules do the same to the same events, whatever their names.
func Same(a, b *Spec) bool {
	if a.Drop != b.Drop || a.Count != b.Count || a.Sample != b.Sample || a.By != b.By || a.With != b.With || a.Limit != b.Limit || a.Route != b.Route {
		return false
	}
	if !slices.Equal(a.Mask, b.Mask) || len(a.Label) != len(b.Label) {
		return false
	}
	for k, v := range a.Label {
		if w, ok := b.Label[k]; !ok || v != w {
			return false
		}
	}
	return a.Match.same(&b.Match)
}

// compiler makes one rule of its spec.
type compiler struct {
	stage  Stage
	spec   *Spec
	index  int
	faults []Fault
}

func (c *compiler) fail(key, format string, args ...any) {
	c.faults = append(c.faults, Fault{c.index, key, fmt.Sprintf(format, args...)})
}

// mostName bounds a name, which is a label of metrics.
const mostName = 64

func (c *compiler) rule() *Rule {
	s := c.spec
	r := &Rule{Name: s.Name, Index: c.index, Route: s.Route, Label: s.Label}
	if !legalName(s.Name) {
		c.fail("name", "expected a name of up to %d letters, digits, ., _ and -, by which the rule is counted, got %q", mostName, s.Name)
	}
	kinds := s.kinds()
	switch {
	case len(kinds) == 0:
		c.fail("", "has no action: name one of %s", c.stage.Kinds)
	case len(kinds) > 1:
		c.fail(kinds[1].String(), "a rule has one action, and this one has %v before: write two rules", kinds[0])
	case !c.stage.Kinds.has(kinds[0]):
		c.fail(kinds[0].String(), "%s cannot do that; it can %s", c.stage.Name, c.stage.Kinds)
	default:
		r.Kind = kinds[0]
	}
	r.match = c.match(&s.Match)
	c.action(r)
	return r
}

// kinds are the actions that are set.
func (s *Spec) kinds() (out []Kind) {
	for k, set := range [numKinds]bool{Count: s.Count, Drop: s.Drop, Sample: s.Sample != "", Limit: s.Limit != Rate{}, Label: len(s.Label) > 0, Route: s.Route != "", Mask: len(s.Mask) > 0} {
		if set {
			out = append(out, Kind(k))
		}
	}
	return out
}

func (c *compiler) action(r *Rule) {
	s := c.spec
	switch r.Kind {
	case Sample:
		r.sample = c.sample(s, r.match.text)
	case Limit:
		r.limit, r.by = s.Limit, c.limitBy(s)
	case Mask:
		r.masks, r.with = c.masks(s), c.with(s.With)
	case Label:
		for name := range s.Label {
			if !legalName(name) || strings.Contains(name, "..") {
				c.fail("label", "expected names of letters, digits, ., _ and -, got %q", name)
			}
		}
	}
	if s.By != "" && r.Kind != Sample && r.Kind != Limit {
		c.fail("by", "belongs to sample and limit, and this rule has neither")
	}
	if s.With != "" && r.Kind != Mask {
		c.fail("with", "belongs to mask, which this rule has not")
	}
}

func legalName(s string) bool {
	if s == "" || len(s) > mostName {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c|0x20)-'a' >= 26 && c-'0' >= 10 && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
