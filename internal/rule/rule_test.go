package rule

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluicelog/sluice/internal/jsontext"
)

// every is a stage that knows and does all.
var every = Stage{Name: "a test", Fields: 1<<8 - 1, Kinds: 1<<numKinds - 1, Limits: []By{ByApp, ByContainer, ByFile}}

func set(t testing.TB, specs ...Spec) *Set {
	t.Helper()
	for i := range specs {
		if specs[i].Name == "" {
			specs[i].Name = fmt.Sprintf("r%d", i)
		}
	}
	s, faults := New(every, specs)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return s
}

func inside(s string) []byte { return jsontext.Append(nil, s) }

// judge is the verdict on a message of a source.
func judge(s *Set, src *Source, e Event) Verdict {
	return s.NewJudge().Judge(s.View(src), &e)
}

func TestFieldsMatch(t *testing.T) {
	src := &Source{App: "shop/web", Dataset: "nginx", DC: "dc1", Host: "web1", Topic: "logs", Labels: map[string]string{"team": "shop", "env": "prod"}}
	for _, c := range []struct {
		m    Match
		want bool
	}{
		{Match{}, true},
		{Match{App: []string{"shop/web"}}, true},
		{Match{App: []string{"shop"}}, false},
		{Match{App: []string{"shop*"}}, true}, // over the slash
		{Match{App: []string{"{a,shop}/w?b"}}, true},
		{Match{App: []string{"shop/[a-w]eb"}}, true},
		{Match{App: []string{"shop/[^a-w]eb"}}, false},
		{Match{App: []string{`shop\/web`}}, true},
		{Match{App: []string{"Shop*"}}, false},
		{Match{App: []string{"a", "*web"}}, true},
		{Match{App: []string{"/^shop/"}}, true},
		{Match{App: []string{"/^web/"}}, false},
		{Match{App: []string{"!shop*"}}, false},
		{Match{App: []string{"!pay*"}}, true},
		{Match{App: []string{"shop*", "!*/web"}}, false},
		{Match{App: []string{"shop.web"}}, false},
		{Match{Labels: map[string][]string{"team": {"shop"}, "env": {"prod", "test"}}}, true},
		{Match{Labels: map[string][]string{"team": {"shop"}, "env": {"test"}}}, false},
		{Match{Labels: map[string][]string{"none": {"*"}}}, false},
		{Match{Labels: map[string][]string{"none": {"!x"}}}, true},
		{Match{DC: []string{"dc1"}, Host: []string{"web*"}, Topic: []string{"logs"}, Dataset: []string{"nginx"}}, true},
		{Match{DC: []string{"dc1"}, Host: []string{"db*"}}, false},
		{Match{Stream: []string{"stderr"}}, true},
		{Match{Stream: []string{"stdout"}}, false},
		{Match{Level: []string{"warn", "error"}}, true},
		{Match{Level: []string{"!error"}}, false},
		{Match{Text: `user \d+`}, true},
		{Match{Text: `^failed`}, true},
		{Match{Text: `(?i)FAILED`}, true},
		{Match{Text: `FAILED`}, false},
		{Match{Text: `"quoted"`}, true},
		{Match{Text: `a\\b`}, true},
		{Match{Text: `über`}, true},
		{Match{Text: `nothing|user`}, true},
		{Match{Text: `user`, App: []string{"other"}}, false},
	} {
		s := set(t, Spec{Match: c.m, Drop: true})
		e := Event{Text: inside(`failed for user 12 "quoted" a\b über`), Stream: "stderr", Level: "error"}
		if got := judge(s, src, e).Dropped != nil; got != c.want {
			t.Errorf("%+v: %v, want %v", c.m, got, c.want)
		}
	}
}

// A message may be written with any escape that JSON has.
func TestTextOfOddEscapes(t *testing.T) {
	s := set(t, Spec{Match: Match{Text: "error"}, Drop: true})
	for _, text := range []string{`an error`, `an \u0065rror`, `an err\u006fr\n`, `\"error\"`, `\u003cerror\u003e`} {
		if judge(s, &Source{}, Event{Text: []byte(text)}).Dropped == nil {
			t.Errorf("%s does not match", text)
		}
	}
	for _, text := range []string{`an erro\\u0072`, `e\nrror`, `err\tor`} {
		if judge(s, &Source{}, Event{Text: []byte(text)}).Dropped != nil {
			t.Errorf("%s matches", text)
		}
	}
}

