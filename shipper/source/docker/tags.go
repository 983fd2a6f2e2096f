package docker

import (
	"cmp"
	"maps"
	"strings"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/schemas"
	"github.com/sluicelog/sluice/shipper/source"
)

// Environment variables with fields of their own. Mesos sets the first of each pair in
// containers of the Docker containerizer, Marathon and Chronos theirs. Marathon also has
// the task in a label of the same name, which comes with events.
const (
	envTask       = "MESOS_TASK_ID"
	envFramework  = "MESOS_FRAMEWORK_ID"
	envExecutor   = "MESOS_EXECUTOR_ID"
	envAgent      = "MESOS_AGENT_ID"
	envSlave      = "MESOS_SLAVE_ID" // before Mesos 1.0
	envApp        = "MARATHON_APP_ID"
	envAppVersion = "MARATHON_APP_VERSION"
	envAppLabel   = "MARATHON_APP_LABEL_"
	envChronos    = "CHRONOS_JOB_NAME"
	envLogspout   = "LOGSPOUT"

	labelVersion = "org.opencontainers.image.version"
	labelEnabled = "co.elastic.logs/enabled"
)

// describe gathers the fields of a container from its name, image, environment and
// labels.
func describe(name, image string, env []string, labels map[string]string, cfg *config.Docker, apps source.AppRules) schemas.Source {
	s := schemas.Source{ContainerName: name, Image: image, ServiceVersion: labels[labelVersion]}
	values := map[string]string{}
	for _, e := range env {
		k, v, _ := strings.Cut(e, "=")
		values[k] = v
	}
	s.TaskID, s.FrameworkID, s.ExecutorID = cmp.Or(values[envTask], labels[envTask]), values[envFramework], values[envExecutor]
	s.Agent = cmp.Or(values[envAgent], values[envSlave])
	s.AppID, s.AppVersion, s.ChronosJob = values[envApp], values[envAppVersion], values[envChronos]
	named := map[string]string{}
	for k, v := range values {
		switch k {
		case envTask, envFramework, envExecutor, envAgent, envSlave, envApp, envAppVersion, envChronos:
			continue
		}
		if v == "" || !matchNames(cfg.FieldsFromEnv, k) {
			continue
		}
		named[k] = v
	}
	var clash, clashes bool
	s.Labels, clash = source.Rename(named, func(k string) string { return source.Dedot(strings.ToLower(strings.TrimPrefix(k, envAppLabel))) })
	named = maps.Clone(labels)
	maps.DeleteFunc(named, func(k, _ string) bool { return !matchNames(cfg.FieldsFromLabels, k) })
	s.ContainerLabels, clashes = source.Rename(named, source.Dedot)
	if clash || clashes {
		source.Tag(&s, source.TagCut)
	}
	s.ServiceName = apps.Name(&source.App{Marathon: s.AppID, Chronos: s.ChronosJob, Name: name, Image: image, Env: values, Labels: labels})
	return s
}

// optedOut reports whether a container asks not to be followed, in the words of Filebeat
// or logspout.
func optedOut(env []string, labels map[string]string) bool {
	if strings.EqualFold(labels[labelEnabled], "false") {
		return true
	}
	for _, e := range env {
		if k, v, _ := strings.Cut(e, "="); k == envLogspout && strings.EqualFold(v, "ignore") {
			return true
		}
	}
	return false
}

// matchNames reports whether a name is listed; * stands for any text, also with dots and
// slashes.
func matchNames(patterns []string, name string) bool {
	for _, p := range patterns {
		if matchName(p, name) {
			return true
		}
	}
	return false
}

func matchName(pattern, name string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	if !strings.HasPrefix(name, head) {
		return false
	}
	name = name[len(head):]
	if rest == "" {
		return true
	}
	for i := range len(name) + 1 {
		if matchName(rest, name[i:]) {
			return true
		}
	}
	return false
}
