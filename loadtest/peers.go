//go:build linux

package loadtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluicelog/sluice/test/servers"
)

// Peer is another program that does what a stage does, measured with the same input
// in the same run.
type Peer struct {
	Name string
	Cmd  string // shell command, as PeerEnv says; empty: a peer that is known
	Part string // with Cmd: what it is measured at
}

// KnownPeers are installed, configured and started by the load test.
var KnownPeers = []string{"rsyslog", "mirrormaker2"}

// PeerEnv says what a command of a peer finds in its environment. It is started with exec by a
// shell, so that what is measured is the program; it has to send every line of the
// input to the output with acknowledgement by all replicas, and is killed when all are there.
const PeerEnv = `LT_DIR        directory for its configuration and data; it is the working directory
LT_FILES      shipper: glob of the Docker log files
LT_IN_BROKER  aggregator, indexer: host:port
LT_IN_TOPIC   likewise
LT_OUT_BROKER shipper, aggregator: host:port
LT_OUT_TOPIC  likewise, the topic is there
LT_OUT_URL    indexer, elasticsearch: where _bulk is
LT_OUT_INDEX  likewise
LT_PARTITIONS of topics
LT_COMPRESSION of batches`

// ParsePeer reads NAME, one of KnownPeers, or PART:NAME=COMMAND.
func ParsePeer(text string) (Peer, error) {
	if slices.Contains(KnownPeers, text) {
		return Peer{Name: text}, nil
	}
	part, rest, ok := strings.Cut(text, ":")
	name, cmd, ok2 := strings.Cut(rest, "=")
	if !ok || !ok2 || name == "" || cmd == "" || !slices.Contains(Parts[:4], part) {
		return Peer{}, fmt.Errorf("peer %q is none of %s, nor PART:NAME=COMMAND with a part of %s", text, strings.Join(KnownPeers, ", "), strings.Join(Parts[:4], ", "))
	}
	return Peer{Name: name, Cmd: cmd, Part: part}, nil
}

// task is what a peer is to do.
type task struct {
	dir, name                       string
	files, inBroker, inTopic        string
	outBroker, outTopic             string
	outURL, outIndex                string
	partitions                      int
	compression, classPath, bulking string
}

// peers are the programs of a part.
func (r *runner) peers(part string, in input) (out []program) {
	for _, p := range r.Peers {
		var prepare func(task) (*Proc, error)
		note := ""
		switch {
		case p.Cmd != "" && p.Part == part:
			prepare = p.command
		case p.Name == "rsyslog" && p.Cmd == "":
			prepare, note = rsyslog, rsyslogNotes[part]
		case p.Name == "mirrormaker2" && p.Cmd == "" && part == PartAggregator:
			prepare, note = mirrorMaker, "at least once; offsets are stored every 60 s, after the producer's flush; the JVM starts and warms up within the measure"
		}
		if prepare == nil {
			continue
		}
		out = append(out, program{who: peerName(p), note: note, measure: func(ctx context.Context, m *Measure) error { return r.peer(ctx, m, part, in, p, prepare) }})
	}
	return out
}

func peerName(p Peer) string {
	return map[string]string{"rsyslog": "rsyslog 8.2302", "mirrormaker2": "MirrorMaker 2 4.0.0"}[p.Name] + map[bool]string{true: p.Name}[p.Cmd != ""]
}

