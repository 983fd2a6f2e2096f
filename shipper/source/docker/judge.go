package docker

import (
	"path/filepath"
	"strings"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/shipper/source"
)

// inspected is a container as it was described.
type inspected struct {
	container container
	skip      string // why it is not followed; empty: it is
}

// description is what is known of a container, wherever it is from.
type description struct {
	name, image, driver string // driver is empty if it is the usual one
	env                 []string
	labels              map[string]string
	mounts              []string // their paths on the host
}

// judge says what the events of a container say, or why it is not followed. It may be
// used by several goroutines.
type judge struct {
	cfg  *config.Docker
	apps source.AppRules
}

func (j judge) of(id, path string, what *description) *inspected {
	name := strings.TrimPrefix(what.name, "/")
	in := &inspected{container: container{ID: id, Path: path, Info: describe(name, what.image, what.env, what.labels, j.cfg, j.apps)}}
	sandboxed(&in.container.Info, what.mounts)
	switch {
	case what.driver != "" && what.driver != jsonFile:
		in.skip = "driver " + what.driver
	case optedOut(what.env, what.labels):
		in.skip = "opted out"
	case len(j.cfg.IncludeNames) > 0 && !matchNames(j.cfg.IncludeNames, name):
		in.skip = "not included"
	case matchNames(j.cfg.ExcludeNames, name):
		in.skip = "excluded"
	}
	return in
}

// mapped is where a path of the daemon is for us.
func (j judge) mapped(path string) string {
	rest, ok := strings.CutPrefix(path, j.cfg.RootFrom)
	if j.cfg.RootFrom == "" || !ok || rest != "" && !strings.HasSuffix(j.cfg.RootFrom, "/") && rest[0] != '/' {
		return path
	}
	return filepath.Join(j.cfg.RootTo, rest)
}
