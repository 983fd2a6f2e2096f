// Package files finds logs by the globs of the configuration.
package files

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/glob"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/internal/wake"
	"github.com/sluicelog/sluice/schemas"
	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/source"
)

// Finder expands the globs, every interval and when asked, and reports each path that
// matches.
type Finder struct {
	entries  []entry
	interval time.Duration
	ask      wake.Signal
	hits     *hits
	scanned  bool // once at least; owned by Run
}

// entry is an entry of shipper.files.
type entry struct {
	cfg     *config.Files
	paths   glob.List
	exclude glob.List
}

const scanPause = 100 * time.Millisecond // between two scans that were asked for

// New makes a Finder of shipper.files; an error names a glob that is none.
func New(cfg []config.Files, interval time.Duration, log *slog.Logger, reg *metrics.Registry) (*Finder, error) {
	s := &Finder{interval: interval, ask: wake.New(), hits: newHits(log, reg)}
	for i := range cfg {
		e := entry{cfg: &cfg[i]}
		var err error
		if e.paths, err = glob.ParseList(cfg[i].Paths); err == nil {
			e.exclude, err = glob.ParseList(cfg[i].Exclude)
		}
		if err != nil {
			return nil, fmt.Errorf("shipper.files[%d]: %w", i, err)
		}
		s.entries = append(s.entries, e)
	}
	return s, nil
}

// Look asks for a scan now.
func (s *Finder) Look() {
	s.ask.Raise()
}

// Run scans until ctx ends.
func (s *Finder) Run(ctx context.Context, changes chan<- source.Change) {
	tick := time.NewTicker(s.interval)
	defer tick.Stop()
	for {
		if !s.scan(ctx, changes) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(scanPause):
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.ask:
		}
	}
}

// scan reports what there is. The first time it begins with the files born first, since
// others may be copies of them.
func (s *Finder) scan(ctx context.Context, changes chan<- source.Change) bool {
	defer s.hits.scanned()
	var specs []source.Spec
	for i := range s.entries {
		specs = append(specs, s.entries[i].found(s.hits)...)
	}
	if !s.scanned {
		s.scanned = true
		byBirth(specs)
	}
	for _, spec := range specs {
		select {
		case changes <- source.Change{What: source.Came, Spec: spec}:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func byBirth(specs []source.Spec) {
	births := make(map[string]int64, len(specs))
	for i := range specs {
		if st, err := disk.StatPath(specs[i].Path); err == nil {
			births[specs[i].Path] = st.Birth
		}
	}
	slices.SortStableFunc(specs, func(a, b source.Spec) int { return cmp.Compare(births[a.Path], births[b.Path]) })
}

// found lists the sources that the entry's globs match now, by path. Rotated files belong
// to theirs; those with a number need not be matched themselves.
func (e *entry) found(out *hits) (specs []source.Spec) {
	matched, roots, listed := map[string]bool{}, map[string]string{}, listings{}
	var numbered []string
	for _, pattern := range e.paths {
		found, err := expand(pattern, listed, e.cfg.FollowLinks)
		hit := Hit{Glob: pattern.String(), Directories: found.directories, Others: found.others, Links: found.links}
		for i, p := range found.paths {
			if root, ok := roots[p]; !ok || len(found.roots[i]) < len(root) {
				roots[p] = found.roots[i]
			}
			wanted, ignored := !e.exclude.Match(p), ignoredName(p)
			matched[p] = matched[p] || wanted && !ignored
			hit.count(wanted, ignored)
		}
		numbered = append(numbered, found.numbered...)
		out.add(hit, err)
	}
	rotated := map[string][]string{}
	var live []string
	for p, ok := range matched {
		if !ok {
			continue
		}
		if base := baseOf(p, matched); base != p {
			rotated[base] = append(rotated[base], p)
		} else {
			live = append(live, p)
		}
	}
	for _, p := range numbered {
		if _, is := matched[p]; is || e.exclude.Match(p) {
			continue
		}
		if base := baseOf(p, matched); matched[base] {
			rotated[base] = append(rotated[base], p)
		}
	}
	slices.Sort(live)
	for _, p := range live {
		slices.Sort(rotated[p])
		specs = append(specs, e.spec(p, slices.Compact(rotated[p])))
		specs[len(specs)-1].Hints.Root, specs[len(specs)-1].Hints.FollowLinks = roots[p], e.cfg.FollowLinks
	}
	return specs
}

// baseOf is the matched path of which a path is a rotated file; the path itself if it is
// of none.
func baseOf(path string, matched map[string]bool) string {
	for at := path; ; {
		var ok bool
		if at, ok = source.Rotated(at); !ok {
			return path
		}
		if matched[at] {
			path = at
		}
	}
}

// containerPath finds the container in the path of a json-file log.
var containerPath = regexp.MustCompile(`/([0-9a-f]{64})-json\.log$`)

// spec is the source of a path.
func (e *entry) spec(path string, siblings []string) source.Spec {
	s := source.Spec{
		Kind: source.KindFile, Name: path, Path: path, Multiline: e.cfg.Multiline,
		Tags:  schemas.Source{ServiceName: e.cfg.App, Dataset: e.cfg.Dataset, Labels: e.cfg.Labels},
		Hints: source.Hints{FilePrefix: e.cfg.FilePrefix, Siblings: siblings, Exclude: e.exclude},
	}
	if e.cfg.Codec == "docker" {
		s.Decoder, s.Joiner, s.Hints.Sealed = source.JSONFile, source.Pieces, true
		if m := containerPath.FindStringSubmatch(path); m != nil {
			s.Kind, s.Name, s.Tags.ContainerID = source.KindDocker, m[1], m[1] // the same ids as through the Docker API
		}
	}
	return s
}

// Status is what each glob matched at the last scan, for /status.
func (s *Finder) Status() any { return s.hits.last() }

// ignoredName is of names that are never logs to be read: compressed ones.
func ignoredName(path string) bool {
	switch filepath.Ext(path) {
	case ".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip":
		return true
	}
	return false
}
