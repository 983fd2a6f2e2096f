package shipper

import (
	"cmp"
	"slices"
	"strings"
)

// tell gives the metrics what was counted, and the levels of now.
func (t *tailer) tell() {
	for _, k := range t.kinds {
		k.read.Add(float64(k.bytes))
		k.made.Add(float64(k.events))
		k.bytes, k.events, k.sources = 0, 0, 0
	}
	t.m.joined.Add(float64(t.n.joined))
	for i, n := range t.n.flagged {
		t.m.flagged[i].Add(float64(n))
	}
	t.n = tally{}
	var lag, flight int64
	deleted := 0
	for _, f := range t.files {
		f.mu.Lock()
		lag += f.lag()
		flight += f.window.next - f.window.base
		if f.window.empty() && !f.queued {
			f.window.ring = nil
		}
		f.mu.Unlock()
		if !f.deleted.IsZero() && f.fd >= 0 {
			deleted++
		}
	}
	for _, s := range t.sources {
		s.n.sources++
	}
	for _, k := range t.kinds {
		k.now.Set(float64(k.sources))
	}
	t.m.open.Set(float64(t.nFD))
	t.m.held.Set(float64(deleted))
	t.m.lag.Set(float64(lag))
	t.m.flight.Set(float64(flight))
	t.m.unfinished.Set(float64(t.buffered))
}

// sourceStatus is a source in /status.
type sourceStatus struct {
	Kind      string       `json:"kind"`
	Path      string       `json:"path"`
	Container string       `json:"container,omitempty"`
	Name      string       `json:"container_name,omitempty"`
	Service   string       `json:"service,omitempty"`
	Pending   bool         `json:"pending,omitempty"` // opened, waits until it is known what it is
	Error     string       `json:"error,omitempty"`
	Files     []fileStatus `json:"files"`
}

func (t *tailer) status() any {
	out := make([]sourceStatus, 0, len(t.sources))
	for _, s := range t.sources {
		st := sourceStatus{
			Kind: s.Kind, Path: s.Path, Container: s.info.ContainerID, Name: s.info.ContainerName, Service: s.info.ServiceName,
			Pending: s.Hints.Pending, Error: cmp.Or(s.refusal, s.problem), Files: []fileStatus{},
		}
		for _, f := range s.files {
			st.Files = append(st.Files, f.status())
		}
		out = append(out, st)
	}
	slices.SortFunc(out, func(a, b sourceStatus) int { return strings.Compare(a.Path, b.Path) })
	return out
}
