// Package source is the seam between what finds logs and what reads them. A discoverer
// (source/docker, source/files) runs on its own and sends what it finds as values; the
// tailer follows what a Spec describes and does not know who found it.
package source

import (
	"context"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/glob"
	"github.com/sluicelog/sluice/schemas"
	"github.com/sluicelog/sluice/shipper/disk"
)

// Kinds of source. The kind is part of a source's id, and the label of its metrics.
const (
	KindDocker = "docker"
	KindFile   = "file"
)

// Kinds are all there are; their metrics are there from the start.
var Kinds = []string{KindDocker, KindFile}

// Spec is all that is known of a source: one log as its writer sees it, with all the
// files that it is rotated into. It is a value, and what it refers to is not changed once
// it was sent.
type Spec struct {
	Kind      string           // with Name it is the source's id
	Name      string           // unique in its kind, and lasting: a container's id, a path
	Path      string           // of the file that is written to now
	Decoder   Decoder          // how a raw line becomes text
	Joiner    Joiner           // how several raw lines become one
	Multiline config.Multiline // which lines are one event, if not as shipper.multiline says
	Tags      schemas.Source   // what its events say; path, host, data centre and shipper.labels are added
	Hints     Hints            // what its discoverer knows that helps to follow it
}

// Key identifies the source.
func (s *Spec) Key() string { return s.Kind + " " + s.Name }

// Hints are what its discoverer knows of a source. All zero is a plain file.
type Hints struct {
	FilePrefix bool // file names stand before its lines

	Root        string // below it no link is followed to the source's files; empty: Path was named by who runs sluice, only its siblings were not
	FollowLinks bool   // links below Root are followed, to regular files that the owner of the directory, or root, owns

	Siblings []string  // rotated files that are not Path.1, Path.2 and so on; oldest first
	Exclude  glob.List // siblings that are not to be read
	Sealed   bool      // a file does not grow any more once there is a younger one

	EndReported bool // its end is reported; without that it ends when its files are gone
	Ended       bool // nobody writes to it now
	Pending     bool // what it is will be known later: until then it is opened, not read
	IfKnown     bool // it is not read at all unless it becomes known: it may be one that is not wanted
}

// Change is what a discoverer has to say of one source.
type Change struct {
	What What
	Spec Spec   // of a source that is gone or dropped Kind and Name are enough
	Log  *Log   // a file of it that is open already; nil: it is opened by its path
	Keep []byte // Changed: what a Keeper is to be given back at the next start; nil: nothing
}

// What has happened to a source.
type What uint8

const (
	Came    What = iota // it is there; if it was followed before, only its siblings are news
	Changed             // all of Spec is news, whether it was followed before or not
	Gone                // its writer is gone, and what can still be read of it is its rest
	Missed              // Gone, and it had something to say: if no file of it was opened, that is lost and counted
	Dropped             // it is not to be followed
)

// Log is an open file. Who takes the Change that it is in closes it.
type Log struct {
	Path string
	FD   int
	Stat disk.Stat
}

// Discoverer finds sources.
type Discoverer interface {
	// Run sends what it finds until ctx ends. What is in its way it logs, counts, and
	// tries again.
	Run(ctx context.Context, changes chan<- Change)
}

// Looker is a Discoverer that can be asked to look before its time, since names have
// come that nobody knows. Look never waits, and may be called from any goroutine.
type Looker interface{ Look() }

// Keeper is a Discoverer that knows at the start what it sent before: that is stored with
// the positions, so that sources are followed whether its server answers or not.
type Keeper interface {
	// Kept is the kind of the sources that are kept and the bucket they are stored in.
	Kept() (kind, bucket string)
	// Recall is given what was kept, by the names of the sources. It is called once,
	// before Run, and returns what is to be followed.
	Recall(kept map[string][]byte) []Change
}
