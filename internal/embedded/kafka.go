// Package embedded holds the servers of `sluice up`, the single-machine mode:
// an in-process Kafka cluster and a small Elasticsearch-compatible store with a
// search page. Both keep their state on disk, listen on the loopback interface, and
// are reached through the same clients as the real servers.
//
// What either has acknowledged survives kill -9 of the process. Power loss is
// another matter: the store syncs before it answers, Kafka leaves its writes to the
// page cache, as brokers do.
package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// KafkaOptions say where a cluster lives and what is in it.
type KafkaOptions struct {
	Dir       string         // holds log segments, group offsets and producer ids; created if missing; one process at a time
	Topics    map[string]int // partitions by topic, created when missing; an existing topic keeps its partitions
	Brokers   int            // 0: one, or as many as Ports
	Ports     []int          // one listener each; empty: free ports
	Retention int64          // bytes of log kept over all partitions, oldest dropped first; 0: 512 MiB
	Log       *slog.Logger   // nil: slog.Default()
}

// Kafka is a running cluster. Its methods may be called from any goroutine.
type Kafka struct {
	cluster *kfake.Cluster
	lock    *os.File
	addrs   []string
	stop    chan struct{}
	work    sync.WaitGroup
	once    sync.Once
}

const (
	defaultKafkaRetention = 512 << 20
	minPartitionRetention = 8 << 20 // well above the largest batch, so a partition never becomes empty
	retentionInterval     = 10 * time.Second
)

// StartKafka opens the logs in o.Dir, mends what a killed process left open in them
// and listens. A record is acknowledged after it was written to its segment file,
// an offset after it was written to the group log.
//
// Retention is by size alone. By age a partition could become empty, and a killed
// process would then start it again at offset 0, below the groups' offsets.
func StartKafka(o KafkaOptions) (*Kafka, error) {
	if o.Brokers == 0 {
		o.Brokers = max(1, len(o.Ports))
	}
	if o.Retention == 0 {
		o.Retention = defaultKafkaRetention
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	k, err := startKafka(o, lock)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return k, nil
}

func startKafka(o KafkaOptions, lock *os.File) (*Kafka, error) {
	if err := mendLogs(o.Dir, time.Now()); err != nil {
		return nil, err
	}
	partitions := 0
	for _, n := range o.Topics {
		partitions += n
	}
	retention := max(minPartitionRetention, o.Retention/int64(max(1, partitions)))
	opts := []kfake.Opt{
		kfake.DataDir(o.Dir),
		kfake.ClusterID("sluice"),
		kfake.DefaultNumPartitions(4),
		kfake.AllowAutoTopicCreation(),
		kfake.WithLogger(kafkaLogger{o.Log}),
		kfake.BrokerConfigs(map[string]string{
			"log.retention.ms":          "-1",
			"log.retention.bytes":       strconv.FormatInt(retention, 10),
			"log.segment.bytes":         strconv.FormatInt(retention/8, 10), // a segment is the least that frees disk
			"offsets.retention.minutes": strconv.Itoa(365 * 24 * 60),
		}),
	}
	if len(o.Ports) > 0 {
		opts = append(opts, kfake.Ports(o.Ports...))
	} else {
		opts = append(opts, kfake.NumBrokers(o.Brokers))
	}
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, fmt.Errorf("start kafka in %s: %w", o.Dir, err)
	}
	for topic, n := range o.Topics {
		if c.TopicInfo(topic) != nil {
			continue
		}
		if err := c.CreateTopic(topic, int32(n), nil); err != nil {
			c.Close()
			return nil, fmt.Errorf("create topic %s: %w", topic, err)
		}
	}
	c.ControlKey(int16(kmsg.OffsetFetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := unknownGroup(c, req.(*kmsg.OffsetFetchRequest))
		return resp, nil, resp != nil
	})
	k := &Kafka{cluster: c, lock: lock, addrs: c.ListenAddrs(), stop: make(chan struct{})}
	k.work.Go(k.retain)
	return k, nil
}

// Addrs are the brokers, host:port.
func (k *Kafka) Addrs() []string { return k.addrs }

// Close stops listening and stores a snapshot that makes the next start fast.
// Further calls do nothing.
func (k *Kafka) Close() error {
	k.once.Do(func() {
		close(k.stop)
		k.work.Wait()
		k.cluster.Close()
		k.lock.Close()
	})
	return nil
}

// retain drops what is above the retention, now and then.
func (k *Kafka) retain() {
	t := time.NewTicker(retentionInterval)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			k.cluster.ApplyRetention()
		case <-k.stop:
			return
		}
	}
}

// unknownGroup answers for a group that has committed nothing yet as brokers do: offset
// -1 and no error, where kfake says that there is no such group. It is nil, and kfake
// answers, for a group it knows and for a request about several.
func unknownGroup(c *kfake.Cluster, req *kmsg.OffsetFetchRequest) kmsg.Response {
	const none = -1
	resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
	if req.Version < 8 {
		if c.GroupInfo(req.Group) != nil {
			return nil
		}
		for _, t := range req.Topics {
			rt := kmsg.NewOffsetFetchResponseTopic()
			rt.Topic = t.Topic
			for _, p := range t.Partitions {
				rp := kmsg.NewOffsetFetchResponseTopicPartition()
				rp.Partition, rp.Offset, rp.LeaderEpoch = p, none, none
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp
	}
	if len(req.Groups) != 1 || c.GroupInfo(req.Groups[0].Group) != nil {
		return nil
	}
	rg := kmsg.NewOffsetFetchResponseGroup()
	rg.Group = req.Groups[0].Group
	for _, t := range req.Groups[0].Topics {
		rt := kmsg.NewOffsetFetchResponseGroupTopic()
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetFetchResponseGroupTopicPartition()
			rp.Partition, rp.Offset, rp.LeaderEpoch = p, none, none
			rt.Partitions = append(rt.Partitions, rp)
		}
		rg.Topics = append(rg.Topics, rt)
	}
	resp.Groups = append(resp.Groups, rg)
	return resp
}

// lockDir creates dir and takes it for this process; the kernel gives it back when
// the process ends, however it ends.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: in use by another process: %w", dir, err)
	}
	return f, nil
}

// kafkaLogger passes on what a broker would alarm about.
type kafkaLogger struct{ log *slog.Logger }

func (l kafkaLogger) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.log.Error("kafka: " + fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		l.log.Warn("kafka: " + fmt.Sprintf(format, args...))
	}
}

// listenLoopback listens on addr, on the loopback interface unless it names a host; empty is
// a free port there. Nobody is asked for a password, so other hosts are for the brave.
func listenLoopback(addr string) (net.Listener, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: %w", addr, err)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.Listen("tcp", net.JoinHostPort(host, port))
}

// dirSize is the size of the files below dir.
func dirSize(dir string) (int64, error) {
	var n int64
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if info, err := d.Info(); err == nil { // else: removed meanwhile
			n += info.Size()
		}
		return nil
	})
	return n, err
}
