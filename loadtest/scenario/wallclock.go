//go:build linux

package scenario

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicelog/sluice/loadtest/report"
)

// clockLimit is the longest that the clock stays wrong, whatever happens.
const clockLimit = time.Minute

// StepClock sets the clock of the machine ahead, writes a line to out, and sets it right again once in
// ends. It is for a process of its own, which outlives the load test however that ends:
// no signal but SIGKILL ends it before the clock is right.
func StepClock(by time.Duration, in io.Reader, out io.Writer) (err error) {
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	var wall, steady unix.Timespec
	if err := errors.Join(unix.ClockGettime(unix.CLOCK_REALTIME, &wall), unix.ClockGettime(unix.CLOCK_MONOTONIC, &steady)); err != nil {
		return fmt.Errorf("read the clock: %w", err)
	}
	set := func(by time.Duration) error {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
			return fmt.Errorf("read the clock: %w", err)
		}
		at := unix.NsecToTimespec(wall.Nano() + now.Nano() - steady.Nano() + int64(by))
		if err := unix.ClockSettime(unix.CLOCK_REALTIME, &at); err != nil {
			return fmt.Errorf("set the clock: %w", err)
		}
		return nil
	}
	if err := set(by); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, set(0)) }()
	fmt.Fprintln(out, "stepped")
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, in)
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(clockLimit):
	}
	return nil
}

// clockStep is a wrong clock that somebody holds.
type clockStep struct {
	cmd  *exec.Cmd
	hold io.Closer
	says strings.Builder
}

// stepClock returns when the clock is wrong.
func stepClock(self string, by time.Duration) (*clockStep, error) {
	c := &clockStep{cmd: exec.Command(self, "step-clock", "--by", by.String())}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.cmd.Stderr = &c.says
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	c.hold = in
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("step the clock: %w", err), c.right())
	}
	return c, nil
}

// right returns when the clock is right again.
func (c *clockStep) right() error {
	c.hold.Close()
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("set the clock right: %w: %s", err, c.says.String())
	}
	return nil
}

// clockKept says why the clock of this machine cannot be stepped by this process; empty: it can be.
func clockKept() string {
	set, err := strconv.ParseUint(report.ProcField("/proc/self/status", "CapEff"), 16, 64)
	if err != nil {
		return fmt.Sprintf("read this process's capabilities: %v", err)
	}
	if set&(1<<unix.CAP_SYS_TIME) == 0 {
		return "this process may not set the clock (CAP_SYS_TIME)"
	}
	return ""
}
