package cli

import (
	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/shipper"
)

func shipperCommand() *cobra.Command {
	return roleCommand(stage{"shipper", shipper.Run}, "Ship this host's container logs and files to Kafka",
		`shipper follows the logs of this host's containers and the files that the configuration
names, and writes each line as an event to Kafka. Positions are kept in data_dir and move
once Kafka has stored the lines, so a restart loses none. One runs on every host; it has
to be able to read the files.`)
}
