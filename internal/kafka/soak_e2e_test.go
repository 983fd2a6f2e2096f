//go:build linux && e2e

package kafka

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/test/servers"
)

// relayJob is what a relay in a process of its own is told.
type relayJob struct {
	Source, Target []string
	Instance       string
}

const relayEnv = "SLUICE_TEST_RELAY"

// TestRelayProcess is the relay of TestRealSoak: it runs until its input ends.
func TestRelayProcess(t *testing.T) {
	text := os.Getenv(relayEnv)
	if text == "" {
		t.Skip("is started by TestRealSoak")
	}
	var job relayJob
	if err := json.Unmarshal([]byte(text), &job); err != nil {
		t.Fatal(err)
	}
	o := groupOptions("logs")
	o.InstanceID, o.SessionTimeout = job.Instance, config.Duration(10*time.Second)
	r := newRelay(t, realCluster(t, job.Target), "out", 4, &progress{at: map[int32]int64{}})
	o.Lanes = r.lanes
	_, leave := join(t, realCluster(t, job.Source), o, r)
	_, _ = io.Copy(io.Discard, os.Stdin)
	leave()
}

// relayProcess is one that is killed now and then.
type relayProcess struct {
	t     *testing.T
	job   relayJob
	cmd   *exec.Cmd
	stdin io.Closer
	out   bytes.Buffer
	kills int
}

func (p *relayProcess) start() {
	p.t.Helper()
	job, err := json.Marshal(p.job)
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.Command(os.Args[0], "-test.run=^TestRelayProcess$", "-test.timeout=1h")
	p.cmd.Env = append(os.Environ(), relayEnv+"="+string(job))
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.out.Reset()
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// kill is kill -9.
func (p *relayProcess) kill() {
	p.kills++
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	if !p.cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
		p.t.Errorf("relay %s ended by itself:\n%s", p.job.Instance, p.out.String())
	}
}

func (p *relayProcess) stop() {
	p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("relay %s: %v:\n%s", p.job.Instance, err, p.out.String())
	}
}

