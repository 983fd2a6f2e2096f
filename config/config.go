// Package config is the one YAML tree that serves a whole site: every role reads
// its part of the same file. Default holds every default; Load decodes a file over
// it and reports everything that is wrong at once, with file, line and column.
//
// The structs below are the one description of that tree: the loader, the effective
// configuration and the JSON schema walk them. A key is a field with a yaml tag, its
// meaning the comment after it; the tags enum, min and max say which values fit
// (durations, sizes and numbers are never below 0).
package config

import (
	_ "embed" // Example
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Example is a file with every key at its default and a word on each; sluice.yaml in
// the source tree.
//
//go:embed sluice.yaml
var Example []byte

// Config is the whole file. Values are read-only once Load has returned, so any
// goroutine may read them.
type Config struct {
	Include         Texts            `yaml:"include"`                      // files of the same tree, globs, that add to this one; relative to it
	Host            string           `yaml:"host"`                         // host.name of events and of metrics
	DC              string           `yaml:"dc"`                           // data centre: labels.dc of events and the dc header of records
	DataDir         string           `yaml:"data_dir"`                     // positions, a lock of each role, names of consumers; must survive a restart
	ShutdownTimeout Duration         `yaml:"shutdown_timeout" min:"100ms"` // from SIGTERM to exit, below the kill grace of the supervisor
	Log             Log              `yaml:"log"`                          // what sluice itself logs to stderr
	Admin           Admin            `yaml:"admin"`                        // HTTP: /healthz, /readyz, /metrics, /status
	Statsd          Statsd           `yaml:"statsd"`                       // where the figures are sent besides /metrics
	Kafka           map[string]Kafka `yaml:"kafka"`                        // clusters by name
	Shipper         Shipper          `yaml:"shipper"`                      // host logs to the Kafka cluster of its data centre
	Aggregator      Aggregator       `yaml:"aggregator"`                   // clusters of the data centres to the central one
	Indexer         Indexer          `yaml:"indexer"`                      // central cluster to Elasticsearch

	file *source // where the keys are; nil if not loaded from a file
}

// Log says what sluice itself logs to stderr.
type Log struct {
	Level  string `yaml:"level" enum:"debug info warn error"` // errors are logged when they change and when they end
	Format string `yaml:"format" enum:"text json"`            // text for people, json for machines
}

// Admin is the HTTP listener with /healthz, /readyz, /metrics and /status.
type Admin struct {
	Listen       string   `yaml:"listen"`                    // host for the port of the role's own, or host:port; empty switches it off
	Pprof        bool     `yaml:"pprof"`                     // serve /debug/pprof
	UnreadyAfter Duration `yaml:"unready_after" min:"100ms"` // a needed server unreachable for this long makes /readyz answer 503
}

// Ports are the admin ports of the roles, if admin.listen is a host alone.
var Ports = map[string]int{"shipper": 8686, "aggregator": 8687, "indexer": 8688}

// For is the address that a role listens on, host:port; empty if it does not.
func (a Admin) For(role string) string {
	if a.Listen == "" {
		return ""
	}
	if host, ok := hostAlone(a.Listen); ok {
		return net.JoinHostPort(host, strconv.Itoa(Ports[role]))
	}
	return a.Listen
}

// hostAlone is the host that an address without a port names.
func hostAlone(s string) (host string, ok bool) {
	host = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	if net.ParseIP(host) != nil {
		return host, true
	}
	return s, hostName.MatchString(s) && strings.Trim(s, "0123456789") != ""
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)

// Statsd is where the figures of /metrics are sent as well.
type Statsd struct {
	Address  string   `yaml:"address"`                   // host:port, UDP; empty switches it off
	Prefix   string   `yaml:"prefix"`                    // first part of each name: <prefix>.<role>.<host>.<name>
	Interval Duration `yaml:"interval" min:"100ms"`      // between two sendings
	Tags     string   `yaml:"tags" enum:"none datadog"`  // none: labels become parts of the name; datadog: |#key:value
	MTU      Bytes    `yaml:"mtu" min:"128" max:"65507"` // packets are filled up to this size
}

// Kafka is how to reach one cluster.
type Kafka struct {
	Brokers  []string `yaml:"brokers"`   // bootstrap servers, host:port
	ClientID string   `yaml:"client_id"` // client.id, seen in the brokers' logs and quotas
	Rack     string   `yaml:"rack"`      // client.rack, for fetching from the nearest replica
	TLS      TLS      `yaml:"tls"`
	SASL     SASL     `yaml:"sasl"`
	Topics   Topics   `yaml:"topics"`
}

// Topics is what the topics are like that `sluice setup` makes; those that exist are left
// as they are.
type Topics struct {
	Partitions      int      `yaml:"partitions" min:"1"`           // of a topic of events; one of letters has a quarter of it
	Replication     int      `yaml:"replication" max:"99"`         // copies of a partition; 0: 3, or as many as there are brokers
	MaxMessage      Bytes    `yaml:"max_message_bytes" min:"1KiB"` // max.message.bytes
	Retention       Duration `yaml:"retention" min:"1m"`           // retention.ms of a topic of events
	LetterRetention Duration `yaml:"letter_retention" min:"1m"`    // retention.ms of the dead-letter topic and the held topic
}

// TLS of a connection to Kafka or Elasticsearch.
type TLS struct {
	Enabled            bool   `yaml:"enabled"`              // off: plain text
	CAFile             string `yaml:"ca_file"`              // PEM; empty: the system's roots
	CertFile           string `yaml:"cert_file"`            // PEM, client certificate; read again when it changes
	KeyFile            string `yaml:"key_file"`             // PEM
	ServerName         string `yaml:"server_name"`          // expected name; empty: the host that is dialled
	InsecureSkipVerify bool   `yaml:"insecure_skip_verify"` // accept any certificate (tests only)
}

// SASL authentication against Kafka.
type SASL struct {
	Mechanism string `yaml:"mechanism" enum:"none plain scram-sha-256 scram-sha-512 oauthbearer"` // scram-sha-512 where the brokers have it
	Username  string `yaml:"username"`                                                            // of plain and scram
	Password  Secret `yaml:"password"`                                                            // file:/path reads it from a file
	TokenFile string `yaml:"token_file"`                                                          // oauthbearer: file holding the token, read at each connect
}

// Produce is how a role writes to Kafka. Acknowledgement by all in-sync replicas
// and idempotence are not options.
type Produce struct {
	Compression  string   `yaml:"compression" enum:"none lz4 zstd snappy gzip"` // lz4 costs least processor time, zstd least network
	Linger       Duration `yaml:"linger"`                                       // a batch waits this long for more records
	BatchBytes   Bytes    `yaml:"batch_bytes" min:"1KiB"`                       // a batch is sent when it holds this much, uncompressed
	BatchRecords int      `yaml:"batch_records" min:"1"`                        // or this many records
	Buffer       Bytes    `yaml:"buffer" min:"64KiB"`                           // unacknowledged bytes over all partitions; when full, reading stops
}

// Spool bounds what is copied of deleted files that could not be shipped yet.
type Spool struct {
	Size    Bytes `yaml:"size"`     // of all copies; 0: none are made
	MinFree Bytes `yaml:"min_free"` // of the file system of data_dir stays free
}

// Shipper reads container logs and files of one host and writes them to Kafka.
type Shipper struct {
	Kafka        string            `yaml:"kafka"`                                  // name of the cluster
	Topic        string            `yaml:"topic"`                                  // records of all sources of the host
	PartitionBy  string            `yaml:"partition_by" enum:"host source spread"` // host: one partition a host, so batches are full; source: one a file; spread: whichever
	Labels       map[string]string `yaml:"labels"`                                 // labels.* of every event
	AppFrom      []string          `yaml:"app_from"`                               // service.name of a container is the first of these it has: marathon, chronos, name, image, label:NAME, env:NAME
	Produce      Produce           `yaml:"produce"`                                // how records are gathered and sent
	MaxLine      Bytes             `yaml:"max_line" min:"1KiB"`                    // a longer line is sent in pieces of this size, flagged split
	ReadBudget   Bytes             `yaml:"read_budget" min:"4KiB"`                 // read from one file before others have their turn
	Poll         Duration          `yaml:"poll_interval" min:"10ms"`               // look at every open file this often, whatever inotify said
	Scan         Duration          `yaml:"scan_interval" min:"100ms"`              // expand the globs this often
	StoreEvery   Duration          `yaml:"store_interval" min:"10ms"`              // positions are stored this often
	Spool        Spool             `yaml:"spool"`                                  // unread bytes of deleted files, below data_dir
	PartialAfter Duration          `yaml:"partial_after"`                          // a last line without newline is sent as partial after this long without growth; 0: when its writer is gone
	HoldDeleted  Duration          `yaml:"hold_deleted"`                           // a deleted file is kept open this long for its unread rest
	Multiline    Multiline         `yaml:"multiline"`                              // lines that belong together, one event
	Rules        []Rule            `yaml:"rules"`                                  // what is done with lines before they are sent: drop, sample, mask, limit, count
	Docker       Docker            `yaml:"docker"`                                 // containers of the local daemon
	Files        []Files           `yaml:"files"`                                  // plain files, each entry a source
}

// Multiline says which lines belong together. Of a source that names neither preset nor
// pattern it is shipper.multiline; what else is empty or 0 is taken from there.
type Multiline struct {
	Preset   string   `yaml:"preset"`    // stack traces: auto (all that are known), java, python, go, dotnet, node, ruby, php; none: each line is an event
	Pattern  string   `yaml:"pattern"`   // instead: lines that match this regular expression (RE2) ...
	Negate   bool     `yaml:"negate"`    // ... or that do not
	Match    string   `yaml:"match"`     // after: they go on with the line before; before: with the next
	MaxLines int      `yaml:"max_lines"` // of an event; more make another
	MaxBytes Bytes    `yaml:"max_bytes"` // of an event's message, at most max_line
	Timeout  Duration `yaml:"timeout"`   // a last line that may have others after it waits this long
}

// Docker is the source of the containers of the local Docker daemon.
type Docker struct {
	Enabled          bool     `yaml:"enabled"`                   // follow the containers of this host
	Endpoint         string   `yaml:"endpoint"`                  // unix:///var/run/docker.sock or tcp://host:port
	RootFrom         string   `yaml:"root_from"`                 // prefix of log paths as the daemon says them ...
	RootTo           string   `yaml:"root_to"`                   // ... and where that is mounted for us (sluice in a container)
	ListInterval     Duration `yaml:"list_interval" min:"100ms"` // list containers this often, to mend what events missed
	Timeout          Duration `yaml:"timeout" min:"100ms"`       // of one request
	FieldsFromEnv    []string `yaml:"fields_from_env"`           // environment variables, * globs, to labels.* (Mesos, Marathon, Chronos ones go to their fields)
	FieldsFromLabels []string `yaml:"fields_from_labels"`        // container labels, * globs, to container.labels.*
	IncludeNames     []string `yaml:"include_names"`             // container names, * globs; empty: all
	ExcludeNames     []string `yaml:"exclude_names"`             // container names, * globs
	FilePrefix       bool     `yaml:"file_prefix"`               // lines `access.log: GET /` give log.file.name access.log and message GET /
	Dataset          string   `yaml:"dataset"`                   // event.dataset; empty: none
}

// Files is a source of plain files.
type Files struct {
	Paths       []string          `yaml:"paths"`                     // globs, ** for any depth, {a,b} for alternatives
	Exclude     []string          `yaml:"exclude"`                   // globs, as in paths
	Dataset     string            `yaml:"dataset"`                   // event.dataset
	Codec       string            `yaml:"codec" enum:"plain docker"` // plain: text lines; docker: lines of the json-file driver
	FilePrefix  bool              `yaml:"file_prefix"`               // as docker.file_prefix
	FollowLinks bool              `yaml:"follow_links"`              // links below the first wildcard are followed, to regular files that the directory's owner or root owns
	Labels      map[string]string `yaml:"labels"`                    // labels.* of its events
	App         string            `yaml:"app"`                       // service.name of its events
	Multiline   Multiline         `yaml:"multiline"`                 // as shipper.multiline, which it goes before
}

// Aggregator relays from the data centres' clusters to the central one.
type Aggregator struct {
	Sources         []Source `yaml:"sources"`                                    // each is a consumer group
	Target          Target   `yaml:"target"`                                     // where records go
	Delivery        string   `yaml:"delivery" enum:"exactly_once at_least_once"` // exactly_once: in transactions with the offsets; at_least_once: a crash may double
	Lanes           int      `yaml:"lanes" min:"1" max:"1000"`                   // exactly_once: producers of a topic, each for partitions of its own
	JoinBelow       Bytes    `yaml:"join_below"`                                 // batches smaller than this, where most are, are joined; 0: none
	Produce         Produce  `yaml:"produce"`                                    // how records are gathered and sent
	Consume         Consume  `yaml:"consume"`                                    // how records are fetched
	DeadLetterTopic string   `yaml:"dead_letter_topic"`                          // on the target cluster, for records it refuses for ever
}

// Source is where an aggregator reads.
type Source struct {
	Kafka  string   `yaml:"kafka"`            // name of the cluster
	Topics []string `yaml:"topics"`           // names; one starting with ^ is a regular expression
	Group  string   `yaml:"group"`            // consumer group
	DC     string   `yaml:"dc"`               // dc header for records without one; empty: the name of the cluster
	Start  string   `yaml:"start"`            // where nothing is known of a partition: earliest, group (what the group has committed), or only what is not older than a time such as 24h
	Rate   Bytes    `yaml:"bytes_per_second"` // fetched of this source at most, as it travels; 0: no limit
}

// What Aggregator.Delivery and Source.Start may be.
const (
	ExactlyOnce   = "exactly_once"
	AtLeastOnce   = "at_least_once"
	StartEarliest = "earliest"
	StartGroup    = "group"
)

// Since is the time that Start is, or 0.
func (s *Source) Since() time.Duration {
	d, err := ParseDuration(s.Start)
	if err != nil { // earliest, group
		return 0
	}
	return d.D()
}

// Target is where an aggregator writes.
type Target struct {
	Kafka string `yaml:"kafka"` // name of the cluster
	Topic string `yaml:"topic"` // {topic} and {dc} are replaced by those of the record
}

// Consume is how a role reads from Kafka.
type Consume struct {
	Buffer         Bytes    `yaml:"buffer" min:"1MiB"`                  // fetched, unfinished bytes over all partitions of one group
	SessionTimeout Duration `yaml:"session_timeout" min:"6s" max:"30m"` // a member silent for this long is expelled
	InstanceID     string   `yaml:"instance_id"`                        // group.instance.id, instead of one that is kept in data_dir: back after a crash within the session timeout, a member has its partitions at once
	RecordLimit    Bytes    `yaml:"record_limit" min:"1MiB"`            // unpacked bytes of a single record, and of a zstd window: a batch that needs more cannot be read
	Poison         string   `yaml:"poison" enum:"stop dead_letter"`     // a batch that cannot be read: stop its partition with an alarm, or keep its bytes as a dead letter and go on
}

// Indexer reads from the central cluster and writes to Elasticsearch.
type Indexer struct {
	Kafka           string            `yaml:"kafka"`                                        // name of the cluster
	Topics          []string          `yaml:"topics"`                                       // names; one starting with ^ is a regular expression
	Group           string            `yaml:"group"`                                        // consumer group; the output's name is appended
	Codecs          map[string]string `yaml:"codecs" enum:"ecs filebeat json plain syslog"` // by topic: ecs, filebeat, json, plain, syslog; topics not named: ecs
	EventOriginal   bool              `yaml:"event_original"`                               // keep the line as read in event.original
	DeadLetterTopic string            `yaml:"dead_letter_topic"`                            // on the same cluster: records that no try can index, with the reason
	HeldTopic       string            `yaml:"held_topic"`                                   // on the same cluster: records that only their own index refuses, until it takes them; empty, or not there: their partition waits
	Timezone        string            `yaml:"timezone"`                                     // of times in lines that name none
	Timezones       []Timezone        `yaml:"timezones"`                                    // the same, of some events: the first entry that fits
	Produce         Produce           `yaml:"produce"`                                      // how dead letters are sent
	Consume         Consume           `yaml:"consume"`                                      // how records are fetched
	Outputs         []Output          `yaml:"outputs"`                                      // each is a consumer group of its own, so none holds up the others
}

// Timezone is the zone of times that name none, of events that fit: globs, or /RE2/.
type Timezone struct {
	App      []string `yaml:"app"`      // service.name
	Dataset  []string `yaml:"dataset"`  // event.dataset
	Host     []string `yaml:"host"`     // host.name
	Timezone string   `yaml:"timezone"` // such as Asia/Shanghai
}

// Output is one Elasticsearch cluster; each is a consumer group of its own.
type Output struct {
	Name           string        `yaml:"name"` // appended to the group name; label of its metrics
	Elasticsearch  Elasticsearch `yaml:"elasticsearch"`
	Index          string        `yaml:"index"`            // {yyyy.MM.dd} and parts of it by event time; {dc}, {dataset}, {app}
	IndexTimezone  string        `yaml:"index_timezone"`   // in which the days and hours of index begin
	MaxAge         Duration      `yaml:"max_age"`          // an event older than its Kafka record by more gets the index of the record's day; 0: its own, however old
	MaxAhead       Duration      `yaml:"max_ahead"`        // the same for one that is ahead of its record; 0: its own
	MaxOpenIndices int           `yaml:"max_open_indices"` // that the output writes to within an hour; events of more wait, in the held topic; 0: any number
	Bulk           Bulk          `yaml:"bulk"`
	Template       Template      `yaml:"template"`
}

// Elasticsearch is how to reach one cluster.
type Elasticsearch struct {
	Hosts       []string `yaml:"hosts"`    // URLs; the one with the fewest requests under way is used, of those that are well
	Username    string   `yaml:"username"` // basic authentication
	Password    Secret   `yaml:"password"` // file:/path reads it from a file
	APIKey      Secret   `yaml:"api_key"`  // base64 of id:key, instead of username; file:/path reads it from a file
	TLS         TLS      `yaml:"tls"`
	Timeout     Duration `yaml:"timeout" min:"100ms"` // of one bulk request
	Compression int      `yaml:"compression" max:"9"` // gzip level of bodies, 1 to 9; 0: none

	Headers    map[string]string `yaml:"headers"`    // of every request, for a proxy; credentials belong in api_key or password, which are not shown
	Parameters map[string]string `yaml:"parameters"` // of every bulk request, such as timeout: 5s or pipeline: mine
}

// Bulk says how documents are gathered to requests and how many are under way.
type Bulk struct {
	Bytes          Bytes    `yaml:"bytes" min:"4KiB"`        // of an uncompressed body
	Count          int      `yaml:"count" min:"1"`           // documents
	Linger         Duration `yaml:"linger" min:"1ms"`        // a body is sent when it is this old
	Concurrency    int      `yaml:"concurrency" min:"1"`     // requests under way at the start
	MaxConcurrency int      `yaml:"max_concurrency" min:"1"` // requests under way at most
	RetryInitial   Duration `yaml:"retry_initial" min:"1ms"` // first pause before refused items are sent again
	RetryMax       Duration `yaml:"retry_max" min:"1ms"`     // longest pause

	DeadLetterTypes []string `yaml:"dead_letter_types"` // types of errors that no ruling knows and that are the document's fault: it goes to the dead-letter topic
}

// Template is what `sluice setup` installs on an output.
type Template struct {
	Shards      int      `yaml:"shards" min:"1"`                       // primary shards of an index
	Replicas    int      `yaml:"replicas"`                             // copies of each shard
	Refresh     Duration `yaml:"refresh_interval"`                     // new documents are found after this long at most
	DeleteAfter Duration `yaml:"delete_after"`                         // ILM: indices older than this are deleted; 0: never
	IfMissing   string   `yaml:"if_missing" enum:"stop install write"` // what the indexer does at the start where no index template is for its indices: write nothing, install as setup does, or write all the same
}

// Default is the configuration of an empty file.
func Default() *Config {
	produce := Produce{Compression: "lz4", Linger: Duration(20 * time.Millisecond), BatchBytes: 512 * KiB, BatchRecords: 4096, Buffer: 32 * MiB}
	return &Config{
		Host:            "${HOSTNAME}",
		DC:              "dc1",
		DataDir:         "/var/lib/sluice",
		ShutdownTimeout: Duration(8 * time.Second),
		Log:             Log{Level: "info", Format: "text"},
		Admin:           Admin{Listen: "127.0.0.1", UnreadyAfter: Duration(30 * time.Second)},
		Statsd:          Statsd{Prefix: "sluice", Interval: Duration(10 * time.Second), Tags: "none", MTU: 1432},
		Kafka:           map[string]Kafka{},
		Shipper: Shipper{
			Topic:        "logs",
			PartitionBy:  "host",
			Labels:       map[string]string{},
			AppFrom:      []string{"marathon", "chronos", "label:com.docker.compose.service", "label:com.docker.swarm.service.name", "name", "image"},
			Produce:      produce,
			MaxLine:      2 * MiB,
			ReadBudget:   1 * MiB,
			Poll:         Duration(time.Second),
			Scan:         Duration(5 * time.Second),
			StoreEvery:   Duration(time.Second),
			HoldDeleted:  Duration(5 * time.Minute),
			PartialAfter: Duration(time.Minute),
			Multiline:    Multiline{Preset: "auto", Match: "after", MaxLines: 1000, MaxBytes: 1 * MiB, Timeout: Duration(2 * time.Second)},
			Spool:        Spool{Size: GiB, MinFree: GiB},
			Docker: Docker{
				Endpoint:      "unix:///var/run/docker.sock",
				ListInterval:  Duration(30 * time.Second),
				Timeout:       Duration(10 * time.Second),
				FieldsFromEnv: []string{"MESOS_TASK_ID", "MARATHON_APP_ID", "MARATHON_APP_VERSION", "MARATHON_APP_LABEL_*", "CHRONOS_JOB_NAME"},
			},
		},
		Aggregator: Aggregator{
			Target:          Target{Topic: "{topic}"},
			Delivery:        AtLeastOnce,
			Lanes:           8,
			JoinBelow:       16 * KiB,
			Produce:         produce,
			DeadLetterTopic: "sluice-dead",
			Consume:         Consume{Buffer: 64 * MiB, SessionTimeout: Duration(30 * time.Second), RecordLimit: 32 * MiB, Poison: "stop"},
		},
		Indexer: Indexer{
			Topics:          []string{"logs"},
			Group:           "sluice-indexer",
			Codecs:          map[string]string{},
			Timezones:       []Timezone{},
			DeadLetterTopic: "sluice-dead",
			HeldTopic:       "sluice-held",
			Timezone:        "UTC",
			Produce:         produce,
			Consume:         Consume{Buffer: 64 * MiB, SessionTimeout: Duration(30 * time.Second), RecordLimit: 32 * MiB, Poison: "stop"},
		},
	}
}

// DefaultKafka is what an entry of kafka starts from.
func DefaultKafka() Kafka {
	return Kafka{ClientID: "sluice", SASL: SASL{Mechanism: "none"},
		Topics: Topics{Partitions: 12, MaxMessage: 4 * MiB, Retention: Duration(3 * 24 * time.Hour), LetterRetention: Duration(14 * 24 * time.Hour)}}
}

// DefaultFiles is what an entry of shipper.files starts from.
func DefaultFiles() Files {
	return Files{Codec: "plain"}
}

// DefaultSource is what an entry of aggregator.sources starts from.
func DefaultSource() Source {
	return Source{Topics: []string{"logs"}, Group: "sluice-aggregator", Start: StartEarliest}
}

// DefaultOutput is what an entry of indexer.outputs starts from.
func DefaultOutput() Output {
	return Output{
		Elasticsearch:  Elasticsearch{Timeout: Duration(time.Minute), Compression: 1, Headers: map[string]string{}, Parameters: map[string]string{}},
		Index:          "sluice-{yyyy.MM.dd}",
		IndexTimezone:  "UTC",
		MaxAge:         Duration(7 * 24 * time.Hour),
		MaxAhead:       Duration(time.Hour),
		MaxOpenIndices: 1000,
		Bulk: Bulk{Bytes: 8 * MiB, Count: 5000, Linger: Duration(time.Second), Concurrency: 2, MaxConcurrency: 8,
			RetryInitial: Duration(500 * time.Millisecond), RetryMax: Duration(time.Minute)},
		Template: Template{Shards: 1, Replicas: 1, Refresh: Duration(10 * time.Second), DeleteAfter: Duration(30 * 24 * time.Hour), IfMissing: "stop"},
	}
}
