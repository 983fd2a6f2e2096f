package tail

import (
	"regexp"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/shipper/line"
	"github.com/sluicelog/sluice/shipper/source"
)

// several is which lines are one event, once for all sources of which that is the same.
type several struct {
	known map[config.Multiline]*line.Several
}

// of a source; nil: each line is an event.
func (s *several) of(base *config.Multiline, spec *source.Spec) *line.Several {
	m := spec.Multiline.Over(*base)
	if out, ok := s.known[m]; ok {
		return out
	}
	if s.known == nil {
		s.known = map[config.Multiline]*line.Several{}
	}
	out := &line.Several{MaxLines: max(m.MaxLines, 2), MaxBytes: int(m.MaxBytes), Timeout: m.Timeout.D()}
	switch re, err := regexp.Compile(m.Pattern); {
	case m.Pattern != "" && err == nil: // it was looked at where it is from
		out.Rule = &line.Pattern{Match: re, Negate: m.Negate, Before: m.Match == "before"}
	case m.Preset == "auto":
		out.Rule = line.NewTraces()
	case m.Preset == "none" || m.Preset == "":
		out = nil
	default:
		out.Rule = line.NewTraces(m.Preset)
	}
	s.known[m] = out
	return out
}
