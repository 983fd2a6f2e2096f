package source

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/sluicelog/sluice/schemas"
)

func TestOfLabelsThatGetOneNameARuleSaysWhichCounts(t *testing.T) {
	f := func(want string, clash bool, names ...string) {
		t.Helper()
		in := map[string]string{}
		for _, n := range names {
			in[n] = n
		}
		for range 20 { // maps have no order
			got, c := Rename(in, Dedot)
			if len(got) != 1 || got["a_b_c"] != want || c != clash {
				t.Fatalf("%q: %q, clash %v; want %q", names, got, c, want)
			}
		}
	}
	f("a_b_c", false, "a_b_c")
	f("a_b_c", true, "a.b.c", "a_b_c", "a.b_c")
	f("a.b.c", true, "a_b.c", "a.b_c", "a.b.c")
	if got, clash := Rename(nil, Dedot); got != nil || clash {
		t.Error(got, clash)
	}
}

func TestWhatIsSaidOfASourceIsBounded(t *testing.T) {
	f := func(name string, s schemas.Source, tagged bool, want func(*schemas.Source) bool) {
		t.Helper()
		labels, before := s.Labels, maps.Clone(s.Labels)
		Bound(&s)
		event := schemas.AppendEvent(nil, &schemas.Line{}, schemas.NewTail(&s))
		if n := len(event) - len(s.Path); n > MaxAll+1000 {
			t.Errorf("%s: %d bytes in each event", name, n)
		}
		if got := slices.Contains(s.Tags, TagCut); got != tagged || !want(&s) {
			t.Errorf("%s: tags %q, %.300v", name, s.Tags, s)
		}
		if !maps.Equal(labels, before) {
			t.Errorf("%s: labels of others were changed", name)
		}
	}
	many := map[string]string{}
	for i := range 40 {
		many[fmt.Sprintf("l%02d", i)] = strings.Repeat("v", 500)
	}
	f("ordinary", schemas.Source{ContainerName: "web", Labels: map[string]string{"a": "b"}, ContainerLabels: map[string]string{"c": "d"}}, false,
		func(s *schemas.Source) bool { return s.Labels["a"] == "b" && s.ContainerLabels["c"] == "d" })
	f("a long label", schemas.Source{ContainerLabels: map[string]string{"a": strings.Repeat("é", 50_000), "b": "c"}}, true,
		func(s *schemas.Source) bool {
			return s.ContainerLabels["a"] == strings.Repeat("é", 512) && s.ContainerLabels["b"] == "c"
		})
	f("cut in a rune", schemas.Source{Labels: map[string]string{"a": "x" + strings.Repeat("é", 600)}}, true, func(s *schemas.Source) bool { return s.Labels["a"] == "x"+strings.Repeat("é", 511) })
	f("at the bound", schemas.Source{Labels: map[string]string{"a": strings.Repeat("x", MaxValue)}}, false, func(s *schemas.Source) bool { return len(s.Labels["a"]) == MaxValue })
	f("many labels", schemas.Source{ContainerLabels: many, Labels: map[string]string{"team": "x"}}, true,
		func(s *schemas.Source) bool {
			return s.Labels["team"] == "x" && len(s.ContainerLabels) == 16 && s.ContainerLabels["l15"] != "" && s.ContainerLabels["l16"] == ""
		})
	f("a long name of a label", schemas.Source{Labels: map[string]string{strings.Repeat("n", 300): "x", "b": "c"}}, true, func(s *schemas.Source) bool { return len(s.Labels) == 1 && s.Labels["b"] == "c" })
	f("a long name", schemas.Source{ContainerName: strings.Repeat("n", 3000)}, true, func(s *schemas.Source) bool { return len(s.ContainerName) == MaxValue })
	control := strings.Repeat("\x01", 3000)
	f("control characters in all", schemas.Source{ContainerName: control, Image: control, TaskID: control, ServiceName: control, AppID: control, Dataset: control, DC: control, Host: control, ExecutorID: control}, true,
		func(s *schemas.Source) bool { return len(s.Image) == leastValue })
	f("a long path", schemas.Source{Path: "/" + strings.Repeat("d/", 2000), Labels: map[string]string{"a": "b"}}, false, func(s *schemas.Source) bool { return len(s.Path) == 4001 && s.Labels["a"] == "b" })
	f("tagged before", schemas.Source{Tags: []string{TagCut}}, true, func(s *schemas.Source) bool { return len(s.Tags) == 1 })
}