func TestFirstOfAKindWins(t *testing.T) {
	s := set(t,
		Spec{Name: "a", Match: Match{Text: "x"}, Count: true},
		Spec{Name: "b", Count: true},
		Spec{Name: "c", Match: Match{Text: "keep"}, Sample: "1/2", By: "source"},
		Spec{Name: "d", Match: Match{Text: "drop"}, Drop: true},
		Spec{Name: "e", Drop: true, Match: Match{Text: "drop it"}},
		Spec{Name: "f", Mask: []string{"email"}},
		Spec{Name: "g", Mask: []string{"card"}},
		Spec{Name: "h", Route: "audit"},
		Spec{Name: "i", Label: map[string]string{"a": "b"}},
		Spec{Name: "j", Limit: Rate{Events: 1}},
	)
	j, v := s.NewJudge(), s.View(&Source{})
	got := j.Judge(v, &Event{Text: inside("drop it x"), Bytes: 10})
	if got.Dropped == nil || got.Dropped.Name != "d" || got.Mask != nil || got.Route != nil || got.Limit != nil {
		t.Errorf("got %+v", got)
	}
	got = j.Judge(v, &Event{Text: inside("nothing"), Bytes: 5})
	if got.Out() != nil || got.Mask.Name != "f" || got.Route.Route != "audit" || got.Label.Label["a"] != "b" || got.Limit.Name != "j" {
		t.Errorf("got %+v", got)
	}
	counts := map[string]Counts{}
	j.Tally(func(r *Rule, c Counts) { counts[r.Name] = c })
	want := map[string]Counts{"a": {1, 10}, "b": {1, 5}, "d": {1, 10}, "h": {1, 5}, "i": {1, 5}}
	if fmt.Sprint(counts) != fmt.Sprint(want) {
		t.Errorf("counted %v, want %v", counts, want)
	}
	j.Tally(func(r *Rule, c Counts) { t.Errorf("%s counted again: %v", r.Name, c) })
}

func TestSample(t *testing.T) {
	s := set(t, Spec{Name: "line", Match: Match{App: []string{"line"}}, Sample: "1/10"},
		Spec{Name: "source", Match: Match{App: []string{"source"}}, Sample: "1/10", By: "source"},
		Spec{Name: "text", Match: Match{App: []string{"text"}, Text: `user=(\w+)`}, Sample: "1/10", By: "text"})
	for _, app := range []string{"line", "source", "text"} {
		j, v := s.NewJudge(), s.View(&Source{App: app})
		kept := 0
		for i := range 10_000 {
			e := Event{Text: []byte("x"), ID: []byte("0"), Source: "s"}
			switch app {
			case "line":
				e.ID = []byte(fmt.Sprint("id", i))
			case "source":
				e.Source = fmt.Sprint("source", i)
			case "text":
				e.Text = []byte(fmt.Sprintf("%d user=u%d", i, i))
			}
			first := j.Judge(v, &e)
			if e.Source += ""; app == "text" {
				e.Text = []byte(fmt.Sprintf("another line of user=u%d", i))
			}
			if again := j.Judge(v, &e); again != first {
				t.Fatalf("%s %d: judged otherwise the second time", app, i)
			}
			if first.Out() == nil {
				kept++
			}
		}
		if kept < 800 || kept > 1200 {
			t.Errorf("by %s: %d of 10,000 kept, want 1,000 or so", app, kept)
		}
	}
}

