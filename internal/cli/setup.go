package cli

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/indexer"
)

func setupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "setup [-c FILE]",
		Short: "Install what is needed on Elasticsearch and Kafka",
		Long: `setup installs the index templates and the lifecycle policy on every output of the
indexer, makes the topics of the configuration that do not exist, and prints what it
changed. It may be run at any time: what is there and the same is left alone, and so are
indices and topics that exist and the component template sluice@custom, where settings and
mappings of your own belong. It warns of shards and copies that the cluster has no room
for, and of hosts that only master. Run it before the first indexer, after an update of
sluice, and after a change of an output's index or template.`,
		Example: `  sluice setup -c sluice.yaml
  sluice setup -c sluice.yaml --diff`,
		GroupID: groupTools,
		Args:    cobra.NoArgs,

		DisableFlagsInUseLine: true,
	}
	path := configFlag(cmd)
	dry := cmd.Flags().Bool("dry-run", false, "print what would be changed, and change nothing")
	diff := cmd.Flags().Bool("diff", false, "print what differs, too, and change nothing")
	only := cmd.Flags().String("only", "", "elasticsearch or kafka: set up that alone")
	cmd.RunE = action(func(cmd *cobra.Command) error {
		cfg, err := config.LoadHere(*path, "indexer")
		if err != nil {
			return err
		}
		if !slices.Contains([]string{"", "elasticsearch", "kafka"}, *only) {
			return fmt.Errorf("--only: expected elasticsearch or kafka, got %q", *only)
		}
		ctx, out, nothing := cmd.Context(), cmd.OutOrStdout(), *dry || *diff
		var errs []error
		if *only != "kafka" {
			if nothing {
				errs = append(errs, indexer.TrySetup(ctx, cfg, out, *diff))
			} else {
				errs = append(errs, indexer.Setup(ctx, cfg, out))
			}
			indexer.CheckClusters(ctx, cfg, out)
		}
		if *only != "elasticsearch" {
			errs = append(errs, setUpTopics(ctx, cfg, out, nothing))
		}
		return errors.Join(errs...)
	})
	return cmd
}
