// Package docker finds the containers of the local Docker daemon: from its events and
// lists, and from the directories of their logs.
package docker

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	dockerapi "github.com/fsouza/go-dockerclient"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sys/unix"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/admin"
	"github.com/sluicelog/sluice/internal/logonce"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/internal/retry"
	"github.com/sluicelog/sluice/internal/wake"
	"github.com/sluicelog/sluice/shipper/source"
)

// Daemon follows the containers of the local Docker daemon. Events are hints that make
// it quick; the list, every interval and after each connect, is the truth.
type Daemon struct {
	cfg    config.Docker
	judge  judge
	log    *slog.Logger
	reg    *metrics.Registry
	health *admin.Dependency
	sight  sight
	out    chan<- source.Change

	api     *api
	looking sync.WaitGroup // what run started
	lookout *lookout       // nil: the directory of the containers is not known, or cannot be watched
	seen    *lru.Cache[string, *inspected]
	known   map[string]state   // containers whose log is open, that were reported, or that are skipped
	asking  map[string]*asking // containers that are being inspected, or wait for it
	queue   []string           // of those that wait; some of them are gone by now
	jobs    chan string
	answers chan answer
	ill     logonce.States[string] // containers that cannot be inspected

	containers string          // directory of the containers, for us
	unwatched  bool            // that it cannot be watched was logged
	warned     map[string]bool // reasons for skipping that were logged
}

// state is what was last said of a container.
type state struct {
	runs     bool
	reported bool   // what it is was reported, or it is skipped
	path     string // of its log, for us; empty: it is not known yet
	skip     string // as in inspected
	lost     bool   // not reported, and not in the last list
}

const (
	inspectCache = 8192
	inspectors   = 4    // requests at a time
	eventsAhead  = 4096 // so that dockerd, which drops events that are not taken, need not wait for a list
	jsonFile     = "json-file"
	reconnectMin = time.Second
	reconnectMax = 15 * time.Second
)

// New makes a Daemon; an error means that cfg.Endpoint is none. apps name what runs in a
// container; health is kept up to date with whether the daemon answers, logs with whether
// what it writes is there for us to read.
func New(cfg config.Docker, apps source.AppRules, log *slog.Logger, reg *metrics.Registry, health, logs *admin.Dependency) (*Daemon, error) {
	a, err := newAPI(&cfg)
	if err != nil {
		return nil, err
	}
	seen, err := lru.New[string, *inspected](inspectCache)
	if err != nil {
		return nil, err
	}
	return &Daemon{
		cfg: cfg, judge: judge{&cfg, apps}, log: log, reg: reg, health: health, sight: sight{health: logs, log: log}, api: a, seen: seen,
		known: map[string]state{}, asking: map[string]*asking{}, jobs: make(chan string), answers: make(chan answer),
		warned: map[string]bool{},
	}, nil
}

// Run follows the daemon until ctx ends, whether it is there or not.
func (d *Daemon) Run(ctx context.Context, changes chan<- source.Change) {
	d.out = changes
	events := make(chan *dockerapi.APIEvents, eventsAhead)
	connected := wake.New()
	d.looking.Go(func() { d.stream(ctx, events, connected) })
	for range inspectors {
		d.looking.Go(func() { d.inspector(ctx) })
	}
	defer func() {
		d.looking.Wait()
		d.api.close()
		if d.lookout != nil {
			d.lookout.drop()
		}
	}()
	tick := time.NewTicker(d.cfg.ListInterval.D())
	defer tick.Stop()
	d.list(ctx)
	for {
		var jobs chan<- string
		var next string
		for len(d.queue) > 0 && d.asking[d.queue[0]] == nil {
			d.queue = d.queue[1:]
		}
		if len(d.queue) > 0 {
			jobs, next = d.jobs, d.queue[0]
		}
		var found <-chan struct{}
		if d.lookout != nil {
			found = d.lookout.ready
		}
		select {
		case <-ctx.Done():
			return
		case <-found:
			d.takeFound(ctx)
		case jobs <- next:
			d.queue = d.queue[1:]
		case a := <-d.answers:
			d.answered(ctx, a)
		case <-connected:
			d.list(ctx)
		case <-tick.C:
			d.list(ctx)
		case e := <-events:
			d.event(ctx, e)
		}
	}
}

// stream receives events, connecting again for ever. It reads the stream itself: the
// client's own listener, once its connection is reset, connects again without end.
func (d *Daemon) stream(ctx context.Context, events chan<- *dockerapi.APIEvents, connected wake.Signal) {
	backoff := retry.Backoff{First: reconnectMin, Longest: reconnectMax}
	for failed := 1; ctx.Err() == nil; failed++ {
		since := time.Now()
		err := d.api.events(ctx, events, connected)
		if ctx.Err() != nil {
			return
		}
		d.failed("events")
		d.down("events", err)
		if time.Since(since) > time.Minute {
			failed = 1
		}
		_ = retry.Wait(ctx, backoff.Pause(failed))
	}
}

func (d *Daemon) down(what string, err error) {
	if d.health.Fail(fmt.Errorf("%s: %w", what, err)) {
		d.log.Error("docker does not answer; files that are known are still followed", "endpoint", d.cfg.Endpoint, "request", what, "error", err)
	}
}

func (d *Daemon) up() {
	if d.health.OK() {
		d.log.Info("docker answers", "endpoint", d.cfg.Endpoint)
	}
}

