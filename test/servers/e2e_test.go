//go:build linux && e2e

package servers

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/xdg-go/scram"
)

// Each test starts a server, does one real thing with it, and proves that nothing of it is left.

func TestMain(m *testing.M) {
	if dir := os.Getenv("SLUICE_TEST_ORPHANS"); dir != "" {
		orphans(dir)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	began := time.Now()
	if err := Install(ctx, All...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	cancel()
	fmt.Printf("install: %v\n", time.Since(began).Round(time.Millisecond))
	os.Exit(m.Run())
}

func TestKafkaProduceConsume(t *testing.T) {
	k := started(t, func(dir string) (*KafkaCluster, error) { return StartKafka(t.Context(), dir, KafkaOptions{}) })
	began := time.Now()
	produce(t, k.Brokers, nil, "topic", "before the kill")
	t.Logf("first produce: %v", since(began))

	k.Kill()
	began = time.Now()
	if err := k.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("restart after kill -9: %v", since(began))
	produce(t, k.Brokers, nil, "topic", "after it")
	if got, want := consume(t, k.Brokers, "topic", 2), "[before the kill after it]"; fmt.Sprint(got) != want {
		t.Errorf("consumed %v, want %v", got, want)
	}
	out, err := k.Tool(t.Context(), k.Class(TopicCommand), "--bootstrap-server", k.Brokers[0], "--list")
	if err != nil || !strings.Contains(out, "topic\n") {
		t.Errorf("TopicCommand --list: %q, %v", out, err)
	}
	stopped(t, k)
}

func TestKafkaThreeNodes(t *testing.T) {
	k := started(t, func(dir string) (*KafkaCluster, error) {
		return StartKafka(t.Context(), dir, KafkaOptions{Nodes: 3, Heap: "384m", Brief: true})
	})
	produce(t, k.Brokers, nil, "topic", "all up")
	if err := k.Nodes[1].Kill(); err != nil {
		t.Fatal(err)
	}
	produce(t, k.Brokers, nil, "topic", "two up")
	began := time.Now()
	if err := k.Nodes[1].Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("restart of one node: %v", since(began))
	if got, want := consume(t, k.Brokers, "topic", 2), "[all up two up]"; fmt.Sprint(got) != want {
		t.Errorf("consumed %v, want %v", got, want)
	}
	stopped(t, killed{k})
}

// killed stops by killing: Kafka nodes that get SIGTERM together may wait for minutes
// for the majority that is gone.
type killed struct{ *KafkaCluster }

func (k killed) Stop() error { return k.Kill() }

func TestKafkaSCRAMAndTLS(t *testing.T) {
	cert, key := certificate(t)
	k := started(t, func(dir string) (*KafkaCluster, error) {
		return StartKafka(t.Context(), dir, KafkaOptions{
			Listeners: map[string]string{"SECURE": "SASL_SSL"},
			TLS:       map[string]Keys{"SECURE": {Certificate: cert, Key: key}},
			Properties: []string{
				"sasl.enabled.mechanisms=SCRAM-SHA-512",
				"listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;",
			},
			SCRAM: []string{"SCRAM-SHA-512=[name=alice,password=secret]"},
		})
	})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	login := func(password string) func(*sarama.Config) {
		return func(c *sarama.Config) {
			c.Net.TLS.Enable, c.Net.TLS.Config = true, &tls.Config{RootCAs: roots}
			c.Net.SASL.Enable, c.Net.SASL.User, c.Net.SASL.Password = true, "alice", password
			c.Net.SASL.Mechanism = sarama.SASLTypeSCRAMSHA512
			c.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &conversation{} }
		}
	}
	produce(t, k.Listeners["SECURE"], login("secret"), "topic", "signed in")
	c := kafkaConfig()
	login("wrong")(c)
	c.Metadata.Retry.Max = 0
	if _, err := sarama.NewClient(k.Listeners["SECURE"], c); err == nil {
		t.Error("a wrong password is let in")
	}
	stopped(t, k)
}

// certificate returns one for 127.0.0.1, signed by itself, and its key, as PEM.
func certificate(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kafka"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

type conversation struct{ *scram.ClientConversation }

func (c *conversation) Begin(user, password, authz string) error {
	client, err := scram.HashGeneratorFcn(sha512.New).NewClient(user, password, authz)
	if err == nil {
		c.ClientConversation = client.NewConversation()
	}
	return err
}

func kafkaConfig() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V3_6_0_0
	c.Producer.Return.Successes = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	return c
}

func produce(t *testing.T, brokers []string, with func(*sarama.Config), topic, value string) {
	t.Helper()
	c := kafkaConfig()
	// For 90 s and more: a new topic has no leader at first, nor has one whose broker was killed, on a busy machine.
	c.Producer.Retry.Max, c.Metadata.Retry.Max = 900, 400
	if with != nil {
		with(c)
	}
	p, err := sarama.NewSyncProducer(brokers, c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(value)}); err != nil {
		t.Fatal(err)
	}
}

