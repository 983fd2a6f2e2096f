package docker

import (
	"context"
	"errors"
	"maps"

	dockerapi "github.com/fsouza/go-dockerclient"
)

// asking is what is known of a container before Docker has said what it is.
type asking struct {
	runs  bool
	ran   bool       // an event says that it started or ended just now
	again bool       // it changed since it was asked for
	hint  *inspected // by the attributes of its events; nil: there were none
}

type answer struct {
	id  string
	in  *inspected // nil: it has no log yet
	err error
}

// look finds out what a container is and reports it.
func (d *Daemon) look(ctx context.Context, id string, now asking) {
	if in, ok := d.seen.Get(id); ok {
		d.follow(ctx, id, in, now.runs, nil)
		return
	}
	a := d.asking[id]
	if a == nil {
		d.asking[id] = &now
		d.queue = append(d.queue, id)
		return
	}
	a.runs, a.ran = now.runs, a.ran || now.ran
	if now.hint != nil {
		a.hint = now.hint
	}
}

// inspector asks what containers are, until ctx ends.
func (d *Daemon) inspector(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case id := <-d.jobs:
			a := answer{id: id}
			a.in, a.err = d.inspect(ctx, id)
			select {
			case d.answers <- a:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (d *Daemon) answered(ctx context.Context, r answer) {
	a := d.asking[r.id]
	if a == nil { // gone, which was reported
		return
	}
	var none *dockerapi.NoSuchContainer
	_, open := d.known[r.id]
	switch {
	case errors.As(r.err, &none) && open && a.hint == nil: // its events, or the next list, may say more
		delete(d.asking, r.id)
	case errors.As(r.err, &none):
		d.gone(ctx, r.id)
	case r.err != nil:
		delete(d.asking, r.id)
		if ctx.Err() == nil {
			d.broken(r.id, r.err)
		}
		// the next list tries again
	case a.again:
		a.again = false
		d.queue = append(d.queue, r.id)
	default:
		delete(d.asking, r.id)
		if r.in == nil { // it never ran, so there is no log yet
			return
		}
		d.seen.Add(r.id, r.in)
		d.mended(r.id)
		d.follow(ctx, r.id, r.in, a.runs, nil)
	}
}

// changed has a container inspected once more if that is under way.
func (d *Daemon) changed(id string) {
	if a := d.asking[id]; a != nil {
		a.again = true
	}
}

// inspect asks what a container is; nil if it has no log yet.
func (d *Daemon) inspect(ctx context.Context, id string) (*inspected, error) {
	c, err := d.api.inspect(ctx, id)
	if err != nil {
		return nil, err
	}
	what := &description{name: c.Name, image: c.Image}
	if c.Config != nil {
		what.env, what.labels, what.image = c.Config.Env, c.Config.Labels, c.Config.Image
	}
	if c.HostConfig != nil {
		what.driver = c.HostConfig.LogConfig.Type
	}
	for _, m := range c.Mounts {
		what.mounts = append(what.mounts, m.Source)
	}
	in := d.judge.of(c.ID, d.judge.mapped(c.LogPath), what)
	if in.skip == "" && c.LogPath == "" {
		return nil, nil
	}
	return in, nil
}

// broken counts a container that the daemon lists and cannot describe. That is logged of
// the container: the daemon may be well besides.
func (d *Daemon) broken(id string, err error) {
	d.failed("inspect")
	if d.ill.Failed(id, err.Error()) {
		d.log.Error("container cannot be inspected, each list tries again", "container", id, "error", err)
	}
}

func (d *Daemon) mended(id string) {
	if down, ended := d.ill.OK(id); ended {
		d.log.Info("container can be inspected again", "container", id, "after", down)
	}
}

// hint is what an event says of a container; nil: nothing.
func (d *Daemon) hint(id string, e *dockerapi.APIEvents) *inspected {
	attributes := e.Actor.Attributes
	if attributes["name"] == "" || d.lookout == nil || d.known[id].reported {
		return nil
	}
	labels := maps.Clone(attributes)
	for _, k := range []string{"name", "image", "exitCode", "execDuration"} { // Docker's own
		delete(labels, k)
	}
	return d.judge.of(id, d.lookout.path(id), &description{name: attributes["name"], image: attributes["image"], labels: labels})
}
