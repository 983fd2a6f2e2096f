//go:build !linux

package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// loadtestCommand needs /proc and the packages of real servers.
func loadtestCommand() *cobra.Command {
	return &cobra.Command{Use: "loadtest", Short: "Measure and break the stages (Linux only)", GroupID: groupTools, Args: cobra.NoArgs,
		RunE: action(func(*cobra.Command) error { return errors.New("loadtest runs on Linux only") })}
}
