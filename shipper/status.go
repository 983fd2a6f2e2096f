package shipper

import (
	"slices"
	"strings"
)

// tell gives the metrics what was counted, and the levels of now.
func (t *tailer) tell() {
	for i, kind := range []string{kindDocker, kindFile} {
		k := &t.kinds[i]
		t.m.read[kind].Add(float64(k.bytes))
		t.m.made[kind].Add(float64(k.events))
		k.bytes, k.events = 0, 0
	}
	t.m.joined.Add(float64(t.n.joined))
	for i, n := range t.n.flagged {
		t.m.flagged[i].Add(float64(n))
	}
	t.n = tally{}
	var lag, flight int64
	held := 0
	for _, f := range t.files {
		f.mu.Lock()
		lag += f.lag()
		flight += f.window.next - f.window.base
		if f.window.empty() && !f.queued {
			f.window.ring = nil
		}
		f.mu.Unlock()
		if !f.deleted.IsZero() && f.fd >= 0 {
			held++
		}
	}
	docker := 0
	for _, s := range t.sources {
		if s.kind == kindDocker {
			docker++
		}
	}
	t.m.open.Set(float64(t.nFD))
	t.m.held.Set(float64(held))
	t.m.lag.Set(float64(lag))
	t.m.flight.Set(float64(flight))
	t.m.unfinished.Set(float64(t.buffered))
	t.m.dockerSources.Set(float64(docker))
	t.m.fileSources.Set(float64(len(t.sources) - docker))
}

// sourceStatus is a source in /status.
type sourceStatus struct {
	Kind      string       `json:"kind"`
	Path      string       `json:"path"`
	Container string       `json:"container,omitempty"`
	Name      string       `json:"container_name,omitempty"`
	Service   string       `json:"service,omitempty"`
	Held      bool         `json:"held,omitempty"` // opened, waits to be described by Docker
	Error     string       `json:"error,omitempty"`
	Files     []fileStatus `json:"files"`
}

func (t *tailer) status() any {
	out := make([]sourceStatus, 0, len(t.sources))
	for _, s := range t.sources {
		st := sourceStatus{
			Kind: s.kind, Path: s.path, Container: s.container, Name: s.info.ContainerName, Service: s.info.ServiceName,
			Held: s.held, Error: first(s.refusal, s.problem), Files: []fileStatus{},
		}
		for _, f := range s.files {
			st.Files = append(st.Files, f.status())
		}
		out = append(out, st)
	}
	slices.SortFunc(out, func(a, b sourceStatus) int { return strings.Compare(a.Path, b.Path) })
	return out
}
