//go:build linux

package servers

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

// KafkaOptions say how a cluster differs from one plain node.
type KafkaOptions struct {
	Nodes      int               // brokers, each a controller as well; 0 is 1
	Properties []string          // lines for each server.properties, after ours: they win
	Listeners  map[string]string // more listeners: name, in capitals, to protocol, such as SECURE: SASL_SSL
	Advertised map[string]string // what a listener's clients dial instead of it, such as a proxy; for one node only
	SCRAM      []string          // users, as StorageTool takes them: SCRAM-SHA-512=[name=alice,password=secret]
	Heap       string            // of each JVM, for -Xmx; "" is 512m
	Brief      bool              // it lives for minutes and is not measured: see jvm
}

// KafkaCluster is a running Kafka 4.0 cluster in KRaft mode.
type KafkaCluster struct {
	Nodes
	Brokers   []string            // host:port of each node's plaintext listener, in the order of Nodes
	Listeners map[string][]string // the same of each listener of KafkaOptions.Listeners
	lib       string              // class path
}

// StartKafka starts a cluster with its files in dir. Internal topics are kept on as many nodes as there are, 3 at
// most, and a topic is made when a client first names it.
func StartKafka(ctx context.Context, dir string, o KafkaOptions) (*KafkaCluster, error) {
	if err := Install(ctx, NameKafka); err != nil {
		return nil, err
	}
	home, err := home(NameKafka)
	if err != nil {
		return nil, err
	}
	nodes, err := kafkaNodes(dir, o)
	if err != nil {
		return nil, err
	}
	k := &KafkaCluster{Listeners: map[string][]string{}, lib: filepath.Join(home, "lib") + "/*"}
	var brokers []int32
	for _, n := range nodes {
		k.Nodes = append(k.Nodes, &Process{
			Name: fmt.Sprintf("kafka node %d", n.id),
			Log:  filepath.Join(n.dir, "kafka.log"),
			argv: slices.Concat([]string{"java", "-Xmx" + orDefault(o.Heap, "512m")}, jvm(o.Brief), []string{"-Dorg.slf4j.simpleLogger.showDateTime=true",
				"-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS", "-cp", k.lib, "kafka.Kafka", n.config()}),
			// One node alone is ready when it knows itself; it may be restarted while others are down.
			ready: func(ctx context.Context) error { return kafkaReady(ctx, n.addr(plain), []int32{n.id}) },
		})
		brokers = append(brokers, n.id)
		k.Brokers = append(k.Brokers, n.addr(plain))
		for name := range o.Listeners {
			k.Listeners[name] = append(k.Listeners[name], n.addr(name))
		}
		if err := n.format(ctx, k, nodes, o); err != nil {
			return nil, err
		}
	}
	if err := k.start(ctx); err != nil {
		return nil, fmt.Errorf("start kafka in %s: %w", dir, err)
	}
	whole := &Process{ready: func(ctx context.Context) error { return kafkaReady(ctx, k.Brokers[0], brokers) }}
	if err := whole.await(ctx); err != nil {
		k.Kill()
		return nil, fmt.Errorf("start kafka in %s: %w", dir, err)
	}
	return k, nil
}

// Tool runs a class of Kafka's command line tools, such as org.apache.kafka.tools.TopicCommand, and returns what it
// printed.
func (k *KafkaCluster) Tool(ctx context.Context, class string, args ...string) (string, error) {
	return run(ctx, "java", append([]string{"-Xmx256m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", k.lib, class}, args...)...)
}

// ClassPath is that of Kafka's own programs, MirrorMaker 2 among them.
func (k *KafkaCluster) ClassPath() string { return k.lib }

const (
	plain      = "PLAINTEXT"
	controller = "CONTROLLER"
	clusterID  = "c2x1aWNlLXRlc3Qta2Fma2" // 16 bytes in base64url; nodes with another one would be refused
)

// kafkaNode is what the configuration of one node depends on.
type kafkaNode struct {
	id    int32
	dir   string
	ports map[string]int // by listener name
}

