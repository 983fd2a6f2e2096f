//go:build linux

// Package site is a small real site, with sluice's stages on it: two Kafka clusters and
// Elasticsearch, pipelines as processes, and lines that go through them while they are watched.
package site

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sluicelog/sluice/loadtest/balance"
	"github.com/sluicelog/sluice/loadtest/fakes"
	"github.com/sluicelog/sluice/loadtest/proc"
	"github.com/sluicelog/sluice/loadtest/verify"
	"github.com/sluicelog/sluice/loadtest/wait"
	"github.com/sluicelog/sluice/test/servers"
)

// Site is a small real site: a Kafka of a data centre, a central one, and Elasticsearch,
// with a Link on every way from a stage to a server if wanted.
type Site struct {
	Dir, Sluice string
	DC1         *servers.KafkaCluster
	Central     *servers.KafkaCluster
	ES          *servers.ElasticsearchNode // nil if not wanted
	Front       *fakes.Front               // before ES; nil without links
	Links       map[string]*fakes.Link     // by stage and server: shipper-dc1, aggregator-dc1, aggregator-central, indexer-central, indexer-es

	front *fakes.Server
	full  bool // fillElastic, and not yet freeElastic
}

// Options say what is wanted.
type Options struct {
	Dir           string // for everything that is written; its path should be short
	Sluice        string // the program under test
	Elasticsearch bool
	Links         bool
	Brief         bool // servers live for minutes and are not measured
}

// role and server of each link to Kafka; the listener has the stage's name in capitals.
var kafkaLinks = map[string][]string{"dc1": {"shipper", "aggregator"}, "central": {"aggregator", "indexer"}}

// brokerProperties: records of 4 MiB fit, and no test waits for a lazy controller.
var brokerProperties = []string{"message.max.bytes=4194304", "replica.fetch.max.bytes=4194304", "num.partitions=4", "log.retention.check.interval.ms=3600000",
	"num.recovery.threads.per.data.dir=2", "offsets.topic.num.partitions=8", "transaction.state.log.num.partitions=4"}

