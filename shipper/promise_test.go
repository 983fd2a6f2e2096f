package shipper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/admin"
	"github.com/sluicelog/sluice/internal/metrics"
)

// TestMain is the shipper itself when a test starts it as a process to kill.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SHIPPER_TEST_DIR"); dir != "" {
		c := config.Default()
		c.Host, c.DataDir = "host1", dir+"/data"
		c.Kafka["k"] = config.Kafka{Brokers: strings.Split(os.Getenv("SHIPPER_TEST_KAFKA"), ",")}
		c.Shipper.Kafka = "k"
		c.Shipper.Poll, c.Shipper.Scan, c.Shipper.StoreEvery = config.Duration(20*time.Millisecond), config.Duration(50*time.Millisecond), config.Duration(30*time.Millisecond)
		c.Shipper.Produce.BatchRecords = 50
		c.Shipper.Multiline.Timeout = config.Duration(20 * time.Millisecond)
		if n, err := strconv.ParseUint(os.Getenv("SHIPPER_TEST_DESCRIPTORS"), 10, 64); err == nil {
			if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
		c.Shipper.Files = []config.Files{{Paths: []string{dir + "/logs/*.log"}, Codec: "plain"}, {Paths: []string{dir + "/logs/*.json"}, Codec: "docker"}}
		if err := Run(context.Background(), c, childLog(), metrics.New("shipper", "host1"), admin.NewState("shipper")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// victim starts the shipper as a process, which kill ends.
func (s *site) victim() (kill func()) {
	s.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SHIPPER_TEST_DIR="+s.dir, "SHIPPER_TEST_KAFKA="+strings.Join(s.cluster.ListenAddrs(), ","))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if s.t.Failed() {
			_ = cmd.Process.Signal(syscall.SIGQUIT) // shows what it does
			time.Sleep(time.Second)
		}
		_ = cmd.Process.Kill()
	})
	return func() {
		s.t.Helper()
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			s.t.Fatal(err)
		}
		_ = cmd.Wait()
	}
}

func TestNothingIsLostOrDoubledByKill9(t *testing.T) {
	s := newSite(t).plain()
	var want []string
	at := time.Now()
	write := func(from, to int) {
		for i := from; i < to; i++ {
			line := fmt.Sprintf("line %d %s", i, strings.Repeat("x", i%90))
			s.append("a.log", line+"\n")
			s.append("b.json", dockerJSON("stdout", "json "+line+"\n", at.Add(time.Duration(i))))
			want = append(want, line, "json "+line)
		}
	}
	write(0, 2000)
	for round := range 4 {
		kill := s.victim()
		n := len(s.order)
		s.until("progress", func() bool { return len(s.order) > n+100 })
		write(2000+300*round, 2300+300*round)
		if round%2 == 1 {
			for _, name := range []string{"a.log", "b.json"} {
				if round == 3 {
					s.rename(name+".1", name+".2")
				}
				s.rename(name, name+".1")
				s.append(name, "")
			}
		}
		kill()
	}
	s.cfg.Shipper.Files = append(s.cfg.Shipper.Files, config.Files{Paths: []string{s.path("*.json")}, Codec: "docker"})
	s.start()
	s.wait(len(want))
	s.settle()
	s.want(want...)
	t.Logf("%d records for %d lines", len(s.order), len(want))
}

func TestLinesBetweenAckAndStoreComeAgainUnderTheSameIDs(t *testing.T) {
	s := newSite(t).plain()
	s.append("web.log", lines("a", 0, 50))
	s.start()
	s.wait(50)
	s.positionsDone()
	s.stop()
	db := s.cfg.DataDir + "/positions.db"
	before, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	s.start()
	s.append("web.log", lines("b", 0, 50))
	s.wait(100)
	s.stop()
	if err := os.WriteFile(db, before, 0o600); err != nil { // as if it had been killed before the store
		t.Fatal(err)
	}
	s.start()
	s.until("second copies", func() bool { return len(s.order) >= 150 })
	s.settle()
	if len(s.events) != 100 || len(s.order) != 150 {
		t.Errorf("%d lines in %d records, want 100 in 150", len(s.events), len(s.order))
	}
}

