//go:build linux

package servers

import (
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

func TestOtelcolWithoutGo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("SLUICE_CACHE", t.TempDir())
	err := Install(t.Context(), NameOtelcol)
	if err == nil || !strings.Contains(err.Error(), "no Go toolchain") {
		t.Errorf("got %v", err)
	}
	path, err := Otelcol(NameOtelcol)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(path)); err == nil {
		t.Errorf("%s is there though nothing was built", filepath.Dir(path))
	}
}
