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
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// KafkaOptions say where a cluster lives and what is in it.
type KafkaOptions struct {
	Dir     string            // holds log segments, group offsets and producer ids; created if missing; one process at a time
	Topics  map[string]int    // partitions by topic, created when missing; an existing topic keeps its partitions
	Readers map[string]string // the consumer group of a topic: nothing is dropped that it has not committed
	Brokers int               // 0: one, or as many as Ports
	Ports   []int             // one listener each; empty: free ports
	Bytes   int64             // of log kept over all partitions of Topics; 0: 512 MiB
	Free    int64             // bytes that stay free on the disk: with less, records are refused; 0: 64 MiB
	Log     *slog.Logger      // nil: slog.Default()
}

// Kafka is a cluster that runs until Close, through failed writes too. Its methods may be
// called from any goroutine.
type Kafka struct {
	o     KafkaOptions
	lock  *os.File
	addrs []string
	stop  chan struct{}
	work  sync.WaitGroup
	once  sync.Once

	cluster *cluster // owned by supervise while that runs; nil after a failed write, until the next start
}

const (
	defaultKafkaBytes = 512 << 20
	defaultKafkaFree  = 64 << 20
	minPartitionBytes = 8 << 20 // well above the largest batch, so a partition never becomes empty
	segmentsInShare   = 8       // of a partition's share of the bytes; a segment is the least that is dropped
)

// StartKafka opens the logs in o.Dir, mends what a killed process left open in them
// and listens. A record is acknowledged after it was written to its segment file,
// an offset after it was written to the group log.
//
// Each partition has an equal share of o.Bytes. When it is used up, the oldest segments are
// dropped that the topic's reader has committed; if that is not enough, records are refused
// with THROTTLING_QUOTA_EXCEEDED, which producers try again. In a topic without a reader the
// oldest segments are dropped in any case. Nothing is dropped by age: a partition could
// become empty, and a killed process would then start it again at offset 0, below the
// groups' offsets.
//
// After a write that fails no answer leaves the cluster any more. It goes on from what is on
// disk, on the same addresses, as soon as writing works again.
func StartKafka(o KafkaOptions) (*Kafka, error) {
	o.Brokers = cmp.Or(o.Brokers, max(1, len(o.Ports)))
	o.Bytes = cmp.Or(o.Bytes, defaultKafkaBytes)
	o.Free = cmp.Or(o.Free, defaultKafkaFree)
	o.Log = cmp.Or(o.Log, slog.Default())
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	k := &Kafka{o: o, lock: lock, stop: make(chan struct{})}
	if k.cluster, err = startCluster(o); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	k.addrs = k.cluster.ListenAddrs()
	k.o.Ports = nil
	for _, addr := range k.addrs {
		_, port, _ := net.SplitHostPort(addr)
		n, _ := strconv.Atoi(port) // of our own listener
		k.o.Ports = append(k.o.Ports, n)
	}
	k.work.Go(k.supervise)
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
		if k.cluster != nil {
			k.cluster.close()
		}
		k.lock.Close()
	})
	return nil
}

// unknownGroup answers for a group that has committed nothing yet as brokers do: offset
// -1 and no error, where kfake says that there is no such group. It is nil, and kfake
// answers, for a group it knows and for a request about several.
func unknownGroup(c *cluster, req *kmsg.OffsetFetchRequest) kmsg.Response {
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

// lockDir creates dir, for its owner alone, and takes it for this process; the kernel gives
// it back when the process ends, however it ends.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o700); err != nil { // it may be older
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: in use by another process: %w", dir, err)
	}
	return f, nil
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
