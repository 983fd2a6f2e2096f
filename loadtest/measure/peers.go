//go:build linux

package measure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluicelog/sluice/loadtest/fakes"
	"github.com/sluicelog/sluice/loadtest/proc"
	"github.com/sluicelog/sluice/loadtest/report"
	"github.com/sluicelog/sluice/loadtest/verify"
	"github.com/sluicelog/sluice/loadtest/wait"
	"github.com/sluicelog/sluice/test/servers"
)

// Peer is another program that does what a stage does, measured with the same input
// in the same run.
type Peer struct {
	Name string
	Cmd  string // shell command, as PeerEnv says; empty: a peer that is known
	Part string // with Cmd: what it is measured at
}

// KnownPeers are the names of those that the load test installs, configures and starts.
var KnownPeers = []string{"rsyslog", "otelcol", "otelcol-memory", "mirrormaker2"}

// knownPeer is one of them.
type knownPeer struct {
	name    string
	who     string            // in the report, with its version
	notes   map[string]string // by the parts it is measured at: where it does less work than sluice, or more
	install func(ctx context.Context, part string) (bin string, err error)
	prepare func(task) (*proc.Proc, error)
}

var knownPeers = []knownPeer{
	{"rsyslog", "rsyslog 8.2302", rsyslogNotes, func(ctx context.Context, _ string) (string, error) {
		return "/usr/sbin/rsyslogd", servers.Install(ctx, servers.NameRsyslog)
	}, rsyslog},
	{"otelcol", "OpenTelemetry collector " + servers.OtelcolVersion, otelcolNotes(noQueue), installOtelcol, noQueue.prepare},
	{"otelcol-memory", "OpenTelemetry collector " + servers.OtelcolVersion + ", queue in memory", otelcolNotes(inMemory), installOtelcol, inMemory.prepare},
	{"mirrormaker2", "MirrorMaker 2 4.0.0", map[string]string{
		report.PartAggregator: "at least once; offsets are stored every 60 s, after the producer's flush; the JVM starts and warms up within the measure",
	}, func(ctx context.Context, _ string) (string, error) {
		return "java", servers.Install(ctx, servers.NameKafka)
	}, mirrorMaker},
}

// PeerEnv says what a command of a peer finds in its environment. It is started with exec by a
// shell, so that what is measured is the program; it has to send every line of the
// input to the output with acknowledgement by all replicas, and is killed when all are there.
const PeerEnv = `LT_NAME       of this measure and no other: for a consumer group
LT_DIR        directory for its configuration and data; it is the working directory
LT_FILES      shipper: glob of the Docker log files
LT_IN_BROKER  aggregator, indexer: host:port
LT_IN_TOPIC   likewise
LT_OUT_BROKER shipper, aggregator: host:port
LT_OUT_TOPIC  likewise, the topic is there
LT_OUT_URL    indexer, elasticsearch: where _bulk is
LT_OUT_INDEX  likewise
LT_PARTITIONS of topics
LT_COMPRESSION of batches`

// PeerExamples show how others come in by command. They follow the documentation of Filebeat 9, Fluent Bit 5, Vector 0.57,
// Logstash 9 and gohangout 1.
const PeerExamples = `Filebeat: --peer 'shipper:filebeat=filebeat -e --strict.perms=false --path.data "$LT_DIR" -c /etc/lt/filebeat.yml'
  filebeat.inputs: [{type: filestream, id: lt, paths: ["${LT_FILES}"], parsers: [{container: {format: docker}}]}]
  output.kafka: {hosts: ["${LT_OUT_BROKER}"], topic: "${LT_OUT_TOPIC}", required_acks: -1, compression: "${LT_COMPRESSION}"}

Fluent Bit: --peer 'shipper:fluent-bit=fluent-bit -c /etc/lt/fluent-bit.yaml'
  service: {flush: 1, storage.path: "${LT_DIR}/chunks"}
  pipeline:
    inputs: [{name: tail, path: "${LT_FILES}", read_from_head: true, db: "${LT_DIR}/positions", storage.type: filesystem,
              buffer_max_size: 1M, multiline.parser: docker}]
    outputs: [{name: kafka, match: "*", brokers: "${LT_OUT_BROKER}", topics: "${LT_OUT_TOPIC}", retry_limit: no_limits,
               rdkafka.acks: all, rdkafka.compression.codec: "${LT_COMPRESSION}"}]

Vector: --peer 'indexer:vector=vector --dangerously-allow-env-var-interpolation -c /etc/lt/vector.yaml'
  data_dir: "${LT_DIR}"
  sources: {in: {type: kafka, bootstrap_servers: "${LT_IN_BROKER}", topics: ["${LT_IN_TOPIC}"], group_id: "${LT_NAME}",
                 auto_offset_reset: earliest, decoding: {codec: json}}}
  sinks: {out: {type: elasticsearch, inputs: [in], endpoints: ["${LT_OUT_URL}"], api_version: v8,
                bulk: {action: create, index: "${LT_OUT_INDEX}"}, acknowledgements: {enabled: true}}}

Logstash: --peer 'indexer:logstash=logstash --path.data "$LT_DIR" -f /etc/lt/logstash.conf'
  input { kafka { bootstrap_servers => "${LT_IN_BROKER}" topics => ["${LT_IN_TOPIC}"] group_id => "${LT_NAME}"
                  auto_offset_reset => "earliest" codec => json } }
  output { elasticsearch { hosts => ["${LT_OUT_URL}"] index => "${LT_OUT_INDEX}" action => "create" data_stream => "false" } }

gohangout, which knows no variables and none of Kafka 4's groups (its partitions are assigned to it):
  --peer 'indexer:gohangout=sh -c "envsubst </etc/lt/gohangout.yml >g.yml && exec gohangout --config g.yml"'
  inputs: [{Kafka: {assign: {"${LT_IN_TOPIC}": [0, 1, 2, 3]}, codec: json, consumer_settings: {
            bootstrap.servers: "${LT_IN_BROKER}", group.id: "${LT_NAME}", from.beginning: 'true'}}}]
  outputs: [{Elasticsearch: {hosts: ["${LT_OUT_URL}"], index: "${LT_OUT_INDEX}", bulk_actions: 2000, concurrent: 3, es_version: 7}}]`