// Against three nodes of Kafka that are killed, frozen and restarted one after the other
// under load: what is written to them is stored once and in order, callbacks complete
// and in order; what is moved to them from another cluster, in transactions that
// hold the offsets of that one, by processes that are killed at any moment, is there
// once and in order.
func TestRealSoak(t *testing.T) {
	const partitions = 6
	records, atLeast := *soakRecords, 30*time.Second
	if records == 0 {
		records = 300_000
	}
	records -= records % (2 * partitions)
	source := realKafka(t, servers.KafkaOptions{Heap: "384m"})
	target := realKafka(t, servers.KafkaOptions{Nodes: 3, Heap: "384m", Properties: []string{"min.insync.replicas=2", "replica.lag.time.max.ms=2000"}})
	a, b := realCluster(t, source.Brokers), realCluster(t, target.Brokers)
	for _, err := range []error{
		EnsureTopic(t.Context(), a, "logs", partitions, 1),
		EnsureTopic(t.Context(), b, "direct", 2*partitions, 3),
		EnsureTopic(t.Context(), b, "out", partitions, 3),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	o := produceOptions()
	o.BatchBytes = 100_000
	s := newSink(t)
	direct := newTestProducer(t, b, o, s)
	logs := newTestProducer(t, a, o, nil)
	relays := []*relayProcess{}
	for i := range 2 {
		p := &relayProcess{t: t, job: relayJob{source.Brokers, target.Brokers, fmt.Sprint("relay-", i)}}
		p.start()
		relays = append(relays, p)
	}

	fed, once, done := make(chan struct{}), make(chan struct{}), map[string]int{}
	var breaking sync.WaitGroup
	over := func(wait time.Duration) bool {
		select {
		case <-fed:
			return true
		case <-time.After(wait):
			return false
		}
	}
	breaking.Go(func() { // nodes
		for i := 0; !over(2 * time.Second); i++ {
			n := target.Nodes[i%3]
			var err error
			switch how := []string{"killed", "frozen", "restarted"}[(i+i/3)%3]; how {
			case "frozen": // its connections stay, nothing answers
				err = n.Pause()
				over(4 * time.Second)
				err = errors.Join(err, n.Resume())
				done[how]++
			case "killed":
				err = n.Kill()
				over(time.Second)
				err = errors.Join(err, n.Restart(t.Context()))
				done[how]++
			case "restarted":
				err = n.Restart(t.Context())
				done[how]++
			}
			if err != nil {
				t.Error(err)
				return
			}
			if i == 2 {
				close(once)
			}
		}
	})
	breaking.Go(func() { // relays
		for i := 0; !over(2*time.Second + rand.N(4*time.Second)); i++ {
			relays[i%2].kill()
			relays[i%2].start()
		}
	})
	start := time.Now()
	var feeders sync.WaitGroup
	feed := func(p *Producer, topic string, partitions int) {
		feeders.Go(func() {
			f := newFeeder(t, p)
			const steps = 500
			for i := range steps {
				for n := records * i / steps; n < records*(i+1)/steps; n++ {
					f.add(topic, int32(n%partitions), 100)
				}
				time.Sleep(atLeast / steps)
				if i > steps*9/10 { // the last records wait until each node was broken once
					select {
					case <-once:
					case <-time.After(10 * time.Second):
					}
				}
			}
		})
	}
	feed(direct, "direct", 2*partitions)
	feed(logs, "logs", partitions)
	feeders.Wait()
	t.Logf("%d records each were fed in %v", records, time.Since(start).Round(time.Second))
	close(fed)
	breaking.Wait()
	longDrain(t, logs)
	longDrain(t, direct)
	t.Logf("all was acknowledged after %v", time.Since(start).Round(time.Second))
	moved := func() (n int64) {
		for _, at := range committed(t, source.Brokers, "g", "logs", partitions) { // marks
			n += max(0, at)
		}
		return n
	}
	wait(t, "all is moved", moved, func() bool { time.Sleep(time.Second); return moved() == int64(records) })
	t.Logf("all was moved after %v", time.Since(start).Round(time.Second))
	for _, p := range relays {
		p.stop()
	}
	t.Logf("nodes %v, %d kill -9 of relays", done, relays[0].kills+relays[1].kills)
	if done["killed"] == 0 || done["frozen"] == 0 || done["restarted"] == 0 || relays[0].kills == 0 || relays[1].kills == 0 {
		t.Error("not everything was broken once")
	}
	if acked, refused := s.counts(); acked != records || refused != 0 {
		t.Errorf("acked %d, refused %d, want %d, 0", acked, refused, records)
	}
	wantInOrder(t, target.Brokers, "direct", 1, int64(records/(2*partitions)), 2*partitions)
	wantInOrder(t, target.Brokers, "out", 1, int64(records/partitions), partitions)
}

// On a real Kafka, processes that relay by lanes are killed at any moment: what they move is
// there once and in order.
func TestRealLanes(t *testing.T) {
	const partitions = 6
	records := max(*soakRecords, 60_000)
	records -= records % partitions
	k := realKafka(t, servers.KafkaOptions{Heap: "384m"})
	c := realCluster(t, k.Brokers)
	for _, topic := range []string{"logs", "out"} {
		if err := EnsureTopic(t.Context(), c, topic, partitions, 1); err != nil {
			t.Fatal(err)
		}
	}
	o := produceOptions()
	o.BatchBytes = 20_000
	p := newTestProducer(t, c, o, nil)
	var relays []*relayProcess
	for i := range 2 {
		r := &relayProcess{t: t, job: relayJob{k.Brokers, k.Brokers, fmt.Sprint("relay-", i)}}
		r.start()
		relays = append(relays, r)
	}
	conf, err := c.sarama(newDialer(t.Context(), c.waits()))
	if err != nil {
		t.Fatal(err)
	}
	ask := newControl(c, conf)
	defer ask.Close()
	eventually(t, "groups have a coordinator", func() bool { _, err := ask.coordinator(sarama.CoordinatorGroup, "g"); return err == nil })
	moved := func() (n int64) {
		for _, at := range committed(t, k.Brokers, "g", "logs", partitions) { // marks
			n += max(0, at)
		}
		return n
	}
	const kills = 10
	f, fed := newFeeder(t, p), 0
	for i := range kills {
		for ; fed < records*(i+1)/kills; fed++ {
			f.add("logs", int32(fed%partitions), 100)
		}
		before := moved()
		wait(t, "something is moved", moved, func() bool { return moved() > before })
		time.Sleep(rand.N(300 * time.Millisecond)) // anywhere in a transaction
		relays[i%2].kill()
		relays[i%2].start()
	}
	longDrain(t, p)
	wait(t, "all is moved", moved, func() bool { return moved() == int64(records) })
	for _, r := range relays {
		r.stop()
	}
	t.Logf("%d records, %d kill -9 of relays", records, relays[0].kills+relays[1].kills)
	wantInOrder(t, k.Brokers, "out", 1, int64(records/partitions), partitions)
}