func TestFaults(t *testing.T) {
	shipper := Stage{Name: "the shipper", Fields: FieldApp | FieldStream, Kinds: KindsOf(Drop, Sample, Mask, Limit), Limits: []By{ByApp}}
	for _, c := range []struct {
		spec      Spec
		key, want string
	}{
		{Spec{Name: "", Drop: true}, "name", "expected a name"},
		{Spec{Name: "a b", Drop: true}, "name", "expected a name"},
		{Spec{Name: "a"}, "", "has no action: name one of drop, sample, limit, mask"},
		{Spec{Name: "a", Drop: true, Mask: []string{"card"}}, "mask", "one action"},
		{Spec{Name: "a", Route: "x"}, "route", "cannot do that"},
		{Spec{Name: "a", Drop: true, Match: Match{App: []string{"["}}}, "match.app", "without its ]"},
		{Spec{Name: "a", Drop: true, Match: Match{App: []string{"/(/"}}}, "match.app", "missing closing )"},
		{Spec{Name: "a", Drop: true, Match: Match{Level: []string{"debug"}}}, "match.level", "not known to the shipper"},
		{Spec{Name: "a", Drop: true, Match: Match{Labels: map[string][]string{"a": {"b"}}}}, "match.labels", "not known"},
		{Spec{Name: "a", Drop: true, Match: Match{Text: "("}}, "match.text", "missing closing )"},
		{Spec{Name: "a", Sample: "10"}, "sample", "expected a part such as 1/10"},
		{Spec{Name: "a", Sample: "0/10"}, "sample", "expected a part"},
		{Spec{Name: "a", Sample: "10/10"}, "sample", "expected a part"},
		{Spec{Name: "a", Sample: "1/10", By: "text"}, "by", "needs a match.text"},
		{Spec{Name: "a", Sample: "1/10", By: "app"}, "by", "expected line, source or text"},
		{Spec{Name: "a", Drop: true, By: "line"}, "by", "belongs to sample and limit"},
		{Spec{Name: "a", Drop: true, With: "hash"}, "with", "belongs to mask"},
		{Spec{Name: "a", Mask: []string{"cards"}}, "mask", "expected card, token, email, id or /RE2/"},
		{Spec{Name: "a", Mask: []string{"/(/"}}, "mask", "missing closing )"},
		{Spec{Name: "a", Mask: []string{"/x*/"}}, "mask", "empty text"},
		{Spec{Name: "a", Mask: []string{"card"}, With: "x"}, "with", "expected name, hash or last4"},
		{Spec{Name: "a", Limit: Rate{Events: -1}}, "limit", "above 0"},
		{Spec{Name: "a", Limit: Rate{Burst: 2}}, "limit", "above 0"},
		{Spec{Name: "a", Limit: Rate{Events: 1, Over: "wait"}}, "limit.over", "expected delay or drop"},
		{Spec{Name: "a", Limit: Rate{Events: 1}, By: "file"}, "by", "expected one of rule, app"},
	} {
		_, faults := New(shipper, []Spec{{Name: "first", Drop: true}, c.spec})
		if len(faults) != 1 || faults[0].Rule != 1 || faults[0].Key != c.key || !strings.Contains(faults[0].Msg, c.want) {
			t.Errorf("%+v: %v; want %s: %s", c.spec, faults, c.key, c.want)
		}
	}
	if _, faults := New(shipper, []Spec{{Name: "a", Drop: true}, {Name: "a", Sample: "1/2"}}); len(faults) != 1 || faults[0].Key != "name" {
		t.Errorf("two of a name: %v", faults)
	}
}

func TestSame(t *testing.T) {
	a := Spec{Name: "a", Match: Match{App: []string{"x", "y"}, Text: "t", Labels: map[string][]string{"a": {"b"}}}, Drop: true}
	b := Spec{Name: "b", Match: Match{App: []string{"y", "x", "x"}, Text: "t", Labels: map[string][]string{"a": {"b"}}}, Drop: true}
	if !Same(&a, &b) {
		t.Error("the same but for name and order are not the same")
	}
	for _, change := range []func(*Spec){
		func(s *Spec) { s.Drop, s.Count = false, true },
		func(s *Spec) { s.Match.App = nil },
		func(s *Spec) { s.Match.Text = "u" },
		func(s *Spec) { s.Match.Labels = map[string][]string{"c": {"b"}} },
		func(s *Spec) { s.Label = map[string]string{"c": "b"} },
	} {
		c := b
		if change(&c); Same(&a, &c) {
			t.Errorf("%+v is the same as %+v", a, c)
		}
	}
}

// Sources that no rule is for have no view, and those of the same rules share one.
func TestViews(t *testing.T) {
	s := set(t, Spec{Match: Match{App: []string{"a*"}}, Drop: true}, Spec{Match: Match{App: []string{"b*"}, Text: "long text"}, Drop: true})
	if v := s.View(&Source{App: "c"}); !v.Empty() {
		t.Errorf("a view of %d rules for a source of none", len(v.Rules()))
	}
	if s.View(&Source{App: "b1"}) != s.View(&Source{App: "b2"}) || s.View(&Source{App: "a"}) == s.View(&Source{App: "b"}) {
		t.Error("views are not by rules")
	}
	var none *Set
	if v := none.View(&Source{}); !v.Empty() {
		t.Error("no rules have a view")
	}
	many := make([]Spec, 300)
	for i := range many {
		many[i] = Spec{Match: Match{App: []string{fmt.Sprint("app", i)}}, Drop: true}
	}
	s = set(t, many...)
	for i := range many {
		if v := s.View(&Source{App: fmt.Sprint("app", i)}); len(v.Rules()) != 1 || v.Rules()[0].Index != i {
			t.Fatalf("app%d has the wrong view", i)
		}
	}
	if n := len(s.views.made); n > mostViews {
		t.Errorf("%d views are kept, at most %d", n, mostViews)
	}
}
