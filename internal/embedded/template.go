package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"sync"
)

// templates are kept and given back as they came, so an installer can compare; they
// change nothing, for an index of the store takes any document.
type templates struct {
	mu     sync.Mutex
	path   string
	byKind map[string]map[string]json.RawMessage
}

const (
	indexTemplate     = "_index_template"
	componentTemplate = "_component_template"
	maxTemplate       = 4 << 20
)

func (t *templates) load(path string) error {
	t.path, t.byKind = path, map[string]map[string]json.RawMessage{indexTemplate: {}, componentTemplate: {}}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &t.byKind); err != nil {
		return fmt.Errorf("read templates %s: %w", path, err)
	}
	return nil
}

// store replaces the file by one that is whole and on disk.
func (t *templates) store() error {
	f, err := os.OpenFile(t.path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(f)
	enc.SetEscapeHTML(false)
	if err := errors.Join(enc.Encode(t.byKind), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(t.path+".tmp", t.path)
}

func (t *templates) put(kind string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		b, err := readBody(w, r, maxTemplate)
		if err != nil {
			return err
		}
		var body map[string]json.RawMessage
		if err := json.Unmarshal(b, &body); err != nil || body == nil {
			return errf(http.StatusBadRequest, "x_content_parse_exception", "a template must be a JSON object: %v", err)
		}
		name := r.PathValue("name")
		t.mu.Lock()
		defer t.mu.Unlock()
		if _, there := t.byKind[kind][name]; there && r.URL.Query().Get("create") == "true" {
			return badArgument("template [%s] already exists", name)
		}
		t.byKind[kind][name] = b
		if err := t.store(); err != nil {
			return err
		}
		answer(w, http.StatusOK, map[string]any{"acknowledged": true})
		return nil
	}
}

func (t *templates) list(kind string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		pattern := r.PathValue("name")
		member := kind[1:]
		found := []map[string]any{}
		t.mu.Lock()
		for _, name := range slices.Sorted(maps.Keys(t.byKind[kind])) {
			if pattern == "" || globMatch(pattern, name) {
				found = append(found, map[string]any{"name": name, member: t.byKind[kind][name]})
			}
		}
		t.mu.Unlock()
		if len(found) == 0 && pattern != "" {
			return errf(http.StatusNotFound, "resource_not_found_exception", "%s matching [%s] not found", member, pattern)
		}
		answer(w, http.StatusOK, map[string]any{member + "s": found})
		return nil
	}
}

func (t *templates) delete(kind string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		name := r.PathValue("name")
		t.mu.Lock()
		defer t.mu.Unlock()
		if _, there := t.byKind[kind][name]; !there {
			return errf(http.StatusNotFound, "resource_not_found_exception", "%s [%s] not found", kind[1:], name)
		}
		delete(t.byKind[kind], name)
		if err := t.store(); err != nil {
			return err
		}
		answer(w, http.StatusOK, map[string]any{"acknowledged": true})
		return nil
	}
}
