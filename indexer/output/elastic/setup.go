package elastic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/indexer/document"
	"github.com/sluicelog/sluice/schemas"
)

// Names of what Setup installs.
const (
	nameTemplate = "sluice"
	nameSettings = "sluice@settings"
	nameMappings = "sluice@mappings"
	nameCustom   = "sluice@custom"
	namePolicy   = "sluice"
)

// Setup installs templates and the lifecycle policy on every output's cluster and
// writes to out what it changed. It may be run as often as one likes: what is there and
// the same is left alone, and sluice@custom is never changed. A cluster without index
// lifecycle management gets the rest, and out says so.
func Setup(ctx context.Context, cfg *config.Config, out io.Writer) error {
	return SetupWith(ctx, cfg, out, SetupOptions{})
}

// SetupWith is Setup with options.
func SetupWith(ctx context.Context, cfg *config.Config, out io.Writer, how SetupOptions) error {
	var errs []error
	for i := range cfg.Indexer.Outputs {
		errs = append(errs, SetupOne(ctx, cfg, &cfg.Indexer.Outputs[i], out, how))
	}
	return errors.Join(errs...)
}

// SetupOptions say how to set up.
type SetupOptions struct {
	DryRun bool // say what would be done, and do nothing
	Diff   bool // say what differs, too
}

// SetupOne is Setup of one output.
func SetupOne(ctx context.Context, cfg *config.Config, o *config.Output, out io.Writer, how SetupOptions) error {
	s := setup{output: o, beside: beside(cfg.Indexer.Outputs, o), out: out, how: how}
	if err := s.run(ctx); err != nil {
		return fmt.Errorf("output %s: %w", o.Name, err)
	}
	return nil
}

// beside is the outputs that have a host in common with o, itself included: they are
// one cluster, and share what is installed there.
func beside(outputs []config.Output, o *config.Output) (same []config.Output) {
	for _, other := range outputs {
		if slices.ContainsFunc(other.Elasticsearch.Hosts, func(h string) bool { return slices.Contains(o.Elasticsearch.Hosts, h) }) {
			same = append(same, other)
		}
	}
	return same
}

type setup struct {
	output *config.Output
	beside []config.Output // on the same cluster, the output included
	out    io.Writer
	how    SetupOptions
	hosts  *hosts
}

func (s *setup) run(ctx context.Context) error {
	patterns, err := s.patterns()
	if err != nil {
		return err
	}
	if s.hosts, err = newHosts(&s.output.Elasticsearch, 1); err != nil {
		return err
	}
	defer s.hosts.end()
	c := &s.output.Template
	lifecycle := c.DeleteAfter > 0
	if lifecycle {
		if lifecycle, err = s.policy(ctx); err != nil {
			return err
		}
	}
	settings := embedded("settings")
	index := dig(settings, "template", "settings", "index")
	index["number_of_shards"] = c.Shards
	index["number_of_replicas"] = c.Replicas
	index["refresh_interval"] = elasticTime(c.Refresh.D())
	if lifecycle {
		index["lifecycle"] = map[string]any{"name": namePolicy}
	}
	if err := s.install(ctx, "component template", "/_component_template/"+nameSettings, settings); err != nil {
		return err
	}
	if err := s.install(ctx, "component template", "/_component_template/"+nameMappings, embedded("mappings")); err != nil {
		return err
	}
	if err := s.custom(ctx); err != nil {
		return err
	}
	template, path := embedded("index"), "/_index_template/"+nameTemplate
	have, err := s.get(ctx, path)
	if err != nil {
		return err
	}
	// Those of other configurations stay: without the template their next index would have
	// fields as Elasticsearch guesses them.
	there, _ := have["index_patterns"].([]any)
	template["index_patterns"] = slices.Concat(there, slices.DeleteFunc(patterns, func(p any) bool { return slices.Contains(there, p) }))
	return s.install(ctx, "index template", path, template)
}

// patterns are those of the indices that the index template is for, each once.
func (s *setup) patterns() (out []any, err error) {
	for _, o := range s.beside {
		p, err := document.NewPattern(o.Index)
		if err != nil {
			return nil, err
		}
		if w := p.Wildcard(); !slices.Contains(out, any(w)) {
			out = append(out, w)
		}
	}
	return out, nil
}

// policy installs the lifecycle policy; it reports false where the cluster has none.
func (s *setup) policy(ctx context.Context) (bool, error) {
	policy := embedded("policy")
	dig(policy, "policy", "phases", "delete")["min_age"] = elasticTime(s.output.Template.DeleteAfter.D())
	err := s.install(ctx, "lifecycle policy", "/_ilm/policy/"+namePolicy, policy)
	if lacking := (*lackingError)(nil); errors.As(err, &lacking) {
		s.say("lifecycle policy", namePolicy, "left out: the cluster has no index lifecycle management, old indices stay until somebody deletes them")
		return false, nil
	}
	return err == nil, err
}

func (s *setup) custom(ctx context.Context) error {
	have, err := s.get(ctx, "/_component_template/"+nameCustom)
	switch {
	case err != nil:
		return err
	case have != nil:
		s.say("component template", nameCustom, "unchanged (it is yours)")
		return nil
	}
	return s.put(ctx, "component template", "/_component_template/"+nameCustom, nil, embedded("custom"))
}

// install puts what is missing or different.
func (s *setup) install(ctx context.Context, kind, path string, want map[string]any) error {
	have, err := s.get(ctx, path)
	if err != nil {
		return err
	}
	name := path[strings.LastIndexByte(path, '/')+1:]
	if have != nil && same(want, have) {
		s.say(kind, name, "unchanged")
		return nil
	}
	return s.put(ctx, kind, path, have, want)
}

