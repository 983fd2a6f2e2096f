package cli

import (
	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/indexer"
)

func indexerCommand() *cobra.Command {
	return roleCommand(stage{"indexer", indexer.Run}, "Index the central Kafka cluster's events in Elasticsearch",
		`indexer reads topics of a Kafka cluster and indexes their events in Elasticsearch. Each
output is a consumer group of its own, so a slow or broken one holds up no other. An
offset is committed once its event is indexed, was indexed before, or is in the
dead-letter topic with the reason. Run 'sluice setup' once before, and as many indexers
as the topics have partitions for.`)
}