// Start starts all at the same time. On an error nothing is left.
func Start(ctx context.Context, o Options) (*Site, error) {
	s := &Site{Dir: o.Dir, Sluice: o.Sluice, Links: map[string]*fakes.Link{}}
	var wg sync.WaitGroup
	errs := make([]error, 3)
	wg.Go(func() { errs[0] = s.kafka(ctx, "dc1", &s.DC1, o) })
	wg.Go(func() { errs[1] = s.kafka(ctx, "central", &s.Central, o) })
	if o.Elasticsearch {
		wg.Go(func() {
			es, err := servers.StartElasticsearch(ctx, filepath.Join(o.Dir, "es"), servers.ElasticsearchOptions{Brief: o.Brief, Settings: []string{"thread_pool.write.queue_size: 10000"}})
			s.ES, errs[2] = es, err
		})
	}
	wg.Wait()
	err := errors.Join(errs...)
	if err == nil && s.ES != nil && o.Links {
		err = s.elasticLink()
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

var linkMu sync.Mutex // guards Site.Links while the clusters start

func (s *Site) kafka(ctx context.Context, name string, into **servers.KafkaCluster, site Options) error {
	o := servers.KafkaOptions{Brief: site.Brief, Properties: brokerProperties, Listeners: map[string]string{}, Advertised: map[string]string{}}
	if site.Links {
		ports, err := servers.FreePorts(len(kafkaLinks[name]))
		if err != nil {
			return err
		}
		for i, stage := range kafkaLinks[name] {
			o.Listeners[strings.ToUpper(stage)] = "PLAINTEXT"
			o.Advertised[strings.ToUpper(stage)] = fmt.Sprintf("127.0.0.1:%d", ports[i])
		}
	}
	k, err := servers.StartKafka(ctx, filepath.Join(s.Dir, name), o)
	if err != nil {
		return fmt.Errorf("kafka %s: %w", name, err)
	}
	*into = k
	for listener, addr := range o.Advertised {
		link := strings.ToLower(listener) + "-" + name
		l, err := fakes.NewLink(link, addr, k.Listeners[listener][0])
		if err != nil {
			return err
		}
		linkMu.Lock()
		s.Links[link] = l
		linkMu.Unlock()
	}
	return nil
}

// elasticLink is indexer -> link -> front -> Elasticsearch.
func (s *Site) elasticLink() (err error) {
	s.Front = &fakes.Front{Upstream: s.ES.URL}
	if s.front, err = fakes.Serve("127.0.0.1:0", s.Front); err != nil {
		return err
	}
	ports, err := servers.FreePorts(1) // not one that another connection may be given while the link is cut
	if err != nil {
		return err
	}
	s.Links["indexer-es"], err = fakes.NewLink("indexer-es", fmt.Sprintf("127.0.0.1:%d", ports[0]), strings.TrimPrefix(s.front.URL, "http://"))
	return err
}

// Close ends everything at once.
func (s *Site) Close() {
	for _, l := range s.Links {
		l.Close()
	}
	if s.front != nil {
		s.front.Close()
	}
	var wg sync.WaitGroup
	for _, k := range []*servers.KafkaCluster{s.DC1, s.Central} {
		if k != nil {
			wg.Go(func() { k.Kill() })
		}
	}
	if s.ES != nil {
		wg.Go(func() { s.ES.Kill() })
	}
	wg.Wait()
}

// Mend undoes what a scenario may have left.
func (s *Site) Mend(ctx context.Context) error {
	errs := []error{}
	for _, l := range s.Links {
		errs = append(errs, l.Mend())
	}
	s.Front.Set(fakes.Trouble{})
	for _, name := range []string{"dc1", "central", "elasticsearch"} {
		p := s.Process(name)
		p.Resume()
		if !p.Running() {
			errs = append(errs, p.Restart(ctx))
		}
	}
	if s.full {
		errs = append(errs, s.FreeElastic(ctx))
	}
	return errors.Join(errs...)
}

// Process is a real server by its name.
func (s *Site) Process(name string) *servers.Process {
	switch name {
	case "dc1":
		return s.DC1.Nodes[0]
	case "central":
		return s.Central.Nodes[0]
	case "elasticsearch":
		return s.ES.Process
	}
	return nil
}

// FillElastic makes Elasticsearch find its disk full: more than it has must be free. It looks
// every ten seconds, and then makes all indices read-only; for those named that is waited for.
func (s *Site) FillElastic(ctx context.Context, index string) error {
	s.full = true
	return s.disk(ctx, index, `{"persistent":{"cluster.info.update.interval":"10s","cluster.routing.allocation.disk":{
		"threshold_enabled":true,"watermark":{"low":"1000tb","high":"1000tb","flood_stage":"1000tb"}}}}`, true)
}

// FreeElastic is as if there was room again. Elasticsearch makes the indices writable by itself.
func (s *Site) FreeElastic(ctx context.Context) error {
	err := s.disk(ctx, "_all", `{"persistent":{"cluster.info.update.interval":"10s","cluster.routing.allocation.disk":{
		"threshold_enabled":true,"watermark":{"low":"1b","high":"1b","flood_stage":"1b"}}}}`, false)
	if err == nil {
		_, err = verify.Elastic{URL: s.ES.URL}.Call(ctx, "PUT", "/_cluster/settings", `{"persistent":{"cluster.info.update.interval":null,"cluster.routing.allocation.disk.*":null}}`)
		s.full = err != nil
	}
	return err
}

func (s *Site) disk(ctx context.Context, index, settings string, blocked bool) error {
	if _, err := (verify.Elastic{URL: s.ES.URL}).Call(ctx, "PUT", "/_cluster/settings", settings); err != nil {
		return err
	}
	return s.readOnly(ctx, index, blocked)
}

// BlockElastic makes indices read-only by hand, or writable again.
func (s *Site) BlockElastic(ctx context.Context, index string, blocked bool) error {
	block := `{"index.blocks.read_only_allow_delete":null}`
	if blocked {
		block = `{"index.blocks.read_only_allow_delete":true}`
	}
	if err := wait.Until(ctx, wait.Patient, func() error {
		_, err := verify.Elastic{URL: s.ES.URL}.Call(ctx, "PUT", "/"+index+"/_settings", block)
		return err
	}); err != nil {
		return err
	}
	return s.readOnly(ctx, index, blocked)
}

// readOnly waits until indices are, or are no longer.
func (s *Site) readOnly(ctx context.Context, index string, blocked bool) error {
	return wait.Until(ctx, wait.Patient, func() error {
		text, err := verify.Elastic{URL: s.ES.URL}.Call(ctx, "GET", "/"+index+"/_settings/index.blocks.read_only_allow_delete", "")
		if err == nil && strings.Contains(string(text), `"true"`) != blocked {
			err = fmt.Errorf("indices read-only is not %v: %s", blocked, text)
		}
		return err
	})
}

// brokers is where a stage dials a cluster.
func (s *Site) brokers(role, cluster string) string {
	if l := s.Links[role+"-"+cluster]; l != nil {
		return l.Addr
	}
	if cluster == "dc1" {
		return s.DC1.Brokers[0]
	}
	return s.Central.Brokers[0]
}

// Elastic is where the indexer writes: through link and front, if there are any.
func (s *Site) Elastic() string {
	switch l := s.Links["indexer-es"]; {
	case l != nil:
		return "http://" + l.Addr
	case s.ES != nil:
		return s.ES.URL
	}
	return ""
}

// Plan is one pipeline on a site. Each has topics, groups, an index and positions of
// its own, so that pipelines on one site do not meet.
type Plan struct {
	Name       string
	Partitions int
	Socket     string // of the Docker daemon; empty: no containers
	Files      string // glob of plain files; empty: none
	Target     string // URL that the indexer writes to
	Prefix     string // of indices, lower case; empty: one of the plan's own
	Positions  string // data_dir; empty: one of the plan's own
	In, Out    string // topics instead of logs-<name> on both clusters

	Compression string // of batches; empty: the default
	BatchBytes  string // likewise
	BulkBytes   string
	BulkCount   int
	Refresh     string // of indices; empty: 10s
	Gzip        int    // of bulk bodies; -1: the default
	PartitionBy string
	Extra       map[string]string // YAML added to a role's part, by role
}

// Topic is the plan's topic on both clusters.
func (p *Plan) Topic() string { return "logs-" + p.Name }

// Index is the prefix of the plan's indices.
func (p *Plan) Index() string { return cmp.Or(p.Prefix, "lt-"+strings.ToLower(p.Name)) }

const shutdownTimeout = 8 * time.Second

// config is the file of one role.
func (s *Site) config(role string, p *Plan) string {
	var b strings.Builder
	put := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	put("host: loadtest\ndc: dc1\ndata_dir: ${DATA_DIR}\nshutdown_timeout: %v", shutdownTimeout)
	put("admin: {listen: \"127.0.0.1:${ADMIN_PORT}\", pprof: true}")
	put("kafka:")
	for _, cluster := range []string{"dc1", "central"} {
		put("  %s: {brokers: [%q]}", cluster, s.brokers(role, cluster))
	}
	produce := ""
	if p.Compression != "" {
		produce += ", compression: " + p.Compression
	}
	if p.BatchBytes != "" {
		produce += ", batch_bytes: " + p.BatchBytes
	}
	put("%s:", role)
	switch role {
	case "shipper":
		put("  kafka: dc1\n  multiline: {preset: none}\n  topic: %s\n  partition_by: %s", cmp.Or(p.Out, p.Topic()), cmp.Or(p.PartitionBy, "source"))
		if p.Socket != "" {
			put("  docker: {enabled: true, endpoint: \"unix://%s\", list_interval: 5s}", p.Socket)
		}
		if p.Files != "" {
			put("  scan_interval: 1s\n  files: [{paths: [%q]}]", p.Files)
		}
	case "aggregator":
		put("  sources: [{kafka: dc1, topics: [%s], group: aggregator-%s}]", cmp.Or(p.In, p.Topic()), p.Name)
		put("  target: {kafka: central, topic: %q}", cmp.Or(p.Out, "{topic}"))
		put("  consume: {session_timeout: 6s}")
	case "indexer":
		put("  kafka: central\n  topics: [%s]\n  group: indexer-%s\n  dead_letter_topic: dead-%s", cmp.Or(p.In, p.Topic()), p.Name, p.Name)
		put("  consume: {session_timeout: 6s}\n  outputs:\n    - name: online\n      index: \"%s-{yyyy.MM.dd}\"", p.Index())
		gzip := ""
		if p.Gzip >= 0 {
			gzip = fmt.Sprintf(", compression: %d", p.Gzip)
		}
		put("      elasticsearch: {hosts: [%q], timeout: 20s%s}", p.Target, gzip)
		bulk := "retry_max: 5s"
		if p.BulkBytes != "" {
			bulk += ", bytes: " + p.BulkBytes
		}
		if p.BulkCount > 0 {
			bulk += fmt.Sprintf(", count: %d", p.BulkCount)
		}
		put("      bulk: {%s}\n      template: {replicas: 0, refresh_interval: %s}", bulk, cmp.Or(p.Refresh, "10s"))
	}
	if produce != "" {
		put("  produce: {%s}", strings.TrimPrefix(produce, ", "))
	}
	if extra := p.Extra[role]; extra != "" {
		put("%s", extra)
	}
	return b.String()
}

// Stage is one process of a role.
type Stage struct {
	*proc.Proc
	Role  string
	Admin string // http://host:port
}

// Stage prepares a process of a role for a plan. Member keeps several of one role
// apart; the first is 1.
func (s *Site) Stage(role string, p *Plan, member int) (*Stage, error) {
	ports, err := servers.FreePorts(1)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.Dir, p.Name)
	file := filepath.Join(dir, role+".yaml")
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(file, []byte(s.config(role, p)), 0o644)); err != nil {
		return nil, err
	}
	name, data := role, cmp.Or(p.Positions, filepath.Join(dir, "data"))
	if member > 1 { // a data_dir is locked for one process of a role
		name = fmt.Sprintf("%s-%d", role, member)
		data = filepath.Join(dir, name, "data")
	}
	return &Stage{Role: role, Admin: fmt.Sprintf("http://127.0.0.1:%d", ports[0]), Proc: &proc.Proc{
		Name: name,
		Argv: []string{s.Sluice, role, "-c", file},
		Env:  []string{fmt.Sprintf("ADMIN_PORT=%d", ports[0]), "DATA_DIR=" + data},
		Log:  filepath.Join(dir, name+".log"),
	}}, nil
}

