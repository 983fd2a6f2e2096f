// Package logonce keeps what goes wrong again and again from being logged each time.
// There are two ways: a State is logged when it begins, when its reason changes and when
// it ends; a Limit lets each kind of message through once in a while.
package logonce

import (
	"maps"
	"sync"
	"time"
)

// State is something that works or does not; the zero State works. It belongs to one
// goroutine.
//
//	if err := try(); err != nil {
//		if s.Failed(err.Error()) {
//			log.Warn("cannot x, trying again", "error", err)
//		}
//	} else if down, ended := s.OK(); ended {
//		log.Info("can x again", "after", down)
//	}
type State struct {
	since  time.Time // zero: it works
	reason string
	logged bool
}

// Failed notes a failure and reports whether it is to be logged: it is the first, or has
// another reason than the one before. What differs from try to try, such as a port of
// our own, does not belong in a reason.
func (s *State) Failed(reason string) bool {
	s.Began()
	if s.logged && reason == s.reason {
		return false
	}
	s.reason, s.logged = reason, true
	return true
}

// Began notes a failure that is not worth a line yet, and when the first one was.
func (s *State) Began() time.Time {
	if s.since.IsZero() {
		s.since = time.Now()
	}
	return s.since
}

// OK notes that it works. If it did not, and that was logged, ended is true, and down is
// how long that took.
func (s *State) OK() (down time.Duration, ended bool) {
	if !s.Failing() {
		return 0, false
	}
	down, ended = time.Since(s.since).Round(time.Millisecond), s.logged
	*s = State{}
	return down, ended
}

// Reason is why it does not work, as logged last; empty: it works, or nothing was logged.
func (s *State) Reason() string { return s.reason }

// Failing reports whether it does not work.
func (s *State) Failing() bool { return !s.since.IsZero() }

// States are the states of many things. What works takes no memory. It belongs to one
// goroutine; the zero value is ready for use.
type States[K comparable] struct {
	failing map[K]*State
}

// Failed is State.Failed of one.
func (s *States[K]) Failed(of K, reason string) bool {
	if s.failing == nil {
		s.failing = map[K]*State{}
	}
	if s.failing[of] == nil {
		s.failing[of] = &State{}
	}
	return s.failing[of].Failed(reason)
}

// OK is State.OK of one. It also forgets one that is no more.
func (s *States[K]) OK(of K) (down time.Duration, ended bool) {
	st := s.failing[of]
	if st == nil {
		return 0, false
	}
	delete(s.failing, of)
	return st.OK()
}

// Forget forgets those that are gone.
func (s *States[K]) Forget(gone func(K) bool) {
	maps.DeleteFunc(s.failing, func(of K, _ *State) bool { return gone(of) })
}

// Len is how many do not work.
func (s *States[K]) Len() int { return len(s.failing) }

// Limit lets a message of each kind through once a minute. Any number of goroutines may
// use it; the zero value is ready for use. It holds some hundred kinds at most.
type Limit struct {
	mu   sync.Mutex
	last map[string]time.Time // guarded by mu
}

const (
	often    = time.Minute
	mostKept = 100
)

// Allow reports whether a message of this kind is to be logged now.
func (l *Limit) Allow(kind string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if last, ok := l.last[kind]; ok && now.Sub(last) < often {
		return false
	}
	if l.last == nil || len(l.last) >= mostKept {
		l.last = map[string]time.Time{}
	}
	l.last[kind] = now
	return true
}

// Reset forgets all: the next message of any kind is logged.
func (l *Limit) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.last)
}
