package wake

import (
	"sync"
	"testing"
)

func TestRaisedOftenIsTakenOnce(t *testing.T) {
	s := New()
	var all sync.WaitGroup
	for range 10 {
		all.Go(s.Raise)
	}
	all.Wait()
	<-s
	select {
	case <-s:
		t.Error("it is taken twice")
	default:
	}
	s.Raise()
	<-s
}
