// Command loadtest proves what sluice promises and measures what it costs. It writes lines
// that say in their text who they are (generate), lets a pipeline of real processes and real
// servers carry them (site), breaks things meanwhile (scenario), and counts at the other end
// (verify): nothing missing, nothing doubled, in order. The same lines go through loops that
// do no work (floor) and through other programs (measure), so that figures can be compared
// within one run (report).
//
// It is a program of its own: nothing of it is in the binary that runs on hosts.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2 // wrong arguments
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal ends it cleanly, a second one kills the default way
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// execute runs a command line and returns its exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cobra.EnableCommandSorting = false
	root := rootCommand()
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	return explain(stderr, cmd.CommandPath(), err)
}

// failure is an error of a command that ran. Other errors are of its arguments.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// action makes a function what cobra runs.
func action(f func(cmd *cobra.Command) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		if err := f(cmd); err != nil {
			return failure{err}
		}
		return nil
	}
}

// explain prints an error, one line for each that it joins, and returns the exit code.
func explain(stderr io.Writer, command string, err error) int {
	if err == nil {
		return exitOK
	}
	var ran failure
	if !errors.As(err, &ran) {
		fmt.Fprintf(stderr, "loadtest: %s\nrun '%s --help' for usage\n", strings.TrimSpace(err.Error()), command)
		return exitUsage
	}
	for _, e := range flatten(ran.error) {
		fmt.Fprintf(stderr, "loadtest: %v\n", e)
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