func TestLostOrBrokenPositionsCostResendingNotDoubling(t *testing.T) {
	f := func(name string, damage func(path string) error, aside bool) {
		t.Run(name, func(t *testing.T) {
			s := newSite(t).plain()
			s.append("web.log.1", lines("old", 0, 20))
			s.append("web.log", lines("a", 0, 50))
			s.start()
			s.wait(70)
			s.positionsDone()
			s.stop()
			if err := damage(s.cfg.DataDir + "/positions.db"); err != nil {
				t.Fatal(err)
			}
			s.rename("web.log.1", "web.log.2")
			s.rename("web.log", "web.log.1")
			s.append("web.log", "new\n")
			s.start()
			s.until("everything again", func() bool { return len(s.order) >= 141 })
			s.settle()
			if len(s.events) != 71 {
				t.Errorf("%d different ids, want 71", len(s.events))
			}
			if aside != s.logged("positions cannot be read") {
				t.Errorf("told: %v", !aside)
			}
			if _, err := os.Stat(s.cfg.DataDir + "/positions.db.bad"); (err == nil) != aside {
				t.Errorf("positions.db.bad: %v", err)
			}
		})
	}
	f("lost", os.Remove, false)
	f("not a store", func(p string) error { return os.WriteFile(p, []byte("this is not a bbolt file"), 0o600) }, true)
	f("zeros", func(p string) error { return os.WriteFile(p, make([]byte, 32<<10), 0o600) }, true)
	f("cut off", func(p string) error { return os.Truncate(p, 8192) }, true)
	f("damaged page", func(p string) error {
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		for i := 8192; i < len(b); i++ {
			b[i] ^= 0x55
		}
		return os.WriteFile(p, b, 0o600)
	}, true)
}

func TestTwoShippersDoNotShareADataDirectory(t *testing.T) {
	s := newSite(t).plain()
	s.start()
	s.append("web.log", "x\n")
	s.wait(1)
	err := Run(t.Context(), s.cfg, slog.New(slog.DiscardHandler), metrics.New("shipper", "h"), admin.NewState("shipper"))
	if err == nil || !strings.Contains(err.Error(), "another process uses it") {
		t.Errorf("err = %v", err)
	}
}

// produceControl answers produce requests while on says so.
func (s *site) failProduce(code int16, on func() bool) {
	s.cluster.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		if !on() {
			return nil, nil, false
		}
		req := r.(*kmsg.ProduceRequest)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, t := range req.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, code
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
}

func TestOutageStopsReadingAndLosesNothing(t *testing.T) {
	s := newSite(t).plain()
	var mu sync.Mutex
	down := true
	s.failProduce(kerr.NotEnoughReplicas.Code, func() bool { mu.Lock(); defer mu.Unlock(); return down })
	s.cfg.Shipper.Produce.Buffer = 1 * config.MiB
	s.cfg.Shipper.Produce.BatchBytes = 64 * config.KiB
	s.cfg.Shipper.Produce.Compression = "none" // else all of it is held in a few KiB
	line := strings.Repeat("x", 1000)
	var text strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&text, "%d %s\n", i, line)
	}
	s.append("big.log", text.String())
	s.start()
	s.until("back-pressure", func() bool { return s.counter("shipper_made_events_total") > 500 })
	time.Sleep(300 * time.Millisecond)
	if made := s.counter("shipper_made_events_total"); made > 850 { // of 1.3 KiB with their overhead, in 1 MiB of buffer
		t.Errorf("%v events made while nothing is acknowledged", made)
	}
	// A file that appears and is deleted meanwhile is held open.
	s.append("short.log", "lived during the outage\n")
	s.until("second file", func() bool { return s.counter("shipper_opened_files_total") == 2 })
	if err := os.Remove(s.path("short.log")); err != nil {
		t.Fatal(err)
	}
	s.stop() // in time, though nothing can be delivered
	if _, ok := s.events["x"]; ok || len(s.order) > 0 {
		t.Fatal("events during the outage")
	}
	s.start()
	s.until("back-pressure", func() bool { return s.counter("shipper_made_events_total") > 500 })
	s.append("short.log", "lived during the second outage\n")
	s.until("second file", func() bool { return s.counter("shipper_opened_files_total") == 3 })
	if err := os.Remove(s.path("short.log")); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	down = false
	mu.Unlock()
	s.wait(4002)
	s.only("lived during the outage") // it was in the spool
	s.only("lived during the second outage")
	var last int64 = -1
	for _, id := range s.order {
		if e := s.events[id]; strings.HasSuffix(e.Log.File.Path, "big.log") {
			if e.Log.Offset <= last {
				t.Fatalf("offset %d after %d", e.Log.Offset, last)
			}
			last = e.Log.Offset
		}
	}
}

func TestStopIsCleanWithoutKafka(t *testing.T) {
	s := newSite(t).plain()
	s.cluster.Close()
	s.cfg.ShutdownTimeout = config.Duration(time.Second)
	s.append("web.log", "x\n")
	s.start()
	s.until("open file", func() bool { return s.counter("shipper_opened_files_total") == 1 })
	start := time.Now()
	s.stop()
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("stopping took %v", d)
	}
}

