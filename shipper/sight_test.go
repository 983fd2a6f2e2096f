package shipper

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Docker answers and its directory is not mounted: nothing would be shipped, so the role
// is not ready, and says why.
func TestNotReadyWhileDockersFilesAreNotThere(t *testing.T) {
	s := newSite(t)
	d := s.docker()
	host := filepath.Join(s.dir, "host")
	s.cfg.Shipper.Docker.RootFrom, s.cfg.Shipper.Docker.RootTo = d.root, host
	d.add(fakeContainer{ID: fakeID(1), Name: "web"}, true)
	d.write(fakeID(1), "stdout", "hello")
	s.start()
	reason := func() string { return strings.Join(s.state.NotReady(time.Minute), "\n") }
	s.until("reason", func() bool {
		return strings.Contains(reason(), host+"/containers: no such file") && strings.Contains(reason(), "shipper.docker.root_from")
	})
	if !s.logged("the logs of containers cannot be read") {
		t.Error("nothing is logged")
	}
	if err := os.Symlink(d.root, host); err != nil { // it is mounted
		t.Fatal(err)
	}
	s.wait(1)
	s.until("ready shipper", func() bool { return reason() == "" })
}

// The directory is there, but the logs are elsewhere.
func TestNotReadyWhileNoLogOfAContainerIsThere(t *testing.T) {
	s := newSite(t)
	d := s.docker()
	d.add(fakeContainer{ID: fakeID(1), Name: "web"}, true)
	if err := os.Rename(d.log(fakeID(1)), d.log(fakeID(1))+".away"); err != nil {
		t.Fatal(err)
	}
	s.start()
	reason := func() string { return strings.Join(s.state.NotReady(0), "\n") }
	s.until("reason", func() bool { return strings.Contains(reason(), "none of the logs of 1 running containers can be read") })
	d.add(fakeContainer{ID: fakeID(2), Name: "other"}, true)
	d.write(fakeID(2), "stdout", "hello")
	s.wait(1)
	s.until("ready shipper", func() bool { return reason() == "" })
}
