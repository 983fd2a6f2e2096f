package tail

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
)

// report gives the metrics what was counted, and the levels of now.
func (t *Tail) report() {
	for _, k := range t.roster.kinds {
		k.report()
	}
	l := t.levels
	l.joined.Add(float64(t.maker.Joined))
	l.holes.Add(float64(t.maker.Holes))
	t.maker.Joined, t.maker.Holes = 0, 0
	t.sender.Rules().Report()
	for i, n := range t.sender.Flagged() {
		l.flagged[i].Add(float64(n))
	}
	var lag, flight int64
	deleted := 0
	for _, f := range t.finder.files {
		lag += f.lag()
		flight += f.window().UnderWay()
		if !f.turn.queued {
			f.window().Shrink()
		}
		if !f.times.deleted.IsZero() && f.fd >= 0 {
			deleted++
		}
	}
	flight += t.finder.left.underWay()
	l.open.Set(float64(t.finder.fds.open))
	l.waiting.Set(float64(len(t.finder.fds.waiting)))
	l.most.Set(float64(t.finder.fds.limit))
	l.spool.Set(float64(t.reader.spool.used))
	l.deleted.Set(float64(deleted))
	l.lag.Set(float64(lag))
	l.flight.Set(float64(flight))
	l.unfinished.Set(float64(t.maker.Memory))
}

// Status is the sources and their files, for /status. It may be called from any
// goroutine while Run runs.
func (t *Tail) Status(ctx context.Context) any {
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

// sourceStatus is a source in /status.
type sourceStatus struct {
	Kind      string       `json:"kind"`
	Path      string       `json:"path"`
	Container string       `json:"container,omitempty"`
	Name      string       `json:"container_name,omitempty"`
	Service   string       `json:"service,omitempty"`
	Pending   bool         `json:"pending,omitempty"` // opened, waits to be described
	Waits     bool         `json:"waits,omitempty"`   // to be opened once there is a file descriptor
	Error     string       `json:"error,omitempty"`
	Replaced  int64        `json:"replaced_bytes,omitempty"`     // by U+FFFD, of text in another encoding than UTF-8
	Cut       int64        `json:"replaced_cut_bytes,omitempty"` // by U+FFFD, of characters between two pieces of a line
	Files     []fileStatus `json:"files"`
}

// fileStatus is a file in /status.
type fileStatus struct {
	Path    string `json:"path"`
	Inode   string `json:"inode"`
	Offset  int64  `json:"offset"` // acknowledged
	Read    int64  `json:"read"`
	Size    int64  `json:"size"`
	Lag     int64  `json:"lag_bytes"` // not acknowledged
	Open    bool   `json:"open"`
	Deleted bool   `json:"deleted,omitempty"`
	Error   string `json:"error,omitempty"`
}

func (t *Tail) status() any {
	out := make([]sourceStatus, 0, len(t.roster.sources))
	for _, s := range t.roster.sources {
		st := sourceStatus{
			Kind: s.spec.Kind, Path: s.spec.Path, Container: s.info.ContainerID, Name: s.info.ContainerName, Service: s.info.ServiceName,
			Pending: s.spec.Hints.Pending, Waits: s.waits, Error: s.sent.Problem(), Replaced: s.lost.Encoding, Cut: s.lost.Cut, Files: []fileStatus{},
		}
		if st.Error == "" {
			st.Error = s.problem.Reason()
		}
		if st.Error == "" && len(s.files) == 0 {
			st.Error = "there is no file under this path"
		}
		for _, f := range s.files {
			at, _ := f.window().Position()
			st.Files = append(st.Files, fileStatus{
				Path: f.path, Inode: strconv.FormatUint(f.id.Ino, 10), Offset: at, Read: f.text.Read, Size: f.extent.size,
				Lag: f.lag(), Open: f.fd >= 0, Deleted: !f.times.deleted.IsZero(), Error: f.problem.Reason(),
			})
		}
		out = append(out, st)
	}
	slices.SortFunc(out, func(a, b sourceStatus) int { return strings.Compare(a.Path, b.Path) })
	return out
}
