package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluicelog/sluice/config"
)

func TestMain(m *testing.M) {
	os.Setenv("GORACE", "atexit_sleep_ms=0") // not a second for each sluice
	testscript.Main(m, map[string]func(){"sluice": main})
}

// TestCommandLine runs testdata/*.txtar: what a user types and sees.
func TestCommandLine(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", os.Getenv("GORACE"))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"status": status,
		},
	})
}

// status runs a command and compares its exit code: status 2 sluice check.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status CODE COMMAND ARGUMENT...")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if want := args[0]; want != string(rune('0'+got)) {
		ts.Fatalf("exit code %d; want %s", got, want)
	}
}

// TestDocumentedConfigurations: each configuration that the documents show works.
func TestDocumentedConfigurations(t *testing.T) {
	files, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, "README.md")
	block := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```")
	role := regexp.MustCompile(`(?m)^(shipper|aggregator|indexer):`)
	secret := regexp.MustCompile(`/run/secrets/\w+`)
	secretFile := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secretFile, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tested := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if os.IsNotExist(err) {
			continue
		}
		for _, m := range block.FindAllSubmatch(text, -1) {
			if !role.Match(m[1]) {
				continue
			}
			tested++
			if _, err := config.Parse(file, secret.ReplaceAllLiteral(m[1], []byte(secretFile))); err != nil {
				t.Errorf("%v in\n%s", err, m[1])
			}
		}
	}
	if tested < 2 {
		t.Errorf("found %d configurations in %q", tested, files)
	}
}

// TestRolesStopWhileServersAreAway: SIGTERM ends each role with exit code 0, also when
// no server of it can be reached.
func TestRolesStopWhileServersAreAway(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "sluice.yaml")
	text := `
host: web1
data_dir: ` + dir + `
shutdown_timeout: 5s
admin: {listen: 127.0.0.1:0}
kafka:
  a: {brokers: ["127.0.0.1:1"]}
  b: {brokers: ["127.0.0.1:2"]}
shipper: {kafka: a, files: [{paths: [` + dir + `/*.log]}]}
aggregator: {sources: [{kafka: a}], target: {kafka: b}}
indexer: {kafka: b, outputs: [{name: online, elasticsearch: {hosts: ["http://127.0.0.1:1"]}}]}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x.log"), []byte("a line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, role := range config.Roles {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("sluice", role, "-c", file)
			stderr, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var log strings.Builder
			for lines := bufio.NewScanner(stderr); lines.Scan(); {
				log.WriteString(lines.Text() + "\n")
				if strings.Contains(lines.Text(), "msg=started") {
					if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
						t.Error(err)
					}
				}
			}
			if err := cmd.Wait(); err != nil || !strings.Contains(log.String(), "msg=stopped") {
				t.Errorf("sluice %s: %v; want exit code 0 and word of its stop in\n%s", role, err, &log)
			}
		})
	}
}

// role is a running `sluice ROLE -c FILE`; log waits for a line of its log.
type role struct {
	*exec.Cmd
	lines *bufio.Scanner
	seen  strings.Builder
}

func startRole(t *testing.T, name, file string) *role {
	t.Helper()
	r := &role{Cmd: exec.Command("sluice", name, "-c", file)}
	stderr, err := r.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Process.Kill(); r.Wait() })
	r.lines = bufio.NewScanner(stderr)
	return r
}

// log reads to the first line that holds a text, or to the end.
func (r *role) log(t *testing.T, want string) string {
	t.Helper()
	for r.lines.Scan() {
		r.seen.WriteString(r.lines.Text() + "\n")
		if strings.Contains(r.lines.Text(), want) {
			return r.lines.Text()
		}
	}
	t.Fatalf("no %q in\n%s", want, &r.seen)
	return ""
}

// twoRoles is a file of two roles, whose servers are away.
func twoRoles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "sluice.yaml")
	text := `
host: web1
data_dir: ` + filepath.Join(dir, "data") + `
admin: {listen: 127.0.0.1:0}
kafka: {a: {brokers: ["127.0.0.1:1"]}, b: {brokers: ["127.0.0.1:2"]}}
aggregator: {sources: [{kafka: a}], target: {kafka: b}}
indexer: {kafka: b, outputs: [{name: online, elasticsearch: {hosts: ["http://127.0.0.1:1"]}}]}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestHangupIsLogged: SIGHUP ends no role, and says so; SIGTERM then drains it.
func TestHangupIsLogged(t *testing.T) {
	r := startRole(t, "indexer", twoRoles(t))
	r.log(t, "msg=started")
	if err := r.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	r.log(t, "SIGHUP is ignored")
	if err := r.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r.log(t, "msg=stopped")
	if err := r.Wait(); err != nil {
		t.Errorf("after SIGHUP and SIGTERM: %v; want exit code 0", err)
	}
}

// TestRolesShareAHostAndAFile: two roles run with one data_dir; a second process of one
// of them is refused, with the process id of the first.
func TestRolesShareAHostAndAFile(t *testing.T) {
	file := twoRoles(t)
	first := startRole(t, "indexer", file)
	first.log(t, "msg=started")
	startRole(t, "aggregator", file).log(t, "msg=started")
	again := startRole(t, "indexer", file)
	want := fmt.Sprintf("sluice: another indexer (pid %d) uses data_dir %s", first.Process.Pid, filepath.Join(filepath.Dir(file), "data"))
	again.log(t, want)
	var exit *exec.ExitError
	if err := again.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("the second one: %v; want exit code 1", err)
	}
	first.Process.Kill()
	first.Wait()
	startRole(t, "indexer", file).log(t, "msg=started") // the lock went with its process
}