func (s *setup) say(kind, name, what string) {
	fmt.Fprintf(s.out, "%s: %s %s: %s\n", s.output.Name, kind, name, what)
}

// lackingError: the cluster does not know the endpoint.
type lackingError struct{ path string }

// Error implements error.
func (e *lackingError) Error() string { return e.path + ": the cluster has no such feature" }

// get is the object at a path without what the cluster wraps it in; nil: there is none.
func (s *setup) get(ctx context.Context, path string) (map[string]any, error) {
	status, answer, err := s.call(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	if status == http.StatusNotFound {
		return nil, nil
	}
	for _, kind := range []string{"component_template", "index_template"} {
		if list, ok := answer[kind+"s"].([]any); ok && len(list) == 1 {
			first, _ := list[0].(map[string]any)
			object, _ := first[kind].(map[string]any)
			return object, nil
		}
	}
	object, _ := answer[path[strings.LastIndexByte(path, '/')+1:]].(map[string]any)
	return object, nil
}

// put installs an object instead of another (nil: there is none), and says so.
func (s *setup) put(ctx context.Context, kind, path string, have, want map[string]any) error {
	what := "created"
	if have != nil {
		what = "updated"
	}
	if s.how.DryRun {
		what = "would be " + what
	} else if _, _, err := s.call(ctx, http.MethodPut, path, want); err != nil {
		return err
	}
	s.say(kind, path[strings.LastIndexByte(path, '/')+1:], what)
	if s.how.Diff {
		for _, line := range differences(want, have) {
			fmt.Fprintln(s.out, "  "+line)
		}
	}
	return nil
}

// differences are what put changes: a line for each leaf of an object that is, or was,
// another.
func differences(want, have map[string]any) (lines []string) {
	now, then := leaves(want), leaves(have)
	keys := map[string]bool{}
	for k := range now {
		keys[k] = true
	}
	for k := range then {
		_, wanted := now[k]
		keys[k] = wanted || strings.HasPrefix(k, "template.") // beside it the cluster has members of its own
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		w, isNow := now[k]
		h, was := then[k]
		switch {
		case !keys[k] || isNow && was && w == h:
		case !was:
			lines = append(lines, fmt.Sprintf("+ %s: %s", k, w))
		case !isNow:
			lines = append(lines, fmt.Sprintf("- %s: %s", k, h))
		default:
			lines = append(lines, fmt.Sprintf("- %s: %s", k, h), fmt.Sprintf("+ %s: %s", k, w))
		}
	}
	return lines
}

// leaves are the scalars and lists of an object by their paths.
func leaves(v map[string]any) map[string]string {
	out := map[string]string{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		object, ok := v.(map[string]any)
		if !ok || len(object) == 0 {
			text, _ := json.Marshal(plain(v))
			out[path] = string(text)
			return
		}
		for k, x := range object {
			walk(strings.TrimPrefix(path+"."+k, "."), x)
		}
	}
	if len(v) > 0 {
		walk("", v)
	}
	return out
}

// call makes a request; an error says what the cluster has against it. Not found is
// none.
func (s *setup) call(ctx context.Context, method, path string, object map[string]any) (int, map[string]any, error) {
	ctx, cancel := context.WithTimeout(ctx, s.output.Elasticsearch.Timeout.D())
	defer cancel()
	var in io.Reader
	if object != nil {
		text, err := json.Marshal(object)
		if err != nil {
			return 0, nil, err
		}
		in = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, path, in)
	if err != nil {
		return 0, nil, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := s.hosts.Perform(req)
	if err != nil {
		return 0, nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	if err != nil {
		return 0, nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	var answer map[string]any
	json.Unmarshal(text, &answer) // what is no JSON has no error type
	why := readRefusal(res.StatusCode, bytes.NewReader(text))
	switch {
	case res.StatusCode < 300:
		return res.StatusCode, answer, nil
	case why.Kind == "" && (res.StatusCode == 400 || res.StatusCode == 404 || res.StatusCode == 405):
		return 0, nil, &lackingError{path}
	case res.StatusCode == 404 && method == http.MethodGet:
		return res.StatusCode, nil, nil
	}
	return 0, nil, fmt.Errorf("%s %s: %w", method, path, why)
}

// embedded is the object of that name.
func embedded(name string) map[string]any {
	text, err := schemas.Elastic.ReadFile("elastic/" + name + ".json")
	if err != nil {
		panic(err) // it is in the binary
	}
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil {
		panic(err)
	}
	return v
}

func dig(v map[string]any, path ...string) map[string]any {
	for _, p := range path {
		v = v[p].(map[string]any)
	}
	return v
}

// same reports whether all that we want is there, and in the template nothing else.
// Elasticsearch gives settings back nested below index and as strings, and adds members
// of its own beside the template.
func same(want, have map[string]any) bool {
	for k, w := range want {
		h, ok := have[k]
		if !ok {
			return false
		}
		if k == "template" {
			if !reflect.DeepEqual(plain(w), plain(h)) {
				return false
			}
			continue
		}
		sub, object := w.(map[string]any)
		if hsub, ok := h.(map[string]any); object && ok {
			if !same(sub, hsub) {
				return false
			}
		} else if !reflect.DeepEqual(plain(w), plain(h)) {
			return false
		}
	}
	return true
}

// plain makes every scalar a string.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = plain(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = plain(x)
		}
		return out
	}
	return fmt.Sprint(v)
}

// elasticTime is a duration in Elasticsearch's units.
func elasticTime(d time.Duration) string {
	for _, u := range []struct {
		name string
		size time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		if d > 0 && d%u.size == 0 {
			return strconv.FormatInt(int64(d/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}
