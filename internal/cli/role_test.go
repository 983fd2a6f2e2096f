package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/admin"
	"github.com/sluicelog/sluice/internal/metrics"
)

var worked = metrics.NewCounter("test_worked", "runs", "Runs of the stage of this test")

// quiet is a configuration that opens no ports and locks nothing.
func quiet() *config.Config {
	cfg := config.Default()
	cfg.Host, cfg.DataDir, cfg.Admin.Listen = "web1", "", ""
	return cfg
}

// untilDone is a stage that drains at once.
func untilDone(ctx context.Context, _ *config.Config, _ *slog.Logger, _ *metrics.Registry, _ *admin.State) error {
	<-ctx.Done()
	return nil
}

func TestStagesDrainOnSignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		cfg := quiet()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		slow := func(ctx context.Context, cfg *config.Config, log *slog.Logger, reg *metrics.Registry, st *admin.State) error {
			<-ctx.Done()
			time.Sleep(cfg.ShutdownTimeout.D())
			return nil
		}
		err := runStages(ctx, cfg, newLog(cfg.Log, &out), stage{"shipper", untilDone}, stage{"indexer", slow})
		if err != nil {
			t.Errorf("runStages: %v; want nil after a signal", err)
		}
		for _, want := range []string{"msg=started role=shipper", "msg=stopped role=shipper", "msg=stopped role=indexer"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the log has no %q:\n%s", want, &out)
			}
		}
	})
}

func TestFailingStageStopsTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("no way to start")
		fail := func(context.Context, *config.Config, *slog.Logger, *metrics.Registry, *admin.State) error {
			return broken
		}
		err := runStages(t.Context(), quiet(), slog.New(slog.DiscardHandler), stage{"shipper", untilDone}, stage{"indexer", fail})
		if !errors.Is(err, broken) || err.Error() != "indexer: no way to start" {
			t.Errorf("runStages: %v; want indexer: no way to start", err)
		}
	})
}

func TestStageThatDoesNotDrainIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		stuck := func(context.Context, *config.Config, *slog.Logger, *metrics.Registry, *admin.State) error {
			<-release
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		begun := time.Now()
		err := runStages(ctx, quiet(), slog.New(slog.DiscardHandler), stage{"shipper", stuck})
		if err == nil || !strings.Contains(err.Error(), "not drained 9s after the signal") {
			t.Errorf("runStages: %v; want an error", err)
		}
		if took := time.Since(begun); took != 9*time.Second {
			t.Errorf("took %v; want shutdown_timeout and a second", took)
		}
	})
}

// TestAdminServerTellsOfTheStage asks the pages while the stage runs, and while it drains.
func TestAdminServerTellsOfTheStage(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := quiet()
	cfg.Admin.Listen = l.Addr().String()
	l.Close()
	get := func(path string) (int, string) {
		r, err := http.Get("http://" + cfg.Admin.Listen + path)
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		return r.StatusCode, string(b)
	}
	ctx, cancel := context.WithCancel(t.Context())
	work := func(ctx context.Context, _ *config.Config, _ *slog.Logger, reg *metrics.Registry, st *admin.State) error {
		reg.Counter(worked).Inc()
		if code, _ := get("/readyz"); code != 200 {
			t.Errorf("/readyz says %d; want 200", code)
		}
		if _, text := get("/metrics"); !strings.Contains(text, `sluice_test_worked_total{role="shipper"} 1`) || !strings.Contains(text, "sluice_build_info") {
			t.Errorf("/metrics lacks the stage's counter or the process's figures:\n%s", text)
		}
		cancel()
		for { // Drain runs beside us
			if code, _ := get("/readyz"); code == 503 || t.Failed() {
				return nil
			}
		}
	}
	if err := runStages(ctx, cfg, slog.New(slog.DiscardHandler), stage{"shipper", work}); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", cfg.Admin.Listen); err == nil {
		t.Error("the admin server is still there")
	}
}

func TestPortTakenIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := quiet()
	cfg.Admin.Listen = l.Addr().String()
	if err := runStages(t.Context(), cfg, slog.New(slog.DiscardHandler), stage{"shipper", untilDone}); err == nil || !strings.Contains(err.Error(), "admin.listen") {
		t.Errorf("runStages: %v; want an error that names admin.listen", err)
	}
}

func TestLog(t *testing.T) {
	f := func(level, format, want string) {
		t.Helper()
		var out bytes.Buffer
		log := newLog(config.Log{Level: level, Format: format}, &out)
		log.Debug("a")
		log.Warn("b")
		if got := out.String(); strings.Count(got, "\n") != len(strings.Fields(want)) || !strings.Contains(got, strings.Fields(want)[0]) {
			t.Errorf("%s %s log:\n%s\nwant lines with %s", level, format, got, want)
		}
	}
	f("debug", "text", "msg=a msg=b")
	f("info", "text", "msg=b")
	f("warn", "json", `"msg":"b"`)
}

// TestAdminPortIsTheRoles: of a host alone, each role takes the port of its own.
func TestAdminPortIsTheRoles(t *testing.T) {
	f := func(listen, role, want string) {
		t.Helper()
		if got := (config.Admin{Listen: listen}).For(role); got != want {
			t.Errorf("admin.listen %q of the %s is %q; want %q", listen, role, got, want)
		}
	}
	def := config.Default().Admin.Listen
	f(def, "shipper", "127.0.0.1:8686")
	f(def, "aggregator", "127.0.0.1:8687")
	f(def, "indexer", "127.0.0.1:8688")
	f("0.0.0.0", "indexer", "0.0.0.0:8688")
	f("::1", "shipper", "[::1]:8686")
	f("[::1]", "shipper", "[::1]:8686")
	f("localhost", "shipper", "localhost:8686")
	f("10.0.0.1:9000", "indexer", "10.0.0.1:9000")
	f(":9000", "indexer", ":9000")
	f("", "indexer", "")
}
