//go:build linux

package servers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

// KafkaVersion is the one that is started unless asked otherwise. Every test passes with it in each run of CI; the others
// that sluice works with are in the Makefile (e2e-versions).
const KafkaVersion = "4.0.0"

// kafkaEnv chooses the version of all clusters whose options name none.
const kafkaEnv = "SLUICE_KAFKA_VERSION"

// KafkaOptions say how a cluster differs from one plain node.
type KafkaOptions struct {
	Version    string            // "" is $SLUICE_KAFKA_VERSION, or KafkaVersion
	Nodes      int               // brokers, each a controller as well; 0 is 1
	Properties []string          // lines for each server.properties, after ours: they win
	Listeners  map[string]string // more listeners: name, in capitals, to protocol, such as SECURE: SASL_SSL
	Advertised map[string]string // what a listener's clients dial instead of it, such as a proxy; for one node only
	SCRAM      []string          // users, as StorageTool takes them: SCRAM-SHA-512=[name=alice,password=secret]
	TLS        map[string]Keys   // what a listener shows to its clients, and whom it lets in
	Authorizer bool              // rules of access count; without one all is allowed, and always to those who have no name
	Heap       string            // of each JVM, for -Xmx; "" is 512m
	Brief      bool              // it lives for minutes and is not measured: see jvm
}

// KafkaCluster is a running Kafka cluster: in KRaft mode from 3.3 on, with a ZooKeeper of its own before. Stop, Kill and
// Restart are of both; what is done to Nodes leaves ZooKeeper alone.
type KafkaCluster struct {
	Nodes
	Version   string
	Brokers   []string            // host:port of each node's plaintext listener, in the order of Nodes
	Listeners map[string][]string // the same of each listener of KafkaOptions.Listeners
	lib       string              // class path
	zookeeper *zookeeper          // nil: none
}

// StartKafka starts a cluster with its files in dir. Internal topics are kept on as many nodes as there are, 3 at
// most, and a topic is made when a client first names it.
func StartKafka(ctx context.Context, dir string, o KafkaOptions) (*KafkaCluster, error) {
	k := &KafkaCluster{Version: orDefault(o.Version, orDefault(os.Getenv(kafkaEnv), KafkaVersion)), Listeners: map[string][]string{}}
	name := NameKafka + "@" + k.Version
	if err := Install(ctx, name); err != nil {
		return nil, err
	}
	home, err := home(name)
	if err != nil {
		return nil, err
	}
	k.lib = filepath.Join(home, "lib") + "/*"
	nodes, err := kafkaNodes(dir, o)
	if err != nil {
		return nil, err
	}
	if !k.AtLeast(3, 3) {
		if k.zookeeper, err = startZookeeper(ctx, filepath.Join(dir, "zookeeper"), k.lib); err != nil {
			return nil, err
		}
	}
	if err := k.startNodes(ctx, nodes, o); err != nil {
		k.Kill()
		return nil, fmt.Errorf("start kafka %s in %s: %w", k.Version, dir, err)
	}
	return k, nil
}

func (k *KafkaCluster) startNodes(ctx context.Context, nodes []kafkaNode, o KafkaOptions) error {
	var brokers []int32
	for _, n := range nodes {
		p := &Process{
			Name: fmt.Sprintf("kafka node %d", n.id),
			Log:  filepath.Join(n.dir, "kafka.log"),
			argv: slices.Concat([]string{"java", "-Xmx" + orDefault(o.Heap, "512m")}, jvm(o.Brief), []string{"-Dorg.slf4j.simpleLogger.showDateTime=true",
				"-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS", "-cp", k.lib, "kafka.Kafka", n.config()}),
			// One node alone is ready when it knows itself; it may be restarted while others are down.
			ready: func(ctx context.Context) error { return kafkaReady(ctx, n.addr(plain), []int32{n.id}) },
		}
		if k.zookeeper != nil {
			p.before = func(ctx context.Context) error { return k.zookeeper.forgotten(ctx, n.id) }
		}
		k.Nodes = append(k.Nodes, p)
		brokers = append(brokers, n.id)
		k.Brokers = append(k.Brokers, n.addr(plain))
		for name := range o.Listeners {
			k.Listeners[name] = append(k.Listeners[name], n.addr(name))
		}
		if err := n.format(ctx, k, nodes, o); err != nil {
			return err
		}
	}
	if k.zookeeper != nil {
		if err := k.addUsers(ctx, o.SCRAM); err != nil {
			return err
		}
	}
	if err := k.Nodes.start(ctx); err != nil {
		return err
	}
	whole := &Process{ready: func(ctx context.Context) error { return kafkaReady(ctx, k.Brokers[0], brokers) }}
	return whole.await(ctx)
}

