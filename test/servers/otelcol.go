//go:build linux

package servers

import (
	"context"
	_ "embed" // the collector's sources
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// OtelcolVersion is of the collector and its Kafka components; that of its file_log receiver is
// OtelcolFilelogVersion, the newest before it whose modules can all be checked against the checksum database.
const (
	OtelcolVersion        = "0.155.0"
	OtelcolFilelogVersion = "0.149.0"
)

//go:embed otelcol/main.go
var otelcolMain string

//go:embed otelcol/elasticsearch.go
var otelcolElasticsearch string

const otelcolMod = `module otelcol

go 1.25.0

require (
	github.com/open-telemetry/opentelemetry-collector-contrib/exporter/kafkaexporter v` + OtelcolVersion + `
	github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/filestorage v` + OtelcolVersion + `
	github.com/open-telemetry/opentelemetry-collector-contrib/receiver/filelogreceiver v` + OtelcolFilelogVersion + `
	github.com/open-telemetry/opentelemetry-collector-contrib/receiver/kafkareceiver v` + OtelcolVersion + `
	go.opentelemetry.io/collector/otelcol v` + OtelcolVersion + `
)

// The receiver needs functions that were there in its time.
replace github.com/open-telemetry/opentelemetry-collector-contrib/internal/coreinternal => github.com/open-telemetry/opentelemetry-collector-contrib/internal/coreinternal v` + OtelcolFilelogVersion + `
`

const otelcolElasticsearchMod = otelcolMod + `
require github.com/open-telemetry/opentelemetry-collector-contrib/exporter/elasticsearchexporter v` + OtelcolVersion + `
`

// Otelcol is the collector that Install built under NameOtelcol or NameOtelcolElasticsearch.
func Otelcol(name string) (path string, err error) {
	dir, err := home(name)
	return filepath.Join(dir, "otelcol"), err
}

// installOtelcol builds it with the Go toolchain of the machine, which fetches the modules. It takes minutes.
func installOtelcol(ctx context.Context, dir string) error {
	return buildOtelcol(ctx, dir, otelcolMod, map[string]string{"main.go": otelcolMain})
}

func installOtelcolElasticsearch(ctx context.Context, dir string) error {
	return buildOtelcol(ctx, dir, otelcolElasticsearchMod, map[string]string{"main.go": otelcolMain, "elasticsearch.go": otelcolElasticsearch})
}

func buildOtelcol(ctx context.Context, dir, mod string, sources map[string]string) error {
	path, err := lookPath("go")
	if err != nil {
		return fmt.Errorf("it is built from its modules, and this machine has no Go toolchain: %w", err)
	}
	// What is built are files by name, so that their constraint, which keeps them out of sluice, does not count.
	args := []string{"build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", "otelcol"}
	err = os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o644)
	for name, text := range sources {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
		args = append(args, name)
	}
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, digest(string(out)))
	}
	return nil
}
