package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/loadtest/lab"
)

func rootCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "loadtest",
		Short: "Write load, verify it, measure the stages, break things",
		Long: `loadtest proves what sluice promises and measures what it costs. Every line it writes
says in its text which source wrote it and its sequence number, so that at the other end
each is known: missing, doubled, out of order or late.

run, curves, break and peers test the sluice that lies beside this program, or the one that
--sluice names. They start real servers on free ports of this machine and install them
first (Java, Maven packages; as root also Debian packages).`,
		Example: `  loadtest run --quick                      # measure every stage, some three minutes
  loadtest curves --quick                   # how cost grows with files, partitions, sizes
  loadtest scenarios                        # what can be broken, and what is expected
  loadtest break                            # break it, all scenarios
  loadtest generate --docker /tmp/lt --rate 70000 --for 1m --ledger /tmp/lt.json
  loadtest verify --ledger /tmp/lt.json --kafka 127.0.0.1:9092 --topic logs`,
	}
	cmd.AddCommand(generateCommand(), verifyCommand(), sinkCommand(), linkCommand(), runCommand(), curvesCommand(), scenariosCommand(), breakCommand(), peersCommand(), floorCommand(), stepClockCommand())
	return cmd
}

// sluiceFlag adds --sluice; the result finds the program under test and this one.
func sluiceFlag(cmd *cobra.Command) func() (sluice, self string, err error) {
	path := cmd.Flags().String("sluice", "", "the `PROGRAM` under test; empty: sluice beside this program, or in $PATH")
	return func() (string, string, error) {
		self, err := os.Executable()
		if err != nil {
			return "", "", err
		}
		look := *path
		if look == "" {
			if look = filepath.Join(filepath.Dir(self), "sluice"); !isFile(look) {
				look = "sluice"
			}
		}
		found, err := exec.LookPath(look)
		if err == nil {
			found, err = filepath.Abs(found)
		}
		if err != nil {
			return "", "", fmt.Errorf("find the sluice under test: %w; build it (make build) or name it with --sluice", err)
		}
		return found, self, nil
	}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// size is a flag in bytes, such as 20MiB.
type size int64

func (s *size) String() string { return config.Bytes(*s).String() }
func (s *size) Type() string   { return "BYTES" }

func (s *size) Set(text string) error {
	b, err := config.ParseBytes(text)
	*s = size(b)
	return err
}

// workloadFlags adds those that say what lines are like.
func workloadFlags(cmd *cobra.Command, w *lab.Workload) {
	f := cmd.Flags()
	f.Uint64Var(&w.Seed, "seed", 1, "the same seed gives the same lines")
	f.IntVar(&w.Sources, "sources", 8, "containers or files")
	f.Float64Var(&w.Skew, "skew", 1, "lines of source n are proportional to 1/n^skew; 0: all alike")
	f.IntVar(&w.Mean, "mean", 1000, "mean size of lines, bytes")
	f.IntVar(&w.HugeOf, "huge", 5000, "one line in so many has 20 to 60 KB; 0: none")
	f.DurationVar(&w.Life, "life", 0, "containers end after this time and others begin; 0: they last")
}

func generateCommand() *cobra.Command {
	var w lab.Workload
	var p lab.Pace
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
		var out lab.Writer
		switch {
		case *docker != "":
			if err := os.MkdirAll(*docker, 0o755); err != nil {
				return err
			}
			d, err := lab.StartDaemon(filepath.Join(*docker, "docker.sock"), *docker)
			if err != nil {
				return err
			}
			defer d.Close()
			out = &lab.DockerLogs{Root: *docker, MaxSize: int64(maxSize), MaxFile: *maxFile, Life: w.Life, Daemon: d}
		case *plain != "":
			if err := os.MkdirAll(*plain, 0o755); err != nil {
				return err
			}
			out = &lab.PlainLogs{Dir: *plain, Rotate: lab.Rotation(*rotate), MaxSize: int64(maxSize), MaxFile: *maxFile, Settle: 3 * time.Second}
		default:
			k, err := lab.NewKafkaWriter(ctx, []string{*broker}, *topic, *partitions, *compression)
			if err != nil {
				return err
			}
			out = k
		}
		bar := lab.NewBar(cmd.ErrOrStderr())
		g, err := lab.Generate(ctx, lab.NewLines(w), p, out, func(g lab.Generated) {
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

func verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify --ledger FILE (--kafka BROKER --topic TOPIC | --elasticsearch URL --index PATTERN)",
		Short: "Look for every line of a ledger in Kafka or Elasticsearch",
		Long: `verify reads all events back and holds them against the ledger: every line once, in the
order it was written (Kafka), at the place in its file where it was written (log.offset
and log.size). In Kafka a line may come again under the same id; --once forbids it.
The exit code is 1 if anything is not as it should be.`,
		Example: `  loadtest verify --ledger lt.json --kafka 127.0.0.1:9092 --topic logs
  loadtest verify --ledger lt.json --elasticsearch http://127.0.0.1:9200 --index 'sluice-*'`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	ledger := f.String("ledger", "", "what was written, of generate")
	broker := f.String("kafka", "", "read from this `BROKER`")
	topic := f.String("topic", "logs", "with --kafka: topics, comma between them")
	elastic := f.String("elasticsearch", "", "read from this `URL`")
	index := f.String("index", "sluice-*", "with --elasticsearch")
	once := f.Bool("once", false, "with --kafka: no line may come again")
	places := f.Bool("places", true, "events tell log.offset and log.size")
	cmd.MarkFlagRequired("ledger")
	cmd.MarkFlagsOneRequired("kafka", "elasticsearch")
	cmd.MarkFlagsMutuallyExclusive("kafka", "elasticsearch")
	cmd.RunE = action(func(cmd *cobra.Command) error {
		l, err := lab.LoadLedger(*ledger)
		if err != nil {
			return err
		}
		_, lines, _ := l.Total()
		v := lab.NewVerifier(lab.VerifyOptions{Run: l.Run, Places: *places, Ordered: *broker != "", Repeats: *broker != "" && !*once})
		bar := lab.NewBar(cmd.ErrOrStderr())
		see := func(value []byte, at time.Time) {
			v.See(value, at)
			if n := v.Distinct(); n%5000 == 0 {
				bar.Show(float64(n)/float64(max(1, lines)), fmt.Sprintf("%d of %d lines found", n, lines))
			}
		}
		if *broker != "" {
			err = lab.ReadAll(cmd.Context(), []string{*broker}, strings.Split(*topic, ","), v, see, lines)
		} else {
			err = lab.Elastic{URL: *elastic}.Read(cmd.Context(), *index, see)
		}
		bar.End()
		if err != nil {
			return err
		}
		verdict := v.Verdict(l)
		fmt.Fprintln(cmd.OutOrStdout(), verdict)
		if !verdict.OK() {
			return fmt.Errorf("not as written")
		}
		return nil
	})
	return cmd
}

func sinkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sink [--listen HOST:PORT]",
		Short: "Answer _bulk as Elasticsearch does, and store nothing",
		Long: `sink takes bulk requests, counts their items and answers 201 for each, so that what
writes to it is measured alone. With --ids it remembers ids and answers 409 to one that
was there before. /stats has the counters; they are printed at the end as well.`,
		Example: `  loadtest sink --listen 127.0.0.1:9200 --ids`,
		Args:    cobra.NoArgs,
	}
	listen := cmd.Flags().String("listen", "127.0.0.1:9200", "`HOST:PORT`")
	ids := cmd.Flags().Bool("ids", false, "remember ids")
	cmd.RunE = action(func(cmd *cobra.Command) error {
		sink := &lab.Sink{RememberIDs: *ids}
		s, err := lab.Serve(*listen, sink)
		if err != nil {
			return err
		}
		defer s.Close()
		fmt.Fprintf(cmd.OutOrStdout(), "listening on %s\n", s.URL)
		<-cmd.Context().Done()
		fmt.Fprintf(cmd.OutOrStdout(), "%+v\n", sink.Stats())
		return nil
	})
	return cmd
}

// measureFlags adds those of everything that measures; the options are complete after parsing.
func measureFlags(cmd *cobra.Command, quick, full lab.RunOptions) (o *lab.RunOptions, complete func() error, save *string) {
	f := cmd.Flags()
	o = new(lab.RunOptions)
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
func runFlags(cmd *cobra.Command) (o *lab.RunOptions, complete func() error, save *string) {
	full := lab.FullRun()
	o, complete, save = measureFlags(cmd, lab.QuickRun(), full)
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
	partFlag(cmd, o, lab.Parts)
	cmd.RunE = action(func(cmd *cobra.Command) error {
		return carryOut(cmd, o, complete, *save)
	})
	return cmd
}

func partFlag(cmd *cobra.Command, o *lab.RunOptions, parts []string) {
	cmd.Flags().StringSliceVar(&o.Parts, "part", parts, "what to measure: "+strings.Join(lab.Parts, ", "))
}

func curvesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "curves [--quick] [--over NAME[=VALUE,...]]... [flags]",
		Short: "Measure how cost grows with partitions, files, size of lines and of bulks",
		Long: `curves varies one setting at a time while all others stand still, and measures the stages
that it matters to, each beside a loop that does no work (floor). All that arrives is
verified, at every point. The report has a table and charts for each curve:

  partitions  shipper, aggregator, indexer: topics of so many partitions
  files       shipper: so many Docker logs, and so many plain files
  size        shipper, aggregator, indexer: lines of so many bytes, the same bytes in all
  bulk        indexer into a sink, with --elasticsearch into Elasticsearch as well`,
		Example: `  loadtest curves --quick --report /tmp/report
  loadtest curves --over files
  loadtest curves --over partitions=1,2,4,8 --over size=200,20000 --lines 1000000
  loadtest curves --over bulk=1MiB,4MiB,16MiB --elasticsearch`,
		Args: cobra.NoArgs,
	}
	o, complete, save := measureFlags(cmd, lab.QuickCurves(), lab.FullCurves())
	f := cmd.Flags()
	over := f.StringArray("over", lab.CurveNames, "what to vary, and its values")
	f.BoolVar(&o.CurveElastic, "elasticsearch", false, "the curve over bulk goes into Elasticsearch as well")
	cmd.RunE = action(func(cmd *cobra.Command) error {
		quick, _ := f.GetBool("quick")
		for _, text := range *over {
			c, err := lab.ParseCurve(text, quick)
			if err != nil {
				return err
			}
			o.Curves = append(o.Curves, c)
		}
		return carryOut(cmd, o, complete, *save)
	})
	return cmd
}

