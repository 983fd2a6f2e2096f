//go:build linux

package servers

import (
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Each component that the collector's sources import has a version, since without one the build would take any.
func TestOtelcolComponentsHaveVersions(t *testing.T) {
	f := func(name, mod, source string) {
		t.Helper()
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imported := range file.Imports {
			path, _ := strconv.Unquote(imported.Path.Value)
			if strings.Contains(path, "-contrib/") && !strings.Contains(mod, path+" v") {
				t.Errorf("%s imports %s, which has no version in\n%s", name, path, mod)
			}
		}
	}
	f("main.go", otelcolMod, otelcolMain)
	f("elasticsearch.go", otelcolElasticsearchMod, otelcolElasticsearch)
	if !strings.Contains(otelcolMain, `Version: "`+OtelcolVersion+`"`) {
		t.Errorf("the collector does not say that it is %s", OtelcolVersion)
	}
}

// What is there was built, and what could not be built says why.
func TestInstallOtelcol(t *testing.T) {
	f := func(goes, want string) {
		t.Helper()
		bin := t.TempDir()
		t.Setenv("SLUICE_CACHE", t.TempDir())
		if goes != "" {
			if err := os.WriteFile(filepath.Join(bin, "go"), []byte("#!/bin/sh\n"+goes+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv("PATH", bin)
		err := Install(t.Context(), NameOtelcol)
		if got := fmt.Sprint(err); !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %s", goes, got, want)
		}
		path, _ := Otelcol(NameOtelcol)
		if _, there := os.Stat(path); (err == nil) != (there == nil) {
			t.Errorf("%q: installed: %v, there: %v", goes, err, there)
		}
		if left, _ := filepath.Glob(os.Getenv("SLUICE_CACHE") + "/unfinished*"); len(left) > 0 {
			t.Errorf("%q: left behind: %q", goes, left)
		}
	}
	f("", "no Go toolchain")
	f("echo mod: 403; exit 1", "mod: 403")
	f(`[ "$1 $GOFLAGS $GOWORK" = "build -mod=mod off" ] && [ -e go.mod ] && [ -e main.go ] && : >otelcol`, "<nil>")
}
