package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sluicelog/sluice"

// layers are the folders of the product from the top down. What is in a folder, or below it,
// imports only from its own folder and from layers below; folders of one layer do not know
// each other, but in the last one, where the compiler alone keeps the order.
var layers = [][]string{
	{"."},
	{"internal/cli"},
	{"shipper", "aggregator", "indexer"}, // a stage never imports a stage
	{"internal", "schemas", "config"},
}

// beside is no part of the product: only tests may import from there.
const beside = "test"

// libraries are those that are not our own, each with the one folder that it enters through;
// where it is more than one, nothing of the library can be seen from outside any of them.
var libraries = map[string][]string{
	"github.com/IBM/sarama":              {"internal/kafka"},
	"github.com/blevesearch":             {"internal/embedded"},
	"github.com/cactus/go-statsd-client": {"internal/metrics"},
	"github.com/elastic":                 {"indexer/output/elastic"},
	"github.com/fsouza/go-dockerclient":  {"shipper/source/docker"},
	"github.com/goccy/go-yaml":           {"config"},
	"github.com/hashicorp/golang-lru":    {"shipper/source/docker"},
	"github.com/klauspost/compress":      {"indexer/bulk", "internal/embedded", "internal/kafka"}, // each has a format of its own to write
	"github.com/pierrec/lz4":             {"internal/kafka"},
	"github.com/prometheus":              {"internal/metrics"},
	"github.com/rcrowley/go-metrics":     {"internal/kafka"},
	"github.com/spf13/cobra":             {"internal/cli"},
	"github.com/twmb/franz-go/pkg/kfake": {"internal/embedded"},
	"github.com/twmb/franz-go/pkg/kmsg":  {"internal/embedded", "internal/kafka"}, // the server and the client of one protocol
	"github.com/valyala/fastjson":        {"internal/embedded"},
	"github.com/xdg-go/scram":            {"internal/kafka"},
	"github.com/zeebo/xxh3":              {"schemas", "shipper", "indexer/document"}, // a function of bytes
	"go.etcd.io/bbolt":                   {"shipper/position"},
	"golang.org/x/sys/unix":              {"shipper"},
}

// imports lists what the packages of the product import, by folder: tests too if wanted.
func imports(t *testing.T, tests bool) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			base := d.Name()
			if _, err := os.Stat(filepath.Join(name, "go.mod")); name != "." && (err == nil || base == "testdata" || strings.HasPrefix(base, ".") || base == "bin") {
				return filepath.SkipDir // a module of its own, or no package
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") && !tests {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(name))
		for _, i := range f.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			out[dir] = append(out[dir], p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 20 {
		t.Fatalf("found %d packages only: %v", len(out), out)
	}
	return out
}

// within reports whether a folder is another one or below it.
func within(dir, room string) bool { return dir == room || strings.HasPrefix(dir, room+"/") }

// place finds the layer of a folder, and the room in it; the longest name counts.
func place(dir string) (layer int, room string) {
	layer = -1
	for i, rooms := range layers {
		for _, r := range rooms {
			if within(dir, r) && len(r) >= len(room) {
				layer, room = i, r
			}
		}
	}
	return layer, room
}

// Arrows point down: main -> internal/cli -> stages -> internal, schemas, config.
func TestLayers(t *testing.T) {
	check := func(from string, paths []string, test bool) {
		layer, room := place(from)
		if layer < 0 {
			if !within(from, beside) {
				t.Errorf("%s is in no layer: name it in layers, in layers_test.go", from)
			}
			return
		}
		for _, p := range paths {
			to, ok := strings.CutPrefix(p, module+"/")
			if !ok {
				continue
			}
			below, other := place(to)
			switch {
			case within(to, beside):
				if !test {
					t.Errorf("%s imports %s, which is for tests", from, to)
				}
			case below < 0:
				t.Errorf("%s imports %s, which is in no layer", from, to)
			case below < layer, below == layer && other != room && layer < len(layers)-1:
				t.Errorf("%s imports %s: arrows point down, and never from stage to stage", from, to)
			}
		}
	}
	for dir, paths := range imports(t, false) {
		check(dir, paths, false)
	}
	for dir, paths := range imports(t, true) {
		check(dir, paths, true)
	}
}

// Each library enters through one package, and the table has no library that is not used.
func TestLibraries(t *testing.T) {
	used := map[string]bool{}
	for dir, paths := range imports(t, false) {
		if within(dir, beside) {
			continue
		}
		for _, p := range paths {
			if first, _, _ := strings.Cut(p, "/"); !strings.Contains(first, ".") || within(p, module) {
				continue
			}
			library := ""
			for l := range libraries {
				if within(p, l) && len(l) > len(library) {
					library = l
				}
			}
			if library == "" {
				t.Errorf("%s imports %s, which is not in libraries, in layers_test.go: say there where it enters", dir, p)
				continue
			}
			used[library] = true
			if !slices.ContainsFunc(libraries[library], func(room string) bool { return within(dir, room) }) {
				t.Errorf("%s imports %s, which enters through %s", dir, p, strings.Join(libraries[library], ", "))
			}
		}
	}
	for l := range libraries {
		if !used[l] {
			t.Errorf("nothing imports %s: take it from libraries", l)
		}
	}
}

// What has to do with tests is not in the binary: real servers, stand-ins, the load test, a way
// to set the clock of the machine.
func TestBinaryHasNoTestParts(t *testing.T) {
	all := imports(t, false)
	seen := map[string]bool{}
	var visit func(dir string)
	visit = func(dir string) {
		if seen[dir] {
			return
		}
		seen[dir] = true
		for _, p := range all[dir] {
			to, ours := strings.CutPrefix(p, module+"/")
			if p == "testing" || ours && (within(to, beside) || within(to, "loadtest")) {
				t.Errorf("the binary has %s by way of %s", p, dir)
			}
			if ours {
				visit(to)
			}
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if call := clockCall.Find(text); call != nil && !strings.HasSuffix(name, "_test.go") {
				t.Errorf("%s sets the clock of the machine: %s", name, call)
			}
		}
	}
	visit(".")
	if !seen["shipper"] || !seen["internal/kafka"] {
		t.Errorf("the binary has no stages: %v", seen)
	}
}

var clockCall = regexp.MustCompile(`\b(ClockSettime|ClockAdjtime|Settimeofday|Adjtimex|Stime)\(`)
