package cli

import (
	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/indexer"
)

func setupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "setup [-c FILE]",
		Short: "Install what the indexer needs on Elasticsearch",
		Long: `setup installs the index templates and the lifecycle policy on every output of the
indexer and prints what it changed. It may be run at any time: what is there and the
same is left alone, and so are indices that exist and the component template
sluice@custom, where settings and mappings of your own belong. Run it before the first
indexer, after an update of sluice, and after a change of an output's index or template.`,
		Example: `  sluice setup -c sluice.yaml`,
		GroupID: groupTools,
		Args:    cobra.NoArgs,

		DisableFlagsInUseLine: true,
	}
	path := configFlag(cmd)
	cmd.RunE = action(func(cmd *cobra.Command) error {
		cfg, err := config.LoadHere(*path, "indexer")
		if err != nil {
			return err
		}
		return indexer.Setup(cmd.Context(), cfg, cmd.OutOrStdout())
	})
	return cmd
}
