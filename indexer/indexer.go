// Package indexer is the stage between the central Kafka and Elasticsearch: it reads
// events, finds in their lines what the lines say of themselves, and indexes them in
// bulk. It owns the flow from Kafka to the outputs, its figures and its status; documents
// are made in document, of what parse finds in a line, collected in bulk, and stored by
// output/elastic.
//
// An offset is committed only after every record before it is stored, was stored
// before under the same id, or is in the dead-letter topic; so a crash may send a
// document twice, which Elasticsearch holds once, and never loses one. Each output
// cluster is a consumer group of its own: one that is down holds up no other.
package indexer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/indexer/document"
	"github.com/sluicelog/sluice/indexer/output/elastic"
	"github.com/sluicelog/sluice/internal/admin"
	"github.com/sluicelog/sluice/internal/deadletter"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/internal/rule"
)

// Run indexes until ctx ends, then finishes what was taken, commits and returns nil
// within cfg.ShutdownTimeout, whether Kafka and Elasticsearch answer or not. It needs
// neither of them to start. An error is a wrong configuration.
func Run(ctx context.Context, cfg *config.Config, log *slog.Logger, reg *metrics.Registry, st *admin.State) error {
	health := st.Need("kafka " + cfg.Indexer.Kafka)
	var flows []*flow
	for i := range cfg.Indexer.Outputs {
		f, err := newFlow(ctx, cfg, &cfg.Indexer.Outputs[i], log, reg, st, health)
		if err != nil {
			for _, f := range flows {
				f.close()
			}
			return fmt.Errorf("output %s: %w", cfg.Indexer.Outputs[i].Name, err)
		}
		flows = append(flows, f)
	}
	defer context.AfterFunc(ctx, st.Drain)()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, len(flows))
	var all sync.WaitGroup
	for i, f := range flows {
		all.Go(func() {
			if errs[i] = f.run(ctx); errs[i] != nil {
				stop()
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// Setup installs templates and the lifecycle policy on every output's cluster and writes
// to out what it changed; see elastic.Setup.
func Setup(ctx context.Context, cfg *config.Config, out io.Writer) error {
	return elastic.Setup(ctx, cfg, out)
}

// TrySetup is Setup that changes nothing and writes what it would change, with diff also
// what differs.
func TrySetup(ctx context.Context, cfg *config.Config, out io.Writer, diff bool) error {
	return elastic.SetupWith(ctx, cfg, out, elastic.SetupOptions{DryRun: true, Diff: diff})
}

// CheckClusters writes to out what of every output's cluster does not go with its
// configuration; see elastic.Check.
func CheckClusters(ctx context.Context, cfg *config.Config, out io.Writer) {
	elastic.Check(ctx, cfg, out)
}

// logLines logs what is written to it.
type logLines struct{ log *slog.Logger }

// Write implements io.Writer.
func (l logLines) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		l.log.Info("setup: " + strings.TrimSpace(line))
	}
	return len(b), nil
}

// Group is the consumer group by which ix reads for its output o.
func Group(ix *config.Indexer, o *config.Output) string { return ix.Group + "-" + o.Name }

// newFlow makes what a flow consists of. It does not connect.
func newFlow(ctx context.Context, cfg *config.Config, o *config.Output, log *slog.Logger, reg *metrics.Registry, st *admin.State, kafkaHealth *admin.Dependency) (_ *flow, err error) {
	ix := &cfg.Indexer
	log = log.With("output", o.Name)
	f := newBareFlow(log, newFigures(reg, o.Name))
	f.codecs = ix.Codecs
	if f.documents, err = documents(ix, o); err != nil {
		return nil, err
	}
	f.pause = max(o.Bulk.RetryInitial.D(), time.Millisecond)
	if o.MaxOpenIndices > 0 {
		f.documents.Open = document.NewOpenIndices(o.MaxOpenIndices)
	}
	cluster := &kafka.Cluster{Name: ix.Kafka, Config: cfg.Kafka[ix.Kafka], Log: log, Metrics: reg, Health: kafkaHealth}
	f.groupOptions = kafka.GroupOptions{Consume: ix.Consume, Group: Group(ix, o), Topics: ix.Topics, DrainTimeout: drainTimeout(cfg.ShutdownTimeout.D()),
		MemberFile: kafka.MemberFile(cfg.DataDir, "indexer", o.Name)}
	f.groupOptions.Poisoned = func(ctx context.Context, p kafka.Poison) error {
		return f.dead.writer.Keep(ctx, deadletter.Batch(&p, ix.Kafka, "indexer", o.Name))
	}
	if f.group, err = kafka.NewGroup(cluster, f.groupOptions, f); err != nil {
		return nil, err
	}
	sending, stop := context.WithCancel(context.WithoutCancel(ctx)) // ends after the group has drained
	f.stop = stop
	produce := kafka.ProducerOptions{Produce: ix.Produce}
	f.dead = &letters{cluster: ix.Kafka, output: o.Name, figures: f.figures, count: f.figures.dead}
	if err := f.dead.start(sending, cluster, produce, ix.DeadLetterTopic, o.Bulk.RetryMax.D(), log); err != nil {
		stop()
		return nil, fmt.Errorf("dead letters: %w", err)
	}
	out := elastic.Options{Config: o, Log: log, Figures: f.figures.output, Health: st.Need("elasticsearch " + o.Name), Dead: f.dead, Await: true}
	out.Install = func(ctx context.Context) error {
		return elastic.SetupOne(ctx, cfg, o, logLines{log}, elastic.SetupOptions{})
	}
	if ix.HeldTopic != "" {
		if err := f.hold(sending, cluster, produce, cfg, o); err != nil {
			stop()
			return nil, errors.Join(fmt.Errorf("held events: %w", err), f.dead.close())
		}
		out.Held = f.held
	}
	if f.output, err = elastic.New(sending, out); err != nil {
		stop()
		err = errors.Join(err, f.dead.close())
		if f.held != nil {
			err = errors.Join(err, f.held.close())
		}
		return nil, err
	}
	st.Section("output "+o.Name, f.status)
	return f, nil
}

// hold makes the part of a flow that keeps what only its own index refuses.
func (f *flow) hold(ctx context.Context, cluster *kafka.Cluster, produce kafka.ProducerOptions, cfg *config.Config, o *config.Output) (err error) {
	ix := &cfg.Indexer
	h := &held{flow: f, kafka: cluster, topic: ix.HeldTopic, pause: max(o.Bulk.RetryMax.D(), o.Bulk.RetryInitial.D()), claims: map[*kafka.Claim]*heldClaim{}}
	h.letters = letters{cluster: ix.Kafka, output: o.Name, held: true, figures: f.figures, count: f.figures.held}
	options := f.groupOptions
	options.Group, options.Topics = options.Group+"-held", []string{ix.HeldTopic}
	options.Buffer = max(options.Buffer/4, config.MiB)
	options.MemberFile = kafka.MemberFile(cfg.DataDir, "indexer", o.Name+"-held")
	if h.group, err = kafka.NewGroup(cluster, options, h); err != nil {
		return err
	}
	if err := h.start(ctx, cluster, produce, ix.HeldTopic, o.Bulk.RetryMax.D(), f.log); err != nil {
		return err
	}
	f.held = h
	return nil
}

// documents says how those for an output are made.
func documents(ix *config.Indexer, o *config.Output) (d document.Options, err error) {
	d.Original = ix.EventOriginal
	if d.Zone, err = time.LoadLocation(ix.Timezone); err != nil {
		return d, fmt.Errorf("timezone: %w", err)
	}
	for i, z := range ix.Timezones {
		zone, err := zone(z)
		if err != nil {
			return d, fmt.Errorf("timezones[%d]: %w", i, err)
		}
		d.Zones = append(d.Zones, zone)
	}
	if d.Pattern, err = document.NewPattern(o.Index); err != nil {
		return d, err
	}
	d.Days, err = days(o)
	return d, err
}

// zone is one of the zones that some events have.
func zone(c config.Timezone) (z document.Zone, err error) {
	if z.Location, err = time.LoadLocation(c.Timezone); err != nil {
		return z, err
	}
	for _, f := range []struct {
		key  string
		list []string
		to   *rule.Patterns
	}{{"app", c.App, &z.App}, {"dataset", c.Dataset, &z.Dataset}, {"host", c.Host, &z.Host}} {
		if *f.to, err = rule.ParsePatterns(f.list); err != nil {
			return z, fmt.Errorf("%s: %w", f.key, err)
		}
	}
	return z, nil
}

// days are those that an output's indices may be called by.
func days(o *config.Output) (document.Days, error) {
	zone, err := time.LoadLocation(o.IndexTimezone)
	if err != nil {
		return document.Days{}, fmt.Errorf("index_timezone: %w", err)
	}
	return document.Days{Zone: zone, MaxAge: o.MaxAge.D(), MaxAhead: o.MaxAhead.D()}, nil
}

// drainTimeout leaves a part of the time to stop for the last commit and for leaving,
// for which the group may take a second.
func drainTimeout(all time.Duration) time.Duration {
	return max(all/2, all-2*time.Second)
}
