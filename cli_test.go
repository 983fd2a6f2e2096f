package main

import (
	"os"
	"path/filepath"
	"regexp"
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
