//go:build linux

package servers

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFreePortsAreDifferentAndFree(t *testing.T) {
	ports, err := FreePorts(200)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(ports)
	if got := len(slices.Compact(slices.Clone(ports))); got != 200 {
		t.Errorf("FreePorts(200) returned %d different ports", got)
	}
	for _, port := range ports {
		if port < portLow || port >= portHigh {
			t.Errorf("port %d is outside %d-%d", port, portLow, portHigh)
		}
	}
}

func TestPortInUseIsNotFree(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	if port := tcp.Addr().(*net.TCPAddr).Port; portFree(port) {
		t.Errorf("portFree(%d) with a TCP listener there", port)
	}
	if port := udp.LocalAddr().(*net.UDPAddr).Port; portFree(port) {
		t.Errorf("portFree(%d) with a UDP socket there", port)
	}
}

func TestKafkaProperties(t *testing.T) {
	ports := func(p int) map[string]int { return map[string]int{plain: p, controller: p + 1, "SECURE": p + 2} }
	all := []kafkaNode{{1, "/d/node-1", ports(100)}, {2, "/d/node-2", ports(200)}, {3, "/d/node-3", ports(300)}}
	f := func(nodes []kafkaNode, o KafkaOptions, want ...string) {
		t.Helper()
		got := nodes[0].properties(&KafkaCluster{Version: KafkaVersion}, nodes, o)
		for _, line := range want {
			if !strings.Contains("\n"+got, "\n"+line+"\n") {
				t.Errorf("%+v: no line %q in\n%s", o, line, got)
			}
		}
	}
	f(all[:1], KafkaOptions{},
		"node.id=1",
		"controller.quorum.voters=1@127.0.0.1:101",
		"listeners=CONTROLLER://127.0.0.1:101,PLAINTEXT://127.0.0.1:100",
		"advertised.listeners=PLAINTEXT://127.0.0.1:100",
		"log.dirs=/d/node-1/data",
		"offsets.topic.replication.factor=1",
		"transaction.state.log.min.isr=1")
	f(all, KafkaOptions{},
		"controller.quorum.voters=1@127.0.0.1:101,2@127.0.0.1:201,3@127.0.0.1:301",
		"offsets.topic.replication.factor=3",
		"default.replication.factor=3",
		"transaction.state.log.min.isr=2")
	f(all[:1], KafkaOptions{Listeners: map[string]string{"SECURE": "SASL_SSL"}},
		"listeners=CONTROLLER://127.0.0.1:101,PLAINTEXT://127.0.0.1:100,SECURE://127.0.0.1:102",
		"advertised.listeners=PLAINTEXT://127.0.0.1:100,SECURE://127.0.0.1:102",
		"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL")

	got := all[0].properties(&KafkaCluster{Version: KafkaVersion}, all[:1], KafkaOptions{Properties: []string{"log.dirs=/elsewhere"}})
	if strings.LastIndex(got, "log.dirs=/elsewhere") < strings.LastIndex(got, "log.dirs=/d/node-1/data") {
		t.Errorf("a property of the caller does not win, as it is not the last:\n%s", got)
	}
}

func TestKafkaPropertiesBeforeKRaft(t *testing.T) {
	node := kafkaNode{1, "/d/node-1", map[string]int{plain: 100, controller: 101}}
	k := &KafkaCluster{Version: "2.4.1", zookeeper: &zookeeper{addr: "127.0.0.1:7"}}
	got := node.properties(k, []kafkaNode{node}, KafkaOptions{Authorizer: true})
	for _, want := range []string{"broker.id=1", "zookeeper.connect=127.0.0.1:7", "listeners=PLAINTEXT://127.0.0.1:100",
		"authorizer.class.name=kafka.security.authorizer.AclAuthorizer"} {
		if !strings.Contains("\n"+got, "\n"+want+"\n") {
			t.Errorf("no line %q in\n%s", want, got)
		}
	}
	for _, not := range []string{"node.id", "process.roles", "CONTROLLER", "quorum"} {
		if strings.Contains(got, not) {
			t.Errorf("%s in\n%s", not, got)
		}
	}
}