func TestEventsTooLargeForKafkaAreSplit(t *testing.T) {
	s := newSite(t).plain()
	s.failProduceOver(20 << 10)
	long := strings.Repeat("0123456789", 5000)
	s.append("web.log", "before\n"+long+"\nafter\n")
	s.start()
	s.until("all of it", func() bool { return s.sizes() == int64(len(long)+len("before\n\nafter\n")) })
	var parts []event
	for _, e := range s.events {
		if slices.Contains(e.Log.Flags, "split") {
			parts = append(parts, e)
		}
	}
	slices.SortFunc(parts, func(a, b event) int { return int(a.Log.Offset - b.Log.Offset) })
	got, next := "", int64(len("before\n"))
	for _, e := range parts {
		if e.Log.Offset != next {
			t.Errorf("offset %d, want %d", e.Log.Offset, next)
		}
		got, next = got+e.Message, next+e.Log.Size
	}
	if got != long || len(parts) < 3 {
		t.Errorf("%d parts of %d bytes", len(parts), len(got))
	}
	s.positionsDone()
	if made, acked := s.counter("shipper_made_events_total"), s.counter("shipper_acknowledged_events_total"); made != 3 || acked != 3 {
		t.Errorf("made %v, acknowledged %v, want 3", made, acked)
	}
}

// failProduceOver refuses batches above a size, as a topic's max.message.bytes does.
func (s *site) failProduceOver(limit int) {
	s.cluster.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		req := r.(*kmsg.ProduceRequest)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		tooLarge := false
		for _, t := range req.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, kerr.MessageTooLarge.Code
				tooLarge = tooLarge || len(p.Records) > limit
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		if !tooLarge {
			return nil, nil, false
		}
		return resp, nil, true
	})
	s.cfg.Shipper.Produce.Compression = "none"
}

func TestOneBusyFileDoesNotHoldUpTheOthers(t *testing.T) {
	s := newSite(t).plain()
	s.cfg.Shipper.ReadBudget = 64 * config.KiB
	s.append("busy.log", strings.Repeat(strings.Repeat("x", 999)+"\n", 3_000))
	for i := range 20 {
		s.append(fmt.Sprintf("small%d.log", i), fmt.Sprintf("small %d\n", i))
	}
	s.start()
	small := func() (n int) {
		for _, e := range s.events {
			if strings.HasPrefix(e.Message, "small") {
				n++
			}
		}
		return n
	}
	s.until("all small files", func() bool { return small() == 20 })
	busy := 0
	for _, id := range s.order {
		if strings.HasPrefix(s.events[id].Message, "small") {
			break
		}
		busy++
	}
	if busy > 1_500 {
		t.Errorf("%d lines of the busy file came before the first small one", busy)
	}
}

func TestPartitionBy(t *testing.T) {
	f := func(by string, check func(partitions map[int32]bool, bySource map[string]map[int32]bool) error) {
		t.Run(by, func(t *testing.T) { partitionBy(t, by, check) })
	}
	one := func(by2 map[string]map[int32]bool) error {
		for key, p := range by2 {
			if len(p) != 1 {
				return fmt.Errorf("source %s in %d partitions", key, len(p))
			}
		}
		return nil
	}
	f("host", func(all map[int32]bool, _ map[string]map[int32]bool) error {
		if len(all) != 1 {
			return fmt.Errorf("%d partitions, want 1", len(all))
		}
		return nil
	})
	f("source", func(all map[int32]bool, by2 map[string]map[int32]bool) error {
		if len(all) < 2 {
			return errors.New("one partition")
		}
		return one(by2)
	})
	f("spread", func(all map[int32]bool, _ map[string]map[int32]bool) error {
		if len(all) != 4 {
			return fmt.Errorf("%d partitions, want 4", len(all))
		}
		return nil
	})
}

func TestPipesAndDirectoriesAreRefusedWithoutWaiting(t *testing.T) {
	s := newSite(t).plain()
	if err := syscall.Mkfifo(s.path("pipe.log"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.path("dir.log"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.append("web.log", "x\n")
	s.start()
	s.wait(1)
}

// childLog is where the process to kill says why it fails.
func childLog() *slog.Logger {
	if path := os.Getenv("SHIPPER_TEST_LOG"); path != "" {
		if f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err == nil {
			return slog.New(slog.NewTextHandler(f, nil))
		}
	}
	return slog.New(slog.DiscardHandler)
}

func partitionBy(t *testing.T, by string, check func(map[int32]bool, map[string]map[int32]bool) error) {
	s := newSite(t).plain()
	s.cfg.Shipper.PartitionBy = by
	s.cfg.Shipper.Produce.BatchBytes = 16 * config.KiB
	for i := range 8 {
		s.append(fmt.Sprintf("f%d.log", i), lines(fmt.Sprintf("file %d line ", i), 0, 200))
	}
	s.start()
	s.wait(1600)
	all, by2 := map[int32]bool{}, map[string]map[int32]bool{}
	for _, e := range s.events {
		all[e.partition] = true
		if by2[e.key] == nil {
			by2[e.key] = map[int32]bool{}
		}
		by2[e.key][e.partition] = true
	}
	if err := check(all, by2); err != nil {
		t.Errorf("%s: %v", by, err)
	}
	s.positionsDone()
	s.stop()
	s.start()
	s.settle()
	if len(s.order) != 1600 {
		t.Errorf("%s: %d records after a restart, want 1600", by, len(s.order))
	}
}
