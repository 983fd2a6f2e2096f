package embedded

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

// childRoles are what the test binary does instead of testing when childRole is set:
// work on dir until it is killed, and print what the server acknowledged.
var childRoles = map[string]func(dir string) error{
	"kafka": kafkaChild,
	"store": storeChild,
	"full":  fullChild,
}

const childRole, childDir = "SLUICE_TEST_ROLE", "SLUICE_TEST_DIR"

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		if err := childRoles[role](os.Getenv(childDir)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// killedChild runs role on dir until it has printed lines many lines, kills it the
// hard way, and returns all whole lines that it printed.
func killedChild(t *testing.T, role, dir string, lines int) []string {
	t.Helper()
	got, err := child(t, role, dir, lines)
	if len(got) < lines {
		t.Fatalf("child %s ended early after %d lines: %v", role, len(got), err)
	}
	return got
}

// child is killedChild for one that may end before, and returns how it ended.
func child(t *testing.T, role, dir string, lines int) ([]string, error) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childRole+"="+role, childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(5*time.Minute, func() { cmd.Process.Kill() })
	defer late.Stop()
	var got []string
	sc := bufio.NewScanner(out)
	for sc.Scan() {
		got = append(got, sc.Text())
		if len(got) == lines {
			cmd.Process.Kill() // SIGKILL; what was printed before it arrived is still read
		}
	}
	return got, cmd.Wait()
}