func TestKafkaVersions(t *testing.T) {
	f := func(version string, major, minor int, want bool) {
		t.Helper()
		if got := atLeast(version, major, minor); got != want {
			t.Errorf("%s is at least %d.%d: got %v, want %v", version, major, minor, got, want)
		}
	}
	f("2.4.1", 2, 4, true)
	f("2.4.1", 2, 5, false)
	f("2.10.0", 2, 9, true)
	f("4.0.0", 3, 9, true)
	f("3.9.2", 4, 0, false)
	f("newest", 2, 0, false)
}

func TestSCRAMUser(t *testing.T) {
	mechanism, name, password, err := scramUser("SCRAM-SHA-512=[name=alice,password=secret]")
	if mechanism != "SCRAM-SHA-512" || name != "alice" || password != "secret" || err != nil {
		t.Errorf("got %s, %s, %s, %v", mechanism, name, password, err)
	}
	if _, _, _, err := scramUser("SCRAM-SHA-512=secret"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want an error without what may be a password", err)
	}
}

func TestElasticsearchYAML(t *testing.T) {
	got := elasticsearchYAML(`/d "x"`, 9200, 9300, ElasticsearchOptions{Settings: []string{"http.max_content_length: 1mb"}})
	want := `cluster.name: sluice-test
node.name: node-1
discovery.type: single-node
cluster.routing.allocation.disk.threshold_enabled: false
network.host: 127.0.0.1
http.port: 9200
transport.port: 9300
path.data: "/d \"x\"/data"
path.logs: "/d \"x\"/logs"
http.max_content_length: 1mb
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestStatsdConfig(t *testing.T) {
	var got map[string]any
	if err := json.Unmarshal([]byte(statsdConfig("/d", "/d/totals.json", 8125, 8126, 250*time.Millisecond)), &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"port": 8125.0, "mgmt_port": 8126.0, "flushInterval": 250.0, "totals": "/d/totals.json"} {
		if got[key] != want {
			t.Errorf("%s: got %v, want %v", key, got[key], want)
		}
	}
}

func TestRsyslogConfigEndsWithTheCallers(t *testing.T) {
	got := rsyslogConfig("/d", "/d/messages.log", "*.* @@127.0.0.1:514")
	if !strings.HasSuffix(got, "}\n*.* @@127.0.0.1:514\n") || !strings.Contains(got, `file="/d/messages.log"`) {
		t.Errorf("got\n%s", got)
	}
}

func TestBusyboxRoot(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "busybox")
	if err := os.WriteFile(binary, []byte("ELF"), 0o755); err != nil {
		t.Fatal(err)
	}
	var root bytes.Buffer
	if err := busyboxRoot(&root, binary, []string{"busybox", "sh", "echo"}); err != nil {
		t.Fatal(err)
	}
	links := map[string]string{}
	for r := tar.NewReader(&root); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		links[h.Name] = h.Linkname
	}
	f := func(name, want string) {
		t.Helper()
		if got, there := links[name]; !there || got != want {
			t.Errorf("%s: got link to %q (there: %v), want %q", name, got, there, want)
		}
	}
	f("bin/busybox", "")
	f("bin/sh", "busybox")
	f("bin/echo", "busybox")
	f("etc/passwd", "")
}

func TestRecipesHaveTheirOwnPlaceInTheCache(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("SLUICE_CACHE", cache)
	for _, name := range append(slices.Collect(maps.Keys(recipes)), NameKafka, NameKafka+"@2.4.1") {
		got, err := home(name)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Dir(got) != cache || !strings.HasPrefix(filepath.Base(got), baseOf(name)+"-"+recipeOf(name).version+"-") {
			t.Errorf("home(%s) = %s with the cache in %s", name, got, cache)
		}
		if cached([]string{name}) {
			t.Errorf("%s is cached in an empty cache", name)
		}
		if err := os.Mkdir(got, 0o755); err != nil {
			t.Fatal(err)
		}
		if !cached([]string{name}) {
			t.Errorf("%s is not cached, though %s is there", name, got)
		}
	}
}

func TestInstallOfUnknownNamesTheKnown(t *testing.T) {
	err := Install(t.Context(), "mongodb")
	if err == nil || !strings.Contains(err.Error(), "elasticsearch") {
		t.Errorf("got %v", err)
	}
}

func TestLockLetsOneThrough(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lock(ctx, name); !errors.Is(err, context.Canceled) {
		t.Errorf("second lock: got %v, want context canceled", err)
	}
	unlock()
	unlock, err = lock(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestForbidServicesLeavesAPolicyAlone(t *testing.T) {
	policy := filepath.Join(t.TempDir(), "policy-rc.d")
	allow, err := forbidServices(policy)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(policy); !strings.Contains(string(text), "exit 101") {
		t.Errorf("policy is %q", text)
	}
	again, err := forbidServices(policy)
	if err != nil {
		t.Fatal(err)
	}
	if again(); !exists(policy) {
		t.Error("a policy that was there is gone")
	}
	if allow(); exists(policy) {
		t.Error("our own policy is still there")
	}
}

// sleeper is a process that is ready at once.
func sleeper(t *testing.T, script string) *Process {
	p := &Process{
		Name:  "sleeper",
		Log:   filepath.Join(t.TempDir(), "log"),
		argv:  []string{"/bin/sh", "-c", script},
		ready: func(context.Context) error { return nil },
	}
	t.Cleanup(func() { p.Kill() })
	return p
}

func TestProcessLife(t *testing.T) {
	p := sleeper(t, "exec sleep 1000")
	if p.Running() || p.Pid() != 0 || p.Stop() != nil || p.Pause() == nil {
		t.Fatal("a process that never ran: it runs, or has a Pid, or Stop errs, or Pause does not")
	}
	if err := p.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := p.Pid()
	if err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	for state(first) != "T" { // it comes to be so soon
		time.Sleep(time.Millisecond)
	}
	if err := p.Restart(t.Context()); err != nil { // SIGTERM alone would not end a paused process
		t.Fatal(err)
	}
	if p.Pid() == first || !p.Running() || state(first) != "gone" {
		t.Errorf("after Restart: pid %d, first %d in state %s, running %v", p.Pid(), first, state(first), p.Running())
	}
	if err := p.Kill(); err != nil || p.Running() || state(p.Pid()) != "gone" {
		t.Errorf("after Kill: %v, running %v, state %s", err, p.Running(), state(p.Pid()))
	}
}

// state is the letter that ps shows, or gone.
func state(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "gone"
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))[0]
}

func TestDigest(t *testing.T) {
	numbers := func(from, to int) (text string) {
		for i := from; i <= to; i++ {
			text += fmt.Sprintln(i)
		}
		return text
	}
	f := func(text, want string) {
		t.Helper()
		if got := digest(text); got != want {
			t.Errorf("digest(%q) = %q, want %q", text, got, want)
		}
	}
	f("", "")
	f("a\nb", "a\nb")
	f(numbers(1, 50), numbers(31, 50))
	f("start\n12:00 ERROR no disk\n"+numbers(1, 50), "12:00 ERROR no disk\n"+numbers(1, 19))
	f("start\n12:00 ERROR no disk\n\tat x\nCaused by: y\n", "12:00 ERROR no disk\nCaused by: y\n")
}

func TestStartTellsWhatAFailedProcessPrinted(t *testing.T) {
	p := sleeper(t, "echo no such setting >&2; exit 3")
	p.ready = func(context.Context) error { return errors.New("not yet") }
	err := p.start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no such setting") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v", err)
	}
}

func TestStartThatIsGivenUpLeavesNothing(t *testing.T) {
	p := sleeper(t, "sleep 1000")
	ctx, cancel := context.WithCancel(t.Context())
	p.ready = func(context.Context) error { cancel(); return errors.New("not yet") }
	if err := p.start(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context canceled", err)
	}
	if p.Running() {
		t.Error("the process still runs")
	}
}
