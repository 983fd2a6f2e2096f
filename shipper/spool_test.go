package shipper

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/shipper/internal/shiptest"
)

// Kafka is away, containers come and go, and the shipper is restarted twice.
func TestDeletedLogsSurviveAnOutageAndARestartInTheSpool(t *testing.T) {
	s := newSite(t).plain()
	s.cfg.ShutdownTimeout = config.Duration(time.Second)
	s.cfg.Shipper.Spool.MinFree = 0
	d := s.docker()
	var down atomic.Bool
	down.Store(true)
	s.failProduce(kerr.NotEnoughReplicas.Code, down.Load)
	var want []string
	live := func(i int) string {
		id := fakeID(i)
		d.add(fakeContainer{ID: id, Name: fmt.Sprintf("web%d", i)}, true)
		var text strings.Builder
		for n := range 50 {
			line := fmt.Sprintf("container %d line %d", i, n)
			text.WriteString(dockerJSON("stdout", line+"\n", time.Now()))
			want = append(want, line)
		}
		shiptest.Append(t, d.log(id), text.String())
		d.event("start", id)
		return id
	}
	s.start()
	first := live(1)
	s.append("web.log", "plain one\nplain two\n")
	want = append(want, "plain one", "plain two")
	s.until("first files", func() bool { return s.counter("shipper_opened_files_total") == 2 })
	d.remove(first, false)
	if err := os.Remove(s.path("web.log")); err != nil {
		t.Fatal(err)
	}
	s.until("copies", func() bool {
		return s.counter("shipper_spooled_bytes_total") > 0 && s.counter("shipper_deleted_files") == 0
	})
	second := live(2)
	s.until("second log", func() bool { return s.counter("shipper_opened_files_total") >= 5 }) // two copies are opened too
	d.remove(second, false)
	s.stop() // at once: it is copied by the stop, as a rule
	s.start()
	third := live(3)
	s.until("third log", func() bool { return s.counter("shipper_opened_files_total") >= 4 })
	d.remove(third, false)
	s.stop()
	s.start()
	down.Store(false)
	s.wait(len(want))
	s.settle()
	s.want(want...)
	for _, e := range s.events {
		if strings.HasPrefix(e.Message, "container 2 ") && (e.Container.Name != "web2" || !strings.HasSuffix(e.Log.File.Path, "-json.log")) {
			t.Fatalf("container %+v, path %s", e.Container, e.Log.File.Path)
		}
	}
	s.until("an empty spool", func() bool {
		left, err := os.ReadDir(filepath.Join(s.cfg.DataDir, "spool"))
		return err == nil && len(left) == 0 && s.counter("shipper_spool_bytes") == 0
	})
	if n := s.counter("shipper_given_up_files_total"); n != 0 {
		t.Errorf("%v files given up", n)
	}
	s.stop()
	n := len(s.order)
	s.start()
	s.settle()
	if len(s.order) != n {
		t.Errorf("%d records sent again after everything was stored", len(s.order)-n)
	}
}

// The spool is bounded; what is beyond is counted to the byte.
func TestWhatTheSpoolHasNoRoomForIsCounted(t *testing.T) {
	s := newSite(t).plain()
	s.cfg.ShutdownTimeout = config.Duration(time.Second)
	s.cfg.Shipper.Spool = config.Spool{Size: 4 * config.KiB}
	s.failProduce(kerr.NotEnoughReplicas.Code, func() bool { return true })
	s.append("small.log", strings.Repeat("0123456789abcde\n", 200))
	s.append("large.log", strings.Repeat("0123456789abcde\n", 300))
	s.start()
	s.until("files", func() bool { return s.counter("shipper_made_events_total") == 500 })
	time.Sleep(100 * time.Millisecond)
	for _, name := range []string{"small.log", "large.log"} {
		if err := os.Remove(s.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	s.until("copy", func() bool {
		return s.counter("shipper_spooled_bytes_total") == 3200 && s.logged("spool.size is reached")
	})
	reg := s.reg
	s.stop()
	s.reg = reg
	if n := s.counter("shipper_given_up_bytes_total"); n != 4800 {
		t.Errorf("%v bytes given up, want 4800", n)
	}
}
