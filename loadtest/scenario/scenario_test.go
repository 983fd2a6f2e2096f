//go:build linux

package scenario

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/loadtest/balance"
	"github.com/sluicelog/sluice/loadtest/proc"
	"github.com/sluicelog/sluice/loadtest/report"
	"github.com/sluicelog/sluice/loadtest/site"
	"github.com/sluicelog/sluice/loadtest/verify"
)

func TestBuiltinScenarios(t *testing.T) {
	names, ci := map[string]bool{}, 0
	for _, s := range Scenarios() {
		if names[s.Name] {
			t.Errorf("%s is there twice", s.Name)
		}
		names[s.Name] = true
		if s.CI {
			ci++
		}
		if s.Rate == 0 || s.For == 0 || s.MaxRSS == 0 {
			t.Errorf("%s lacks defaults: %+v", s.Name, s)
		}
		balanced(t, s)
	}
	if len(names) < 35 || ci < 8 {
		t.Errorf("%d scenarios, %d of them for every change", len(names), ci)
	}
}

// balanced: what is broken is mended again, or the lines could never all arrive.
func balanced(t *testing.T, s Scenario) {
	t.Helper()
	back := map[string]string{"kill": "start", "stop": "start", "freeze": "thaw", "cut": "mend", "half-open": "mend", "refuse": "behave", "refuse-items": "behave",
		"slow": "behave", "drop": "behave", "block": "unblock", "fill": "free", "delay": "mend", "narrow": "mend", "step": "right"}
	open := map[string]string{} // what is broken, and what mends it
	for _, m := range s.schedule() {
		for _, on := range m.step.On {
			if open[on] == m.step.Do {
				delete(open, on)
			}
			if b := back[m.step.Do]; b != "" {
				open[on] = b
			}
		}
	}
	if len(open) > 0 {
		t.Errorf("%s: still to be done: %v", s.Name, open)
	}
}

