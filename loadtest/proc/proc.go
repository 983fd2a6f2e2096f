//go:build linux

// Package proc starts programs under test, measures and ends them.
package proc

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sluicelog/sluice/test/servers"
)

// Proc is a program under test: started, measured, killed and started again. The
// kernel ends it when the load test ends. It is for one goroutine.
type Proc struct {
	Name string
	Argv []string
	Env  []string // besides our own
	Log  string   // file that its output is added to

	cmd   *exec.Cmd
	ended <-chan struct{} // closed when it has ended and is reaped

	pid  int   // 0: not running
	past Usage // of lives that are over
}

// Usage is what a program took of the machine, over all its lives.
type Usage struct {
	CPU     time.Duration // user and system
	PeakRSS int64         // bytes, of the life that had most
}

// MarshalJSON has units in its names.
func (u Usage) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"cpu_s": u.CPU.Seconds(), "peak_rss_bytes": u.PeakRSS})
}

// Start begins a life, when the one before is over.
func (p *Proc) Start() error {
	if p.Running() {
		return fmt.Errorf("start %s: it runs already", p.Name)
	}
	out, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	fmt.Fprintf(out, "--- loadtest starts %s at %s\n", p.Name, time.Now().UTC().Format(time.RFC3339Nano))
	cmd := exec.Command(p.Argv[0], p.Argv[1:]...)
	cmd.Env = append(os.Environ(), p.Env...)
	cmd.Stdout, cmd.Stderr = out, out
	ended, err := servers.Launch(cmd)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.cmd, p.ended = cmd, ended
	p.pid = cmd.Process.Pid
	return nil
}

// PID is that of the life that runs; 0: none does.
func (p *Proc) PID() int { return p.pid }

// Running reports whether it has been started and has not ended.
func (p *Proc) Running() bool {
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

// Kill is kill -9; it returns when the program is gone.
func (p *Proc) Kill() {
	if !p.Running() {
		p.over()
		return
	}
	p.Sample()
	p.cmd.Process.Kill()
	<-p.ended
	p.over()
}

// Stop sends SIGTERM and waits for exit code 0 for a time; then it kills, and says so.
func (p *Proc) Stop(within time.Duration) (took time.Duration, err error) {
	if !p.Running() {
		return 0, p.Ended()
	}
	p.Sample()
	start := time.Now()
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(within):
		p.Kill()
		return time.Since(start), fmt.Errorf("%s is still there %v after SIGTERM", p.Name, within)
	}
	return time.Since(start), p.Ended()
}

// Wait waits for the program to end by itself.
func (p *Proc) Wait(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.ended:
			return p.Ended()
		case <-ctx.Done():
			p.Kill()
			return fmt.Errorf("wait for %s: %w", p.Name, ctx.Err())
		case <-tick.C:
			p.Sample()
		}
	}
}

// Ended is nil if the last life ended with exit code 0, or has not ended, or if there was none.
func (p *Proc) Ended() error {
	if p.cmd == nil || p.Running() {
		return nil
	}
	p.over()
	if s := p.cmd.ProcessState; !s.Success() {
		return fmt.Errorf("%s ended with %v; the last of its log:\n%s", p.Name, s, LastLines(p.Log, 15))
	}
	return nil
}

// Signal sends a signal to the running program.
func (p *Proc) Signal(sig syscall.Signal) {
	if p.Running() {
		p.cmd.Process.Signal(sig)
	}
}

// Usage is what it took so far.
func (p *Proc) Usage() Usage {
	if p.pid != 0 {
		if now, ok := UsageOf(p.pid); ok {
			return Usage{p.past.CPU + now.CPU, max(p.past.PeakRSS, now.PeakRSS)}
		}
		<-p.ended // /proc has it no more, so it is being reaped
		p.over()
	}
	return p.past
}

// Sample keeps the peak of memory, which is gone with the program: what wait4 says
// of it is that of the parent at the fork, if that was more.
func (p *Proc) Sample() {
	if u, ok := UsageOf(p.pid); ok {
		p.past.PeakRSS = max(p.past.PeakRSS, u.PeakRSS)
	}
}

// over adds the life that has ended.
func (p *Proc) over() {
	if p.pid == 0 || p.cmd.ProcessState == nil {
		return
	}
	p.pid = 0
	p.past.CPU += p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

// UsageOf reads /proc. CPU time there has a precision of 10 ms.
func UsageOf(pid int) (u Usage, ok bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, false
	}
	// "12 (any name) S ...": utime and stime are the 12th and 13th field after the name.
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(f) < 13 {
		return u, false
	}
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	u.CPU = time.Duration(user+system) * 10 * time.Millisecond
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, false
	}
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			u.PeakRSS = kb << 10
		}
	}
	return u, true
}

// LastLines is the end of a file.
func LastLines(name string, n int) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	lines := strings.SplitAfter(string(text[max(0, len(text)-8000):]), "\n")
	return strings.Join(lines[max(0, len(lines)-n-1):], "")
}
