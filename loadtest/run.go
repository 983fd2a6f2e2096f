package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/loadtest/measure"
	"github.com/sluicelog/sluice/loadtest/report"
)

// measureFlags adds those of everything that measures; the options are complete after parsing.
func measureFlags(cmd *cobra.Command, quick, full measure.Options) (o *measure.Options, complete func() error, save *string) {
	f := cmd.Flags()
	o = new(measure.Options)
	*o = full
	short := f.Bool("quick", false, "a short run; other flags still count")
	f.IntVar(&o.Tries, "tries", full.Tries, "measures of each program; the report has the median")
	f.Int64Var(&o.Lines, "lines", full.Lines, "of each measure")
	f.Int64Var(&o.ElasticLine, "elastic-lines", full.ElasticLine, "of each measure into Elasticsearch")
	f.IntVar(&o.Sources, "sources", o.Sources, "log files")
	f.Float64Var(&o.Skew, "skew", o.Skew, "lines of source n are proportional to 1/n^skew")
	f.IntVar(&o.Mean, "mean", o.Mean, "mean size of lines, bytes")
	f.IntVar(&o.Partitions, "partitions", o.Partitions, "of each topic")
	f.StringVar(&o.Compression, "compression", o.Compression, "of batches: none, lz4, zstd, snappy, gzip")
	f.IntVar(&o.Gzip, "gzip", o.Gzip, "level of sluice's bulk bodies; -1: its default")
	f.StringVar(&o.Profile, "profile", "", "write a CPU profile of each stage into this `DIR`")
	dir := f.String("dir", "", "for data of servers and stages; empty: a temporary one, deleted at the end")
	save = f.String("report", "", "write report.json and report.html to this `DIR`")
	find := sluiceFlag(cmd)
	return o, func() error {
		if *short {
			for name, set := range map[string]func(){
				"tries": func() { o.Tries = quick.Tries }, "lines": func() { o.Lines = quick.Lines }, "elastic-lines": func() { o.ElasticLine = quick.ElasticLine },
				"rate": func() { o.Rate = quick.Rate }, "for": func() { o.For = quick.For },
			} {
				if !f.Changed(name) {
					set()
				}
			}
		}
		var err error
		o.Dir = *dir
		o.Sluice, o.Self, err = find()
		return err
	}, save
}

// runFlags adds those of run and peers.
func runFlags(cmd *cobra.Command) (o *measure.Options, complete func() error, save *string) {
	full := measure.FullRun()
	o, complete, save = measureFlags(cmd, measure.QuickRun(), full)
	f := cmd.Flags()
	f.StringVar(&o.BulkBytes, "bulk-bytes", "", "of sluice's bulk bodies, such as 4MiB; empty: its default")
	f.IntVar(&o.BulkCount, "bulk-count", o.BulkCount, "documents a bulk, of floors and peers, and of sluice with --bulk-bytes")
	f.Float64Var(&o.Rate, "rate", full.Rate, "of the pipeline, lines a second")
	f.DurationVar(&o.For, "for", full.For, "of the pipeline")
	return o, complete, save
}

func runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run [--quick] [--part PART]... [flags]",
		Short: "Measure every stage on real servers, beside loops that do no work",
		Long: `run starts two Kafka clusters and Elasticsearch and measures, in this order: the shipper,
the aggregator, the indexer into a sink that costs nothing, the indexer into
Elasticsearch, and all together at a pace, where latency is measured. Beside each stage
run loops without its work (floors), so that the figures mean something on any machine.
All that arrives is verified. docs/loadtest.md explains each number.`,
		Example: `  loadtest run --quick --report /tmp/report
  loadtest run --part shipper --partitions 16
  loadtest run --part indexer --bulk-bytes 4MiB --gzip 0`,
		Args: cobra.NoArgs,
	}
	o, complete, save := runFlags(cmd)
	partFlag(cmd, o, report.Parts)
	cmd.RunE = action(func(cmd *cobra.Command) error {
		return carryOut(cmd, o, complete, *save)
	})
	return cmd
}

func partFlag(cmd *cobra.Command, o *measure.Options, parts []string) {
	cmd.Flags().StringSliceVar(&o.Parts, "part", parts, "what to measure: "+strings.Join(report.Parts, ", "))
}

// carryOut runs and reports.
func carryOut(cmd *cobra.Command, o *measure.Options, complete func() error, save string) error {
	for _, part := range o.Parts {
		if !slices.Contains(report.Parts, part) {
			return fmt.Errorf("part %q is none of %s", part, strings.Join(report.Parts, ", "))
		}
	}
	if err := complete(); err != nil {
		return err
	}
	return inDir(&o.Dir, func() error {
		bar := report.NewBar(cmd.ErrOrStderr())
		report, err := measure.Run(cmd.Context(), *o, bar.Show)
		bar.End()
		return errors.Join(err, tell(cmd, report, save))
	})
}

// inDir makes a temporary directory if none is given, and removes that.
func inDir(dir *string, do func() error) (err error) {
	if *dir != "" {
		return do()
	}
	if *dir, err = os.MkdirTemp("", "lt"); err != nil { // a socket's path is short
		return err
	}
	if err = do(); err == nil {
		return os.RemoveAll(*dir)
	}
	return fmt.Errorf("%w\nkept for a look: %s", err, *dir)
}

func tell(cmd *cobra.Command, r *report.Report, save string) (err error) {
	fmt.Fprint(cmd.OutOrStdout(), "\n", r)
	if save != "" {
		err = r.Save(save)
	}
	if !r.OK() {
		err = errors.Join(err, fmt.Errorf("not as promised"))
	}
	return err
}
