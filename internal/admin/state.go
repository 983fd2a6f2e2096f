// Package admin reports to operators and supervisors how a role is: alive, ready, and
// what it is doing.
package admin

import (
	"fmt"
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

// NotReady lists why the role should get no work: it drains, or a server it needs
// has not answered yet or has been unreachable for longer than after.
func (s *State) NotReady(after time.Duration) []string {
	s.mu.Lock()
	deps, draining := s.deps, s.draining
	s.mu.Unlock()
	var why []string
	if draining {
		why = append(why, "draining")
	}
	for _, d := range deps {
		st := d.status()
		switch {
		case st.Reachable || st.Answered && st.downFor < after && !st.Refuses:
		case st.LastError == "":
			why = append(why, d.Name+" has not answered yet")
		case st.Refuses:
			why = append(why, fmt.Sprintf("%s refuses us, for %s: %s", d.Name, st.DownFor, st.LastError))
		default:
			why = append(why, fmt.Sprintf("%s unreachable for %s: %s", d.Name, st.DownFor, st.LastError))
		}
	}
	return why
}

// Dependency is a server that the role needs. A nil Dependency takes any report.
type Dependency struct {
	Name string

	mu       sync.Mutex
	ok       bool
	refuses  bool      // that it is not ok will not pass by itself
	answered bool      // ok has been true
	since    time.Time // of the first failure, or of the last OK after one
	err      error     // last failure, kept after a recovery
	errAt    time.Time
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
		d.ok, d.refuses, d.answered, d.since = true, false, true, time.Now()
	}
	return changed
}

// Fail notes that the server could not be reached or refused us. It reports whether
// that is a change: the caller then logs it.
func (d *Dependency) Fail(err error) (changed bool) {
	if d == nil {
		return false
	}
	return d.fail(err, false)
}

// Refuse is Fail for what does not pass until somebody mends it, such as a wrong password
// or a wrong server: the role is not ready at once. That it is so now, and was not, is a
// change too.
func (d *Dependency) Refuse(err error) (changed bool) {
	if d == nil {
		return false
	}
	return d.fail(err, true)
}

func (d *Dependency) fail(err error, refuses bool) (changed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	changed = d.ok || d.err == nil || refuses && !d.refuses
	if d.ok {
		d.ok, d.since = false, time.Now()
	}
	d.err, d.errAt, d.refuses = err, time.Now(), refuses
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

// dependencyStatus is a dependency in /status.
type dependencyStatus struct {
	Name        string    `json:"name"`
	Reachable   bool      `json:"reachable"`
	Refuses     bool      `json:"refuses,omitempty"` // us, until somebody mends that
	Answered    bool      `json:"answered"`          // at least once
	Since       time.Time `json:"since"`             // it is reachable or not
	DownFor     string    `json:"down_for,omitempty"`
	LastError   string    `json:"last_error,omitempty"` // kept when it is reachable again
	LastErrorAt time.Time `json:"last_error_at,omitzero"`

	downFor time.Duration
}

func (d *Dependency) status() dependencyStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	st := dependencyStatus{Name: d.Name, Reachable: d.ok, Refuses: d.refuses, Answered: d.answered, Since: d.since, LastErrorAt: d.errAt}
	if d.err != nil {
		st.LastError = d.err.Error()
	}
	if !d.ok {
		st.downFor = time.Since(d.since)
		st.DownFor = st.downFor.Round(time.Second).String()
	}
	return st
}
