// Package cli is the command line: one file a command, and what commands share.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/config"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2 // wrong arguments or configuration
)

const defaultConfig = "/etc/sluice/sluice.yaml"

// commands are those of the command line, in the order of the help text.
func commands() []*cobra.Command {
	return []*cobra.Command{
		shipperCommand(),
		aggregatorCommand(),
		indexerCommand(),
		upCommand(),
		setupCommand(),
		deadCommand(),
		parseCommand(),
		rulesCommand(),
		checkCommand(),
		configCommand(),
		versionCommand(),
	}
}

// Execute runs a command line, drains when ctx ends, and returns the exit code: 0, 1 if
// the command failed, 2 if its arguments or its configuration are wrong. It may run once
// at a time.
func Execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:   "sluice",
		Short: "Carry logs from containers and files to Elasticsearch",
		Long: `sluice carries logs from containers and files to Elasticsearch by way of Kafka.
One binary, one configuration file, three roles:

  shipper      on every host: files and container logs -> Kafka of the data centre
  aggregator   Kafka clusters of the data centres -> central Kafka cluster
  indexer      central Kafka cluster -> Elasticsearch`,
		Example: `  sluice config --example > sluice.yaml   # a file to start from
  sluice check -c sluice.yaml             # every mistake at once
  sluice shipper -c sluice.yaml           # run a role`,
		Version:       version().Version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("sluice {{.Version}}\n")
	root.AddGroup(&cobra.Group{ID: groupRoles, Title: "Roles:"}, &cobra.Group{ID: groupTools, Title: "Tools:"})
	root.SetHelpCommand(helpCommand())
	root.SetCompletionCommandGroupID(groupTools)
	cobra.EnableCommandSorting = false
	root.AddCommand(commands()...)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	return report(stderr, cmd.CommandPath(), err)
}

// helpCommand is cobra's, except that a command that there is not is an error.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Explain a command",
		GroupID: groupTools,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
			if len(args) == 0 {
				for _, c := range cmd.Root().Commands() {
					if c.IsAvailableCommand() {
						names = append(names, c.Name()+"\t"+c.Short)
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},

		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			of, rest, err := cmd.Root().Find(args)
			if err == nil && len(rest) > 0 {
				err = fmt.Errorf("unknown command %q for %q", rest[0], of.CommandPath())
			}
			if err != nil {
				return err
			}
			of.InitDefaultHelpFlag()
			return of.Help()
		},
	}
}

const (
	groupRoles = "roles"
	groupTools = "tools"
)

// failure is an error of a command that ran. Other errors are of its arguments.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// usage is an error of a command's arguments that is found while it runs.
type usage struct{ error }

func (u usage) Unwrap() error { return u.error }

// action makes a function what cobra runs.
func action(f func(cmd *cobra.Command) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		err := f(cmd)
		if err == nil || errors.As(err, new(usage)) {
			return err
		}
		return failure{err}
	}
}

// report prints an error, one line for each that it joins, and is the exit code.
func report(stderr io.Writer, command string, err error) int {
	if err == nil {
		return exitOK
	}
	var ran failure
	if !errors.As(err, &ran) {
		fmt.Fprintf(stderr, "sluice: %s\nrun '%s --help' for usage\n", strings.TrimSpace(err.Error()), command)
		return exitUsage
	}
	for _, e := range flatten(ran.error) {
		fmt.Fprintf(stderr, "sluice: %v\n", e)
	}
	if errors.As(err, new(*config.Error)) {
		return exitUsage
	}
	return exitFailed
}

// flatten lists the errors that errors.Join joined.
func flatten(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, flatten(e)...)
	}
	return out
}

// configFlag adds -c.
func configFlag(cmd *cobra.Command) *string {
	path := cmd.Flags().StringP("config", "c", defaultConfig, "configuration `FILE`")
	if err := cmd.MarkFlagFilename("config", "yaml", "yml"); err != nil {
		panic(err) // only an unknown flag is an error
	}
	return path
}

// role is the value of a flag that names one, empty for all.
type role string

func (r *role) String() string { return string(*r) }
func (r *role) Type() string   { return "ROLE" }

func (r *role) Set(s string) error {
	if !slices.Contains(config.Roles, s) {
		return fmt.Errorf("roles are %s", strings.Join(config.Roles, ", "))
	}
	*r = role(s)
	return nil
}

// roleFlag adds --role; the result lists what config.Load wants to know.
func roleFlag(cmd *cobra.Command) func() []string {
	var r role
	cmd.Flags().Var(&r, "role", "only what this role needs: "+strings.Join(config.Roles, ", "))
	if err := cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(config.Roles, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // only an unknown flag is an error
	}
	return func() []string {
		if r == "" {
			return nil
		}
		return []string{string(r)}
	}
}