// carryOut runs and reports.
func carryOut(cmd *cobra.Command, o *lab.RunOptions, complete func() error, save string) error {
	for _, part := range o.Parts {
		if !slices.Contains(lab.Parts, part) {
			return fmt.Errorf("part %q is none of %s", part, strings.Join(lab.Parts, ", "))
		}
	}
	if err := complete(); err != nil {
		return err
	}
	return inDir(&o.Dir, func() error {
		bar := lab.NewBar(cmd.ErrOrStderr())
		report, err := lab.Run(cmd.Context(), *o, bar.Show)
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

func tell(cmd *cobra.Command, r *lab.Report, save string) (err error) {
	fmt.Fprint(cmd.OutOrStdout(), "\n", r)
	if save != "" {
		err = r.Save(save)
	}
	if !r.OK() {
		err = errors.Join(err, fmt.Errorf("not as promised"))
	}
	return err
}

func peersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "peers [--quick] [--peer PEER]... [flags]",
		Short: "Measure sluice and other programs side by side",
		Long: `peers is run with other programs beside each stage: the same input in the same run, with
acknowledgement by all replicas as well. What each does less than sluice is said below
the table and in the report, and so is what each lost or doubled. These are installed and
configured:

  rsyslog         all parts; from Debian's packages, as root
  otelcol         OpenTelemetry collector, all parts; built from its Go modules, which takes
                  some minutes once and a Go toolchain. Waits for each acknowledgement: slow
                  from Kafka, which it reads one record at a time
  otelcol-memory  the same with a queue in memory, which a crash loses
  mirrormaker2    aggregator; from Maven packages

One that cannot be had here is skipped, and the report says so and why. Any other is given
as PART:NAME=COMMAND, which finds in its environment:

` + indent(lab.PeerEnv) + `

Examples after the documentation of each, with the file it is given:

` + indent(lab.PeerExamples),
		Example: `  loadtest peers --quick --report /tmp/report
  loadtest peers --part shipper --peer rsyslog --peer 'shipper:mine=my-shipper --files "$LT_FILES" --to "$LT_OUT_BROKER/$LT_OUT_TOPIC"'`,
		Args: cobra.NoArgs,
	}
	o, complete, save := runFlags(cmd)
	peers := cmd.Flags().StringArray("peer", lab.KnownPeers, "beside sluice and the floors")
	partFlag(cmd, o, lab.Parts[:4])
	cmd.RunE = action(func(cmd *cobra.Command) error {
		for _, text := range *peers {
			p, err := lab.ParsePeer(text)
			if err != nil {
				return err
			}
			o.Peers = append(o.Peers, p)
		}
		return carryOut(cmd, o, complete, *save)
	})
	return cmd
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.ReplaceAll(text, "\n", "\n  "), "\n  \n", "\n\n")
}

func linkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "link --listen HOST:PORT --to HOST:PORT [--delay TIME] [--rate SIZE]",
		Short: "Stand between a client and a server, as a slow network does",
		Long: `link listens and hands all connections on. Each way takes so much longer, and lets so many
bytes a second through. It ends with stdin or a signal.`,
		Example: `  loadtest link --listen 127.0.0.1:19092 --to 127.0.0.1:9092 --delay 25ms`,
		Args:    cobra.NoArgs,
	}
	f := cmd.Flags()
	listen := f.String("listen", "", "`HOST:PORT` to listen on")
	to := f.String("to", "", "`HOST:PORT` of the server")
	delay := f.Duration("delay", 0, "each way takes so much longer")
	rate := size(0)
	f.Var(&rate, "rate", "bytes a second each way; 0: no limit")
	cmd.MarkFlagRequired("listen")
	cmd.MarkFlagRequired("to")
	cmd.RunE = action(func(cmd *cobra.Command) error {
		l, err := lab.NewLink("link", *listen, *to)
		if err != nil {
			return err
		}
		defer l.Close()
		if *delay > 0 {
			err = errors.Join(err, l.Delay(*delay, 0))
		}
		if rate > 0 {
			err = errors.Join(err, l.Narrow(int64(rate)))
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "listening on %s\n", l.Addr)
		ended := make(chan struct{})
		go func() {
			io.Copy(io.Discard, cmd.InOrStdin())
			close(ended)
		}()
		select {
		case <-ended:
		case <-cmd.Context().Done():
		}
		return nil
	})
	return cmd
}