// consume returns the first n values of partition 0.
func consume(t *testing.T, brokers []string, topic string, n int) (values []string) {
	t.Helper()
	c, err := sarama.NewConsumer(brokers, kafkaConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p, err := c.ConsumePartition(topic, 0, sarama.OffsetOldest)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	timeout := time.After(2 * time.Minute)
	for len(values) < n {
		select {
		case m := <-p.Messages():
			values = append(values, string(m.Value))
		case <-timeout:
			t.Fatalf("consumed only %q", values)
		}
	}
	return values
}

func TestElasticsearchIndexSearch(t *testing.T) {
	e := started(t, func(dir string) (*ElasticsearchNode, error) {
		return StartElasticsearch(t.Context(), dir, ElasticsearchOptions{Brief: true})
	})
	call := func(method, path, body string) (answer struct {
		Errors bool
		Hits   struct{ Total struct{ Value int } }
	}) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, e.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		if err := json.Unmarshal(text, &answer); err != nil || resp.StatusCode >= 300 || answer.Errors {
			t.Fatalf("%s %s: %s: %s", method, path, resp.Status, text)
		}
		if got := resp.Header.Get("X-Elastic-Product"); got != "Elasticsearch" {
			t.Errorf("X-Elastic-Product: %q", got)
		}
		return answer
	}
	began := time.Now()
	call("PUT", "/logs", `{"mappings":{"properties":{"message":{"type":"text"},"app":{"type":"flattened"}}}}`)
	call("POST", "/logs/_bulk?refresh=true", `{"create":{"_id":"1"}}
{"message":"the quick brown fox","app":{"a":{"b":1}}}
{"create":{"_id":"2"}}
{"message":"a lazy dog"}
`)
	f := func(query string, want int) {
		t.Helper()
		if got := call("GET", "/logs/_search?q="+query, "").Hits.Total.Value; got != want {
			t.Errorf("%s: %d hits, want %d", query, got, want)
		}
	}
	f("message:fox", 1)
	f("app.a.b:1", 1)
	t.Logf("create index, bulk, 2 searches: %v", since(began))

	began = time.Now()
	if err := e.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("restart: %v", since(began))
	f("message:fox+OR+message:dog", 2)
	stopped(t, e)
}

func TestDockerContainerLog(t *testing.T) {
	needRoot(t)
	d := started(t, func(dir string) (*DockerDaemon, error) { return StartDocker(t.Context(), dir, DockerOptions{}) })
	docker := func(args ...string) string {
		t.Helper()
		out, err := d.Run(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	t.Logf("storage driver: %s", docker("info", "--format", "{{.Driver}}"))
	began := time.Now()
	id := docker("run", "-d", Image, "sh", "-c", "echo a line; echo another >&2")
	docker("wait", id)
	t.Logf("a container from run to end: %v", since(began))

	f, err := os.Open(docker("inspect", "--format", "{{.LogPath}}", id))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		var line struct{ Log, Stream string }
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		lines[line.Stream] += line.Log
	}
	if got, want := fmt.Sprintf("%q", lines), `map["stderr":"another\n" "stdout":"a line\n"]`; got != want {
		t.Errorf("json-file log: got %s, want %s", got, want)
	}

	docker("run", "-d", "--name", "long", Image, "sleep", "1000")
	if err := d.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := d.Run(ctx, "version"); err == nil {
		t.Error("a paused dockerd answers")
	}
	if err := d.Resume(); err != nil {
		t.Fatal(err)
	}
	docker("version")

	before := descendants(d.Pid())
	d.Kill()
	gone(t, before)
	began = time.Now()
	if err := d.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("restart after kill -9: %v", since(began))
	if got, want := docker("inspect", "--format", "{{.State.Status}}", "long"), "exited"; got != want {
		t.Errorf("a container after the crash: got %s, want %s", got, want)
	}
	began = time.Now()
	for range 5 {
		docker("run", "--rm", Image, "true")
	}
	t.Logf("5 short containers: %v", since(began))
	docker("start", "long")
	stopped(t, d)
}

func TestStatsdTotals(t *testing.T) {
	s := started(t, func(dir string) (*StatsdServer, error) {
		return StartStatsd(t.Context(), dir, StatsdOptions{FlushInterval: 200 * time.Millisecond})
	})
	conn, err := net.Dial("udp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	send := func(text string) {
		t.Helper()
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
	}
	// until waits for flushes until the totals have what is wanted.
	until := func(what string, has func(StatsdTotals) bool) StatsdTotals {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			totals, err := s.Totals()
			if err != nil {
				t.Fatal(err)
			}
			if has(totals) {
				return totals
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: got %+v", what, totals)
			}
		}
	}
	began := time.Now()
	send("sluice.lines:3|c\nsluice.lag:7|g\nsluice.took:5|ms\nsluice.took:2|ms")
	until("first flush", func(t StatsdTotals) bool { return t.Counters["sluice.lines"] == 3 })
	t.Logf("counter read back: %v", since(began))
	send("sluice.lines:4|c\nsluice.took:1|ms|@0.5")
	got := until("sum over flushes", func(t StatsdTotals) bool { return t.Counters["sluice.lines"] == 7 })
	if want := (StatsdTimer{Count: 4, Sum: 8, Max: 5}); got.Timers["sluice.took"] != want || got.Gauges["sluice.lag"] != 7 {
		t.Errorf("got timer %+v and gauge %v, want %+v and 7", got.Timers["sluice.took"], got.Gauges["sluice.lag"], want)
	}
	stopped(t, s)
}

