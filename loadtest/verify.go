package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/loadtest/generate"
	"github.com/sluicelog/sluice/loadtest/report"
	"github.com/sluicelog/sluice/loadtest/verify"
)

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
	places := f.Bool("places", true, "events have log.offset and log.size")
	cmd.MarkFlagRequired("ledger")
	cmd.MarkFlagsOneRequired("kafka", "elasticsearch")
	cmd.MarkFlagsMutuallyExclusive("kafka", "elasticsearch")
	cmd.RunE = action(func(cmd *cobra.Command) error {
		l, err := generate.LoadLedger(*ledger)
		if err != nil {
			return err
		}
		_, lines, _ := l.Total()
		v := verify.NewVerifier(verify.Options{Run: l.Run, Places: *places, Ordered: *broker != "", Repeats: *broker != "" && !*once})
		bar := report.NewBar(cmd.ErrOrStderr())
		see := func(value []byte, at time.Time) {
			v.See(value, at)
			if n := v.Distinct(); n%5000 == 0 {
				bar.Show(float64(n)/float64(max(1, lines)), fmt.Sprintf("%d of %d lines found", n, lines))
			}
		}
		if *broker != "" {
			err = verify.All(cmd.Context(), []string{*broker}, strings.Split(*topic, ","), v, see, lines)
		} else {
			err = verify.Elastic{URL: *elastic}.Read(cmd.Context(), *index, see)
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
