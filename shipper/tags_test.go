package shipper

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/schemas"
)

func TestServiceNames(t *testing.T) {
	f := func(name, image string, env []string, labels map[string]string, want string) {
		t.Helper()
		if got := describe(name, image, env, labels, &config.Docker{}).ServiceName; got != want {
			t.Errorf("%s %s %v %v: %q, want %q", name, image, env, labels, got, want)
		}
	}
	f("mesos-6f2a1c34-1", "r/order:1", []string{"MARATHON_APP_ID=/prod/order"}, nil, "order")
	f("mesos-6f2a1c34-1", "r/order:1", []string{"CHRONOS_JOB_NAME=nightly"}, nil, "nightly")
	f("mesos-6f2a1c34-1", "r.io:5000/team/order:1@sha256:0", nil, nil, "order")
	f("shop_web_1", "nginx", nil, map[string]string{"com.docker.compose.service": "web"}, "web")
	f("web.1.x", "nginx", nil, map[string]string{"com.docker.swarm.service.name": "web"}, "web")
	f("web", "nginx", []string{"MARATHON_APP_ID=/"}, nil, "web")
}

func TestOnlyNamedVariablesAndLabelsAreShipped(t *testing.T) {
	cfg := config.Default().Shipper.Docker
	cfg.FieldsFromEnv = append(cfg.FieldsFromEnv, "REGION", "APP_*_ID", "EMPTY")
	cfg.FieldsFromLabels = []string{"team.*"}
	got := describe("c", "i", []string{
		"MESOS_TASK_ID=t", "MESOS_FRAMEWORK_ID=f", "MESOS_EXECUTOR_ID=e", "MESOS_SLAVE_ID=s", "MARATHON_APP_LABEL_TIER.A=gold",
		"REGION=eu", "APP_X_ID=7", "APP_X=8", "PASSWORD=secret", "EMPTY=", "NOEQUALS",
	}, map[string]string{"team.name": "x", "other": "y", "org.opencontainers.image.version": "1.2"}, &cfg)
	if got.TaskID != "t" || got.FrameworkID != "f" || got.ExecutorID != "e" || got.Agent != "s" || got.ServiceVersion != "1.2" {
		t.Errorf("%+v", got)
	}
	want := map[string]string{"tier_a": "gold", "region": "eu", "app_x_id": "7"}
	if len(got.Labels) != len(want) {
		t.Errorf("labels %v", got.Labels)
	}
	for k, v := range want {
		if got.Labels[k] != v {
			t.Errorf("labels.%s = %q, want %q", k, got.Labels[k], v)
		}
	}
	if len(got.ContainerLabels) != 1 || got.ContainerLabels["team_name"] != "x" {
		t.Errorf("container.labels %v", got.ContainerLabels)
	}
}

func TestGlobs(t *testing.T) {
	dir := t.TempDir()
	for _, p := range []string{"a.log", "b.txt", "x/a.log", "x/y/a.log", "x/y/b.log.gz", "z/a.log", ".hidden/a.log"} {
		path := filepath.Join(dir, p)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		appendTo(t, path, "")
	}
	if err := os.Symlink(filepath.Join(dir, "b.txt"), filepath.Join(dir, "link.log")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, filepath.Join(dir, "x", "loop")); err != nil {
		t.Fatal(err)
	}
	f := func(pattern string, want ...string) {
		t.Helper()
		paths, err := expand(filepath.Join(dir, pattern))
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
		var got []string
		for _, p := range paths {
			rel, _ := filepath.Rel(dir, p)
			got = append(got, rel)
			if !matchPath(filepath.Join(dir, pattern), p) {
				t.Errorf("%s does not match %s, which it found", pattern, p)
			}
		}
		slices.Sort(got)
		got = slices.Compact(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
	f("*.log", "a.log", "link.log")
	f("a.log", "a.log")
	f("none.log")
	f("*/a.log", ".hidden/a.log", "x/a.log", "z/a.log")
	f("**/a.log", ".hidden/a.log", "a.log", "x/a.log", "x/y/a.log", "z/a.log")
	f("x/**", "x/a.log", "x/y/a.log", "x/y/b.log.gz")
	f("**/y/*", "x/y/a.log", "x/y/b.log.gz")
	f("[ab].*", "a.log", "b.txt")

	m := func(pattern, path string, want bool) {
		t.Helper()
		if got := matchPath(pattern, path); got != want {
			t.Errorf("%s %s: %v", pattern, path, got)
		}
	}
	m("/var/**/x", "/var/x", true)
	m("/var/**/x", "/var/a/b/x", true)
	m("/var/**/x", "/var/a/b/y", false)
	m("/var/*/x", "/var/a/b/x", false)
}

func TestMatchName(t *testing.T) {
	f := func(pattern, name string, want bool) {
		t.Helper()
		if got := matchName(pattern, name); got != want {
			t.Errorf("%s %s: %v", pattern, name, got)
		}
	}
	f("a", "a", true)
	f("a", "ab", false)
	f("a*", "a", true)
	f("a*", "a/b.c", true)
	f("*a", "xa", true)
	f("*a", "xab", false)
	f("a*c*", "abcd", true)
	f("a*c", "abcd", false)
	f("*", "", true)
}

func TestSourceIDsOfJSONFilesAreThoseOfTheirContainers(t *testing.T) {
	path := "/var/lib/docker/containers/" + fakeID(7) + "/" + fakeID(7) + "-json.log"
	s := newFileSource(path, "h", "dc1", "host", &config.Files{Codec: "docker"}, nil)
	if s.id != schemas.SourceID("h", kindDocker, fakeID(7)) || s.container != fakeID(7) {
		t.Errorf("source %s of container %s", s.id, s.container)
	}
	if n := strings.Count(string(schemas.AppendEvent(nil, &schemas.Line{}, s.tail)), fakeID(7)); n != 3 {
		t.Errorf("the container's id is %d times in the event", n)
	}
}
