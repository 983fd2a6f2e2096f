//go:build linux

// Command cmd starts the real servers that sluice works with, prints where they are, and stops them at Ctrl-C.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/sluicelog/sluice/test/servers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills us the default way, and the kernel the servers
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "servers:", err)
		os.Exit(1)
	}
}

type options struct {
	only              string
	kafkas, nodes     int
	kafkaHeap, esHeap string
	flush             time.Duration
	installOnly       bool
}

func run(ctx context.Context, args []string) error {
	var o options
	flags := flag.NewFlagSet("servers", flag.ExitOnError)
	flags.StringVar(&o.only, "only", "kafka,elasticsearch,statsd,docker", "which servers; -install also knows rsyslog")
	flags.IntVar(&o.kafkas, "kafka", 2, "Kafka clusters")
	flags.IntVar(&o.nodes, "nodes", 1, "nodes of each Kafka cluster")
	flags.StringVar(&o.kafkaHeap, "kafka-heap", "512m", "heap of each Kafka node")
	flags.StringVar(&o.esHeap, "es-heap", "1g", "heap of Elasticsearch")
	flags.DurationVar(&o.flush, "statsd-flush", time.Second, "flush interval of statsd")
	flags.BoolVar(&o.installOnly, "install", false, "install only")
	flags.Parse(args)

	names := strings.Split(o.only, ",")
	if o.installOnly {
		if !isSet(flags, "only") {
			names = servers.All
		}
		return servers.Install(ctx, names...)
	}
	if i := slices.Index(names, servers.NameDocker); i >= 0 && os.Getuid() != 0 && !isSet(flags, "only") {
		fmt.Fprintln(os.Stderr, "servers: no dockerd, as only root can start it")
		names = slices.Delete(names, i, i+1)
	}
	dir, err := os.MkdirTemp("", "sluice-servers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	began := time.Now()
	up, err := startAll(ctx, dir, names, o)
	if err == nil {
		show(up, dir, time.Since(began))
		<-ctx.Done()
		fmt.Fprintln(os.Stderr, "servers: stopping")
	}
	errs := make([]error, len(up))
	var wg sync.WaitGroup
	for i, s := range up {
		wg.Go(func() { errs[i] = s.stop() })
	}
	wg.Wait()
	return errors.Join(append(errs, err)...)
}

func isSet(flags *flag.FlagSet, name string) (set bool) {
	flags.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// server is one that runs: what people and programs want to know of it.
type server struct {
	name, env, addr string
	took            time.Duration
	stop            func() error
}

// startAll starts all at once. On an error the servers that did start are returned beside it.
func startAll(ctx context.Context, dir string, names []string, o options) ([]server, error) {
	var starts []func() (server, error)
	for _, name := range names {
		switch name {
		case servers.NameKafka:
			for i := range o.kafkas {
				starts = append(starts, func() (server, error) {
					name := fmt.Sprintf("kafka-%d", i+1)
					k, err := servers.StartKafka(ctx, filepath.Join(dir, name), servers.KafkaOptions{Nodes: o.nodes, Heap: o.kafkaHeap})
					if err != nil {
						return server{}, err
					}
					return server{name: name, env: fmt.Sprintf("SLUICE_TEST_KAFKA_%d", i+1), addr: strings.Join(k.Brokers, ","), stop: k.Stop}, nil
				})
			}
		case servers.NameElasticsearch:
			starts = append(starts, func() (server, error) {
				e, err := servers.StartElasticsearch(ctx, filepath.Join(dir, name), servers.ElasticsearchOptions{Heap: o.esHeap})
				if err != nil {
					return server{}, err
				}
				return server{name: name, env: "SLUICE_TEST_ELASTICSEARCH", addr: e.URL, stop: e.Stop}, nil
			})
		case servers.NameStatsd:
			starts = append(starts, func() (server, error) {
				s, err := servers.StartStatsd(ctx, filepath.Join(dir, name), servers.StatsdOptions{FlushInterval: o.flush})
				if err != nil {
					return server{}, err
				}
				return server{name: name, env: "SLUICE_TEST_STATSD", addr: s.Addr, stop: s.Stop}, nil
			})
		case servers.NameDocker:
			starts = append(starts, func() (server, error) {
				d, err := servers.StartDocker(ctx, filepath.Join(dir, name), servers.DockerOptions{})
				if err != nil {
					return server{}, err
				}
				return server{name: name, env: "DOCKER_HOST", addr: "unix://" + d.Socket, stop: d.Stop}, nil
			})
		default:
			return nil, fmt.Errorf("start %q: it is none of kafka, elasticsearch, statsd, docker", name)
		}
	}
	up, errs := make([]server, len(starts)), make([]error, len(starts))
	var wg sync.WaitGroup
	for i, start := range starts {
		wg.Go(func() {
			began := time.Now()
			up[i], errs[i] = start()
			up[i].took = time.Since(began)
		})
	}
	wg.Wait()
	up = slices.DeleteFunc(up, func(s server) bool { return s.stop == nil })
	return up, errors.Join(errs...)
}

func show(up []server, dir string, took time.Duration) {
	table := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "SERVER\tADDRESS\tUP AFTER")
	for _, s := range up {
		fmt.Fprintf(table, "%s\t%s\t%.1fs\n", s.name, s.addr, s.took.Seconds())
	}
	table.Flush()
	fmt.Println()
	for _, s := range up {
		fmt.Printf("export %s=%s\n", s.env, s.addr)
	}
	fmt.Printf("\n%d servers up in %.1f s, files in %s until Ctrl-C\n", len(up), took.Seconds(), dir)
}