func TestRsyslogTakesAndWrites(t *testing.T) {
	ports, err := FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "out.log")
	r := started(t, func(dir string) (*RsyslogServer, error) {
		return StartRsyslog(t.Context(), dir, fmt.Sprintf(`module(load="imtcp")
module(load="omkafka")
module(load="omelasticsearch")
input(type="imtcp" address="127.0.0.1" port="%d")
action(type="omfile" file=%q)`, ports[0], file))
	})
	if text, _ := os.ReadFile(r.Messages); strings.Contains(string(text), "error") {
		t.Errorf("rsyslogd says\n%s", text)
	}
	conn, err := net.Dial("tcp", local(ports[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "<14>1 2026-01-02T03:04:05Z host app 1 - - a syslog line\n"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		text, _ := os.ReadFile(file)
		if strings.Contains(string(text), "a syslog line") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %q", text)
		}
	}
	stopped(t, r)
}

// The servers of a program that is killed are killed by the kernel, containerd and containers too.
func TestNothingIsLeftOfAKilledProgram(t *testing.T) {
	needRoot(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SLUICE_TEST_ORPHANS="+shortDir(t))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "up\n" {
		t.Fatalf("the program that starts servers: %q, %v", line, err)
	}
	pids := descendants(cmd.Process.Pid)
	if len(pids) < 6 { // statsd, docker-init, dockerd, containerd, shim, container
		t.Fatalf("only %d processes: %v", len(pids), pids)
	}
	cmd.Process.Kill()
	gone(t, pids)
	t.Logf("%d processes went with the program", len(pids))
}

func orphans(dir string) {
	ctx := context.Background()
	_, err := StartStatsd(ctx, filepath.Join(dir, "statsd"), StatsdOptions{})
	if err == nil {
		var d *DockerDaemon
		if d, err = StartDocker(ctx, filepath.Join(dir, "docker"), DockerOptions{}); err == nil {
			_, err = d.Run(ctx, "run", "-d", Image, "sleep", "1000")
		}
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("up")
	select {}
}

// stopper is every server.
type stopper interface{ Stop() error }

func started[S stopper](t *testing.T, start func(dir string) (S, error)) S {
	t.Helper()
	began := time.Now()
	s, err := start(shortDir(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop() }) // when the test fails before it stops the server
	t.Logf("start: %v", since(began))
	return s
}

// stopped stops the server and wants none of this program's descendants to be left.
func stopped(t *testing.T, s stopper) {
	t.Helper()
	pids := descendants(os.Getpid())
	began := time.Now()
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	t.Logf("stop: %v, %d processes", since(began), len(pids))
	if len(pids) == 0 {
		t.Error("no process was there to stop")
	}
	gone(t, pids)
	if left := descendants(os.Getpid()); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// descendants maps the ids of all processes below pid to their command lines.
func descendants(pid int) map[int]string {
	below := map[int]string{}
	for _, child := range children(pid) {
		line, _ := os.ReadFile("/proc/" + strconv.Itoa(child) + "/cmdline")
		below[child] = strings.ReplaceAll(string(line), "\x00", " ")
		for id, line := range descendants(child) {
			below[id] = line
		}
	}
	return below
}

// gone waits up to 10 s, as the kernel kills at its own pace.
func gone(t *testing.T, pids map[int]string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for pid, line := range pids {
		for state(pid) != "gone" && state(pid) != "Z" { // Z: ended, and its new parent has not asked for it yet
			if time.Now().After(deadline) {
				t.Errorf("process %d is still there: %s", pid, line)
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// shortDir is a t.TempDir whose path leaves room for the name of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sluice-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// needRoot skips a test, but not where every test is wanted: .ci/run sets SLUICE_CI.
func needRoot(t *testing.T) {
	t.Helper()
	switch {
	case os.Getuid() == 0:
	case os.Getenv("SLUICE_CI") != "":
		t.Fatal("only root can start dockerd, and no test may be skipped here: run .ci/run as root")
	default:
		t.Skip("only root can start dockerd")
	}
}

func since(t time.Time) time.Duration { return time.Since(t).Round(time.Millisecond) }
