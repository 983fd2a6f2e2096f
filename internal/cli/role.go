package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/admin"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/metrics"
)

// stage is a role and what runs it: run works until ctx ends, drains within
// shutdown_timeout and returns nil; an error says that it could not start or go on.
type stage struct {
	role string
	run  func(ctx context.Context, cfg *config.Config, log *slog.Logger, reg *metrics.Registry, st *admin.State) error
}

// overdue is what a stage gets beyond shutdown_timeout before the process ends without it.
const overdue = time.Second

// roleCommand is the command that runs one stage.
func roleCommand(s stage, short, long string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   s.role + " [-c FILE]",
		Short: short,
		Long: long + `

SIGTERM or Ctrl-C stops it cleanly within shutdown_timeout; a second one kills it.
SIGHUP is logged and changes nothing.`,
		Example: fmt.Sprintf("  sluice %s -c sluice.yaml", s.role),
		GroupID: groupRoles,
		Args:    cobra.NoArgs,

		DisableFlagsInUseLine: true,
	}
	path := configFlag(cmd)
	cmd.RunE = action(func(cmd *cobra.Command) error {
		cfg, err := config.LoadHere(*path, s.role)
		if err != nil {
			return err
		}
		log := newLog(cfg.Log, cmd.ErrOrStderr())
		kafka.LogTo(log)
		defer onHangup(log.With("role", s.role))()
		return runStages(cmd.Context(), cfg, log, s)
	})
	return cmd
}

// runStages runs roles in this process until ctx ends or one of them fails, with the
// admin server and the statsd bridge around them. It returns once all have drained.
func runStages(ctx context.Context, cfg *config.Config, log *slog.Logger, stages ...stage) error {
	unlock, err := lockAll(cfg.DataDir, log, stages)
	if err != nil {
		return err
	}
	defer unlock()
	version := version().Version
	states := make([]*admin.State, len(stages))
	regs := make([]*metrics.Registry, len(stages), len(stages)+1)
	for i, s := range stages {
		states[i], regs[i] = admin.NewState(s.role), metrics.New(s.role, cfg.Host)
	}
	all := append(regs, metrics.Process(cfg.Host, version))

	listen := cfg.Admin
	listen.Listen = cfg.Admin.For(stages[0].role)
	server, err := admin.Listen(listen, version, log, states, all...)
	if err != nil {
		return err
	}
	defer server.Close() // nothing is lost with it
	statsd := metrics.NewStatsd(cfg.Statsd, log, all...)
	bridging, stopBridge := context.WithCancel(context.Background())
	var bridge sync.WaitGroup
	bridge.Go(func() { statsd.Run(bridging) })
	defer func() { // after the stages, so that the last figures go out
		stopBridge()
		bridge.Wait()
		statsd.Flush()
	}()

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, len(stages)) // one of each stage
	for i, s := range stages {
		log := log.With("role", s.role)
		log.Info("started", "version", version, "host", cfg.Host, "dc", cfg.DC, "admin", server.Addr())
		go func() {
			err := s.run(ctx, cfg, log, regs[i], states[i])
			if err == nil {
				log.Info("stopped")
			} else if !errors.As(err, new(*config.Error)) { // which names its key
				err = fmt.Errorf("%s: %w", s.role, err)
			}
			if err != nil {
				stop() // the others drain
			}
			ended <- err
		}()
	}
	release := context.AfterFunc(ctx, func() {
		for _, st := range states {
			st.Drain()
		}
	})
	defer release()
	return wait(ctx, ended, cfg.ShutdownTimeout.D()+overdue)
}

// wait returns the first error of the stages once all have ended, or an error as well at a
// time after ctx has ended.
func wait(ctx context.Context, ended <-chan error, after time.Duration) (failed error) {
	var late <-chan time.Time
	stopped := ctx.Done()
	for n := cap(ended); n > 0; {
		select {
		case err := <-ended:
			failed = cmp.Or(failed, err)
			n--
		case <-stopped:
			stopped, late = nil, time.After(after)
		case <-late:
			return errors.Join(failed, fmt.Errorf("not drained %v after the signal; what was not acknowledged is sent again at the next start", after))
		}
	}
	return failed
}

// newLog is the logger that cfg asks for.
func newLog(cfg config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(strings.ToUpper(cfg.Level))); err != nil {
		panic(err) // config allows only what slog knows
	}
	o := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
