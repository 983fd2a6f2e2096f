// Package shipper reads the logs of one host, containers' and plain files', and writes
// each line as one event to Kafka.
//
// It keeps one promise: the position of a file passes a line only when the line's event
// is stored on all in-sync replicas. A crash may send lines again, under the same ids,
// but it loses none.
//
// This package only puts the parts together. A line goes down through them:
//
//	source/{docker,files}   find logs                 Discoverer.Run -> Change
//	tail                    follows files             Tail.Run -> reader.step
//	line                    makes events of bytes     Maker.Feed -> Sink.Emit
//	send                    takes them to Kafka       Batch.Emit -> producer
//	position                remembers what is stored  Storer
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
	"github.com/sluicelog/sluice/shipper/position"
	"github.com/sluicelog/sluice/shipper/send"
	"github.com/sluicelog/sluice/shipper/source"
	"github.com/sluicelog/sluice/shipper/source/docker"
	"github.com/sluicelog/sluice/shipper/source/files"
	"github.com/sluicelog/sluice/shipper/tail"
)

// Run ships until ctx ends; then it stops reading, waits for what is under way within
// cfg.ShutdownTimeout, stores the positions and returns nil, also if Kafka is down. The
// configuration is one that cfg.Validate allows. An error means that the positions cannot
// be kept.
func Run(ctx context.Context, cfg *config.Config, log *slog.Logger, reg *metrics.Registry, st *admin.State) (err error) {
	found, err := discoverers(cfg, log, reg, st)
	if err != nil {
		return err
	}

	path := filepath.Join(cfg.DataDir, "positions.db")
	store, stored, broken, err := position.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	storer := position.NewStorer(store, reg)
	if broken != nil {
		storer.Broken()
		log.Error("positions cannot be read, all files are sent again from their start under the same ids", "moved_to", path+".bad", "error", broken)
	}

	refusals := send.NewRefusals(log, reg)
	sender := send.NewSender(&cfg.Shipper, refusals, reg)
	rules, err := config.Rules(config.ShipperRules, cfg.Shipper.Rules)
	if err != nil {
		return err
	}
	sender.Obey(send.NewRules(rules, reg))
	producer, err := kafka.NewProducer(ctx, &kafka.Cluster{
		Name: cfg.Shipper.Kafka, Config: cfg.Kafka[cfg.Shipper.Kafka], Log: log, Metrics: reg, Health: st.Need("kafka " + cfg.Shipper.Kafka),
	}, kafka.ProducerOptions{Produce: cfg.Shipper.Produce, Done: sender.Done})
	if err != nil {
		return err
	}
	sender.Start(toKafka{producer})

	watcher, werr := inotify.New()
	if werr != nil {
		log.Warn("no inotify, files are looked at by the poll alone", "error", werr)
	}
	t := tail.New(cfg, log, reg, tail.Parts{
		Watcher: watcher, Sender: sender, Refusals: refusals, Storer: storer,
		Records: position.Decode(stored[position.Files]), Look: func() { look(found) },
	})
	for _, d := range found {
		if k, ok := d.(source.Keeper); ok {
			t.Keep(k, stored)
		}
	}
	t.Unspool()
	st.Section("sources", func() any { return t.Status(ctx) })

	var running, sending sync.WaitGroup
	for _, d := range found {
		running.Go(func() { d.Run(ctx, t.Changes) })
	}
	if watcher != nil {
		running.Go(watcher.Run)
	}
	for range tail.Closers {
		running.Go(t.CloseFiles)
	}
	running.Go(t.FindWriters)
	running.Go(t.Copy)
	sending.Go(func() { sender.Run(ctx) })
	sending.Go(storer.Run)
	t.Run(ctx)

	// Stopping: nothing is read any more; what Kafka has been given is waited for.
	log.Info("shipper stops", "in_flight_bytes", producer.InFlight())
	if watcher != nil {
		watcher.Close()
	}
	ended := make(chan struct{})
	go func() { running.Wait(); close(ended) }()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.ShutdownTimeout.D()-stopMargin(cfg.ShutdownTimeout.D()))
	defer cancel()
	close(storer.Jobs)
	sending.Wait()
	if derr := producer.Drain(drain); derr != nil {
		log.Warn("lines are not acknowledged yet and will be sent again", "bytes", producer.InFlight(), "error", derr)
	}
	cerr := producer.Close()
	t.End()
	select {
	case <-ended:
	case <-drain.Done(): // a directory that does not answer must not hold up the stop
	}
	return cerr
}

// toKafka is the producer as the sender needs it.
type toKafka struct{ *kafka.Producer }

// Write is Producer.Write.
func (p toKafka) Write(ctx context.Context, topic string, about int) (send.Writer, error) {
	w, err := p.Producer.Write(ctx, topic, about)
	if err != nil {
		return nil, err // and not a nil *kafka.Writer
	}
	return w, nil
}

// stopMargin is what remains of the shutdown timeout after the drain, for positions.
func stopMargin(timeout time.Duration) time.Duration { return min(timeout/4, time.Second) }

// discoverers are what the configuration asks for.
func discoverers(cfg *config.Config, log *slog.Logger, reg *metrics.Registry, st *admin.State) (found []source.Discoverer, err error) {
	if len(cfg.Shipper.Files) > 0 {
		s, err := files.New(cfg.Shipper.Files, cfg.Shipper.Scan.D(), log, reg)
		if err != nil {
			return nil, err
		}
		st.Section("globs", s.Status)
		found = append(found, s)
	}
	if cfg.Shipper.Docker.Enabled {
		apps, err := source.NewAppRules(cfg.Shipper.AppFrom)
		if err != nil {
			return nil, err
		}
		d, err := docker.New(cfg.Shipper.Docker, apps, log, reg, st.Need("docker"), st.Need("logs of docker"))
		if err != nil {
			return nil, err
		}
		found = append(found, d)
	}
	return found, nil
}

// look has those look again who can be asked to.
func look(found []source.Discoverer) {
	for _, d := range found {
		if l, ok := d.(source.Looker); ok {
			l.Look()
		}
	}
}
