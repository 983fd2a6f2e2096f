// Command sluice carries logs from containers and files to Elasticsearch by way of
// Kafka: one binary, one configuration file, three roles.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/sluicelog/sluice/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal drains, a second one kills the default way
	os.Exit(cli.Execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
