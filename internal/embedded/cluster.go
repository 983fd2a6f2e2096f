package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicelog/sluice/internal/retry"
)

// cluster is one life of a Kafka cluster: from a start to a clean stop or to a write that
// fails.
//
// kfake goes on after such a write: it has counted the records already, so it answers the
// producer's next try as a copy of what it stored, and commits the offsets of a transaction
// whose end is not written. Therefore a failed write ends the cluster's goroutine on the
// spot, before the request is answered and before anything else is written: what is on disk
// then is what a killed process leaves, and the next start mends it as such.
type cluster struct {
	*kfake.Cluster
	o     KafkaOptions
	share int64 // bytes of a partition

	armed   atomic.Bool   // a failed write ends it
	failed  chan struct{} // closed after reason is set
	reason  error
	closing atomic.Bool

	mu    sync.Mutex
	conns map[net.Conn]struct{} // nil: severed
	lns   []net.Listener
}

// startCluster starts a cluster on what is in o.Dir.
func startCluster(o KafkaOptions) (*cluster, error) {
	if err := mendLogs(o.Dir, time.Now()); err != nil {
		return nil, err
	}
	partitions := 0
	for _, n := range o.Topics {
		partitions += n
	}
	c := &cluster{
		o: o, share: max(minPartitionBytes, o.Bytes/int64(max(1, partitions))),
		failed: make(chan struct{}), conns: map[net.Conn]struct{}{},
	}
	opts := []kfake.Opt{
		kfake.DataDir(o.Dir),
		kfake.ClusterID("sluice"),
		kfake.DefaultNumPartitions(4),
		kfake.AllowAutoTopicCreation(),
		kfake.WithLogger(c),
		kfake.ListenFn(c.listen),
		kfake.BrokerConfigs(map[string]string{
			"log.retention.ms":          "-1",
			"log.retention.bytes":       "-1", // see makeRoom
			"log.segment.bytes":         strconv.FormatInt(c.share/segmentsInShare, 10),
			"offsets.retention.minutes": strconv.Itoa(365 * 24 * 60),
		}),
	}
	if len(o.Ports) > 0 {
		opts = append(opts, kfake.Ports(o.Ports...))
	} else {
		opts = append(opts, kfake.NumBrokers(o.Brokers))
	}
	var err error
	if c.Cluster, err = kfake.NewCluster(opts...); err != nil {
		c.sever()
		return nil, fmt.Errorf("start kafka in %s: %w", o.Dir, err)
	}
	c.armed.Store(true)
	if err := c.unlessFailed(c.createTopics); err != nil {
		c.close()
		return nil, err
	}
	c.ControlKey(int16(kmsg.OffsetFetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := unknownGroup(c, req.(*kmsg.OffsetFetchRequest))
		return resp, nil, resp != nil
	})
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp, taken := c.hold(req.(*kmsg.ProduceRequest))
		if resp == nil {
			return nil, nil, !taken
		}
		return resp, nil, true
	})
	return c, nil
}

func (c *cluster) createTopics() error {
	for topic, n := range c.o.Topics {
		if c.TopicInfo(topic) != nil {
			continue
		}
		if err := c.CreateTopic(topic, int32(n), nil); err != nil {
			return fmt.Errorf("create topic %s: %w", topic, err)
		}
	}
	return nil
}

// unlessFailed calls f, which waits for the cluster's goroutine, and returns the reason if
// that goroutine ends.
func (c *cluster) unlessFailed(f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-c.failed:
		return c.reason
	}
}

// close stops the cluster, cleanly if it has not failed.
func (c *cluster) close() {
	c.armed.Store(false)
	c.closing.Store(true)
	c.unlessFailed(func() error { c.Close(); return nil })
	c.sever()
}

// Logf passes on what a broker would alarm about. kfake calls it on the cluster's goroutine
// for each write that fails, at once and with a text that begins so.
func (c *cluster) Logf(level kfake.LogLevel, format string, args ...any) {
	if level != kfake.LogLevelError && level != kfake.LogLevelWarn {
		return
	}
	text := fmt.Sprintf(format, args...)
	if strings.HasPrefix(format, "persist ") && c.armed.CompareAndSwap(true, false) {
		c.reason = fmt.Errorf("write in %s: %s", c.o.Dir, strings.TrimPrefix(text, "persist "))
		close(c.failed)
		runtime.Goexit()
	}
	l := slog.LevelWarn
	if level == kfake.LogLevelError {
		l = slog.LevelError
	}
	c.o.Log.Log(context.Background(), l, "kafka: "+text)
}

// listen is net.Listen, with connections that sever can close.
func (c *cluster) listen(network, address string) (net.Listener, error) {
	ln, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lns = append(c.lns, ln)
	return severable{ln, c}, nil
}

// sever closes all listeners and connections.
func (c *cluster) sever() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ln := range c.lns {
		ln.Close()
	}
	for conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

type severable struct {
	net.Listener
	c *cluster
}

func (s severable) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.c.conns == nil {
		conn.Close()
		return nil, net.ErrClosed
	}
	s.c.conns[conn] = struct{}{}
	return &tracked{Conn: conn, c: s.c}, nil
}

// tracked forgets a connection that is closed.
type tracked struct {
	net.Conn
	c *cluster
}

func (t *tracked) Close() error {
	t.c.mu.Lock()
	delete(t.c.conns, t.Conn)
	t.c.mu.Unlock()
	return t.Conn.Close()
}

// A cluster that failed is started again after a pause, which grows while it fails again
// within steady.
var (
	revival = retry.Backoff{First: time.Second, Longest: 30 * time.Second}
	steady  = time.Minute
)

// supervise starts the cluster again after writes that failed.
func (k *Kafka) supervise() {
	failures := 0
	for {
		began := time.Now()
		select {
		case <-k.stop:
			return
		case <-k.cluster.failed:
		}
		k.cluster.sever()
		k.o.Log.Error("kafka: a write failed; nothing is accepted or acknowledged until writing works again: free some disk", "error", k.cluster.reason)
		k.cluster = nil
		if time.Since(began) > steady {
			failures = 0
		}
		for k.cluster == nil {
			failures++
			select {
			case <-k.stop:
				return
			case <-time.After(revival.Pause(failures)):
			}
			if probeDisk(k.o.Dir) != nil {
				continue
			}
			c, err := startCluster(k.o)
			if err != nil {
				k.o.Log.Error("kafka: start again after a failed write", "error", err)
				continue
			}
			k.cluster = c
		}
		k.o.Log.Warn("kafka: writing works again", "dir", k.o.Dir)
	}
}

// probeDisk writes as much as a large batch, and removes it again.
func probeDisk(dir string) error {
	name := filepath.Join(dir, "probe")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 1<<20))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(name))
}
