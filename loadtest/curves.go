package main

import (
	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/loadtest/measure"
	"github.com/sluicelog/sluice/loadtest/report"
)

func curvesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "curves [--quick] [--over NAME[=VALUE,...]]... [flags]",
		Short: "Measure how cost grows with partitions, files, size of lines and of bulks",
		Long: `curves varies one setting at a time while all others stay as they are, and measures the stages
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
	o, complete, save := measureFlags(cmd, measure.QuickCurves(), measure.FullCurves())
	f := cmd.Flags()
	over := f.StringArray("over", report.CurveNames, "what to vary, and its values")
	f.BoolVar(&o.CurveElastic, "elasticsearch", false, "the curve over bulk goes into Elasticsearch as well")
	cmd.RunE = action(func(cmd *cobra.Command) error {
		quick, _ := f.GetBool("quick")
		for _, text := range *over {
			c, err := measure.ParseCurve(text, quick)
			if err != nil {
				return err
			}
			o.Curves = append(o.Curves, c)
		}
		return carryOut(cmd, o, complete, *save)
	})
	return cmd
}
