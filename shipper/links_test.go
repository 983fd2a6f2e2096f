package shipper

import (
	"os"
	"testing"
	"time"

	"github.com/sluicelog/sluice/shipper/internal/shiptest"
)

// Who may write in a directory that a glob matches must not have other files shipped.
func TestLinksBelowAWildcardAreNotFollowed(t *testing.T) {
	s := newSite(t).plain()
	secret := s.dir + "/secret"
	shiptest.Append(t, secret, "root:$6$hash\n")
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, s.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	link(secret, "a.log")
	link("/proc/self/environ", "env.log")
	link(secret, "web.log.1") // by its number
	link(secret, "web.log.0")
	if err := os.Mkdir(s.dir+"/elsewhere", 0o755); err != nil {
		t.Fatal(err)
	}
	shiptest.Append(t, s.dir+"/elsewhere/b.log", "elsewhere\n")
	link(s.dir+"/elsewhere", "sub")
	s.append("web.log", "a line\n")
	s.append("swap.log", "before\n")
	s.cfg.Shipper.Files[0].Paths = append(s.cfg.Shipper.Files[0].Paths, s.path("*/*.log"))
	s.start()
	s.wait(2)
	if err := os.Remove(s.path("swap.log")); err != nil { // replaced by a link while it is followed
		t.Fatal(err)
	}
	link(secret, "swap.log")
	s.append("web.log", "another\n")
	s.wait(3)
	time.Sleep(5 * s.cfg.Shipper.Scan.D())
	s.settle()
	s.want("a line", "before", "another")
	if !s.logged("are not followed") || !s.logged(s.path("a.log")) {
		t.Errorf("not logged: %s", s.log.String())
	}
	if n := s.counter("shipper_unread_matches"); n < 5 {
		t.Errorf("%v matches are counted as not read", n)
	}
}

// With follow_links they are, but not into /proc.
func TestLinksAreFollowedIfTheyAreToBe(t *testing.T) {
	s := newSite(t).plain()
	s.cfg.Shipper.Files[0].FollowLinks = true
	shiptest.Append(t, s.dir+"/elsewhere", "by a link\n")
	for name, target := range map[string]string{"a.log": s.dir + "/elsewhere", "env.log": "/proc/self/environ"} {
		if err := os.Symlink(target, s.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	s.start()
	s.wait(1)
	s.until("refusal", func() bool { return s.logged("into /proc") })
	s.settle()
	s.want("by a link")
}

// A path that is named without a wildcard may be a link: who runs sluice says so.
func TestALinkThatIsNamedIsFollowed(t *testing.T) {
	s := newSite(t).plain()
	shiptest.Append(t, s.dir+"/elsewhere", "by a link\n")
	shiptest.Append(t, s.dir+"/secret", "secret\n")
	for name, target := range map[string]string{"current": s.dir + "/elsewhere", "current.1": s.dir + "/secret"} {
		if err := os.Symlink(target, s.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	s.cfg.Shipper.Files[0].Paths = []string{s.path("current")}
	s.start()
	s.wait(1)
	time.Sleep(3 * s.cfg.Shipper.Scan.D())
	s.settle()
	s.want("by a link")
}
