// Command sluice carries logs from containers and files to Elasticsearch by way of
// Kafka: one binary, one configuration file, three roles.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// commands are those of the command line, in the order of the help text.
func commands() []*cobra.Command {
	return []*cobra.Command{
		shipperCommand(),
		aggregatorCommand(),
		indexerCommand(),
		upCommand(),
		setupCommand(),
		checkCommand(),
		configCommand(),
		versionCommand(),
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal drains, a second one kills the default way
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