func floorCommand() *cobra.Command {
	var f lab.Floor
	cmd := &cobra.Command{Use: "floor", Short: "Move lines without any work, for run", Hidden: true, Args: cobra.NoArgs}
	s := cmd.Flags()
	s.StringVar(&f.Kind, "kind", "", "produce, copy or consume")
	s.StringVar(&f.Client, "client", "franz-go", "franz-go or sarama")
	s.StringVar(&f.Files, "files", "", "produce: glob")
	s.StringVar(&f.From, "from", "", "broker")
	s.StringVar(&f.To, "to", "", "broker or URL")
	s.StringVar(&f.In, "in", "", "topic")
	s.StringVar(&f.Out, "out", "", "topic or index")
	s.IntVar(&f.Partitions, "partitions", 1, "of the topic that is written")
	s.StringVar(&f.Compression, "compression", "lz4", "of batches")
	s.Int64Var(&f.Lines, "lines", 0, "end after so many")
	s.IntVar(&f.BulkCount, "bulk-count", 2000, "documents a bulk")
	s.Int64Var(&f.BulkBytes, "bulk-bytes", 0, "bytes of a bulk at most; 0: no limit")
	cmd.RunE = action(func(cmd *cobra.Command) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), 10*time.Minute)
		defer cancel()
		return f.Run(ctx)
	})
	return cmd
}
