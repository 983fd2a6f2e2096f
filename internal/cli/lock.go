package cli

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// lockAll keeps a second process of the same role away from dir, until unlock. Roles do
// not exclude each other. Only the shipper keeps anything there that two would spoil, so
// for the others a directory that cannot be written is a warning.
func lockAll(dir string, log *slog.Logger, stages []stage) (unlock func(), err error) {
	var locks []*os.File
	unlock = func() {
		for _, f := range locks {
			f.Close()
		}
	}
	if dir == "" { // no shipper: it needs one
		return unlock, nil
	}
	for _, s := range stages {
		f, err := lock(dir, s.role)
		var taken inUse
		switch {
		case err == nil:
			locks = append(locks, f)
		case s.role == "shipper" || errors.As(err, &taken):
			unlock()
			return nil, err
		default:
			log.Warn("no lock in data_dir: a second "+s.role+" with this configuration would not be noticed", "role", s.role, "error", err)
		}
	}
	return unlock, nil
}

// inUse is the error of a directory that another process has locked.
type inUse struct{ role, dir, pid string }

func (e inUse) Error() string {
	return fmt.Sprintf("another %s (pid %s) uses data_dir %s: stop it, or give this one a data_dir of its own", e.role, e.pid, e.dir)
}

// lock takes dir/<role>.lock, which holds the process id and stays when it is given up:
// the lock is the kernel's, and ends with the process however that ends.
func lock(dir, role string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("create data_dir: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, role+".lock"), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("lock data_dir: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		text, _ := io.ReadAll(io.LimitReader(f, 32))
		pid := strings.TrimSpace(string(text))
		if pid == "" {
			pid = "unknown"
		}
		return nil, inUse{role, dir, pid}
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintln(f, os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return f, nil
}
