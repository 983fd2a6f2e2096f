package cli

import (
	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/aggregator"
)

func aggregatorCommand() *cobra.Command {
	return roleCommand(stage{"aggregator", aggregator.Run}, "Relay the data centres' Kafka clusters to the central one",
		`aggregator reads topics of the data centres' Kafka clusters and writes them to the
central one; keys, headers and timestamps are kept. An offset is committed once its
record is stored centrally. Run it beside the central cluster; several share the work as
members of one consumer group.`)
}