// ParsePeer reads NAME, one of KnownPeers, or PART:NAME=COMMAND.
func ParsePeer(text string) (Peer, error) {
	if slices.Contains(KnownPeers, text) {
		return Peer{Name: text}, nil
	}
	part, rest, ok := strings.Cut(text, ":")
	name, cmd, ok2 := strings.Cut(rest, "=")
	if !ok || !ok2 || name == "" || cmd == "" || !slices.Contains(report.Parts[:4], part) {
		return Peer{}, fmt.Errorf("peer %q is none of %s, nor PART:NAME=COMMAND with a part of %s", text, strings.Join(KnownPeers, ", "), strings.Join(report.Parts[:4], ", "))
	}
	return Peer{Name: name, Cmd: cmd, Part: part}, nil
}

// task is what a peer is to do.
type task struct {
	bin, dir, name                  string
	files, inBroker, inTopic        string
	outBroker, outTopic             string
	outURL, outIndex                string
	partitions                      int
	compression, classPath, bulking string
}

// peers are the programs of a part.
func (r *runner) peers(part string, in input) (out []program) {
	add := func(who, note string, k knownPeer) {
		out = append(out, program{who: who, note: note, measure: func(ctx context.Context, m *watched) error { return r.peer(ctx, m, part, in, k) }})
	}
	for _, p := range r.Peers {
		if p.Cmd != "" {
			if p.Part == part {
				add(p.Name, "", knownPeer{name: p.Name, prepare: p.command})
			}
			continue
		}
		for _, k := range knownPeers {
			if note, ok := k.notes[part]; ok && k.name == p.Name {
				add(k.who, note, k)
			}
		}
	}
	return out
}

// skipped is why a peer is not measured: it cannot be had on this machine.
type skipped struct{ error }

// skip puts into the report that a peer was skipped, if that is what the error says.
func (r *runner) skip(m *report.Measure, err error) bool {
	var s skipped
	if !errors.As(err, &s) {
		return false
	}
	why := strings.Join(strings.Fields(s.Error()), " ")
	if n := len(why); n > 400 { // what was tried, and the last word
		why = why[:80] + " ... " + why[n-320:]
	}
	r.report.Skipped = append(r.report.Skipped, fmt.Sprintf("%s: %s: %s", m.Part, m.Who, why))
	r.say("skipped: " + r.report.Skipped[len(r.report.Skipped)-1] + "\n")
	return true
}

