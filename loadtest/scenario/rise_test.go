//go:build linux

package scenario

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/sluicelog/sluice/loadtest/proc"
	"github.com/sluicelog/sluice/loadtest/site"
)

// Only what counters rise by during the play counts, of all lives of a stage.
func TestRise(t *testing.T) {
	count := map[string]int{"a": 5, "b": 7}
	stage := func(name string) *site.Stage {
		t.Helper()
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "# TYPE x_total counter\nx_total{to=\"es\"} %d\n", count[name])
		}))
		t.Cleanup(s.Close)
		p := &proc.Proc{Name: name, Argv: []string{"sleep", "600"}, Log: filepath.Join(t.TempDir(), "log")}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Kill)
		return &site.Stage{Admin: s.URL, Proc: p}
	}
	a, b := stage("a"), stage("b")
	stages := map[string]*site.Stage{"a": a, "b": b}
	var r rise
	if err := r.begin(t.Context(), stages); err != nil {
		t.Fatal(err)
	}
	f := func(what string, want float64) {
		t.Helper()
		got := r.figures(t.Context(), stages)
		if got["x_total"] != want || got[`x_total{to="es"}`] != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	f("nothing happened", 0)
	count["a"] = 8
	f("3 more", 3)
	r.ends(t.Context(), a)
	a.Kill()
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	count["a"] = 2
	f("and 2 in the next life", 5)
	count["a"] = 11
	f("and 9 more than the life before had at the start", 14)
	stages["c"], count["c"] = stage("c"), 4
	f("a member joined", 18)
	count["b"] = 8
	r.ends(t.Context(), b) // it leaves
	delete(stages, "b")
	f("and one left", 19)
}
