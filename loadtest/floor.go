package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/loadtest/floor"
)

func floorCommand() *cobra.Command {
	var f floor.Floor
	cmd := &cobra.Command{Use: "floor", Short: "Move lines without any work, for run", Hidden: true, Args: cobra.NoArgs}
	s := cmd.Flags()
	s.StringVar(&f.Kind, "kind", "", "produce, copy or consume")
	s.StringVar(&f.Client, "client", "franz-go", "franz-go or sarama")
	s.StringVar(&f.Files, "files", "", "produce: glob")
	s.StringVar(&f.From, "from", "", "broker")
	s.StringVar(&f.To, "to", "", "broker or URL")
	s.StringVar(&f.In, "in", "", "topic")
	s.StringVar(&f.Out, "out", "", "topic or index")
	s.IntVar(&f.Partitions, "partitions", 1, "of the topic that is written")
	s.StringVar(&f.Compression, "compression", "lz4", "of batches")
	s.Int64Var(&f.Lines, "lines", 0, "end after so many")
	s.IntVar(&f.BulkCount, "bulk-count", 2000, "documents a bulk")
	s.Int64Var(&f.BulkBytes, "bulk-bytes", 0, "bytes of a bulk at most; 0: no limit")
	cmd.RunE = action(func(cmd *cobra.Command) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), 10*time.Minute)
		defer cancel()
		return f.Run(ctx)
	})
	return cmd
}