func (r *runner) peer(ctx context.Context, m *Measure, part string, in input, p Peer, prepare func(task) (*Proc, error)) error {
	if p.Name == "rsyslog" && p.Cmd == "" {
		if err := servers.Install(ctx, servers.NameRsyslog); err != nil {
			return err
		}
	}
	t := task{name: r.name(p.Name), files: in.files, inTopic: in.topic, partitions: r.Partitions, compression: r.Compression, classPath: r.site.DC1.ClassPath(), bulking: fmt.Sprint(r.BulkCount)}
	t.dir = filepath.Join(r.Dir, t.name)
	if err := makeDir(t.dir); err != nil {
		return err
	}
	v := NewVerifier(VerifyOptions{Run: in.run})
	var err error
	switch part {
	case PartShipper, PartAggregator:
		brokers := r.site.DC1.Brokers
		if part == PartAggregator {
			t.inBroker, brokers = brokers[0], r.site.Central.Brokers
		}
		t.outBroker, t.outTopic = brokers[0], t.name
		if p.Name == "mirrormaker2" && p.Cmd == "" {
			t.outTopic = t.name + "." + in.topic // its default policy puts the source's alias before
		}
		if err = r.toTopic(ctx, m, in, brokers, t.outTopic, func() (*Proc, error) { return prepare(t) }); err == nil {
			err = ReadAll(ctx, brokers, []string{t.outTopic}, v, v.See, in.lines)
		}
	case PartIndexer:
		t.inBroker, t.outIndex = r.site.Central.Brokers[0], "peer"
		err = r.toSink(ctx, m, in, &Sink{Verifier: v}, func(url string) (*Proc, error) { t.outURL = url; return prepare(t) })
	case PartElastic:
		t.inBroker, t.outIndex, t.outURL = r.site.Central.Brokers[0], "lt-es-"+t.name, r.site.ES.URL
		proc, failed := prepare(t)
		if err = failed; err == nil {
			if err = r.toElastic(ctx, m, in, t.outIndex, proc); err == nil {
				err = Elastic{r.site.ES.URL}.Read(ctx, t.outIndex, v.See)
			}
		}
	}
	if err == nil {
		m.Verdict = v.Verdict(in.ledger)
	}
	return err
}

func (p Peer) command(t task) (*Proc, error) {
	return &Proc{Name: p.Name, Log: filepath.Join(t.dir, "log"), Argv: []string{"/bin/sh", "-c", `cd "$LT_DIR" && exec ` + p.Cmd}, Env: []string{
		"LT_DIR=" + t.dir, "LT_FILES=" + t.files, "LT_IN_BROKER=" + t.inBroker, "LT_IN_TOPIC=" + t.inTopic, "LT_OUT_BROKER=" + t.outBroker, "LT_OUT_TOPIC=" + t.outTopic,
		"LT_OUT_URL=" + t.outURL, "LT_OUT_INDEX=" + t.outIndex, fmt.Sprint("LT_PARTITIONS=", t.partitions), "LT_COMPRESSION=" + t.compression,
	}}, nil
}

var rsyslogNotes = map[string]string{
	PartShipper:    "queues in memory, positions stored every 1000 lines whatever Kafka acknowledged; Docker's JSON is not opened, pieces are not joined, no ids, metadata: host and path",
	PartAggregator: "queues in memory, offsets committed by time; key, headers and time of records are not kept",
	PartIndexer:    "queues in memory, offsets committed by time; events are not parsed, only their ids are cut out; bodies not compressed",
	PartElastic:    "likewise",
}

