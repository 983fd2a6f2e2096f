package rule

import "sync"

// Source is what events of one source have in common.
type Source struct {
	App, Dataset, DC, Host, Topic string
	Labels                        map[string]string
}

func (s *Source) field(f Fields) string {
	switch f {
	case FieldApp:
		return s.App
	case FieldDataset:
		return s.Dataset
	case FieldDC:
		return s.DC
	case FieldHost:
		return s.Host
	}
	return s.Topic
}

// View is the rules that events of a source may match. Sources that the same rules are
// for share one. It may be used by several goroutines.
type View struct {
	rules   []*Rule
	scanner *scanner // of those with literals; nil: none has
	always  []uint64 // bits of the others, which are looked at for each event
}

// Empty reports that no event matches a rule; true for nil.
func (v *View) Empty() bool { return v == nil }

// Rules are those of the view, in their order; not to be changed.
func (v *View) Rules() []*Rule { return v.rules }

// views are those made so far, by the rules in them.
type views struct {
	mu   sync.Mutex
	made map[string]*View // guarded by mu
}

// mostViews bounds the memory, 13 KB a view: beyond it all are forgotten, and those in
// use live on with their sources.
const mostViews = 256

// View is the rules for a source; nil if there are none. It is made once a source, not
// once an event.
func (s *Set) View(of *Source) *View {
	if s.Len() == 0 {
		return nil
	}
	v := &View{}
	key := make([]byte, (len(s.rules)+7)/8)
	for _, r := range s.rules {
		if r.match.ofSource(of) {
			key[r.Index>>3] |= 1 << (r.Index & 7)
			v.rules = append(v.rules, r)
		}
	}
	if len(v.rules) == 0 {
		return nil
	}
	s.views.mu.Lock()
	defer s.views.mu.Unlock()
	if known := s.views.made[string(key)]; known != nil {
		return known
	}
	literals := map[int][]literal{}
	v.always = make([]uint64, (len(v.rules)+63)/64)
	for i, r := range v.rules {
		if t := r.match.text; t != nil && len(t.literals) > 0 {
			literals[i] = t.literals
		} else {
			v.always[i>>6] |= 1 << (i & 63)
		}
	}
	v.scanner = newScanner(literals)
	if s.views.made == nil || len(s.views.made) >= mostViews {
		s.views.made = map[string]*View{}
	}
	s.views.made[string(key)] = v
	return v
}
