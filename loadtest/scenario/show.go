package scenario

import (
	"fmt"
	"strconv"
	"strings"
)

// Show is a figure that proves that a fault bit, written as its name alone, when anything
// above 0 does, or with the least that does after it: latency_dc1 >= 8.
type Show struct {
	Figure string
	Least  float64 // 0: anything above 0
}

// UnmarshalYAML reads the text.
func (s *Show) UnmarshalYAML(text []byte) error {
	figure, least, floor := strings.Cut(strings.Trim(strings.TrimSpace(string(text)), `"'`), ">=")
	*s = Show{Figure: strings.TrimSpace(figure)}
	if !floor {
		return nil
	}
	var err error
	if s.Least, err = strconv.ParseFloat(strings.TrimSpace(least), 64); err != nil || s.Least <= 0 {
		return fmt.Errorf("%s: not a number above 0 after >=", text)
	}
	return nil
}

func (s Show) bites(n float64) bool { return n > 0 && n >= s.Least }

func (s Show) String() string {
	if s.Least == 0 {
		return s.Figure
	}
	return fmt.Sprintf("%s >= %g", s.Figure, s.Least)
}
