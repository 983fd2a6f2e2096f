package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/loadtest/fakes"
)

func linkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "link --listen HOST:PORT --to HOST:PORT [--delay TIME] [--rate SIZE]",
		Short: "Stand between a client and a server, as a slow network does",
		Long: `link listens and hands all connections on. Each way takes so much longer, and lets so many
bytes a second through. It ends with stdin or a signal.`,
		Example: `  loadtest link --listen 127.0.0.1:19092 --to 127.0.0.1:9092 --delay 25ms`,
		Args:    cobra.NoArgs,
	}
	f := cmd.Flags()
	listen := f.String("listen", "", "`HOST:PORT` to listen on")
	to := f.String("to", "", "`HOST:PORT` of the server")
	delay := f.Duration("delay", 0, "each way takes so much longer")
	rate := size(0)
	f.Var(&rate, "rate", "bytes a second each way; 0: no limit")
	cmd.MarkFlagRequired("listen")
	cmd.MarkFlagRequired("to")
	cmd.RunE = action(func(cmd *cobra.Command) error {
		l, err := fakes.NewLink("link", *listen, *to)
		if err != nil {
			return err
		}
		defer l.Close()
		if *delay > 0 {
			err = errors.Join(err, l.Delay(*delay, 0))
		}
		if rate > 0 {
			err = errors.Join(err, l.Narrow(int64(rate)))
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "listening on %s\n", l.Addr)
		ended := make(chan struct{})
		go func() {
			io.Copy(io.Discard, cmd.InOrStdin())
			close(ended)
		}()
		select {
		case <-ended:
		case <-cmd.Context().Done():
		}
		return nil
	})
	return cmd
}
