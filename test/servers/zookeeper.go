//go:build linux

package servers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// zookeeper is what a Kafka cluster before KRaft keeps its metadata in: one node.
type zookeeper struct {
	*Process
	addr string
}

// startZookeeper starts the one of Kafka's class path with its files in dir.
func startZookeeper(ctx context.Context, dir, lib string) (*zookeeper, error) {
	ports, err := FreePorts(1)
	if err != nil {
		return nil, err
	}
	// A tick of 500 ms allows sessions of 1 to 10 s.
	config := fmt.Sprintf("dataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\ntickTime=500\nmaxClientCnxns=0\n"+
		"admin.enableServer=false\n4lw.commands.whitelist=dump\n", filepath.Join(dir, "data"), ports[0])
	name := filepath.Join(dir, "zoo.cfg")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(name, []byte(config), 0o644); err != nil {
		return nil, err
	}
	z := &zookeeper{addr: local(ports[0])}
	z.Process = &Process{
		Name:  "zookeeper",
		Log:   filepath.Join(dir, "zookeeper.log"),
		argv:  append(append([]string{"java", "-Xmx128m"}, jvm(true)...), "-cp", lib, "org.apache.zookeeper.server.quorum.QuorumPeerMain", name),
		ready: func(ctx context.Context) error { _, err := z.sessions(ctx); return err },
	}
	if err := z.start(ctx); err != nil {
		return nil, err
	}
	return z, nil
}

// properties are lines for a broker. It needs a secret to keep passwords that are changed while it runs.
func (z *zookeeper) properties() []string {
	return []string{"zookeeper.connect=" + z.addr, "zookeeper.session.timeout.ms=6000", "zookeeper.connection.timeout.ms=60000", "password.encoder.secret=for tests"}
}

// forgotten waits until the session of a broker that was killed is over: one that comes back before is refused.
func (z *zookeeper) forgotten(ctx context.Context, broker int32) error {
	known := regexp.MustCompile(fmt.Sprintf(`(?m)/brokers/ids/%d$`, broker))
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		sessions, err := z.sessions(ctx)
		if err == nil && !known.MatchString(sessions) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until zookeeper forgets broker %d: %w (%v)", broker, ctx.Err(), err)
		case <-time.After(pollEvery):
		}
	}
}

// sessions are who is connected and what will be forgotten with each of them, as text.
func (z *zookeeper) sessions(ctx context.Context) (string, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", z.addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	if _, err := io.WriteString(conn, "dump"); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	if err == nil && !bytes.Contains(answer, []byte("SessionTracker")) { // it says that it does not serve yet
		err = fmt.Errorf("ask zookeeper at %s for its sessions: got %q", z.addr, answer)
	}
	return string(answer), err
}

// addUsers makes the users of KafkaOptions.SCRAM.
func (k *KafkaCluster) addUsers(ctx context.Context, users []string) error {
	for _, user := range users {
		mechanism, name, password, err := scramUser(user)
		if err != nil {
			return err
		}
		if _, err := k.Tool(ctx, "kafka.admin.ConfigCommand", "--zookeeper", k.zookeeper.addr, "--alter", "--entity-type", "users", "--entity-name", name,
			"--add-config", fmt.Sprintf("%s=[password=%s]", mechanism, password)); err != nil {
			return fmt.Errorf("add user %s: %w", name, err)
		}
	}
	return nil
}

// scramUser takes apart what StorageTool takes.
func scramUser(text string) (mechanism, name, password string, err error) {
	parts := regexp.MustCompile(`^([A-Z0-9-]+)=\[name=([^,\]]+),password=([^,\]]+)\]$`).FindStringSubmatch(text)
	if parts == nil {
		return "", "", "", fmt.Errorf("a SCRAM user is MECHANISM=[name=...,password=...], got %s", strings.SplitN(text, "=", 2)[0])
	}
	return parts[1], parts[2], parts[3], nil
}
