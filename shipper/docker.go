package shipper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	docker "github.com/fsouza/go-dockerclient"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/admin"
)

// daemon follows the containers of the local Docker daemon and tells the tailer of
// them. Events are hints that make it quick; the list, every interval and after each
// connect, is the truth. Everything runs through one client and has a deadline.
type daemon struct {
	cfg    config.Docker
	log    *slog.Logger
	m      *meters
	health *admin.Dependency
	out    chan<- target

	client *docker.Client
	seen   *lru.Cache[string, *inspected]
	known  map[string]state  // containers that the tailer was told of or that are skipped
	ill    map[string]string // last error of containers that cannot be inspected
	warned map[string]bool   // reasons for skipping that were logged
	rooted bool
}

// state is what was last said of a container.
type state struct {
	runs bool
	skip string // as in inspected
}

// inspected is a container as inspect described it.
type inspected struct {
	container container
	skip      string // why it is not followed; empty: it is
}

const (
	inspectCache = 8192
	jsonFile     = "json-file"
	reconnectMin = time.Second
	reconnectMax = 15 * time.Second
)

func newDaemon(cfg config.Docker, log *slog.Logger, m *meters, health *admin.Dependency, out chan<- target) (*daemon, error) {
	client, err := docker.NewClient(cfg.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("docker endpoint %s: %w", cfg.Endpoint, err)
	}
	seen, err := lru.New[string, *inspected](inspectCache)
	if err != nil {
		return nil, err
	}
	return &daemon{cfg: cfg, log: log, m: m, health: health, out: out, client: client, seen: seen, known: map[string]state{}, ill: map[string]string{}, warned: map[string]bool{}}, nil
}

// run follows the daemon until ctx ends, whether it is there or not.
func (d *daemon) run(ctx context.Context) {
	events := make(chan *docker.APIEvents, 64)
	connected := make(chan struct{}, 1)
	streaming := make(chan struct{})
	go func() {
		defer close(streaming)
		d.stream(ctx, events, connected)
	}()
	defer func() { <-streaming }()
	tick := time.NewTicker(d.cfg.ListInterval.D())
	defer tick.Stop()
	d.list(ctx)
	for {
		select {
		case <-ctx.Done():
			return
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
func (d *daemon) stream(ctx context.Context, events chan<- *docker.APIEvents, connected chan<- struct{}) {
	pause := reconnectMin
	for ctx.Err() == nil {
		since := time.Now()
		err := d.receive(ctx, events, connected)
		if ctx.Err() != nil {
			return
		}
		d.m.dockerError("events")
		d.down("events", err)
		if time.Since(since) > time.Minute {
			pause = reconnectMin
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, reconnectMax)
	}
}

func (d *daemon) receive(ctx context.Context, events chan<- *docker.APIEvents, connected chan<- struct{}) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	query := url.Values{"filters": {`{"type":["container"],"event":["start","restart","die","destroy","rename","update"]}`}}
	deadline := time.AfterFunc(d.cfg.Timeout.D(), cancel) // until the answer starts
	res, err := d.get(ctx, "/events?"+query.Encode())
	if !deadline.Stop() && err == nil {
		err = context.DeadlineExceeded
		_ = res.Body.Close()
	}
	if err != nil {
		return err
	}
	defer res.Body.Close()
	select {
	case connected <- struct{}{}:
	default:
	}
	dec := json.NewDecoder(res.Body)
	for {
		e := &docker.APIEvents{}
		if err := dec.Decode(e); err != nil {
			return err
		}
		select {
		case events <- e:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// get asks for a path of the API through the client's transport.
func (d *daemon) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url(path), nil)
	if err != nil {
		return nil, err
	}
	res, err := d.client.HTTPClient.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("status %s", res.Status), res.Body.Close())
	}
	return res, nil
}

// url is where the client's transport finds a path of the API.
func (d *daemon) url(path string) string {
	if host, ok := strings.CutPrefix(d.cfg.Endpoint, "tcp://"); ok {
		return "http://" + host + path
	}
	if strings.HasPrefix(d.cfg.Endpoint, "http") {
		return strings.TrimSuffix(d.cfg.Endpoint, "/") + path
	}
	return "http://docker" + path // the transport dials the socket whatever the host
}

func (d *daemon) down(what string, err error) {
	if d.health.Fail(fmt.Errorf("%s: %w", what, err)) {
		d.log.Error("docker does not answer; files that are known are still followed", "endpoint", d.cfg.Endpoint, "request", what, "err", err)
	}
}

func (d *daemon) up() {
	if d.health.OK() {
		d.log.Info("docker answers", "endpoint", d.cfg.Endpoint)
	}
}

// event acts on a hint.
func (d *daemon) event(ctx context.Context, e *docker.APIEvents) {
	d.m.dockerEvents.Inc()
	id := first(e.Actor.ID, e.ID)
	if e.Type != "" && e.Type != "container" || !containerID(id) {
		return
	}
	switch first(e.Action, e.Status) {
	case "start", "restart":
		d.seen.Remove(id)
		d.look(ctx, id, true, true)
	case "rename", "update":
		d.seen.Remove(id)
		if was, ok := d.known[id]; ok {
			d.look(ctx, id, was.runs, false)
		}
	case "die":
		d.look(ctx, id, false, true)
	case "destroy":
		d.gone(ctx, id)
	}
}

// list mends what events missed.
func (d *daemon) list(ctx context.Context) {
	c, cancel := context.WithTimeout(ctx, d.cfg.Timeout.D())
	defer cancel()
	all, err := d.client.ListContainers(docker.ListContainersOptions{All: true, Context: c})
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		d.m.dockerError("list")
		d.down("list", err)
		return
	}
	d.up()
	d.root(ctx)
	there := make(map[string]bool, len(all))
	for i := range all {
		id := all[i].ID
		there[id] = true
		runs := running(all[i].State)
		if was, ok := d.known[id]; !ok || was.runs != runs {
			d.look(ctx, id, runs, false)
		}
		if ctx.Err() != nil {
			return
		}
	}
	for id := range d.known {
		if !there[id] {
			d.gone(ctx, id)
		}
	}
	maps.DeleteFunc(d.ill, func(id, _ string) bool { return !there[id] })
}