func TestReadScenariosRefuses(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if _, err := ReadScenarios(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	f(`[{name: A, what: w, expect: e}]`, "a name is of")
	f(`[{name: a}]`, "say both")
	f(`[{name: a, what: w, expect: e, steps: [{do: fly, on: [shipper]}]}]`, `no step does "fly"`)
	f(`[{name: a, what: w, expect: e, steps: [{do: kill, on: [docker]}]}]`, "kill is for")
	f(`[{name: a, what: w, expect: e, steps: [{do: kill}]}]`, "kill on what")
	f(`[{name: a, what: w, expect: e, wat: 1}]`, "wat")
	f(`[{name: a, what: w, expect: e, long: 0.5}]`, "long is 0.5")
	f(`[{name: a, what: w, expect: e, calm: true, steps: [{do: cut, on: [indexer-es]}]}]`, "to be calm")
	f(`[{name: a, what: w, expect: e, for: long}]`, "long")
	f(`[{name: a, what: w, expect: e, never: [repeated_dc1]}]`, "never is for one that is calm")
	f(`[{name: a, what: w, expect: e, shows: [latency_dc1 >= often]}]`, "not a number above 0")
}

func TestShows(t *testing.T) {
	s, err := ReadScenarios(strings.NewReader(`[{name: a, what: w, expect: e, shows: ['x_total{cluster="dc1"}', sources >= 300]}]`))
	if err != nil {
		t.Fatal(err)
	}
	if want := []Show{{`x_total{cluster="dc1"}`, 0}, {"sources", 300}}; !slices.Equal(s[0].Shows, want) {
		t.Errorf("%q, want %q", s[0].Shows, want)
	}
	f := func(show Show, n float64, want bool) {
		t.Helper()
		if got := show.bites(n); got != want {
			t.Errorf("%s with %v: %v", show, n, got)
		}
	}
	f(Show{Figure: "x"}, 0, false)
	f(Show{Figure: "x"}, 1, true)
	f(Show{"x", 8}, 7.9, false)
	f(Show{"x", 8}, 8, true)
}

func TestSchedule(t *testing.T) {
	s, err := ReadScenarios(strings.NewReader(`[{name: a, what: w, expect: e, steps: [{at: 2s, every: 3s, times: 2, do: kill, on: [shipper]}, {at: 3s, do: start, on: [shipper]}]}]`))
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, m := range s[0].schedule() {
		got += m.at.String() + " " + m.step.Do + "; "
	}
	if want := "2s kill; 3s start; 5s kill; "; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestLengthen(t *testing.T) {
	s, err := ReadScenarios(strings.NewReader(`[{name: a, what: w, expect: e, for: 4s, long: 1.5, patience: 1m, steps: [{at: 2s, every: 3s, times: 2, do: delay, on: [indexer-es], by: 100ms}]}]`))
	if err != nil {
		t.Fatal(err)
	}
	long := s[0].Lengthen()
	if got, want := long.String(), "1000 lines a second for 6s; 3s delay indexer-es 100ms; 7.5s delay indexer-es 100ms"; !strings.HasSuffix(got, want) {
		t.Errorf("%s, want %s at its end", got, want)
	}
	if got, want := s[0].String(), "for 4s; 2s delay indexer-es 100ms; 5s delay indexer-es 100ms"; !strings.HasSuffix(got, want) || long.Patience != s[0].Patience {
		t.Errorf("the short form is now %s, want %s at its end", got, want)
	}
}

// What others need as well is broken by one scenario at a time.
func TestShared(t *testing.T) {
	f := func(steps string, want bool) {
		t.Helper()
		s, err := ReadScenarios(strings.NewReader(`[{name: a, what: w, expect: e, steps: [` + steps + `]}]`))
		if err != nil {
			t.Fatal(err)
		}
		if got := s[0].shared(); got != want {
			t.Errorf("%s: %v", steps, got)
		}
	}
	f(`{do: kill, on: [shipper, aggregator, indexer]}, {do: fill, on: [positions]}, {do: stop, on: [docker]}`, false)
	f(`{do: join, on: [aggregator]}, {do: block, on: [elasticsearch]}, {do: unblock, on: [elasticsearch]}`, false)
	f(`{do: kill, on: [shipper, dc1]}`, true)
	f(`{do: freeze, on: [elasticsearch]}`, true)
	f(`{do: cut, on: [indexer-es]}`, true)
	f(`{do: fill, on: [elasticsearch]}`, true)
}

// A fault that did not bite, memory over the limit and a loss are problems.
func TestJudge(t *testing.T) {
	good := func() *site.Lived {
		return &site.Lived{Lines: 5, Verdicts: map[string]*verify.Verdict{"dc1": {}, "central": {}, "elasticsearch": {}}, Latency: map[string]verify.Latency{"dc1": {Max: 9 * time.Second}}, Usage: map[string]proc.Usage{"indexer": {PeakRSS: 100 << 20}}}
	}
	f := func(change func(*site.Lived, *trial), want string) {
		t.Helper()
		s := DefaultScenario()
		s.Shows = []Show{{Figure: "repeated_central"}, {Figure: "latency_dc1", Least: 8}}
		tr, l, out := &trial{Scenario: &s, shown: balance.Figures{"repeated_central": 3}}, good(), &report.Outcome{Shown: balance.Figures{}}
		change(l, tr)
		tr.judge(out, l)
		out.Problems = append(out.Problems, out.Blunt...)
		if got := strings.Join(out.Problems, "\n"); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("problems %q, want %q", got, want)
		}
	}
	f(func(*site.Lived, *trial) {}, "")
	f(func(_ *site.Lived, tr *trial) { tr.shown["repeated_central"] = 0 }, "repeated_central is 0")
	f(func(l *site.Lived, _ *trial) { l.Latency["dc1"] = verify.Latency{Max: 7 * time.Second} }, "latency_dc1 >= 8 is 7")
	f(func(_ *site.Lived, tr *trial) { tr.Never, tr.shown["repeated_dc1"] = []string{"repeated_dc1"}, 2 }, "repeated_dc1 is 2, and should not have risen")
	f(func(_ *site.Lived, tr *trial) { tr.Never = []string{"repeated_dc1"} }, "")
	f(func(l *site.Lived, _ *trial) { l.Usage["indexer"] = proc.Usage{PeakRSS: 600 << 20} }, "indexer took 600 MiB")
	f(func(l *site.Lived, _ *trial) { l.Losses = []string{"given up"} }, "given up")
	f(func(l *site.Lived, _ *trial) {
		l.Verdicts["dc1"].Problems = []verify.Problem{{Kind: "missing", Source: 1, Text: "one"}}
	}, "dc1: missing: one")
	f(func(l *site.Lived, _ *trial) { l.Stops = map[string]string{"shipper": "killed"} }, "shipper: killed")
	f(func(l *site.Lived, _ *trial) {
		l.Counters = []verify.Problem{{Kind: "counters", Source: -1, Text: "x"}}
	}, "counters: x")
	f(func(_ *site.Lived, tr *trial) { tr.problems = []string{"stop: late"} }, "stop: late")
}

// Only counters of stages are waited for: all else is there, or comes with the verdict.
func TestDue(t *testing.T) {
	f := func(want bool, n float64, shows ...Show) {
		t.Helper()
		tr := &trial{Scenario: &Scenario{Shows: shows}, shown: balance.Figures{"sluice_x_total": n}}
		if err := tr.due(); (err != nil) != want {
			t.Errorf("%q with %v: %v", shows, n, err)
		}
	}
	f(false, 0)
	f(false, 0, Show{Figure: "dropped"}, Show{"latency_dc1", 8})
	f(true, 0, Show{Figure: "dropped"}, Show{Figure: "sluice_x_total"})
	f(false, 1, Show{Figure: "sluice_x_total"})
	f(true, 1, Show{"sluice_x_total", 2})
}
