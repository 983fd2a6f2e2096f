package elastic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/sluicelog/sluice/indexer/document"
	"github.com/sluicelog/sluice/internal/retry"
)

// What an output does where no index template is for its indices, as the configuration
// says.
const (
	ifMissingInstall = "install" // what sluice setup installs
	ifMissingWrite   = "write"   // all the same
)

// awaitTemplate returns when the output may write: an index template is for its indices,
// or it cannot be found out whether one is. Where it is certain that there is none,
// Elasticsearch would map whatever fields come, until it takes no more; so nothing is
// written until somebody has run sluice setup.
func (o *Output) awaitTemplate() {
	defer close(o.open)
	if o.Config.Template.IfMissing == ifMissingWrite {
		return
	}
	for o.ctx.Err() == nil {
		missing, why := o.lacksTemplate()
		switch {
		case why != nil && o.ctx.Err() == nil:
			o.Log.Warn("cannot find out whether an index template is for the output's indices, writing all the same", "error", why)
			return
		case !missing:
			return
		case o.Config.Template.IfMissing == ifMissingInstall && o.Install != nil:
			err := o.Install(o.ctx)
			if err == nil {
				o.Log.Info("installed what sluice setup installs, since there was no index template for the output's indices")
				return
			}
			o.refuseToWrite(fmt.Errorf("no index template is for %s, and installing that of sluice has failed: %w", o.Config.Index, err))
		default:
			o.refuseToWrite(fmt.Errorf("no index template is for %s, so Elasticsearch would guess at the type of every field that comes: run sluice setup (template.if_missing: install does it at the start, write goes without)", o.Config.Index))
		}
		retry.Wait(o.ctx, min(o.pauses.Longest, 10*time.Second))
	}
}

func (o *Output) refuseToWrite(why error) {
	s := why.Error()
	o.trouble.Store(&s)
	if o.Health.Refuse(why) {
		o.Log.Error("nothing is written until that is mended", "error", why)
	}
}

// lacksTemplate reports whether it is certain that no index template is for the output's
// indices. An error is that it cannot be found out.
func (o *Output) lacksTemplate() (bool, error) {
	pattern, err := document.NewPattern(o.Config.Index)
	if err != nil {
		return false, err
	}
	name := pattern.Example(time.Now())
	if pattern.Fixed() { // somebody may have made the index, the alias or the data stream by hand
		if status, _, err := o.get(http.MethodHead, "/"+name); err != nil || status == http.StatusOK {
			return false, err
		}
	}
	for _, kind := range []string{"/_index_template", "/_template"} {
		status, text, err := o.get(http.MethodGet, kind)
		if err != nil {
			return false, err
		}
		if status != http.StatusOK {
			return false, readRefusal(status, strings.NewReader(string(text)))
		}
		patterns, err := templatePatterns(text)
		if err != nil {
			return false, fmt.Errorf("GET %s: %w", kind, err)
		}
		for _, p := range patterns {
			if matches(p, name) {
				return false, nil
			}
		}
	}
	return true, nil
}

// get asks one host after the other, until one answers or the output ends.
func (o *Output) get(method, path string) (status int, text []byte, err error) {
	ctx, cancel := context.WithTimeout(o.ctx, o.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, path, nil)
	if err != nil {
		return 0, nil, err
	}
	res, err := o.hosts.Perform(req)
	if err != nil {
		return 0, nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer res.Body.Close()
	if text, err = io.ReadAll(io.LimitReader(res.Body, 64<<20)); err != nil {
		return 0, nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return res.StatusCode, text, nil
}

// errNoTemplates: it is not what is answered to a question for templates.
var errNoTemplates = errors.New("the answer is no list of templates")

// templatePatterns are the patterns of all templates in an answer, of composable ones or
// of those of before.
func templatePatterns(text []byte) (patterns []string, err error) {
	type template struct {
		Patterns []string `json:"index_patterns"`
	}
	var list map[string]json.RawMessage
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoTemplates, err)
	}
	if composable, ok := list["index_templates"]; ok {
		var all []struct {
			Template template `json:"index_template"`
		}
		if err := json.Unmarshal(composable, &all); err != nil {
			return nil, fmt.Errorf("%w: %w", errNoTemplates, err)
		}
		for _, t := range all {
			patterns = append(patterns, t.Template.Patterns...)
		}
		return patterns, nil
	}
	for _, one := range list {
		var t template
		if err := json.Unmarshal(one, &t); err != nil || t.Patterns == nil {
			return nil, errNoTemplates
		}
		patterns = append(patterns, t.Patterns...)
	}
	return patterns, nil
}

// matches reports whether a pattern of an index template, in which * is any text, is for
// a name.
func matches(pattern, name string) bool {
	start, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, start)
	if !ok {
		return false
	}
	parts := strings.Split(rest, "*")
	last := parts[len(parts)-1]
	for _, p := range parts[:len(parts)-1] {
		i := strings.Index(name, p)
		if i < 0 {
			return false
		}
		name = name[i+len(p):]
	}
	return strings.HasSuffix(name, last)
}
