package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/config"
)

func rootCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "loadtest",
		Short: "Write load, verify it, measure the stages, break things",
		Long: `loadtest proves what sluice promises and measures what it costs. Every line it writes
says in its text which source wrote it and its sequence number, so that at the other end
each is known: missing, doubled, out of order or late.

run, curves, break and peers test the sluice that lies beside this program, or the one that
--sluice names. They start real servers on free ports of this machine and install them
first (Java, Maven packages; as root also Debian packages).`,
		Example: `  loadtest run --quick                      # measure every stage, some three minutes
  loadtest curves --quick                   # how cost grows with files, partitions, sizes
  loadtest scenarios                        # what can be broken, and what is expected
  loadtest break                            # break it, all scenarios
  loadtest generate --docker /tmp/lt --rate 70000 --for 1m --ledger /tmp/lt.json
  loadtest verify --ledger /tmp/lt.json --kafka 127.0.0.1:9092 --topic logs`,
	}
	cmd.AddCommand(generateCommand(), verifyCommand(), sinkCommand(), linkCommand(), runCommand(), curvesCommand(), scenariosCommand(), breakCommand(), peersCommand(), floorCommand(), stepClockCommand())
	return cmd
}

// sluiceFlag adds --sluice; the result finds the program under test and this one.
func sluiceFlag(cmd *cobra.Command) func() (sluice, self string, err error) {
	path := cmd.Flags().String("sluice", "", "the `PROGRAM` under test; empty: sluice beside this program, or in $PATH")
	return func() (string, string, error) {
		self, err := os.Executable()
		if err != nil {
			return "", "", err
		}
		look := *path
		if look == "" {
			if look = filepath.Join(filepath.Dir(self), "sluice"); !isFile(look) {
				look = "sluice"
			}
		}
		found, err := exec.LookPath(look)
		if err == nil {
			found, err = filepath.Abs(found)
		}
		if err != nil {
			return "", "", fmt.Errorf("find the sluice under test: %w; build it (make build) or name it with --sluice", err)
		}
		return found, self, nil
	}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// size is a flag in bytes, such as 20MiB.
type size int64

func (s *size) String() string { return config.Bytes(*s).String() }
func (s *size) Type() string   { return "BYTES" }

func (s *size) Set(text string) error {
	b, err := config.ParseBytes(text)
	*s = size(b)
	return err
}