// rsyslog takes files or a topic in, and sends to Kafka with acknowledgement by all
// replicas, or by bulk.
func rsyslog(t task) (*Proc, error) {
	in := fmt.Sprintf(`module(load="imkafka")
input(type="imkafka" topic=%q broker=[%q] consumergroup=%q ruleset="out" confParam=["auto.offset.reset=earliest","fetch.wait.max.ms=100"])`, t.inTopic, t.inBroker, t.name)
	template := `template(name="line" type="string" string="%msg%")`
	if t.files != "" {
		in = fmt.Sprintf(`module(load="imfile" mode="inotify")
input(type="imfile" File=%q Tag="docker" ruleset="out" addMetadata="on" PersistStateInterval="1000" MaxSubmitAtOnce="2048")`, t.files)
		template = `template(name="line" type="list") {
  constant(value="{\"@timestamp\":\"") property(name="timegenerated" dateFormat="rfc3339")
  constant(value="\",\"host\":{\"name\":\"") property(name="hostname" format="json")
  constant(value="\"},\"log\":{\"file\":{\"path\":\"") property(name="$!metadata!filename" format="json")
  constant(value="\"}},\"message\":\"") property(name="msg" format="json") constant(value="\"}")
}`
	}
	queue := `queue.type="LinkedList" queue.size="100000" queue.dequeueBatchSize="2000"`
	action := fmt.Sprintf(`action(type="omkafka" broker=[%q] topic=%q template="line" partitions.auto="on" resubmitOnFailure="on" keepFailedMessages="on"
  failedMsgFile=%q confParam=["compression.codec=%s","request.required.acks=-1","enable.idempotence=true","linger.ms=20","queue.buffering.max.kbytes=65536","batch.num.messages=4096","message.max.bytes=4000000"])`,
		t.outBroker, t.outTopic, filepath.Join(t.dir, "failed"), orElse(t.compression, "lz4"))
	load := `module(load="omkafka")`
	if t.outURL != "" {
		u, err := url.Parse(t.outURL)
		if err != nil {
			return nil, err
		}
		load = `module(load="omelasticsearch")
template(name="id" type="string" string="%msg:22:45%")` // where schemas.AppendEvent puts it
		action = fmt.Sprintf(`action(type="omelasticsearch" server=%q serverport=%q template="line" searchIndex=%q searchType="" bulkmode="on" maxbytes="8m" writeoperation="create" dynbulkid="on" bulkid="id"
  errorfile=%q %s queue.workerThreads="3" action.resumeretrycount="-1")`, u.Hostname(), u.Port(), t.outIndex, filepath.Join(t.dir, "errors"), strings.Replace(queue, "2000", t.bulking, 1))
	}
	conf := filepath.Join(t.dir, "rsyslog.conf")
	text := fmt.Sprintf("global(workDirectory=%q maxMessageSize=\"1m\" processInternalMessages=\"on\")\n%s\n%s\n%s\nif $syslogtag contains \"rsyslogd\" then { action(type=\"omfile\" file=%q) stop }\nruleset(name=\"out\" %s) {\n%s\n}\n",
		t.dir, load, in, template, filepath.Join(t.dir, "messages"), queue, action)
	if i := strings.Index(text, "\ninput("); i >= 0 { // an input must come behind the ruleset it names
		end := i + 1 + strings.Index(text[i+1:], ")\n") + 2
		text = text[:i+1] + text[end:] + text[i+1:end]
	}
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	return &Proc{Name: "rsyslogd", Log: filepath.Join(t.dir, "log"), Argv: []string{"/usr/sbin/rsyslogd", "-n", "-f", conf, "-i", filepath.Join(t.dir, "pid")}}, nil
}

// mirrorMaker relays in.topic; its name is the alias of the source cluster, so that each
// run begins anew.
func mirrorMaker(t task) (*Proc, error) {
	target := t.name + "-to"
	conf := filepath.Join(t.dir, "mm2.properties")
	text := fmt.Sprintf(`clusters = %[1]s, %[2]s
%[1]s.bootstrap.servers = %[3]s
%[2]s.bootstrap.servers = %[4]s
%[1]s->%[2]s.enabled = true
%[2]s->%[1]s.enabled = false
%[1]s->%[2]s.topics = %[5]s
tasks.max = %[6]d
replication.factor = 1
offset.storage.replication.factor = 1
status.storage.replication.factor = 1
config.storage.replication.factor = 1
offset-syncs.topic.replication.factor = 1
emit.heartbeats.enabled = false
emit.checkpoints.enabled = false
sync.topic.acls.enabled = false
%[1]s.consumer.auto.offset.reset = earliest
%[1]s.consumer.max.poll.records = 4000
%[1]s.consumer.fetch.max.bytes = 16777216
%[2]s.producer.acks = all
%[2]s.producer.enable.idempotence = true
%[2]s.producer.compression.type = %[7]s
%[2]s.producer.batch.size = 524288
%[2]s.producer.linger.ms = 20
%[2]s.producer.buffer.memory = 67108864
`, t.name, target, t.inBroker, t.outBroker, t.inTopic, t.partitions, orElse(t.compression, "lz4"))
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	return &Proc{Name: "mirrormaker", Log: filepath.Join(t.dir, "log"), Argv: []string{"java", "-Xmx1g", "-cp", t.classPath, "org.apache.kafka.connect.mirror.MirrorMaker", conf}}, nil
}
