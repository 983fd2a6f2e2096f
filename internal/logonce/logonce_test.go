package logonce

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestStateIsLoggedOnChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s State
		failed := func(reason string, want bool) {
			t.Helper()
			if got := s.Failed(reason); got != want || !s.Failing() || s.Reason() != reason {
				t.Errorf("%s: logged is %v, want %v; failing is %v", reason, got, want, s.Failing())
			}
		}
		ok := func(want time.Duration, wantEnded bool) {
			t.Helper()
			down, ended := s.OK()
			if ended != wantEnded || ended && down != want || s.Failing() || s.Reason() != "" {
				t.Errorf("ended is %v after %v, want %v after %v; failing is %v", ended, down, wantEnded, want, s.Failing())
			}
		}
		ok(0, false)
		failed("refused", true)
		time.Sleep(time.Second)
		failed("refused", false)
		failed("no route", true)
		time.Sleep(time.Second)
		failed("no route", false)
		failed("refused", true)
		ok(2*time.Second, true)
		ok(0, false)
		failed("refused", true) // it is another outage
		ok(0, true)

		s.Began() // nothing was logged
		ok(0, false)
		began := s.Began()
		time.Sleep(time.Second)
		if got := s.Began(); got != began {
			t.Errorf("began %v, want %v", got, began)
		}
		failed("", true)
		failed("", false)
		ok(time.Second, true)
	})
}

func TestStatesAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s States[string]
		if _, ended := s.OK("a"); ended || !s.Failed("a", "x") || !s.Failed("b", "x") || s.Failed("a", "x") || s.Len() != 2 {
			t.Errorf("two that fail: %+v", s)
		}
		time.Sleep(time.Second)
		if down, ended := s.OK("a"); !ended || down != time.Second || s.Len() != 1 {
			t.Errorf("one works again after %v: %v", down, ended)
		}
		if s.Failed("b", "x") || !s.Failed("a", "x") {
			t.Error("they are not apart")
		}
		s.Forget(func(of string) bool { return of == "a" })
		if s.Len() != 1 || s.Failed("b", "x") || !s.Failed("a", "x") {
			t.Errorf("one is forgotten: %+v", s)
		}
	})
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Limit
		allow := func(kind string, want bool) {
			t.Helper()
			if got := l.Allow(kind); got != want {
				t.Errorf("%s: %v, want %v", kind, got, want)
			}
		}
		allow("a", true)
		allow("a", false)
		allow("b", true)
		time.Sleep(time.Minute)
		allow("a", true)
		l.Reset()
		allow("a", true)
		for i := range 10_000 {
			allow(fmt.Sprint(i), true)
		}
		if len(l.last) > mostKept {
			t.Errorf("%d kinds are kept", len(l.last))
		}
	})
}
