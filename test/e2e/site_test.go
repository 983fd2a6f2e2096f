//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluicelog/sluice/test/servers"
)

const (
	hostName        = "l-agent1.ops.dc1"
	shutdownTimeout = 8 * time.Second
)

// site is a small real site: all servers, the configuration that serves the three
// roles, and the binaries under test.
type site struct {
	dir      string
	bin      string // sluice
	writer   string
	config   string
	dc1      *servers.KafkaCluster
	central  *servers.KafkaCluster
	es       *servers.ElasticsearchNode
	docker   *servers.DockerDaemon
	statsd   *servers.StatsdServer
	adminFor map[string]int // port by role
}

// newSite starts everything, all at the same time, and stops it when the test ends.
func newSite(t *testing.T) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e") // t.TempDir's path is too long for a unix socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("kept for a look: %s", dir)
			return
		}
		os.RemoveAll(dir)
	})
	s := &site{dir: dir, bin: filepath.Join(dir, "sluice"), writer: filepath.Join(dir, "writer"), config: filepath.Join(dir, "sluice.yaml"), adminFor: map[string]int{}}
	start := time.Now()
	if err := errors.Join(build(t.Context(), s.bin, "../.."), build(t.Context(), s.writer, "./writer")); err != nil { // first: servers that start have a time limit
		t.Fatal(err)
	}
	kafka := servers.KafkaOptions{Brief: true, Properties: []string{"num.partitions=4", "message.max.bytes=4194304", "replica.fetch.max.bytes=4194304", "log.flush.interval.messages=1000000"}}
	tasks := map[string]func(context.Context) error{
		"kafka dc1": func(ctx context.Context) (err error) {
			s.dc1, err = servers.StartKafka(ctx, filepath.Join(dir, "k1"), kafka)
			return err
		},
		"kafka central": func(ctx context.Context) (err error) {
			s.central, err = servers.StartKafka(ctx, filepath.Join(dir, "k2"), kafka)
			return err
		},
		"elasticsearch": func(ctx context.Context) (err error) {
			s.es, err = servers.StartElasticsearch(ctx, filepath.Join(dir, "es"), servers.ElasticsearchOptions{Brief: true})
			return err
		},
		"statsd": func(ctx context.Context) (err error) {
			s.statsd, err = servers.StartStatsd(ctx, filepath.Join(dir, "statsd"), servers.StatsdOptions{})
			return err
		},
		"docker": func(ctx context.Context) (err error) {
			s.docker, err = servers.StartDocker(ctx, filepath.Join(dir, "d"), servers.DockerOptions{
				Args: []string{"--log-driver=json-file", "--log-opt=max-size=2m", "--log-opt=max-file=5"},
			})
			return err
		},
	}
	errs := make(chan error, len(tasks))
	var wg sync.WaitGroup
	for name, task := range tasks {
		wg.Go(func() {
			if err := task(t.Context()); err != nil {
				errs <- fmt.Errorf("%s: %w", name, err)
			}
		})
	}
	wg.Wait()
	close(errs)
	t.Cleanup(s.stop)
	for err := range errs {
		t.Error(err)
	}
	if t.Failed() {
		t.FailNow()
	}
	s.writeConfig(t)
	t.Logf("the site is up after %v", time.Since(start).Round(time.Second))
	return s
}

func (s *site) stop() {
	var wg sync.WaitGroup
	for _, stop := range []func(){
		func() { s.dc1.Kill() }, func() { s.central.Kill() }, func() { s.es.Kill() }, func() { s.statsd.Kill() }, func() { s.docker.Stop() },
	} {
		wg.Go(func() {
			defer func() { recover() }() // a server that never started is nil
			stop()
		})
	}
	wg.Wait()
}

func build(ctx context.Context, out, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, pkg) // as make does, so that it is done already
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, text)
	}
	return nil
}

