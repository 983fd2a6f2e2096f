package docker

import (
	"testing"

	"github.com/sluicelog/sluice/config"
)

func TestServiceNames(t *testing.T) {
	f := func(name, image string, env []string, labels map[string]string, want string) {
		t.Helper()
		if got := describe(name, image, env, labels, &config.Docker{}, apps(t)).ServiceName; got != want {
			t.Errorf("%s %s %v %v: %q, want %q", name, image, env, labels, got, want)
		}
	}
	f("mesos-6f2a1c34-1", "r/order:1", []string{"MARATHON_APP_ID=/prod/order"}, nil, "prod/order")
	f("mesos-6f2a1c34-1", "r/order:1", []string{"MARATHON_APP_ID=/order"}, nil, "order")
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
	}, map[string]string{"team.name": "x", "other": "y", "org.opencontainers.image.version": "1.2"}, &cfg, apps(t))
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
