package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/loadtest/fakes"
)

func sinkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sink [--listen HOST:PORT]",
		Short: "Answer _bulk as Elasticsearch does, and store nothing",
		Long: `sink takes bulk requests, counts their items and answers 201 for each, so that what
writes to it is measured alone. With --ids it remembers ids and answers 409 to one that
was there before. /stats has the counters; they are printed at the end as well.`,
		Example: `  loadtest sink --listen 127.0.0.1:9200 --ids`,
		Args:    cobra.NoArgs,
	}
	listen := cmd.Flags().String("listen", "127.0.0.1:9200", "`HOST:PORT`")
	ids := cmd.Flags().Bool("ids", false, "remember ids")
	cmd.RunE = action(func(cmd *cobra.Command) error {
		sink := &fakes.Sink{RememberIDs: *ids}
		s, err := fakes.Serve(*listen, sink)
		if err != nil {
			return err
		}
		defer s.Close()
		fmt.Fprintf(cmd.OutOrStdout(), "listening on %s\n", s.URL)
		<-cmd.Context().Done()
		fmt.Fprintf(cmd.OutOrStdout(), "%+v\n", sink.Stats())
		return nil
	})
	return cmd
}
