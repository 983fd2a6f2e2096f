package shipper

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/schemas"
	"github.com/sluicelog/sluice/shipper/source"
	"github.com/sluicelog/sluice/shipper/source/files"
)

func TestSourceIDsOfJSONFilesAreThoseOfTheirContainers(t *testing.T) {
	path := filepath.Join(t.TempDir(), fakeID(7)+"-json.log")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	scanner, err := files.New([]config.Files{{Paths: []string{path}, Codec: "docker"}}, time.Hour, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	news := make(chan source.Change)
	go scanner.Run(ctx, news)
	s := newOrigin((<-news).Spec, "h")
	s.Path = "/var/lib/docker/containers/" + fakeID(7) + "/" + fakeID(7) + "-json.log"
	s.describe("h", "dc1", nil, "host")
	if s.id != schemas.SourceID("h", source.KindDocker, fakeID(7)) || s.info.ContainerID != fakeID(7) {
		t.Errorf("source %s of container %s", s.id, s.info.ContainerID)
	}
	if n := strings.Count(string(schemas.AppendEvent(nil, &schemas.Line{}, s.tail)), fakeID(7)); n != 3 {
		t.Errorf("the container's id is %d times in the event", n)
	}
}
