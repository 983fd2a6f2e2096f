package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/aggregator"
	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/indexer"
	"github.com/sluicelog/sluice/internal/embedded"
	"github.com/sluicelog/sluice/internal/page"
	"github.com/sluicelog/sluice/shipper"
)

// up is what the command line of `sluice up` says.
type up struct {
	dir, listen, admin, docker string
	hosts                      []string
	sample                     bool
	paths                      []string
	kafkaBytes                 int64 // 0: as embedded.KafkaOptions has it
}

func upCommand() *cobra.Command {
	var u up
	cmd := &cobra.Command{
		Use:   "up [FILE|GLOB ...] [--sample]",
		Short: "Run everything in one process, with a page to search",
		Long: `up runs the three roles in this process, between two embedded Kafka clusters and a
small store that speaks Elasticsearch's protocol, and serves a page to search and to
watch lines arrive. It ships the containers of the local Docker daemon, if there is a
socket that it may use, and the files given.

Everything is kept below --dir: killed at any moment and started again, it has lost
nothing and doubled nothing. It is for trying sluice and for a single machine; servers
of its own kind are not a cluster.`,
		Example: `  sluice up --sample                       # with an application that writes logs
  sluice up /var/log/syslog '/var/log/nginx/*.log'`,
		GroupID: groupTools,

		DisableFlagsInUseLine: true,
	}
	flags := cmd.Flags()
	flags.StringVar(&u.dir, "dir", "sluice-data", "`DIR`ectory of everything that is kept")
	flags.StringVar(&u.listen, "listen", "127.0.0.1:8600", "`ADDRESS` of the page and of the Elasticsearch API")
	flags.StringArrayVar(&u.hosts, "host", nil, "`NAME` under which browsers may ask for the page, besides localhost and the listen address; repeatable")
	flags.StringVar(&u.admin, "admin", "127.0.0.1:8686", "`ADDRESS` of /healthz, /metrics and /status; empty: none")
	flags.StringVar(&u.docker, "docker", "/var/run/docker.sock", "`SOCKET` of the Docker daemon; empty: none")
	flags.BoolVar(&u.sample, "sample", false, "also run a sample application and ship its logs")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		u.paths = args
		return action(func(cmd *cobra.Command) error { return u.run(cmd) })(cmd, args)
	}
	return cmd
}

const (
	upTopic      = "logs"
	upPartitions = 4
)

