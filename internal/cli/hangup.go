package cli

import (
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// onHangup logs that SIGHUP changes nothing, instead of ending by it, until stop.
func onHangup(log *slog.Logger) (stop func()) {
	hangups, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangups, syscall.SIGHUP)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		for {
			select {
			case <-hangups:
				log.Warn("SIGHUP is ignored: the configuration is read at the start only; restart to apply a change")
			case <-done:
				return
			}
		}
	})
	return func() {
		signal.Stop(hangups)
		close(done)
		waiting.Wait()
	}
}