func running(state string) bool {
	switch state {
	case "exited", "dead", "created", "removing":
		return false
	}
	return true
}

// root tells the tailer once where the daemon keeps its containers.
func (d *daemon) root(ctx context.Context) {
	if d.rooted {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout.D()) // the client's own call has no deadline
	defer cancel()
	var info struct{ DockerRootDir string }
	res, err := d.get(ctx, "/info")
	if err == nil {
		err = errors.Join(json.NewDecoder(res.Body).Decode(&info), res.Body.Close())
	}
	if err != nil {
		d.m.dockerError("info")
		return
	}
	d.rooted = true
	if info.DockerRootDir != "" {
		d.tell(ctx, target{kind: kindDocker, root: filepath.Join(d.mapped(info.DockerRootDir), "containers")})
	}
}

// mapped is where a path of the daemon is for us.
func (d *daemon) mapped(path string) string {
	rest, ok := strings.CutPrefix(path, d.cfg.RootFrom)
	if d.cfg.RootFrom == "" || !ok || rest != "" && !strings.HasSuffix(d.cfg.RootFrom, "/") && rest[0] != '/' {
		return path
	}
	return filepath.Join(d.cfg.RootTo, rest)
}

// look finds out what a container is and tells the tailer. ran: an event says that it
// started or ended just now.
func (d *daemon) look(ctx context.Context, id string, runs, ran bool) {
	in, ok := d.seen.Get(id)
	if !ok {
		var err error
		in, err = d.inspect(ctx, id)
		var none *docker.NoSuchContainer
		switch {
		case errors.As(err, &none):
			delete(d.known, id)
			delete(d.ill, id)
			d.tell(ctx, target{kind: kindDocker, name: id, missed: ran, gone: true})
			return
		case err != nil:
			if ctx.Err() == nil {
				d.broken(id, err)
			}
			return // the next list tries again
		case in == nil:
			return // it never ran, so there is no log yet
		}
		d.seen.Add(id, in)
		d.mended(id)
	}
	was, told := d.known[id]
	d.known[id] = state{runs, in.skip}
	if in.skip != "" {
		if !told || was.skip != in.skip {
			d.skipped(in)
			d.tell(ctx, target{kind: kindDocker, name: id, drop: true})
		}
		return
	}
	c := in.container
	c.Running = runs
	d.tell(ctx, target{kind: kindDocker, name: id, container: &c})
}

func (d *daemon) skipped(in *inspected) {
	d.m.reg.Counter(skipped, in.skip).Inc()
	if !d.warned[in.skip] {
		d.warned[in.skip] = true
		d.log.Info("container is not followed, others like it are only counted", "reason", in.skip, "container", in.container.ID, "name", in.container.Info.ContainerName)
	}
}

// broken counts a container that the daemon lists and cannot describe. That is told of
// the container: the daemon may be well besides.
func (d *daemon) broken(id string, err error) {
	d.m.dockerError("inspect")
	if d.ill[id] != err.Error() {
		d.ill[id] = err.Error()
		d.log.Error("container cannot be inspected, each list tries again", "container", id, "err", err)
	}
}

func (d *daemon) mended(id string) {
	if _, was := d.ill[id]; was {
		delete(d.ill, id)
		d.log.Info("container can be inspected again", "container", id)
	}
}

func (d *daemon) gone(ctx context.Context, id string) {
	d.seen.Remove(id)
	delete(d.known, id)
	delete(d.ill, id)
	d.tell(ctx, target{kind: kindDocker, name: id, gone: true})
}

func (d *daemon) tell(ctx context.Context, t target) {
	select {
	case d.out <- t:
	case <-ctx.Done():
	}
}

// inspect asks what a container is; nil if it has no log yet.
func (d *daemon) inspect(ctx context.Context, id string) (*inspected, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout.D())
	defer cancel()
	c, err := d.client.InspectContainerWithOptions(docker.InspectContainerOptions{ID: id, Context: ctx})
	if err != nil {
		return nil, err
	}
	name := strings.TrimPrefix(c.Name, "/")
	var env []string
	var labels map[string]string
	image := c.Image
	if c.Config != nil {
		env, labels, image = c.Config.Env, c.Config.Labels, c.Config.Image
	}
	in := &inspected{container: container{ID: c.ID, Path: d.mapped(c.LogPath), Info: describe(name, image, env, labels, &d.cfg)}}
	driver := jsonFile
	if c.HostConfig != nil && c.HostConfig.LogConfig.Type != "" {
		driver = c.HostConfig.LogConfig.Type
	}
	switch {
	case driver != jsonFile:
		in.skip = "driver " + driver
	case optedOut(env, labels):
		in.skip = "opted out"
	case len(d.cfg.IncludeNames) > 0 && !matchNames(d.cfg.IncludeNames, name):
		in.skip = "not included"
	case matchNames(d.cfg.ExcludeNames, name):
		in.skip = "excluded"
	case c.LogPath == "":
		return nil, nil
	}
	return in, nil
}

func (m *meters) dockerError(request string) { m.reg.Counter(dockerErrors, request).Inc() }
