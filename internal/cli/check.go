package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/config"
)

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [-c FILE] [--role ROLE]",
		Short: "Find every mistake in a configuration",
		Long: `check reads a configuration and reports all that is wrong at once, each with file,
line and column: unknown keys, wrong types, values that make no sense, variables and
files of secrets that are missing. It checks the roles the file has a section for.

With --role it checks the file as that role would at its start on this host, by the same
rules: certificates, data_dir and other paths are looked at as well, and what only other
roles need may be missing.

No server is asked. The exit code is 2 if anything is wrong.`,
		Example: `  sluice check -c sluice.yaml                  # anywhere, such as before a merge
  sluice check -c sluice.yaml --role shipper   # on a host, before the shipper is started`,
		GroupID: groupTools,
		Args:    cobra.NoArgs,

		DisableFlagsInUseLine: true,
	}
	path, roles := configFlag(cmd), roleFlag(cmd)
	cmd.RunE = action(func(cmd *cobra.Command) error {
		checked := roles()
		if len(checked) == 1 {
			if _, err := config.LoadHere(*path, checked[0]); err != nil {
				return err
			}
		} else {
			cfg, err := config.Load(*path)
			if err != nil {
				return err
			}
			checked = cfg.Roles()
		}
		if len(checked) == 0 {
			checked = []string{"none"}
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: ok (roles: %s)\n", *path, strings.Join(checked, ", "))
		return nil
	})
	return cmd
}
