package source

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/sluicelog/sluice/config"
)

// AppRules say where the name of what writes a log (service.name) is taken from: the
// first place that has one.
type AppRules []appRule

type appRule struct{ from, key string }

// NewAppRules reads shipper.app_from; an error names the entry that is none.
func NewAppRules(entries []string) (AppRules, error) {
	var rules AppRules
	for i, e := range entries {
		from, key, ok := config.CutAppFrom(e)
		if !ok {
			return nil, fmt.Errorf("shipper.app_from[%d]: %q is none of marathon, chronos, name, image, label:NAME and env:NAME", i, e)
		}
		rules = append(rules, appRule{from, key})
	}
	return rules, nil
}

// App is what is known of what writes a log.
type App struct {
	Marathon, Chronos string // id of its Marathon app, name of its Chronos job
	Name, Image       string // of its container
	Env, Labels       map[string]string
}

// Name is what people call it; empty if none of the places has a name.
func (r AppRules) Name(a *App) string {
	for _, rule := range r {
		if name := rule.name(a); name != "" {
			return name
		}
	}
	return ""
}

func (r appRule) name(a *App) string {
	switch r.from {
	case "marathon":
		return strings.Trim(a.Marathon, "/")
	case "chronos":
		return a.Chronos
	case "label":
		return a.Labels[r.key]
	case "env":
		return a.Env[r.key]
	case "name":
		if mesosName.MatchString(a.Name) {
			return ""
		}
		return a.Name
	default:
		return imageName(a.Image)
	}
}

// mesosName is a container name of Mesos: it says nothing to people.
var mesosName = regexp.MustCompile(`^mesos-[0-9a-f]{8}-`)

// imageName is web of registry:5000/team/web:1.2@sha256:...
func imageName(image string) string {
	image, _, _ = strings.Cut(image, "@")
	image = image[strings.LastIndexByte(image, '/')+1:]
	image, _, _ = strings.Cut(image, ":")
	return image
}
