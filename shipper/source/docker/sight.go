package docker

import (
	"fmt"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sluicelog/sluice/internal/admin"
)

// sight is whether the logs that the daemon writes can be seen by us: it may answer while
// the directory of its logs is not mounted where sluice runs, or is not ours to read.
type sight struct {
	health *admin.Dependency
	log    *slog.Logger
	blind  int // lists in a row after which no log was there
}

// check looks for the directory of the logs, empty if it is not known, and for the logs
// of running containers.
func (s *sight) check(dir string, logs []string) {
	err := s.look(dir, logs)
	switch {
	case err != nil:
		if s.health.Fail(err) {
			s.log.Error("the logs of containers cannot be read", "error", err)
		}
	case s.health.OK():
		s.log.Info("the logs of containers can be read")
	}
}

func (s *sight) look(dir string, logs []string) error {
	const help = "mount Docker's directory for sluice and name both ends of it in shipper.docker.root_from and root_to"
	if dir != "" {
		if _, err := os.Stat(dir); err != nil {
			return fmt.Errorf("the directory where Docker keeps logs: %w; %s", err, help)
		}
	}
	var first error
	for _, path := range logs {
		err := unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK, unix.AT_EACCESS)
		if err == nil {
			s.blind = 0
			return nil
		}
		if first == nil {
			first = &os.PathError{Op: "read", Path: path, Err: err}
		}
	}
	if first == nil {
		s.blind = 0
		return nil
	}
	if s.blind++; s.blind < 2 && os.IsNotExist(first) { // one log may be away while it is rotated
		return nil
	}
	return fmt.Errorf("none of the logs of %d running containers can be read, such as: %w; %s", len(logs), first, help)
}