// event acts on a hint.
func (d *Daemon) event(ctx context.Context, e *dockerapi.APIEvents) {
	d.reg.Counter(dockerEvents).Inc()
	id := cmp.Or(e.Actor.ID, e.ID)
	if e.Type != "" && e.Type != "container" || !containerID(id) {
		return
	}
	switch cmp.Or(e.Action, e.Status) {
	case "start", "restart":
		d.watch(ctx)
		d.changed(id)
		d.look(ctx, id, asking{runs: true, ran: true, hint: d.hint(id, e)})
	case "rename", "update":
		d.seen.Remove(id)
		d.changed(id)
		if was, ok := d.known[id]; ok {
			d.look(ctx, id, asking{runs: was.runs})
		}
	case "die":
		d.look(ctx, id, asking{ran: true, hint: d.hint(id, e)})
	case "destroy":
		d.gone(ctx, id)
	}
}

// list mends what events missed.
func (d *Daemon) list(ctx context.Context) {
	all, err := d.api.list(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		d.failed("list")
		d.down("list", err)
		return
	}
	d.up()
	d.root(ctx)
	d.watch(ctx)
	there := make(map[string]bool, len(all))
	var logs []string // of those that run
	for i := range all {
		id := all[i].ID
		there[id] = true
		runs := running(all[i].State)
		was := d.known[id]
		if !was.reported || was.runs != runs {
			d.look(ctx, id, asking{runs: runs})
		}
		if runs && was.path != "" && was.skip == "" {
			logs = append(logs, was.path)
		}
		if ctx.Err() != nil {
			return
		}
	}
	d.sight.check(d.containers, logs)
	for id, was := range d.known {
		switch {
		case there[id]:
		case !was.reported && !was.lost: // events that are not taken yet may say what it was
			was.lost = true
			d.known[id] = was
		default:
			d.gone(ctx, id)
		}
	}
	d.ill.Forget(func(id string) bool { return !there[id] })
}

func running(state string) bool {
	switch state {
	case "exited", "dead", "created", "removing":
		return false
	}
	return true
}

// root finds out once where the daemon keeps its containers.
func (d *Daemon) root(ctx context.Context) {
	if d.containers != "" {
		return
	}
	root, err := d.api.root(ctx)
	if err != nil {
		d.failed("info")
		return
	}
	d.containers = filepath.Join(d.judge.mapped(root), "containers")
}

// watch has new containers looked out for, as soon as there is a directory of them.
func (d *Daemon) watch(ctx context.Context) {
	if d.lookout != nil || d.containers == "" {
		return
	}
	l, err := newLookout(d.containers, d.judge, d.log)
	if err != nil {
		if !d.unwatched {
			d.unwatched = true
			d.log.Warn("logs of containers are not opened before Docker reports them; lists and new containers try again", "error", err)
		}
		return
	}
	late := d.unwatched
	d.lookout = l
	d.looking.Go(func() { l.run(ctx, late) })
}

// takeFound reports logs that the lookout opened.
func (d *Daemon) takeFound(ctx context.Context) {
	if d.lookout == nil {
		return
	}
	for _, s := range d.lookout.take() {
		was := d.known[s.id]
		switch {
		case s.what != nil && !was.reported:
			runs := true
			if a := d.asking[s.id]; a != nil {
				runs = a.runs
				delete(d.asking, s.id)
			}
			d.seen.Add(s.id, s.what)
			d.follow(ctx, s.id, s.what, runs, &s.Log)
		case was.skip != "":
			_ = unix.Close(s.FD)
		default:
			d.known[s.id] = state{runs: true, reported: was.reported}
			c := container{ID: s.id, Path: s.Path, Running: true}
			spec := c.spec(&d.cfg)
			spec.Hints.Pending = true
			d.send(ctx, source.Change{What: source.Came, Spec: spec, Log: &s.Log})
		}
		d.lookout.open.Add(-1)
	}
}

// follow reports a container, or that it is not to be followed; log is its
// log if it is open.
func (d *Daemon) follow(ctx context.Context, id string, in *inspected, runs bool, log *source.Log) {
	was := d.known[id]
	d.known[id] = state{runs: runs, reported: true, path: in.container.Path, skip: in.skip}
	if in.skip != "" {
		if log != nil {
			_ = unix.Close(log.FD)
		}
		if was.skip != in.skip {
			d.skipped(in)
			d.send(ctx, source.Change{What: source.Dropped, Spec: named(id)})
		}
		return
	}
	c := in.container
	c.Running = runs
	d.send(ctx, c.change(&d.cfg, log))
}

func (d *Daemon) skipped(in *inspected) {
	d.reg.Counter(skipped, in.skip).Inc()
	if !d.warned[in.skip] {
		d.warned[in.skip] = true
		d.log.Info("container is not followed, others like it are only counted", "reason", in.skip, "container", in.container.ID, "name", in.container.Info.ContainerName)
	}
}

// gone reports that a container was removed, after what was found of it.
func (d *Daemon) gone(ctx context.Context, id string) {
	d.takeFound(ctx)
	a := d.asking[id]
	if a != nil && a.hint != nil && !d.known[id].reported {
		d.follow(ctx, id, a.hint, false, nil)
	}
	missed := a != nil && a.ran && d.known[id].skip == ""
	delete(d.asking, id)
	d.seen.Remove(id)
	delete(d.known, id)
	d.ill.OK(id)
	change := source.Change{What: source.Gone, Spec: named(id)}
	if missed {
		change.What = source.Missed
	}
	d.send(ctx, change)
}

func named(id string) source.Spec { return source.Spec{Kind: source.KindDocker, Name: id} }

func (d *Daemon) send(ctx context.Context, c source.Change) {
	select {
	case d.out <- c:
	case <-ctx.Done():
		if c.Log != nil {
			_ = unix.Close(c.Log.FD)
		}
	}
}

func (d *Daemon) failed(request string) { d.reg.Counter(dockerErrors, request).Inc() }