// Figures are the stage's counters.
func (g *Stage) Figures(ctx context.Context) (balance.Figures, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return balance.Scrape(ctx, g.Admin+"/metrics")
}

// Setup installs sluice's templates for the plan's indices, as an operator would.
func (s *Site) Setup(ctx context.Context, p *Plan) error {
	g, err := s.Stage("indexer", p, 1)
	if err != nil {
		return err
	}
	g.Proc.Argv = []string{s.Sluice, "setup", "--only", "elasticsearch", "-c", filepath.Join(s.Dir, p.Name, "indexer.yaml")}
	if err := g.Start(); err != nil {
		return err
	}
	return g.Wait(ctx)
}

// Status is what the stage says of itself.
func (g *Stage) Status(ctx context.Context) (balance.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return balance.Ask(ctx, g.Admin)
}

// connected is nil once the stage reaches all servers that it needs. An indexer asks
// Elasticsearch for nothing before it has a document.
func (g *Stage) connected(ctx context.Context) error {
	s, err := g.Status(ctx)
	if err != nil {
		return err
	}
	reached := 0
	var missing error
	for _, d := range s.Dependencies {
		switch {
		case d.Reachable:
			reached++
		case g.Role != "indexer" || d.Asked():
			missing = fmt.Errorf("%s is not reachable: %s", d.Name, cmp.Or(d.LastError, "no answer yet"))
		}
	}
	if reached == 0 && missing == nil {
		missing = fmt.Errorf("no server of %d has answered yet", len(s.Dependencies))
	}
	return missing
}

// AtRest reads the status once the last acknowledgement is counted and the sums come out,
// which takes a second: some counters are updated so often only.
func (g *Stage) AtRest(ctx context.Context) (s balance.Status, err error) {
	err = wait.Until(ctx, 30*time.Second, func() error {
		now, err := g.Status(ctx)
		if err != nil {
			return err
		}
		if s = now; s.Account.InFlight() != "" {
			return fmt.Errorf("%s though all events are at the output", s.Account.InFlight())
		}
		if p := s.Check(); len(p) > 0 {
			return errors.New(p[0].Text)
		}
		return nil
	})
	if s.Role != "" {
		return s, nil // Check says what does not come out
	}
	return s, fmt.Errorf("read the counters of %s: %w", g.Name, err)
}