func (r *runner) peer(ctx context.Context, m *watched, part string, in input, k knownPeer) error {
	t := task{name: r.name(k.name), files: in.files, inTopic: in.topic, partitions: r.Partitions, compression: cmp.Or(r.Compression, "lz4"), classPath: r.site.DC1.ClassPath(), bulking: fmt.Sprint(r.BulkCount)}
	if k.install != nil {
		r.say(part + ": installing " + m.Who)
		var err error
		if t.bin, err = k.install(ctx, part); err != nil && ctx.Err() == nil {
			return skipped{err}
		} else if err != nil {
			return err
		}
	}
	t.dir = filepath.Join(r.Dir, t.name)
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return err
	}
	v := verify.NewVerifier(verify.Options{Run: in.run})
	var err error
	switch part {
	case report.PartShipper, report.PartAggregator:
		brokers := r.site.DC1.Brokers
		if part == report.PartAggregator {
			t.inBroker, brokers = brokers[0], r.site.Central.Brokers
		}
		t.outBroker, t.outTopic = brokers[0], t.name
		topic := t.outTopic
		if k.name == "mirrormaker2" {
			topic += "." + in.topic // its default policy puts the source's alias before
		}
		if err = r.toTopic(ctx, m, in, brokers, topic, func() (*proc.Proc, error) { return k.prepare(t) }); err == nil {
			err = verify.All(ctx, brokers, []string{topic}, v, v.See, in.lines)
		}
	case report.PartIndexer:
		t.inBroker, t.outIndex = r.site.Central.Brokers[0], "peer"
		err = r.toSink(ctx, m, in, &fakes.Sink{See: v.See}, func(url string) (*proc.Proc, error) { t.outURL = url; return k.prepare(t) })
	case report.PartElastic:
		t.inBroker, t.outIndex, t.outURL = r.site.Central.Brokers[0], "lt-es-"+t.name, r.site.ES.URL
		proc, failed := k.prepare(t)
		if err = failed; err == nil {
			if err = r.toElastic(ctx, m, in, t.outIndex, proc); err == nil {
				err = verify.Elastic{URL: r.site.ES.URL}.Read(ctx, t.outIndex, v.See)
			}
		}
	}
	if err == nil {
		m.Verdict = v.Verdict(in.ledger)
	}
	return err
}

// settle waits until a program that has done its work sends nothing more, for half a minute at most: a line that
// comes twice is counted in the place of one that is still to come.
func settle(ctx context.Context, running func() bool, out counter) {
	last, since := int64(-1), time.Now()
	for end := time.Now().Add(30 * time.Second); running() && ctx.Err() == nil && time.Now().Before(end) && time.Since(since) < 2*time.Second; wait.Sleep(ctx, 100*time.Millisecond) {
		if n, err := out(ctx); err == nil && n != last {
			last, since = n, time.Now()
		}
	}
}

func (p Peer) command(t task) (*proc.Proc, error) {
	return &proc.Proc{Name: p.Name, Log: filepath.Join(t.dir, "log"), Argv: []string{"/bin/sh", "-c", `cd "$LT_DIR" && exec ` + p.Cmd}, Env: []string{
		"LT_NAME=" + t.name, "LT_DIR=" + t.dir, "LT_FILES=" + t.files, "LT_IN_BROKER=" + t.inBroker, "LT_IN_TOPIC=" + t.inTopic, "LT_OUT_BROKER=" + t.outBroker, "LT_OUT_TOPIC=" + t.outTopic,
		"LT_OUT_URL=" + t.outURL, "LT_OUT_INDEX=" + t.outIndex, fmt.Sprint("LT_PARTITIONS=", t.partitions), "LT_COMPRESSION=" + t.compression,
	}}, nil
}

var rsyslogNotes = map[string]string{
	report.PartShipper:    "queues in memory, positions stored every 1000 lines whatever Kafka acknowledged; Docker's JSON is not opened, pieces are not joined, no ids, metadata: host and path",
	report.PartAggregator: "queues in memory, offsets committed by time; key, headers and time of records are not kept",
	report.PartIndexer:    "queues in memory, offsets committed by time; events are not parsed, only their ids are cut out; bodies not compressed",
	report.PartElastic:    "likewise",
}

// rsyslog takes files or a topic in, and sends to Kafka with acknowledgement by all
// replicas, or by bulk.
func rsyslog(t task) (*proc.Proc, error) {
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
		t.outBroker, t.outTopic, filepath.Join(t.dir, "failed"), t.compression)
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
	if i := strings.Index(text, "\ninput("); i >= 0 { // an input must come after the ruleset it names
		end := i + 1 + strings.Index(text[i+1:], ")\n") + 2
		text = text[:i+1] + text[end:] + text[i+1:end]
	}
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	return &proc.Proc{Name: "rsyslogd", Log: filepath.Join(t.dir, "log"), Argv: []string{t.bin, "-n", "-f", conf, "-i", filepath.Join(t.dir, "pid")}}, nil
}

// mirrorMaker relays in.topic; its name is the alias of the source cluster, so that each
// run begins anew.
func mirrorMaker(t task) (*proc.Proc, error) {
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
`, t.name, target, t.inBroker, t.outBroker, t.inTopic, t.partitions, t.compression)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	return &proc.Proc{Name: "mirrormaker", Log: filepath.Join(t.dir, "log"), Argv: []string{t.bin, "-Xmx1g", "-cp", t.classPath, "org.apache.kafka.connect.mirror.MirrorMaker", conf}}, nil
}
