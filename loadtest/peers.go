package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/loadtest/measure"
	"github.com/sluicelog/sluice/loadtest/report"
)

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

` + indent(measure.PeerEnv) + `

Examples after the documentation of each, with the file it is given:

` + indent(measure.PeerExamples),
		Example: `  loadtest peers --quick --report /tmp/report
  loadtest peers --part shipper --peer rsyslog --peer 'shipper:mine=my-shipper --files "$LT_FILES" --to "$LT_OUT_BROKER/$LT_OUT_TOPIC"'`,
		Args: cobra.NoArgs,
	}
	o, complete, save := runFlags(cmd)
	peers := cmd.Flags().StringArray("peer", measure.KnownPeers, "beside sluice and the floors")
	partFlag(cmd, o, report.Parts[:4])
	cmd.RunE = action(func(cmd *cobra.Command) error {
		for _, text := range *peers {
			p, err := measure.ParsePeer(text)
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