func kafkaNodes(dir string, o KafkaOptions) ([]kafkaNode, error) {
	names := append([]string{plain, controller}, slices.Sorted(maps.Keys(o.Listeners))...)
	nodes := make([]kafkaNode, max(1, o.Nodes))
	ports, err := FreePorts(len(names) * len(nodes))
	if err != nil {
		return nil, err
	}
	for i := range nodes {
		nodes[i] = kafkaNode{id: int32(i + 1), dir: filepath.Join(dir, fmt.Sprintf("node-%d", i+1)), ports: map[string]int{}}
		for _, name := range names {
			nodes[i].ports[name], ports = ports[0], ports[1:]
		}
		if err := os.MkdirAll(nodes[i].dir, 0o755); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

func (n kafkaNode) addr(listener string) string { return local(n.ports[listener]) }
func (n kafkaNode) config() string              { return filepath.Join(n.dir, "server.properties") }

// format writes the configuration and makes the data directory.
func (n kafkaNode) format(ctx context.Context, k *KafkaCluster, all []kafkaNode, o KafkaOptions) error {
	if err := os.WriteFile(n.config(), []byte(n.properties(all, o)), 0o644); err != nil {
		return err
	}
	args := []string{"format", "--ignore-formatted", "-t", clusterID, "-c", n.config()}
	for _, user := range o.SCRAM {
		args = append(args, "--add-scram", user)
	}
	if _, err := k.Tool(ctx, "kafka.tools.StorageTool", args...); err != nil {
		return fmt.Errorf("format kafka node %d: %w", n.id, err)
	}
	return nil
}

func (n kafkaNode) properties(all []kafkaNode, o KafkaOptions) string {
	var listeners, advertised, protocols, voters []string
	protocol := map[string]string{plain: plain, controller: plain}
	maps.Copy(protocol, o.Listeners)
	for _, name := range slices.Sorted(maps.Keys(protocol)) {
		listeners = append(listeners, name+"://"+n.addr(name))
		protocols = append(protocols, name+":"+protocol[name])
		if name != controller {
			advertised = append(advertised, name+"://"+orDefault(o.Advertised[name], n.addr(name)))
		}
	}
	for _, node := range all {
		voters = append(voters, fmt.Sprintf("%d@%s", node.id, node.addr(controller)))
	}
	copies := min(3, len(all))
	insync := max(1, copies-1)
	lines := []string{
		"process.roles=broker,controller",
		fmt.Sprintf("node.id=%d", n.id),
		"controller.quorum.voters=" + strings.Join(voters, ","),
		"controller.listener.names=" + controller,
		"inter.broker.listener.name=" + plain,
		"listeners=" + strings.Join(listeners, ","),
		"advertised.listeners=" + strings.Join(advertised, ","),
		"listener.security.protocol.map=" + strings.Join(protocols, ","),
		"log.dirs=" + filepath.Join(n.dir, "data"),
		fmt.Sprintf("offsets.topic.replication.factor=%d", copies),
		fmt.Sprintf("transaction.state.log.replication.factor=%d", copies),
		fmt.Sprintf("transaction.state.log.min.isr=%d", insync),
		fmt.Sprintf("default.replication.factor=%d", copies),
		"group.initial.rebalance.delay.ms=0",
	}
	return strings.Join(append(lines, o.Properties...), "\n") + "\n"
}

// kafkaReady asks the node at addr for metadata and wants to see all the brokers in the answer.
func kafkaReady(ctx context.Context, addr string, brokers []int32) error {
	conf := sarama.NewConfig()
	if deadline, ok := ctx.Deadline(); ok {
		conf.Net.DialTimeout, conf.Net.ReadTimeout = time.Until(deadline), time.Until(deadline)
	}
	b := sarama.NewBroker(addr)
	if err := b.Open(conf); err != nil {
		return err
	}
	defer b.Close()
	got, err := b.GetMetadata(&sarama.MetadataRequest{Version: 5, Topics: []string{}})
	if err != nil {
		return fmt.Errorf("ask %s for metadata: %w", addr, err)
	}
	for _, id := range brokers {
		if !slices.ContainsFunc(got.Brokers, func(b *sarama.Broker) bool { return b.ID() == id }) {
			return fmt.Errorf("%s does not list broker %d yet", addr, id)
		}
	}
	return nil
}

// jvm are options of a server's Java. A brief one compiles quickly instead of well and
// collects with one thread: compiling is most of what a server does in its first minutes.
func jvm(brief bool) []string {
	if brief {
		return []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"}
	}
	return nil
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
