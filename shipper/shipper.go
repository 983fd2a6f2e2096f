// Package shipper reads the logs of one host, containers' and plain files', and writes
// each line as one event to Kafka.
//
// It keeps one promise: the position of a file passes a line only when the line's event
// is stored on all in-sync replicas. A crash may send lines again, under the same ids,
// but it loses none.
package shipper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/admin"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/shipper/inotify"
)

// Run ships until ctx ends; then it stops reading, waits for what is under way within
// cfg.ShutdownTimeout, stores the positions and returns nil, also if Kafka is down. An
// error means that the configuration is wrong, or that the positions cannot be kept.
func Run(ctx context.Context, cfg *config.Config, log *slog.Logger, reg *metrics.Registry, st *admin.State) (err error) {
	c, ok := cfg.Kafka[cfg.Shipper.Kafka]
	if !ok {
		return fmt.Errorf("shipper.kafka: no cluster is named %q", cfg.Shipper.Kafka)
	}
	for name, d := range map[string]config.Duration{
		"poll_interval": cfg.Shipper.Poll, "scan_interval": cfg.Shipper.Scan, "store_interval": cfg.Shipper.StoreEvery,
		"docker.list_interval": cfg.Shipper.Docker.ListInterval, "docker.timeout": cfg.Shipper.Docker.Timeout,
	} {
		if d <= 0 {
			return fmt.Errorf("shipper.%s must be above 0", name)
		}
	}
	m := newMeters(reg)

	path := filepath.Join(cfg.DataDir, "positions.db")
	store, all, broken, err := openPositions(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.close()) }()
	if broken != nil {
		m.storeErrs.Inc()
		log.Error("positions cannot be read, all files are sent again from their start under the same ids", "moved_to", path+".bad", "err", broken)
	}

	w, werr := inotify.New()
	if werr != nil {
		log.Warn("no inotify, files are looked at by the poll alone", "err", werr)
	}
	out := newSender(nil, cfg.Shipper.Topic, cfg.Shipper.PartitionBy, int(cfg.Shipper.Produce.BatchBytes), m)
	p, err := kafka.NewProducer(ctx, &kafka.Cluster{
		Name: cfg.Shipper.Kafka, Config: c, Log: log, Metrics: reg, Health: st.Need("kafka " + cfg.Shipper.Kafka),
	}, kafka.ProducerOptions{Produce: cfg.Shipper.Produce, Done: out.done})
	if err != nil {
		if w != nil {
			w.Close()
		}
		return err
	}
	out.p = p

	saver := newStorer(store, m)
	t := newTailer(cfg, log, m, w, out, saver)
	t.closer = newCloser()
	t.load(all)
	st.Section("sources", t.ask(ctx))

	sources, err := t.sourcesOf(ctx, cfg, log, m, st)
	if err != nil {
		if w != nil {
			w.Close()
		}
		return errors.Join(err, p.Close())
	}
	var running, sending sync.WaitGroup
	for _, run := range sources {
		running.Go(func() { run(ctx) })
	}
	if w != nil {
		running.Go(w.Run)
	}
	for range closers {
		running.Go(t.closer.run)
	}
	sending.Go(func() { out.run(ctx) })
	sending.Go(saver.run)
	t.run(ctx)

	// Stopping: nothing is read any more; what Kafka has been given is waited for.
	log.Info("shipper stops", "in_flight_bytes", p.InFlight())
	if w != nil {
		w.Close()
	}
	ended := make(chan struct{})
	go func() { running.Wait(); close(ended) }()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.ShutdownTimeout.D()-stopMargin(cfg.ShutdownTimeout.D()))
	defer cancel()
	close(saver.jobs)
	sending.Wait()
	if derr := p.Drain(drain); derr != nil {
		log.Warn("lines are not acknowledged yet and will be sent again", "bytes", p.InFlight(), "err", derr)
	}
	cerr := p.Close()
	t.end(log)
	t.closer.end()
	select {
	case <-ended:
	case <-drain.Done(): // a directory that does not answer must not hold up the stop
	}
	return cerr
}

// stopMargin is what remains of the shutdown timeout after the drain, for positions.
func stopMargin(timeout time.Duration) time.Duration { return min(timeout/4, time.Second) }

// sourcesOf makes what tells the tailer of logs.
func (t *tailer) sourcesOf(ctx context.Context, cfg *config.Config, log *slog.Logger, m *meters, st *admin.State) ([]func(context.Context), error) {
	var out []func(context.Context)
	if len(cfg.Shipper.Files) > 0 {
		s := &scanner{files: cfg.Shipper.Files, interval: cfg.Shipper.Scan.D(), ask: t.rescan, out: t.targets, log: log}
		out = append(out, s.run)
	}
	if cfg.Shipper.Docker.Enabled {
		d, err := newDaemon(cfg.Shipper.Docker, log, m, st.Need("docker"), t.targets)
		if err != nil {
			return nil, err
		}
		for id := range t.known {
			d.known[id] = state{told: true} // gone, if the first list has it no more
		}
		out = append(out, d.run)
	}
	return out, nil
}

// load takes over what was stored: positions, and containers, whose files are followed
// at once, whether Docker answers or not.
func (t *tailer) load(all map[string]map[string][]byte) {
	t.resume = decodePositions(all[bucketFiles])
	t.known = all[bucketContainers]
	if !t.cfg.Docker.Enabled {
		t.known = map[string][]byte{}
	}
	for id, v := range t.known {
		c := &container{}
		if json.Unmarshal(v, c) != nil || c.ID != id {
			delete(t.known, id)
			continue
		}
		t.take(target{kind: kindDocker, name: id, container: c})
	}
}

// ask has the tailer describe its sources for /status.
func (t *tailer) ask(ctx context.Context) func() any {
	return func() any {
		reply := make(chan any, 1)
		select {
		case t.statuses <- reply:
			return <-reply
		case <-ctx.Done():
			return "stopping"
		case <-time.After(time.Second):
			return "busy"
		}
	}
}

// end stores the last positions and closes all files; everything else has ended.
func (t *tailer) end(log *slog.Logger) {
	t.now = time.Now()
	if t.storing != nil {
		t.saveAgain = false
		t.saved(<-t.store.results)
	}
	changes, _ := t.changes()
	if len(changes) > 0 {
		if err := t.store.put(changes); err != nil {
			log.Error("last positions are not stored, lines will be sent again under the same ids", "err", err)
		}
	}
	t.tell()
	for _, f := range t.files {
		t.close(f)
	}
}
