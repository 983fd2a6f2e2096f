package files

import (
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/sluicelog/sluice/internal/logonce"
	"github.com/sluicelog/sluice/internal/metrics"
)

var (
	globsEmpty = metrics.NewGauge("shipper_empty_globs", "globs", "Globs of shipper.files that match no file that is read")
	notRead    = metrics.NewGauge("shipper_unread_matches", "files", "What globs of shipper.files match and is not read: excluded and compressed files, directories, others (links to nothing, pipes, devices), links below a wildcard", "reason")
)

// Hit is what a glob matched when it was last expanded.
type Hit struct {
	Glob        string `json:"glob"`
	Files       int    `json:"files"` // that are read, rotated ones too
	Excluded    int    `json:"excluded,omitempty"`
	Compressed  int    `json:"compressed,omitempty"`
	Directories int    `json:"directories,omitempty"`
	Others      int    `json:"others,omitempty"`

	Links []string `json:"links,omitempty"` // that are not followed; the first of them
	Error string   `json:"error,omitempty"` // where it could not look
}

func (h *Hit) count(wanted, compressed bool) {
	switch {
	case !wanted:
		h.Excluded++
	case compressed:
		h.Compressed++
	default:
		h.Files++
	}
}

// nothing is why no file of the glob is read; empty: one is.
func (h *Hit) nothing() string {
	var only []string
	for _, k := range []struct {
		n    int
		what string
	}{{h.Excluded, "excluded files"}, {h.Compressed, "compressed files"}, {h.Directories, "directories"}, {h.Others, "links to nothing, pipes or devices"}, {len(h.Links), "links, which are not followed"}} {
		if k.n > 0 {
			only = append(only, k.what)
		}
	}
	switch {
	case h.Files > 0 || h.Error != "": // an error is logged as such
		return ""
	case len(only) == 0:
		return "it matches nothing"
	}
	return "it matches only " + strings.Join(only, " and ")
}

// hits are what the globs match, and what is wrong with it, which is logged once.
type hits struct {
	log             *slog.Logger
	empty           metrics.Gauge
	unread          map[string]metrics.Gauge
	linked          logonce.States[string] // by glob, as the next
	linkCount       int                    // in this scan
	failing, barren logonce.States[string] // by glob; owned by the Finder's Run
	now             []Hit                  // of this scan; owned as well

	mu   sync.Mutex
	done []Hit // guarded by mu
}

func newHits(log *slog.Logger, reg *metrics.Registry) *hits {
	h := &hits{log: log, empty: reg.Gauge(globsEmpty), unread: map[string]metrics.Gauge{}}
	for _, reason := range []string{"excluded", "compressed", "directory", "other", "link"} {
		h.unread[reason] = reg.Gauge(notRead, reason)
	}
	return h
}

// add takes what a glob matched; err is what was in the way.
func (s *hits) add(h Hit, err error) {
	if err != nil {
		h.Error = err.Error()
	}
	s.links(&h)
	s.now = append(s.now, h)
	if err == nil {
		if down, ended := s.failing.OK(h.Glob); ended {
			s.log.Info("files can be looked for again", "glob", h.Glob, "after", down)
		}
	} else if s.failing.Failed(h.Glob, err.Error()) {
		s.log.Error("cannot look for files", "glob", h.Glob, "error", err)
	}
	if why := h.nothing(); why == "" {
		if _, ended := s.barren.OK(h.Glob); ended && h.Files > 0 {
			s.log.Info("glob has files now", "glob", h.Glob, "files", h.Files)
		}
	} else if s.barren.Failed(h.Glob, why) {
		s.log.Warn("glob has no file to read", "glob", h.Glob, "reason", why)
	}
}

// mostLinks of a glob are shown.
const mostLinks = 20

// links logs links that are not followed, once for each glob and again if there are none for
// a while.
func (s *hits) links(h *Hit) {
	if len(h.Links) == 0 {
		s.linked.OK(h.Glob)
		return
	}
	slices.Sort(h.Links)
	h.Links = slices.Compact(h.Links)
	s.linkCount += len(h.Links)
	if s.linked.Failed(h.Glob, "") {
		s.log.Warn("links below the wildcard of a glob are not followed; follow_links: true of its entry follows those to regular files of the directory's owner or of root",
			"glob", h.Glob, "links", len(h.Links), "first", h.Links[0])
	}
	h.Links = h.Links[:min(len(h.Links), mostLinks)]
}

// scanned is called when all globs were expanded.
func (s *hits) scanned() {
	empty, unread := 0, map[string]int{}
	for _, h := range s.now {
		if h.Files == 0 {
			empty++
		}
		unread["excluded"] += h.Excluded
		unread["compressed"] += h.Compressed
		unread["directory"] += h.Directories
		unread["other"] += h.Others
	}
	unread["link"], s.linkCount = s.linkCount, 0
	s.empty.Set(float64(empty))
	for reason, n := range unread {
		s.unread[reason].Set(float64(n))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done, s.now = s.now, nil
}

// last is what was matched at the last scan.
func (s *hits) last() []Hit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done
}
