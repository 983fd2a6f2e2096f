package docker

import (
	"encoding/json"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/schemas"
	"github.com/sluicelog/sluice/shipper/source"
)

// bucket holds what is known of containers, by id.
const bucket = "containers"

// container is what is known of a container; it is kept with the positions, so that its
// files can be followed when the Docker daemon is away at start.
type container struct {
	ID      string         `json:"id"`
	Path    string         `json:"path"` // of its log, for us
	Running bool           `json:"running"`
	Info    schemas.Source `json:"info"` // what Docker says, without what our configuration adds
}

// spec is the container as a source.
func (c *container) spec(cfg *config.Docker) source.Spec {
	tags := c.Info
	tags.ContainerID, tags.Dataset = c.ID, cfg.Dataset
	return source.Spec{
		Kind: source.KindDocker, Name: c.ID, Path: c.Path, Decoder: source.JSONFile, Joiner: source.Pieces, Tags: tags,
		Hints: source.Hints{
			FilePrefix: cfg.FilePrefix, Sealed: true, EndReported: true,
			Ended: !c.Running, IfKnown: len(cfg.IncludeNames) > 0,
		},
	}
}

// change is all that is known of the container, log its log if it is open.
func (c *container) change(cfg *config.Docker, log *source.Log) source.Change {
	keep, err := json.Marshal(c)
	if err != nil { // cannot be: texts and a bool
		keep = nil
	}
	return source.Change{What: source.Changed, Spec: c.spec(cfg), Log: log, Keep: keep}
}

// Kept names where containers are stored.
func (d *Daemon) Kept() (kind, store string) { return source.KindDocker, bucket }

// Recall follows the containers that were known at the last stop; one that the first list
// has no more is gone.
func (d *Daemon) Recall(kept map[string][]byte) (changes []source.Change) {
	for id, v := range kept {
		c := &container{}
		if json.Unmarshal(v, c) != nil || c.ID != id {
			continue
		}
		d.known[id] = state{reported: true, path: c.Path}
		changes = append(changes, c.change(&d.cfg, nil))
	}
	return changes
}
