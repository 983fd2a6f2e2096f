package shipper

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// child starts the shipper as a process of its own, with more variables of its
// environment, until the function that it returns is called.
func (s *site) child(env ...string) (end func()) {
	s.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "SHIPPER_TEST_DIR="+s.dir, "SHIPPER_TEST_KAFKA="+strings.Join(s.cluster.ListenAddrs(), ",")), env...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := false
	end = func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	s.t.Cleanup(end)
	return end
}

// Sockets and the store have descriptors of their own, and files have the rest in turn.
func TestMoreFilesThanDescriptorsAreReadInTurn(t *testing.T) {
	s := newSite(t).plain()
	var want []string
	write := func(round int) {
		for i := range 600 {
			line := fmt.Sprintf("file %d, round %d", i, round)
			s.append(fmt.Sprintf("%d.log", i), line+"\n")
			want = append(want, line)
		}
	}
	write(0)
	s.child("SHIPPER_TEST_DESCRIPTORS=256")
	s.wait(600)
	for round := range 2 { // files that were closed are found again
		write(1 + round)
		s.wait(len(want))
	}
	s.want(want...)
	if len(s.order) != len(want) {
		t.Errorf("%d records for %d lines", len(s.order), len(want))
	}
}
