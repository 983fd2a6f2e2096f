package docker

import (
	"testing"

	"github.com/sluicelog/sluice/config"
)

const slave = "/slaves/6f2a-S7/frameworks/6f2a-0001/executors/order.1c34/runs/9d3b"

func TestTheMountOfASandboxHasTheIDsOfMesos(t *testing.T) {
	f := func(path, agent, framework, executor string) {
		t.Helper()
		a, fw, e, ok := sandbox(path)
		if a != agent || fw != framework || e != executor || ok != (agent != "") {
			t.Errorf("%s: %q %q %q %v", path, a, fw, e, ok)
		}
	}
	f("/var/lib/mesos"+slave, "6f2a-S7", "6f2a-0001", "order.1c34")
	f("/mnt/slaves/old/mesos/slave"+slave+"/data/x", "6f2a-S7", "6f2a-0001", "order.1c34")
	f("/a/slaves/b/frameworks/c/executors/d/runs/e"+slave, "6f2a-S7", "6f2a-0001", "order.1c34")
	f("/var/lib/mesos/slaves/a/frameworks/b/executors/c", "", "", "")
	f("/var/lib/mesos/slaves//frameworks/b/executors/c/runs/d", "", "", "")
	f("", "", "", "")

	j := judge{&config.Docker{}, apps(t)}
	s := j.of("id", "/log", &description{name: "/web", labels: map[string]string{"MESOS_TASK_ID": "order.1c34"}, mounts: []string{"/data", "/var/lib/mesos" + slave}}).container.Info
	if s.TaskID != "order.1c34" || s.Agent != "6f2a-S7" || s.FrameworkID != "6f2a-0001" || s.ExecutorID != "order.1c34" {
		t.Errorf("%+v", s)
	}
	s = j.of("id", "/log", &description{env: []string{"MESOS_TASK_ID=t", "MESOS_EXECUTOR_ID=e"}, labels: map[string]string{"MESOS_TASK_ID": "other"}, mounts: []string{"/var/lib/mesos" + slave}}).container.Info
	if s.TaskID != "t" || s.ExecutorID != "e" || s.Agent != "6f2a-S7" {
		t.Errorf("variables do not come first: %+v", s)
	}
}
