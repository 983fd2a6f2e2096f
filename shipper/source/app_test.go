package source

import (
	"strings"
	"testing"

	"github.com/sluicelog/sluice/config"
)

func TestServiceNameIsTheFirstThatTheAppHas(t *testing.T) {
	a := &App{
		Marathon: "/flight/api", Chronos: "nightly", Name: "web_1", Image: "r:5000/team/web:1.2@sha256:0",
		Env: map[string]string{"APP_NAME": "from-env", "EMPTY": ""}, Labels: map[string]string{"a.b:c": "from-label"},
	}
	f := func(a *App, want string, from ...string) {
		t.Helper()
		rules, err := NewAppRules(from)
		if got := rules.Name(a); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", from, got, err, want)
		}
	}
	f(a, "flight/api", config.Default().Shipper.AppFrom...)
	f(&App{Marathon: "/hotel/api"}, "hotel/api", config.Default().Shipper.AppFrom...)
	f(a, "from-env", "env:EMPTY", "env:NONE", "env:APP_NAME", "marathon")
	f(a, "from-label", "label:none", "label:a.b:c", "env:APP_NAME")
	f(a, "nightly", "chronos", "marathon")
	f(a, "web_1", "name", "image")
	f(a, "web", "image", "name")
	f(a, "")
	f(&App{Name: "mesos-6f2a1c34-1", Image: "web"}, "web", "name", "image")
	f(&App{Marathon: "/", Name: "web"}, "web", "marathon", "name")
	f(&App{Name: "mesos-6f2a1c34-1"}, "", "name", "env:X", "label:x")

	if _, err := NewAppRules([]string{"name", "labels:x"}); err == nil || !strings.HasPrefix(err.Error(), `shipper.app_from[1]: "labels:x" is none of`) {
		t.Errorf("%v does not name the entry", err)
	}
}