func (s *site) writeConfig(t *testing.T) {
	t.Helper()
	ports, err := servers.FreePorts(3)
	if err != nil {
		t.Fatal(err)
	}
	for i, role := range []string{"shipper", "aggregator", "indexer"} {
		s.adminFor[role] = ports[i]
	}
	text := fmt.Sprintf(`
host: %s
dc: dc1
data_dir: %s
shutdown_timeout: %v
admin: {listen: "127.0.0.1:${ADMIN_PORT}"}
statsd: {address: %s, interval: 1s}
kafka:
  dc1: {brokers: [%s]}
  central: {brokers: [%s]}
shipper:
  kafka: dc1
  topic: logs
  docker:
    enabled: true
    endpoint: unix://%s
    file_prefix: true
    list_interval: 5s
aggregator:
  sources: [{kafka: dc1, topics: [logs], group: sluice-aggregator}]
  target: {kafka: central, topic: "{topic}"}
  consume: {session_timeout: 6s}
indexer:
  kafka: central
  topics: [logs]
  event_original: true
  consume: {session_timeout: 6s}
  outputs:
    - name: online
      elasticsearch: {hosts: ["%s"]}
      template: {replicas: 0}
`, hostName, filepath.Join(s.dir, "data"), shutdownTimeout, s.statsd.Addr,
		strings.Join(s.dc1.Brokers, ","), strings.Join(s.central.Brokers, ","), s.docker.Socket, s.es.URL)
	if err := os.WriteFile(s.config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// sluice runs a command of the binary to its end and returns what it printed.
func (s *site) sluice(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.bin, append(args, "-c", s.config)...)
	cmd.Env = append(os.Environ(), "ADMIN_PORT=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("sluice %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// stage is one role as a process that can be killed and started again.
type stage struct {
	site *site
	role string
	log  *os.File

	cmd   *exec.Cmd
	ended <-chan struct{}
}

func (s *site) stage(t *testing.T, role string) *stage {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, role+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	g := &stage{site: s, role: role, log: log}
	g.start(t)
	t.Cleanup(func() {
		g.kill()
		log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("the last of %s's log:\n%s", role, text[max(0, len(text)-4000):])
		}
	})
	return g
}

func (g *stage) start(t *testing.T) {
	t.Helper()
	fmt.Fprintf(g.log, "--- start at %s\n", time.Now().Format(time.StampMilli))
	cmd := exec.Command(g.site.bin, g.role, "-c", g.site.config)
	cmd.Env = append(os.Environ(), fmt.Sprintf("ADMIN_PORT=%d", g.site.adminFor[g.role]))
	cmd.Stdout, cmd.Stderr = g.log, g.log
	ended, err := servers.Launch(cmd)
	if err != nil {
		t.Fatalf("start %s: %v", g.role, err)
	}
	g.cmd, g.ended = cmd, ended
}

// kill is kill -9.
func (g *stage) kill() {
	if g.cmd == nil {
		return
	}
	g.cmd.Process.Kill()
	<-g.ended
	g.cmd = nil
}

// stop sends SIGTERM; the stage has to exit with 0 within shutdown_timeout.
func (g *stage) stop(t *testing.T) {
	t.Helper()
	start := time.Now()
	g.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-g.ended:
		if s := g.cmd.ProcessState; !s.Success() {
			t.Errorf("%s after SIGTERM: %v, want exit 0", g.role, s)
		}
		t.Logf("%s stopped after %v", g.role, time.Since(start).Round(10*time.Millisecond))
	case <-time.After(shutdownTimeout + 5*time.Second): // the runtime's own exit on a busy machine
		t.Errorf("%s is still there %v after SIGTERM", g.role, time.Since(start).Round(time.Second))
		g.cmd.Process.Kill()
		<-g.ended
	}
	g.cmd = nil
}

// get reads a path of Elasticsearch or of an admin listener.
func get(ctx context.Context, url string) ([]byte, error) {
	return servers.Call(ctx, http.MethodGet, url, "")
}

// eventually polls until ok or the time is over; state is what it last saw.
func eventually(t *testing.T, within time.Duration, what string, ok func() (done bool, state any)) {
	t.Helper()
	var state any
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		var done bool
		if done, state = ok(); done {
			return
		}
	}
	t.Fatalf("%s: not within %v, last seen: %v", what, within, state)
}
