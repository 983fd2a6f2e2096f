// Package admin tells operators and supervisors how a role is: alive, ready, and
// what it is doing.
package admin

import (
	"sync"
	"time"
)

// State is what one role says of itself. All methods are safe for concurrent use.
type State struct {
	Role string

	mu       sync.Mutex
	draining bool
	deps     []*Dependency
	sections []section
}

type section struct {
	name string
	read func() any
}

// NewState is a role that is ready once its dependencies have answered.
func NewState(role string) *State { return &State{Role: role} }

// Drain marks the role as draining: not ready any more.
func (s *State) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
}

// Section adds a part to /status: read is called at each request, from its
// goroutine, and returns a value that encoding/json can marshal.
func (s *State) Section(name string, read func() any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sections = append(s.sections, section{name, read})
}

// Need adds a server without which the role cannot work, such as "kafka central".
// It counts as unreachable since now until OK is called.
func (s *State) Need(name string) *Dependency {
	d := &Dependency{Name: name, since: time.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deps = append(s.deps, d)
	return d
}

// Dependency is a server that the role needs. A nil Dependency may be told anything.
type Dependency struct {
	Name string

	mu    sync.Mutex
	ok    bool
	since time.Time // of the first failure, or of the last OK after one
	err   error     // last failure
}

// OK notes that the server answered. It costs a lock, so call it once a request,
// not once a record. It reports whether that is a change.
func (d *Dependency) OK() (changed bool) {
	if d == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	changed = !d.ok
	if changed {
		d.ok, d.since, d.err = true, time.Now(), nil
	}
	return changed
}

// Fail notes that the server could not be reached or refused us. It reports whether
// that is a change: the caller then logs it.
func (d *Dependency) Fail(err error) (changed bool) {
	if d == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	changed = d.ok || d.err == nil
	if d.ok {
		d.ok, d.since = false, time.Now()
	}
	d.err = err
	return changed
}

// Down says for how long the server has been unreachable (0: it answers) and why.
func (d *Dependency) Down() (time.Duration, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ok {
		return 0, nil
	}
	return max(time.Since(d.since), 1), d.err
}
