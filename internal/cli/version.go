package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build is what the binary knows of itself.
type build struct {
	Version  string // module version; (devel) if it was not built from a clone
	Revision string // commit, "" if unknown
	Dirty    bool   // the clone had changes that were not committed
}

func version() build {
	b := build{Version: "(unknown)"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = info.Main.Version
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Dirty = s.Value == "true"
		}
	}
	return b
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print version, revision, Go version and platform",
		GroupID: groupTools,
		Args:    cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command) error {
			b := version()
			revision := b.Revision
			switch {
			case revision == "":
				revision = "unknown"
			case b.Dirty:
				revision += " (dirty)"
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "sluice    %s\nrevision  %s\ngo        %s\nplatform  %s/%s\n",
				b.Version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		}),
	}
}
