package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/loadtest/fakes"
	"github.com/sluicelog/sluice/loadtest/generate"
	"github.com/sluicelog/sluice/loadtest/report"
)

// workloadFlags adds those that say what lines are like.
func workloadFlags(cmd *cobra.Command, w *generate.Workload) {
	f := cmd.Flags()
	f.Uint64Var(&w.Seed, "seed", 1, "the same seed gives the same lines")
	f.IntVar(&w.Sources, "sources", 8, "containers or files")
	f.Float64Var(&w.Skew, "skew", 1, "lines of source n are proportional to 1/n^skew; 0: all alike")
	f.IntVar(&w.Mean, "mean", 1000, "mean size of lines, bytes")
	f.IntVar(&w.HugeOf, "huge", 5000, "one line in so many has 20 to 60 KB; 0: none")
	f.DurationVar(&w.Life, "life", 0, "containers end after this time and others begin; 0: they last")
}

func generateCommand() *cobra.Command {
	var w generate.Workload
	var p generate.Pace
	cmd := &cobra.Command{
		Use:   "generate (--docker DIR | --plain DIR | --kafka BROKER) [flags]",
		Short: "Write lines as Docker logs, as plain files or to Kafka",
		Long: `generate writes lines of a realistic mix (logback, JSON, nginx, stack traces, klog; 200
bytes to 8 KB) at a pace or flat out, and at the end a ledger of what it wrote, which
verify reads.

With --docker it writes what dockerd's json-file driver writes, and answers on
DIR/docker.sock as a Docker daemon does, so that a shipper follows these containers:

  shipper: {docker: {enabled: true, endpoint: unix://DIR/docker.sock}}`,
		Example: `  loadtest generate --docker /tmp/lt --rate 70000 --for 1m --max-size 20MiB --max-file 5
  loadtest generate --docker /tmp/lt --sources 100 --life 2s --rate 5000 --for 100s  # 5,000 containers
  loadtest generate --plain /tmp/lt --rotate copytruncate --max-size 10MiB --rate 1000 --for 1m
  loadtest generate --kafka 127.0.0.1:9092 --topic logs --lines 2000000`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	docker := f.String("docker", "", "write Docker logs below this `DIR`")
	plain := f.String("plain", "", "write plain files into this `DIR`")
	broker := f.String("kafka", "", "write events of sluice to this `BROKER`")
	topic := f.String("topic", "logs", "with --kafka")
	partitions := f.Int("partitions", 4, "with --kafka: of a topic that is not there yet")
	compression := f.String("compression", "lz4", "with --kafka: none, lz4, zstd, snappy, gzip")
	f.Float64Var(&p.Rate, "rate", 0, "lines a second; 0: flat out")
	f.Int64Var(&p.Lines, "lines", 0, "stop after so many; 0: no limit")
	f.DurationVar(&p.For, "for", 0, "stop after this time; 0: no limit")
	maxSize := size(0)
	f.Var(&maxSize, "max-size", "rotate a file at this size; 0: never")
	maxFile := f.Int("max-file", 5, "files kept of one log")
	rotate := f.String("rotate", "rename", "with --plain: rename, copytruncate, delete")
	linger := f.Duration("linger", 0, "with --docker: answer as a daemon for this time after the last line")
	ledger := f.String("ledger", "", "write what was written to this `FILE`")
	workloadFlags(cmd, &w)
	cmd.MarkFlagsOneRequired("docker", "plain", "kafka")
	cmd.MarkFlagsMutuallyExclusive("docker", "plain", "kafka")
	cmd.RunE = action(func(cmd *cobra.Command) error {
		ctx := cmd.Context()
		w.Run, w.Start, w.Rate = uint32(time.Now().Unix()), time.Now(), p.Rate
		if w.Rate == 0 {
			w.Rate = 1e6 // the lines' times rise all the same
		}
		var out generate.Writer
		switch {
		case *docker != "":
			if err := os.MkdirAll(*docker, 0o755); err != nil {
				return err
			}
			d, err := fakes.StartDaemon(filepath.Join(*docker, "docker.sock"), *docker)
			if err != nil {
				return err
			}
			defer d.Close()
			out = &generate.DockerLogs{Root: *docker, MaxSize: int64(maxSize), MaxFile: *maxFile, Life: w.Life, Daemon: d}
		case *plain != "":
			if err := os.MkdirAll(*plain, 0o755); err != nil {
				return err
			}
			out = &generate.PlainLogs{Dir: *plain, Rotate: generate.Rotation(*rotate), MaxSize: int64(maxSize), MaxFile: *maxFile, Settle: 3 * time.Second}
		default:
			k, err := generate.NewKafkaWriter(ctx, []string{*broker}, *topic, *partitions, *compression)
			if err != nil {
				return err
			}
			out = k
		}
		bar := report.NewBar(cmd.ErrOrStderr())
		g, err := generate.Run(ctx, generate.NewLines(w), p, out, func(g generate.Generated) {
			bar.Show(p.Share(g.Lines, g.Elapsed), fmt.Sprintf("%d lines written", g.Lines))
		})
		bar.End()
		fmt.Fprintf(cmd.OutOrStdout(), "run %08x: %d lines, %d bytes in %v: %.0f lines/s, %.0f MB/s, late by %v at most\n", w.Run, g.Lines, g.Bytes,
			g.Elapsed.Round(time.Millisecond), float64(g.Lines)/g.Elapsed.Seconds(), float64(g.Bytes)/1e6/g.Elapsed.Seconds(), g.Late.Round(time.Microsecond))
		if *ledger != "" {
			err = errors.Join(err, out.Ledger().Save(*ledger))
		}
		if *docker != "" && *linger > 0 && err == nil {
			select {
			case <-ctx.Done():
			case <-time.After(*linger):
			}
		}
		return err
	})
	return cmd
}
