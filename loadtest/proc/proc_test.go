//go:build linux

package proc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/loadtest/wait"
)

// What a program takes is known while it runs and after it, over all its lives.
func TestProc(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	p := &Proc{Name: "burn", Argv: []string{"/bin/sh", "-c", `trap 'exit 3' TERM; i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo hello; while :; do sleep 0.01; done`}, Log: log}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	if err := wait.Until(t.Context(), 20*time.Second, func() error {
		text, err := os.ReadFile(log)
		if err == nil && !strings.Contains(string(text), "hello") {
			return os.ErrNotExist
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	live := p.Usage()
	if live.CPU <= 0 || live.PeakRSS < 100<<10 || !p.Running() {
		t.Errorf("usage %+v, running %v", live, p.Running())
	}
	if _, err := p.Stop(30 * time.Second); err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "hello") {
		t.Errorf("stop: %v, want exit status 3 and the log", err)
	}
	if over := p.Usage(); over.CPU < live.CPU-20*time.Millisecond || over.PeakRSS < live.PeakRSS || p.Running() {
		t.Errorf("usage at the end %+v, before %+v", over, live)
	}
	if err := p.Start(); err != nil { // another life
		t.Fatal(err)
	}
	if err := p.Start(); err == nil || p.Ended() != nil {
		t.Errorf("started while it runs: %v, ended: %v", err, p.Ended())
	}
	p.Kill()
	if p.Running() || p.Ended() == nil {
		t.Error("killed, and it says it ended well")
	}
}
