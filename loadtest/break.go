package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/loadtest/report"
	"github.com/sluicelog/sluice/loadtest/scenario"
)

func breakCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "break [--quick | --ci] [SCENARIO]...",
		Short: "Break a running pipeline and look for every line",
		Long: `break starts real servers and, for each scenario, all stages; it kills, stops, freezes and
cuts things off while lines are written, and afterwards finds every line exactly once
and every counter to come out, or says which did not. The exit code is then 1.

With --quick all scenarios are shorter, and some are carried out at the same time: their
faults overlap where they are of Kafka, Elasticsearch or the network. With --ci a few of
them are, and one that this machine cannot carry out counts as failed.`,
		Example: `  loadtest break --quick
  loadtest break kill-shipper kill-indexer
  loadtest break --clock clock-step
  loadtest break --file mine.yaml --report /tmp/report`,
	}
	read := scenarioFlags(cmd)
	find := sluiceFlag(cmd)
	f := cmd.Flags()
	lanes := f.Int("lanes", 0, "scenarios at a time; 0: 1, with --quick 6, with --ci 3")
	clock := f.Bool("clock", false, "the clock of this machine may be stepped, for some seconds: everything that runs here sees it")
	dir := f.String("dir", "", "for data of servers and stages; empty: a temporary one, deleted at the end")
	save := f.String("report", "", "write report.json and report.html to this `DIR`")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		return action(func(cmd *cobra.Command) error {
			list, err := read(names)
			if err != nil {
				return err
			}
			sluice, self, err := find()
			if err != nil {
				return err
			}
			quick, _ := f.GetBool("quick")
			ci, _ := f.GetBool("ci")
			o := scenario.BreakOptions{Dir: *dir, Sluice: sluice, Self: self, Scenarios: list, Lanes: *lanes, Clock: *clock}
			switch {
			case o.Lanes > 0:
			case quick:
				o.Lanes = 6
			case ci:
				o.Lanes = 3
			}
			return inDir(&o.Dir, func() error {
				bar := report.NewBar(cmd.ErrOrStderr())
				report, err := scenario.Break(cmd.Context(), o, bar.Show)
				bar.End()
				for _, out := range report.Outcomes {
					if ci && out.Skipped != "" {
						err = errors.Join(err, fmt.Errorf("scenario %s was skipped: %s", out.Name, out.Skipped))
					}
				}
				return errors.Join(err, tell(cmd, report, *save))
			})
		})(cmd, names)
	}
	return cmd
}

func scenariosCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scenarios [--quick | --ci] [--file FILE]",
		Short: "Say what break does, and what is expected",
		Args:  cobra.NoArgs,
	}
	read := scenarioFlags(cmd)
	cmd.RunE = action(func(cmd *cobra.Command) error {
		list, err := read(nil)
		for _, s := range list {
			fmt.Fprintln(cmd.OutOrStdout(), &s)
		}
		return err
	})
	return cmd
}

// scenarioFlags adds those that choose; the result reads scenarios, all or by name.
func scenarioFlags(cmd *cobra.Command) func(names []string) ([]scenario.Scenario, error) {
	file := cmd.Flags().String("file", "", "read scenarios from this YAML `FILE` instead of those that come with it")
	quick := cmd.Flags().Bool("quick", false, "their short form")
	ci := cmd.Flags().Bool("ci", false, "the short form of those that every change must pass")
	cmd.MarkFlagsMutuallyExclusive("quick", "ci")
	return func(names []string) ([]scenario.Scenario, error) {
		list, err := scenario.Scenarios(), error(nil)
		if *file != "" {
			if list, err = scenario.LoadScenarios(*file); err != nil {
				return nil, err
			}
		}
		list = slices.DeleteFunc(list, func(s scenario.Scenario) bool {
			return *ci && !s.CI || len(names) > 0 && !slices.Contains(names, s.Name)
		})
		if len(list) == 0 || len(names) > len(list) {
			return nil, fmt.Errorf("%d scenarios found for %q: loadtest scenarios lists them", len(list), names)
		}
		if !*quick && !*ci {
			for i, s := range list {
				list[i] = s.Lengthen()
			}
		}
		return list, nil
	}
}
