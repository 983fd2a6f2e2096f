// Package shipper reads the logs of one host, containers' and plain files', and writes
// each line as one event to Kafka.
//
// It keeps one promise: the position of a file passes a line only when the line's event
// is stored on all in-sync replicas. A crash may send lines again, under the same ids,
// but it loses none.
package shipper

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/admin"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/shipper/inotify"
	"github.com/sluicelog/sluice/shipper/source"
	"github.com/sluicelog/sluice/shipper/source/docker"
	"github.com/sluicelog/sluice/shipper/source/files"
)

// Run ships until ctx ends; then it stops reading, waits for what is under way within
// cfg.ShutdownTimeout, stores the positions and returns nil, also if Kafka is down. The
// configuration is one that cfg.Validate allows. An error means that the positions cannot
// be kept.
func Run(ctx context.Context, cfg *config.Config, log *slog.Logger, reg *metrics.Registry, st *admin.State) (err error) {
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
		Name: cfg.Shipper.Kafka, Config: cfg.Kafka[cfg.Shipper.Kafka], Log: log, Metrics: reg, Health: st.Need("kafka " + cfg.Shipper.Kafka),
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
	discoverers, err := discoverersOf(cfg, log, reg, st)
	if err != nil {
		if w != nil {
			w.Close()
		}
		return errors.Join(err, p.Close())
	}
	t.load(all, discoverers)
	st.Section("sources", t.ask(ctx))

	var running, sending sync.WaitGroup
	for _, d := range discoverers {
		running.Go(func() { d.Run(ctx, t.news) })
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

// discoverersOf makes what finds logs: one line for each, and nothing else here knows
// which there are.
func discoverersOf(cfg *config.Config, log *slog.Logger, reg *metrics.Registry, st *admin.State) (all []source.Discoverer, err error) {
	add := func(d source.Discoverer, e error) {
		all, err = append(all, d), errors.Join(err, e)
	}
	if len(cfg.Shipper.Files) > 0 {
		d, e := files.New(cfg.Shipper.Files, cfg.Shipper.Scan.D(), log)
		add(d, e)
	}
	if cfg.Shipper.Docker.Enabled {
		apps, e := source.NewAppRules(cfg.Shipper.AppFrom)
		if e != nil {
			return nil, e
		}
		d, e := docker.New(cfg.Shipper.Docker, apps, log, reg, st.Need("docker"))
		add(d, e)
	}
	return all, err
}

// load takes over what was stored: positions, and what discoverers have kept, whose files
// are followed at once, whether a server answers or not.
func (t *tailer) load(all map[string]map[string][]byte, discoverers []source.Discoverer) {
	t.resume = decodePositions(all[bucketFiles])
	for _, d := range discoverers {
		if l, ok := d.(source.Looker); ok {
			t.lookers = append(t.lookers, l)
		}
		k, ok := d.(source.Keeper)
		if !ok {
			continue
		}
		kind, bucket := k.Kept()
		t.buckets[kind] = bucket
		for name, v := range all[bucket] {
			spec := source.Spec{Kind: kind, Name: name}
			t.kept[spec.Key()] = v
		}
		for _, c := range k.Recall(all[bucket]) {
			t.take(c)
		}
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
