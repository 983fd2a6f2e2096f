package shipper

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/source"
)

func (s *site) content(name string) string {
	s.t.Helper()
	b, err := os.ReadFile(s.path(name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// copyTo copies web.log, in place of what is under the name already.
func (s *site) copyTo(name string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(s.content("web.log")), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) truncate() {
	s.t.Helper()
	if err := os.Truncate(s.path("web.log"), 0); err != nil {
		s.t.Fatal(err)
	}
}

// Each case begins with 20 lines that were shipped and ends with all lines there once.
func TestCopytruncateLosesAndDoublesNothing(t *testing.T) {
	f := func(name string, play func(s *site), more ...string) {
		t.Run(name, func(t *testing.T) {
			s := newSite(t).plain()
			first := lines("a", 0, 20)
			s.append("web.log", first)
			s.start()
			s.wait(20)
			s.positionsDone()
			play(s)
			want := append(split1(first), more...)
			s.wait(len(want))
			s.settle()
			s.want(want...)
			s.positionsDone()
			s.stop()
			n := len(s.order)
			s.start()
			s.settle()
			if len(s.order) != n {
				t.Errorf("%d records sent again after everything was stored", len(s.order)-n)
			}
			for _, e := range s.events {
				if e.Log.File.Path != s.path("web.log") && !strings.HasPrefix(name, "by content") {
					t.Errorf("path %s", e.Log.File.Path)
				}
			}
		})
	}
	f("while running", func(s *site) {
		s.copyTo("web.log.1")
		s.truncate()
		s.append("web.log", "b\n")
		s.wait(21)
		s.settle()
		if len(s.order) != 21 {
			s.t.Errorf("%d records, want 21: the copy is not to be read again", len(s.order))
		}
	}, "b")
	f("what was not read is read from the copy", func(s *site) {
		s.stop()
		s.append("web.log", "unread\n")
		s.copyTo("web.log.1")
		s.truncate()
		s.append("web.log", lines("longer than before ", 0, 20))
		s.start()
	}, append([]string{"unread"}, split1(lines("longer than before ", 0, 20))...)...)
	f("copied and stopped, then cut", func(s *site) {
		s.append("web.log", "b\n")
		s.copyTo("web.log.1")
		s.wait(21)
		s.stop()
		s.truncate()
		s.append("web.log", "c\n")
		s.start()
	}, "b", "c")
	f("a line goes on in the copy", func(s *site) {
		s.append("web.log", "no end")
		s.settle()
		s.stop()
		s.append("web.log", " yet\n")
		s.copyTo("web.log.1")
		s.truncate()
		s.start()
	}, "no end yet")
	f("a line goes on in the copy while running", func(s *site) {
		s.append("web.log", "no end")
		time.Sleep(50 * time.Millisecond)
		if err := os.WriteFile(s.path("web.log.1"), []byte(s.content("web.log")+" yet\n"), 0o644); err != nil {
			s.t.Fatal(err)
		}
		s.truncate()
	}, "no end yet")
	f("the copy takes its time", func(s *site) {
		all := s.content("web.log")
		s.append("web.log.1", "")
		s.settle()
		s.append("web.log.1", all[:len(all)/2])
		s.settle()
		s.append("web.log", "b\n")
		s.wait(21)
		s.append("web.log.1", all[len(all)/2:]+"b\nunread\n") // written and cut before it could be read
		s.truncate()
		s.append("web.log", "c\n")
	}, "b", "unread", "c")
	f("stopped while it is copied", func(s *site) {
		all := s.content("web.log")
		s.append("web.log.1", all[:len(all)/2])
		s.settle()
		s.stop()
		s.append("web.log.1", all[len(all)/2:]+"unread\n")
		s.truncate()
		s.append("web.log", "c\n")
		s.start()
	}, "unread", "c")
	f("written to between copy and cut", func(s *site) {
		s.copyTo("web.log.1")
		s.append("web.log", "b\n")
		s.wait(21)
		s.positionsDone()
		s.truncate()
		s.append("web.log", "c\n")
	}, "b", "c")
	f("written to between a slow copy and the cut", func(s *site) {
		all := s.content("web.log")
		s.append("web.log.1", all[:len(all)/2])
		s.settle()
		s.append("web.log", "b\n")
		s.wait(21)
		s.positionsDone()
		s.append("web.log.1", all[len(all)/2:])
		s.settle()
		s.truncate()
		s.append("web.log", "c\n")
	}, "b", "c")
	f("the next copy has the place of the first", func(s *site) {
		for i := range 3 {
			s.copyTo("web.log.1")
			s.truncate()
			s.append("web.log", fmt.Sprintf("b%d\n", i))
			s.wait(21 + i)
		}
	}, "b0", "b1", "b2")
	f("copies move up", func(s *site) {
		for i := range 3 {
			for n := i; n > 0; n-- {
				s.rename(fmt.Sprintf("web.log.%d", n), fmt.Sprintf("web.log.%d", n+1))
			}
			s.copyTo("web.log.1")
			s.truncate()
			s.append("web.log", fmt.Sprintf("b%d\n", i))
			s.wait(21 + i)
			if i == 1 {
				s.stop()
				s.start()
			}
		}
	}, "b0", "b1", "b2")
	f("twice while stopped", func(s *site) {
		s.stop()
		s.append("web.log", "unread\n")
		s.copyTo("web.log.2")
		s.truncate()
		s.append("web.log", lines("b", 0, 20))
		s.copyTo("web.log.1")
		s.truncate()
		s.append("web.log", "c\n")
		s.start()
	}, append([]string{"unread", "c"}, split1(lines("b", 0, 20))...)...)
	f("twice while stopped, the same text", func(s *site) {
		s.stop()
		s.copyTo("web.log.2")
		s.truncate()
		s.append("web.log", lines("a", 0, 20))
		s.copyTo("web.log.1")
		s.truncate()
		s.append("web.log", "c\n")
		s.start()
	}, append([]string{"c"}, split1(lines("a", 0, 20))...)...)
	f("compressed at once", func(s *site) {
		s.append("web.log.1", s.content("web.log")+"unread\n")
		s.until("the copy", func() bool { return s.counter("shipper_opened_files_total") == 2 })
		s.truncate()
		s.rename("web.log.1", "web.log.1.gz")
		if err := os.Remove(s.path("web.log.1.gz")); err != nil {
			s.t.Fatal(err)
		}
	}, "unread")
	f("by date", func(s *site) {
		s.stop()
		s.cfg.Shipper.Files[0].Paths = []string{s.path("*.log*")}
		s.start()
		s.copyTo("web.log-20261121")
		s.truncate()
		s.append("web.log", "b\n")
	}, "b")
	for _, name := range []string{
		"web.log-2026-11-21", "web.log.2026-11-21_08-30", "web.log.0", "web.log.7", "web.log.old", "web.log.bak", "web.log~",
		"web-20261121.log", "web.bak", "saved-web.log", "web.log.then", "old/web.log",
	} {
		by := "by content"
		if base, ok := source.Rotated(name); ok && base == "web.log" {
			by = "by name"
		}
		f(by+", "+name, func(s *site) {
			s.stop()
			s.cfg.Shipper.Files[0].Paths = []string{s.path("**")}
			s.start()
			if err := os.MkdirAll(s.path("old"), 0o755); err != nil {
				s.t.Fatal(err)
			}
			s.append("web.log", "b\n")
			s.copyTo(name)
			s.append(name, "unread\n") // written and cut before it could be read
			s.truncate()
			s.append("web.log", "c\n")
			s.wait(23)
			s.positionsDone()
			s.stop()
			s.append("web.log", "unread while stopped\n")
			if err := os.Remove(s.path(name)); err != nil {
				s.t.Fatal(err)
			}
			s.copyTo(name)
			s.truncate()
			s.append("web.log", "d\n")
			s.start()
		}, "b", "unread", "c", "unread while stopped", "d")
	}
	f("positions are deleted and nothing was cut yet", func(s *site) {
		s.copyTo("web.log.1")
		s.stop()
		if err := os.Remove(s.cfg.DataDir + "/positions.db"); err != nil {
			s.t.Fatal(err)
		}
		s.start()
		s.until("second copies", func() bool { return len(s.order) >= 40 })
	})
	f("a younger file that is no copy is read", func(s *site) {
		s.append("web.log.1", lines("other", 0, 30))
	}, split1(lines("other", 0, 30))...)
	f("a younger file that begins as a copy and is none is read", func(s *site) {
		s.append("web.log.1", "a0\na1\n")
		s.settle()
		s.append("web.log.1", lines("other", 0, 30))
	}, append([]string{"a0", "a1"}, split1(lines("other", 0, 30))...)...)
}

// Programs may write the same first lines, also to files with names alike, also of those
// that are begun again: none of them is a copy.
func TestFilesWithTheSameFirstLinesAreNoCopies(t *testing.T) {
	s := newSite(t).plain()
	s.append("web.log", "start\nready\n")
	s.append("web-1.log", "start\nready\nonly here\n")
	s.start()
	s.wait(5)
	s.append("web.log.1", "start\nready\nthree\nfour\nfive\n") // younger than web.log, which has the first two
	s.append("web-2.log", "start\nready\n")
	s.append("web.log.2", "start\n")
	s.append("web.log.2", "another\n")
	s.wait(14)
	s.settle()
	if n := s.counter("shipper_copy_skipped_bytes_total"); n != 0 {
		t.Errorf("%v bytes are taken for those of copies", n)
	}
}

// What is left out of a copy is counted.
func TestWhatIsSkippedOfACopyIsCounted(t *testing.T) {
	s := newSite(t).plain()
	s.append("web.log", lines("a", 0, 20))
	size := len(lines("a", 0, 20))
	s.start()
	s.wait(20)
	s.positionsDone()
	s.copyTo("web.log.1")
	s.truncate()
	s.append("web.log", "b\n")
	s.wait(21)
	s.settle()
	if n := s.counter("shipper_copy_skipped_bytes_total"); int(n) != size || len(s.order) != 21 {
		t.Errorf("%v bytes skipped, want %d; %d records", n, size, len(s.order))
	}
}

// Where it cannot be known that a file is younger, its lines rather come twice than not
// at all.
func TestCopiesWithoutBirthTimesAreReadAsFilesOfTheirOwn(t *testing.T) {
	ask := disk.AskBirth
	disk.AskBirth = 0
	t.Cleanup(func() { disk.AskBirth = ask })
	s := newSiteAlone(t).plain()
	s.append("web.log", lines("a", 0, 20))
	s.start()
	s.wait(20)
	s.positionsDone()
	s.stop()
	s.append("web.log", "unread\n")
	s.copyTo("web.log.1")
	s.truncate()
	s.start()
	s.wait(41)
	s.only("unread")
}

// An outage of Kafka, with copies and cuts meanwhile.
func TestCopytruncateDuringAnOutageLosesAndDoublesNothing(t *testing.T) {
	s := newSite(t).plain()
	s.cfg.Shipper.Produce.Buffer = config.MiB
	s.cfg.ShutdownTimeout = config.Duration(time.Second)
	s.append("web.log", lines("a", 0, 20))
	s.start()
	s.wait(20)
	s.positionsDone()
	down := make(chan bool)
	s.failProduce(kerr.NotEnoughReplicas.Code, func() bool {
		select {
		case <-down:
			return false
		default:
			return true
		}
	})
	want := split1(lines("a", 0, 20))
	for round := range 3 {
		text := lines(fmt.Sprintf("round %d ", round), 0, 50)
		want = append(want, split1(text)...)
		s.append("web.log", text)
		time.Sleep(60 * time.Millisecond)
		for n := round; n > 0; n-- {
			s.rename(fmt.Sprintf("web.log.%d", n), fmt.Sprintf("web.log.%d", n+1))
		}
		s.copyTo("web.log.1")
		s.truncate()
		if round == 1 {
			s.stop()
			s.start()
		}
	}
	s.append("web.log", "end\n")
	close(down)
	s.wait(len(want) + 1)
	s.settle()
	s.want(append(want, "end")...)
}

// Killed with copy and cut seen, half seen or not seen.
func TestCopytruncateLosesAndDoublesNothingByKill9(t *testing.T) {
	s := newSite(t).plain()
	var want []string
	write := func(prefix string, n int) {
		text := lines(prefix, 0, n)
		s.append("web.log", text)
		want = append(want, split1(text)...)
	}
	for round := range 4 {
		s.start()
		write(fmt.Sprintf("first %d ", round), 10)
		s.wait(len(want))
		s.positionsDone()
		s.stop()
		write(fmt.Sprintf("round %d ", round), 500)
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "SHIPPER_TEST_DIR="+s.dir, "SHIPPER_TEST_KAFKA="+strings.Join(s.cluster.ListenAddrs(), ","))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		n := len(s.order)
		s.until("progress", func() bool { return len(s.order) > n+100 })
		write(fmt.Sprintf("then %d ", round), 100)
		for k := round; k > 0; k-- {
			s.rename(fmt.Sprintf("web.log.%d", k), fmt.Sprintf("web.log.%d", k+1))
		}
		s.copyTo("web.log.1")
		s.truncate()
		write(fmt.Sprintf("last %d ", round), 10)
		time.Sleep(time.Duration(round) * 15 * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
	}
	s.start()
	s.wait(len(want))
	s.settle()
	s.want(want...)
}

func TestCopytruncateStorm(t *testing.T) {
	s := newSite(t).plain()
	s.cfg.Shipper.ReadBudget = 4 << 10
	s.start()
	rnd := rand.New(rand.NewPCG(1, 2))
	var want []string
	for i := range 600 {
		line := fmt.Sprintf("line %d", i)
		s.append("web.log", line+"\n")
		want = append(want, line)
		if rnd.IntN(12) == 0 {
			time.Sleep(time.Duration(rnd.IntN(60)) * time.Millisecond)
		}
		if i > 20 && rnd.IntN(25) == 0 {
			for n := 60; n >= 1; n-- {
				from := fmt.Sprintf("web.log.%d", n)
				if _, err := os.Stat(s.path(from)); err == nil {
					s.rename(from, fmt.Sprintf("web.log.%d", n+1))
				}
			}
			s.copyTo("web.log.1")
			s.truncate()
		}
		if i%200 == 150 {
			s.stop()
			s.start()
		}
	}
	s.wait(len(want))
	s.settle()
	s.want(want...)
}
