//go:build linux

package servers

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// StatsdOptions say how the server differs from the usual one.
type StatsdOptions struct {
	FlushInterval time.Duration // whole milliseconds; 0 is 1 s
}

// StatsdServer is a running statsd (Etsy's, in Node.js) that adds up what it flushes.
type StatsdServer struct {
	*Process
	Addr   string // host:port for UDP
	totals string // file
}

// StatsdTotals is what statsd has flushed since it started. Values of the current interval are not in it yet.
type StatsdTotals struct {
	Flushes  int
	Counters map[string]float64 // sums
	Gauges   map[string]float64 // last values
	Sets     map[string]int     // sizes in the last interval
	Timers   map[string]StatsdTimer
}

// StatsdTimer sums up a timer or histogram; the unit is the sender's. Sum and Max are of the values that were sent,
// Count is scaled up by their sample rate.
type StatsdTimer struct{ Count, Sum, Max float64 }

//go:embed statsd/backend.js
var backend []byte

// StartStatsd starts statsd with its files in dir. Restart begins with totals of zero.
func StartStatsd(ctx context.Context, dir string, o StatsdOptions) (*StatsdServer, error) {
	if err := Install(ctx, NameStatsd); err != nil {
		return nil, err
	}
	home, err := home(NameStatsd)
	if err != nil {
		return nil, err
	}
	ports, err := FreePorts(2)
	if err != nil {
		return nil, err
	}
	interval := o.FlushInterval
	if interval == 0 {
		interval = time.Second
	}
	config := filepath.Join(dir, "config.js")
	s := &StatsdServer{Addr: local(ports[0]), totals: filepath.Join(dir, "totals.json")}
	if err := errors.Join(os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "backend.js"), backend, 0o644),
		os.WriteFile(config, []byte(statsdConfig(dir, s.totals, ports[0], ports[1], interval)), 0o644)); err != nil {
		return nil, err
	}
	s.Process = &Process{
		Name:  "statsd",
		Log:   filepath.Join(dir, "statsd.log"),
		argv:  []string{"node", filepath.Join(home, "node_modules/statsd/stats.js"), config},
		ready: func(ctx context.Context) error { return statsdReady(ctx, local(ports[1])) },
	}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Totals reads what has been flushed so far.
func (s *StatsdServer) Totals() (StatsdTotals, error) {
	var t StatsdTotals
	text, err := os.ReadFile(s.totals)
	if err != nil {
		return t, err
	}
	if err := json.Unmarshal(text, &t); err != nil {
		return t, fmt.Errorf("read %s: %w", s.totals, err)
	}
	return t, nil
}

// statsdConfig returns JSON: statsd wants the text of a JavaScript object.
func statsdConfig(dir, totals string, port, adminPort int, interval time.Duration) string {
	text, _ := json.MarshalIndent(map[string]any{
		"address":       "127.0.0.1",
		"port":          port,
		"mgmt_address":  "127.0.0.1",
		"mgmt_port":     adminPort,
		"flushInterval": interval.Milliseconds(),
		"backends":      []string{filepath.Join(dir, "backend.js")},
		"totals":        totals,
	}, "", "  ") // strings and numbers: no error
	return string(text) + "\n"
}

// statsdReady asks the management interface, which statsd opens last.
func statsdReady(ctx context.Context, addr string) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	fmt.Fprint(conn, "health\n")
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "health: up" {
		return fmt.Errorf("ask statsd for its health: got %q, error %v", line, err)
	}
	return nil
}
