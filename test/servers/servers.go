//go:build linux

// Package servers installs and starts the real servers that sluice works with: Kafka, Elasticsearch, Docker, statsd and
// rsyslog. It is for end-to-end tests, `bin/loadtest`, and people who want to try sluice; no role of sluice uses it.
//
// Each Start function installs what is missing (see Install), starts the server on free ports of 127.0.0.1 with all its
// files in a directory that the caller gives, and returns once the server answers its own protocol. The context bounds
// the start only; the server lives until Stop or Kill, or until the program that started it ends, however it ends.
package servers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

const (
	startTimeout = 5 * time.Minute  // three Kafka nodes on two busy cores were seen to take 21 s
	stopGrace    = 60 * time.Second // after SIGTERM; a Kafka broker alone needs 2 s, the last of three that stop together may wait for a majority
	pollEvery    = 50 * time.Millisecond
)

// Nodes are the processes of one server. The methods act on all of them at the same time.
type Nodes []*Process

// Stop is Process.Stop of every node.
func (n Nodes) Stop() error { return n.each((*Process).Stop) }

// Kill is Process.Kill of every node.
func (n Nodes) Kill() error { return n.each((*Process).Kill) }

// Pause is Process.Pause of every node.
func (n Nodes) Pause() error { return n.each((*Process).Pause) }

// Resume is Process.Resume of every node.
func (n Nodes) Resume() error { return n.each((*Process).Resume) }

// Restart is Process.Restart of every node: all are stopped before the first starts again.
func (n Nodes) Restart(ctx context.Context) error {
	return errors.Join(n.Stop(), n.start(ctx))
}

func (n Nodes) start(ctx context.Context) error {
	err := n.each(func(p *Process) error { return p.start(ctx) })
	if err != nil {
		n.Kill()
	}
	return err
}

func (n Nodes) each(do func(*Process) error) error {
	errs := make([]error, len(n))
	var wg sync.WaitGroup
	for i, p := range n {
		wg.Go(func() { errs[i] = do(p) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Ports are picked below the range that Linux gives to outgoing connections (from 32768), so that a server which is
// stopped finds its port free when it starts again.
const portLow, portHigh = 12000, 32000

// given are the ports that were handed out: their servers may not listen yet.
var given = struct {
	sync.Mutex
	ports map[int]bool
}{ports: map[int]bool{}}

// FreePorts returns n different ports of 127.0.0.1 on which nobody listens, neither TCP nor UDP. This process is given
// each port once. Another one may take it before the caller does; picking at random makes that unlikely.
func FreePorts(n int) ([]int, error) {
	given.Lock()
	defer given.Unlock()
	var ports []int
	for tries := 0; len(ports) < n; tries++ {
		if tries == 100*(n+1) {
			return nil, fmt.Errorf("find %d free ports in %d-%d: found %d", n, portLow, portHigh, len(ports))
		}
		port := portLow + rand.IntN(portHigh-portLow)
		if !given.ports[port] && portFree(port) {
			given.ports[port] = true
			ports = append(ports, port)
		}
	}
	return ports, nil
}

func portFree(port int) bool {
	tcp, err := net.Listen("tcp", local(port))
	if err != nil {
		return false
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", local(port))
	if err != nil {
		return false
	}
	return udp.Close() == nil
}

func local(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