func (u *up) run(cmd *cobra.Command) (err error) {
	out := cmd.OutOrStdout()
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP) // its terminal is closed
	defer stop()
	log := newLog(config.Log{Level: "warn", Format: "text"}, cmd.ErrOrStderr())
	cfg, err := u.config()
	if err != nil {
		return err
	}
	defer syscall.Umask(syscall.Umask(0o077)) // log lines are for their owner
	if err := ownDir(cfg.DataDir); err != nil {
		return err
	}
	store, err := embedded.StartStore(embedded.StoreOptions{Dir: filepath.Join(u.dir, "store"), Listen: u.listen, Hosts: u.hosts, Page: http.HandlerFunc(page.Serve), Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	cfg.Indexer.Outputs[0].Elasticsearch.Hosts = []string{store.URL()}
	readers := map[string]string{
		"local":   cfg.Aggregator.Sources[0].Group,
		"central": indexer.Group(&cfg.Indexer, &cfg.Indexer.Outputs[0]),
	}
	for name := range cfg.Kafka {
		k, err := embedded.StartKafka(embedded.KafkaOptions{
			Dir: filepath.Join(u.dir, "kafka-"+name), Bytes: u.kafkaBytes, Log: log,
			Topics:  map[string]int{upTopic: upPartitions, cfg.Indexer.DeadLetterTopic: 1},
			Readers: map[string]string{upTopic: readers[name]},
		})
		if err != nil {
			return err
		}
		defer k.Close()
		kafka := config.DefaultKafka()
		kafka.Brokers = k.Addrs()
		cfg.Kafka[name] = kafka
	}
	if s := cfg.Shipper; s.Docker.Enabled || len(s.Files) > 0 { // the rest of cfg is ours
		if err := cfg.Validate("shipper"); err != nil {
			return err
		}
	}
	var installed strings.Builder
	if err := indexer.Setup(ctx, cfg, &installed); err != nil {
		return fmt.Errorf("%w\n%s", err, installed.String())
	}
	fmt.Fprintf(out, "sluice %s is up\n\n  search   %s\n", version().Version, store.URL())
	if u.admin != "" {
		fmt.Fprintf(out, "  status   http://%s\n", u.admin)
	}
	fmt.Fprintf(out, "  data     %s\n", u.dir)
	u.describe(cfg, func(format string, a ...any) { fmt.Fprintf(out, "  ships    "+format+"\n", a...) })
	fmt.Fprintln(out, "\nCtrl-C stops it.")
	return u.serve(ctx, cfg, log)
}

// serve runs the stages, and beside them the sample application.
func (u *up) serve(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	failed := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if u.sample {
		go func() {
			err := embedded.Sample(ctx, u.sampleDir())
			if err != nil {
				cancel()
			}
			failed <- err
		}()
	} else {
		failed <- nil
	}
	err := runStages(ctx, cfg, log,
		stage{"shipper", shipper.Run}, stage{"aggregator", aggregator.Run}, stage{"indexer", indexer.Run})
	cancel()
	return errors.Join(err, <-failed)
}

// ownDir makes dir, or an older one, its owner's alone; the servers do so with theirs.
func ownDir(dir string) error {
	return errors.Join(os.MkdirAll(dir, 0o700), os.Chmod(dir, 0o700))
}

func (u *up) sampleDir() string { return filepath.Join(u.dir, "sample") }

// config is that of a site with one host, whose servers are yet to be started.
func (u *up) config() (*config.Config, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(u.dir)
	if err != nil {
		return nil, err
	}
	u.dir = dir
	c := config.Default()
	c.Host, c.DC, c.DataDir = host, "local", filepath.Join(dir, "shipper")
	c.Admin.Listen = u.admin
	c.Kafka = map[string]config.Kafka{"local": {}, "central": {}}
	c.Shipper.Kafka, c.Shipper.Topic = "local", upTopic
	c.Shipper.Docker.Enabled = u.docker != "" && dial(u.docker)
	c.Shipper.Docker.Endpoint = "unix://" + u.docker
	if u.sample {
		for dataset, name := range embedded.SampleFiles {
			f := config.DefaultFiles()
			f.Paths, f.Dataset, f.App = []string{filepath.Join(u.sampleDir(), name)}, dataset, dataset
			c.Shipper.Files = append(c.Shipper.Files, f)
		}
	}
	for _, p := range u.paths {
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, err
		}
		f := config.DefaultFiles()
		f.Paths = []string{abs}
		c.Shipper.Files = append(c.Shipper.Files, f)
	}
	source := config.DefaultSource()
	source.Kafka, source.Topics = "local", []string{upTopic}
	c.Aggregator.Sources = []config.Source{source}
	c.Aggregator.Target.Kafka = "central"
	c.Indexer.Kafka, c.Indexer.Topics = "central", []string{upTopic}
	output := config.DefaultOutput()
	output.Name = "store"
	output.Template.Replicas = 0
	output.Bulk.Linger = config.Duration(200 * time.Millisecond)
	c.Indexer.Outputs = []config.Output{output}
	return c, nil
}

// describe says what is shipped.
func (u *up) describe(cfg *config.Config, say func(format string, a ...any)) {
	if cfg.Shipper.Docker.Enabled {
		say("containers of Docker at %s", u.docker)
	}
	if u.sample {
		say("a sample application's logs in %s", u.sampleDir())
	}
	for _, p := range u.paths {
		say("%s", p)
	}
	if !cfg.Shipper.Docker.Enabled && len(cfg.Shipper.Files) == 0 {
		say("nothing: no Docker at %s; name files, or try --sample", u.docker)
	}
}

func dial(socket string) bool {
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
