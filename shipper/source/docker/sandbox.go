package docker

import (
	"strings"

	"github.com/sluicelog/sluice/schemas"
)

// sandboxed fills in what the mount of a container's Mesos sandbox says, where its
// variables do not: the path of the sandbox on the host has the ids.
//
//	/var/lib/mesos/slaves/AGENT/frameworks/FRAMEWORK/executors/EXECUTOR/runs/CONTAINER
func sandboxed(s *schemas.Source, mounts []string) {
	for _, path := range mounts {
		agent, framework, executor, ok := sandbox(path)
		if !ok {
			continue
		}
		if s.Agent == "" {
			s.Agent = agent
		}
		if s.FrameworkID == "" {
			s.FrameworkID = framework
		}
		if s.ExecutorID == "" {
			s.ExecutorID = executor
		}
		return
	}
}

// sandbox reads the ids out of the path of a sandbox, or of what is in it, from its end
// backwards, since its beginning is free.
func sandbox(path string) (agent, framework, executor string, ok bool) {
	parts := strings.Split(path, "/")
	for i := len(parts) - 8; i >= 0; i-- {
		p := parts[i:]
		if p[0] == "slaves" && p[2] == "frameworks" && p[4] == "executors" && p[6] == "runs" && p[1] != "" && p[3] != "" && p[5] != "" && p[7] != "" {
			return p[1], p[3], p[5], true
		}
	}
	return "", "", "", false
}
