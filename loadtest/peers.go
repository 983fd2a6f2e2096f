//go:build linux

package loadtest

// Peer is another program that does what a stage does.
type Peer struct {
	Name string // rsyslog, mirrormaker2, or any name with Cmd
	Cmd  string // shell command; empty: one that is known
	Part string // with Cmd: what it is measured at
}

func (r *runner) peers(part string, in input) []program { return nil }
