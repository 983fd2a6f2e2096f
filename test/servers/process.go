//go:build linux

package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is one server process, in a process group of its own. The kernel kills it when the program that started it
// ends. Its methods are for one goroutine at a time.
type Process struct {
	Name string // for messages: "kafka node 1"
	Log  string // file to which it prints; grows over restarts

	argv   []string
	unique bool                        // in PID and mount namespaces of its own, so that all its descendants end with it
	before func(context.Context) error // what its start waits for; nil: nothing
	ready  func(context.Context) error

	cmd   *exec.Cmd       // nil before the first start
	from  int64           // where in Log its words begin
	ended <-chan struct{} // closed when cmd has ended and is reaped
}

// Pid returns the id of the process, 0 if it never ran. For Docker it is that of the init process above dockerd.
func (p *Process) Pid() int {
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Running reports whether the process has been started and has not ended.
func (p *Process) Running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Stop sends SIGTERM and waits for the end. After a minute it kills, and says so in the error. Without a process it does
// nothing. A paused process is resumed first.
func (p *Process) Stop() error {
	if !p.Running() {
		return nil
	}
	p.Resume()
	syscall.Kill(p.Pid(), syscall.SIGTERM)
	select {
	case <-p.ended:
		return nil
	case <-time.After(stopGrace):
		p.Kill()
		return fmt.Errorf("stop %s: still there %v after SIGTERM, so killed; it printed:\n%s", p.Name, stopGrace, p.said())
	}
}

// Kill is kill -9; it returns when the process is gone. For Docker containerd and all containers go with it.
func (p *Process) Kill() error {
	if p.Running() {
		syscall.Kill(-p.Pid(), syscall.SIGKILL)
		<-p.ended
	}
	return nil
}

// Pause stops the process in its tracks (SIGSTOP): its connections stay open and nothing answers.
func (p *Process) Pause() error { return p.signal(syscall.SIGSTOP) }

// Resume ends Pause.
func (p *Process) Resume() error { return p.signal(syscall.SIGCONT) }

// signal reaches the group and the direct children: dockerd is the child of an init process that puts it in a group of
// its own. Containers are further down and go on.
func (p *Process) signal(sig syscall.Signal) error {
	if !p.Running() {
		return fmt.Errorf("signal %s: it is not running", p.Name)
	}
	if err := syscall.Kill(-p.Pid(), sig); err != nil {
		return fmt.Errorf("signal %s: %w", p.Name, err)
	}
	for _, child := range children(p.Pid()) {
		if err := syscall.Kill(child, sig); err != nil && err != syscall.ESRCH {
			return fmt.Errorf("signal child of %s: %w", p.Name, err)
		}
	}
	return nil
}

// Restart stops the process if it runs, starts it with the same ports and data, and waits until it is ready.
func (p *Process) Restart(ctx context.Context) error {
	return errors.Join(p.Stop(), p.start(ctx))
}

// start returns once the process is ready. If it does not become so, nothing is left of it.
func (p *Process) start(ctx context.Context) error {
	if p.before != nil {
		if err := p.before(ctx); err != nil {
			return fmt.Errorf("start %s: %w", p.Name, err)
		}
	}
	if err := p.launch(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	if err := p.await(ctx); err != nil {
		p.Kill()
		return fmt.Errorf("start %s: %w; it printed:\n%s", p.Name, err, p.said())
	}
	return nil
}

func (p *Process) launch() error {
	out, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	if p.from, err = out.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	cmd := exec.Command(p.argv[0], p.argv[1:]...)
	cmd.Dir = filepath.Dir(p.Log)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if p.unique {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	}
	ended, err := Launch(cmd)
	if err != nil {
		return err
	}
	p.cmd, p.ended = cmd, ended
	return nil
}

// Launch starts a program that the kernel kills when this one ends. ended is closed when it has ended and is reaped.
func Launch(cmd *exec.Cmd) (ended <-chan struct{}, err error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started, gone := make(chan error), make(chan struct{})
	go func() {
		// Pdeathsig fires when the thread that forked ends, so this goroutine keeps its thread until the process has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
			close(gone)
		}
	}()
	return gone, <-started
}

func (p *Process) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		try, done := context.WithTimeout(ctx, 5*time.Second)
		err := p.ready(try)
		done()
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("it ended (%v)", p.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("%w while waiting until it is ready: %w", ctx.Err(), err)
		case <-time.After(pollEvery):
		}
	}
}

// children returns the ids of the direct children of pid.
func children(pid int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var ids []int
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // ended meanwhile
		}
		// "12 (name, which may hold anything) S 1 ...": the parent is the second field after the last parenthesis.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			id, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
			ids = append(ids, id)
		}
	}
	return ids
}

// said returns what matters of what the process printed since it was last started.
func (p *Process) said() string {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return digest(string(text[min(p.from, int64(len(text))):]))
}

// digest returns 20 lines: from the first with an error, as a server that gives up says much after it, or else
// the last. Java's stack frames are left out: the causes between them say more.
func digest(text string) string {
	const n = 20
	lines := slices.Collect(strings.Lines(text))
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "\tat ") })
	at := slices.IndexFunc(lines, func(line string) bool {
		return strings.Contains(line, "ERROR") || strings.Contains(line, "Exception") || strings.Contains(line, "level=error")
	})
	if at < 0 {
		at = max(0, len(lines)-n)
	}
	return strings.Join(lines[at:min(at+n, len(lines))], "")
}
