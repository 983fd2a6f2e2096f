package cli

import (
	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/schemas"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config [-c FILE] | --example | --schema",
		Short: "Print the configuration in effect, an example, or the schema",
		Long: `config prints the configuration in effect: the file over the defaults, variables
replaced, secrets masked.`,
		Example: `  sluice config -c sluice.yaml              # what is in effect
  sluice config --example > sluice.yaml     # every key at its default, with a word on each
  sluice config --schema > schema.json      # JSON schema, for editors`,
		GroupID: groupTools,
		Args:    cobra.NoArgs,

		DisableFlagsInUseLine: true,
	}
	path, roles := configFlag(cmd), roleFlag(cmd)
	example := cmd.Flags().Bool("example", false, "print an example file")
	schema := cmd.Flags().Bool("schema", false, "print the JSON schema of the file")
	cmd.MarkFlagsMutuallyExclusive("example", "schema", "config")
	cmd.RunE = action(func(cmd *cobra.Command) error {
		text := config.Example
		switch {
		case *schema:
			text = schemas.Config
		case !*example:
			cfg, err := config.Load(*path, roles()...)
			if err != nil {
				return err
			}
			if text, err = config.Marshal(cfg); err != nil {
				return err
			}
		}
		_, err := cmd.OutOrStdout().Write(text)
		return err
	})
	return cmd
}
