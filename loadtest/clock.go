package main

import (
	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/loadtest/scenario"
)

func stepClockCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "step-clock", Short: "Step the clock until stdin ends, for break", Hidden: true, Args: cobra.NoArgs}
	by := cmd.Flags().Duration("by", 0, "so much ahead")
	cmd.RunE = action(func(cmd *cobra.Command) error {
		return scenario.StepClock(*by, cmd.InOrStdin(), cmd.OutOrStdout())
	})
	return cmd
}