// Stop is Process.Stop of every node, and then of ZooKeeper.
func (k *KafkaCluster) Stop() error { return k.end(Nodes.Stop, (*Process).Stop) }

// Kill is Process.Kill of every node, and then of ZooKeeper.
func (k *KafkaCluster) Kill() error { return k.end(Nodes.Kill, (*Process).Kill) }

func (k *KafkaCluster) end(nodes func(Nodes) error, zookeeper func(*Process) error) error {
	err := nodes(k.Nodes)
	if k.zookeeper != nil {
		err = errors.Join(err, zookeeper(k.zookeeper.Process))
	}
	return err
}

// Restart stops everything that runs and starts it again.
func (k *KafkaCluster) Restart(ctx context.Context) error {
	err := k.Stop()
	if k.zookeeper != nil {
		if again := k.zookeeper.start(ctx); again != nil {
			return errors.Join(err, again)
		}
	}
	return errors.Join(err, k.Nodes.start(ctx))
}

// Tool runs a class of Kafka's command line tools, such as org.apache.kafka.tools.TopicCommand, and returns what it
// printed. Before 3.8 most of them had other names; see Class.
func (k *KafkaCluster) Tool(ctx context.Context, class string, args ...string) (string, error) {
	return run(ctx, "java", append([]string{"-Xmx256m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", k.lib, class}, args...)...)
}

// Classes of the tools that tests use.
const (
	TopicCommand    = "org.apache.kafka.tools.TopicCommand"
	ConsoleConsumer = "org.apache.kafka.tools.consumer.ConsoleConsumer"
)

// Class is the name by which the version of this cluster knows a tool.
func (k *KafkaCluster) Class(tool string) string {
	switch {
	case tool == TopicCommand && !k.AtLeast(3, 7):
		return "kafka.admin.TopicCommand"
	case tool == ConsoleConsumer && !k.AtLeast(3, 8):
		return "kafka.tools.ConsoleConsumer"
	}
	return tool
}

// ClassPath is that of Kafka's own programs, MirrorMaker 2 among them.
func (k *KafkaCluster) ClassPath() string { return k.lib }

// AtLeast says whether the cluster is of this version or a later one.
func (k *KafkaCluster) AtLeast(major, minor int) bool { return atLeast(k.Version, major, minor) }

func atLeast(version string, major, minor int) bool {
	var a, b int
	_, _ = fmt.Sscanf(version, "%d.%d", &a, &b) // what is no number is an old version
	return a > major || a == major && b >= minor
}

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

// format writes the configuration and, where nodes are KRaft's, makes the data directory.
func (n kafkaNode) format(ctx context.Context, k *KafkaCluster, all []kafkaNode, o KafkaOptions) error {
	text := n.properties(k, all, o)
	for _, name := range slices.Sorted(maps.Keys(o.TLS)) {
		settings, err := k.tls(ctx, n.dir, name, o.TLS[name])
		if err != nil {
			return err
		}
		for _, key := range slices.Sorted(maps.Keys(settings)) {
			text += key + "=" + strings.ReplaceAll(settings[key], "\n", "\\n") + "\n"
		}
	}
	if err := os.WriteFile(n.config(), []byte(text), 0o644); err != nil {
		return err
	}
	if k.zookeeper != nil {
		return nil
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

func (n kafkaNode) properties(k *KafkaCluster, all []kafkaNode, o KafkaOptions) string {
	var listeners, advertised, protocols, voters []string
	protocol := map[string]string{plain: plain}
	if k.zookeeper == nil {
		protocol[controller] = plain
	}
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
	authorizer := "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
	if k.zookeeper == nil {
		lines = append(lines,
			"process.roles=broker,controller",
			fmt.Sprintf("node.id=%d", n.id),
			"controller.quorum.voters="+strings.Join(voters, ","),
			"controller.listener.names="+controller)
	} else {
		authorizer = "kafka.security.authorizer.AclAuthorizer"
		lines = append(lines, append(k.zookeeper.properties(), fmt.Sprintf("broker.id=%d", n.id))...)
	}
	if o.Authorizer {
		lines = append(lines, "authorizer.class.name="+authorizer, "super.users=User:ANONYMOUS", "allow.everyone.if.no.acl.found=true")
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
