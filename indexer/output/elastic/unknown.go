package elastic

import (
	"bytes"
	"strings"
	"sync"
	"time"

	"github.com/sluicelog/sluice/indexer/bulk"
	"github.com/sluicelog/sluice/internal/jsontext"
	"github.com/sluicelog/sluice/schemas"
)

const (
	manyApps  = 3                // applications with one error that is not known: it is the cluster's, not theirs
	memory    = 10 * time.Minute // for which an application counts
	mostKinds = 100              // of errors that are remembered
)

// unknowns remembers which applications the errors have hit that are in no ruling: what
// hits one comes of what it writes, what hits many does not. Any number of goroutines
// may use it; the zero value is ready for use.
type unknowns struct {
	mu    sync.Mutex
	kinds map[string]map[string]time.Time // by error, by application: when it was hit last; guarded by mu
}

// hit notes that an error has hit an application, and reports whether it hits many.
func (u *unknowns) hit(why *Refusal, app string) bool {
	now, key := time.Now(), errorKey(why)
	u.mu.Lock()
	defer u.mu.Unlock()
	apps := u.kinds[key]
	if apps == nil {
		if u.kinds == nil || len(u.kinds) >= mostKinds {
			u.kinds = map[string]map[string]time.Time{}
		}
		apps = map[string]time.Time{}
		u.kinds[key] = apps
	}
	for a, at := range apps {
		if now.Sub(at) > memory {
			delete(apps, a)
		}
	}
	if _, ok := apps[app]; ok || len(apps) < manyApps {
		apps[app] = now
	}
	return len(apps) >= manyApps
}

// errorKey is what two errors of one kind have in common: the type, and of the text what
// is not of one document.
func errorKey(why *Refusal) string {
	var b strings.Builder
	b.WriteString(why.Kind)
	b.WriteByte(' ')
	closing := rune(0)
	for _, c := range why.Reason {
		switch {
		case b.Len() > 120:
			return b.String()
		case closing != 0:
			if c == closing {
				closing = 0
			}
		case c == '[':
			closing = ']'
		case c == '"', c == '\'':
			closing = c
		case c < '0' || c > '9':
			b.WriteRune(c)
		}
	}
	return b.String()
}

// appOf is the application that a document comes from, by the header of its record, by
// its own service.name, or else the topic that it was read from.
func appOf(it *bulk.Item, lines []byte) string {
	if app := it.Record.Headers.Get(schemas.HeaderApp); len(app) > 0 {
		return string(app)
	}
	_, document, _ := bytes.Cut(lines, []byte("\n"))
	var o jsontext.Object
	if !o.Read(document) {
		return it.Partition.Topic()
	}
	name := text(&o, schemas.FieldServiceName)
	if m, ok := o.Member("service"); ok && name == "" && o.Read(m.Value) {
		name = text(&o, "name")
	}
	if name == "" {
		return it.Partition.Topic()
	}
	return name
}

// spate counts the dead letters of each application. Any number of goroutines may use
// it; the zero value is ready for use.
type spate struct {
	mu      sync.Mutex
	since   time.Time      // of the minute; guarded by mu
	letters map[string]int // of the minute, by application; guarded by mu
}

const (
	spateLetters = 1000 // of one application in a minute: an alarm
	spateApps    = 1000 // that are counted
)

// more notes a letter, and returns how many there were in this minute if that is a spate,
// else 0.
func (s *spate) more(app string) int {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.since) > time.Minute || len(s.letters) > spateApps {
		s.since, s.letters = now, map[string]int{}
	}
	if s.letters[app]++; s.letters[app] < spateLetters {
		return 0
	}
	return s.letters[app]
}
