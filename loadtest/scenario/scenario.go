//go:build linux

// Package scenario breaks a running pipeline in a given way and judges what came of it.
package scenario

import (
	"bytes"
	_ "embed" // the scenarios that come with it
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	yaml "github.com/goccy/go-yaml"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/loadtest/generate"
)

// Scenario is a pipeline at work, what is done to it, and what is to come of it.
type Scenario struct {
	Name   string   `yaml:"name"`
	What   string   `yaml:"what"`   // is done, in words
	Expect string   `yaml:"expect"` // besides nothing missing, nothing doubled, order kept, counters that add up
	CI     bool     `yaml:"ci"`     // of those that every change must pass
	Steps  []Step   `yaml:"steps"`
	Shows  []Show   `yaml:"shows"` // figures that must have risen, or the fault did not bite
	Never  []string `yaml:"never"` // figures that must not have risen

	Long float64 `yaml:"long"` // Lengthen makes all times so many times as long
	Calm bool    `yaml:"calm"` // no other scenario breaks anything while its lines are written

	Rate      float64           `yaml:"rate"` // lines a second
	For       config.Duration   `yaml:"for"`  // lines are written this long
	Sources   int               `yaml:"sources"`
	Huge      int               `yaml:"huge"`       // one line in so many has 20 to 60 KB
	Files     string            `yaml:"files"`      // docker or plain
	Rotate    generate.Rotation `yaml:"rotate"`     // plain: rename, copytruncate, delete
	MaxSize   config.Bytes      `yaml:"max_size"`   // a file is rotated at this size; 0: never
	MaxFile   int               `yaml:"max_file"`   // files kept of one log
	Life      config.Duration   `yaml:"life"`       // of a container; 0: they last
	Patience  config.Duration   `yaml:"patience"`   // after the last line and step, so long without anything new means that nothing more will come
	MaxRSS    config.Bytes      `yaml:"max_rss"`    // no stage may take more memory
	SmallDisk config.Bytes      `yaml:"small_disk"` // positions are on a disk of this size; needs root
}

// Step is one thing that is done, once or several times.
type Step struct {
	At    config.Duration `yaml:"at"` // after the first line
	Every config.Duration `yaml:"every"`
	Times int             `yaml:"times"` // 0: once
	Do    string          `yaml:"do"`
	On    []string        `yaml:"on"`
	By    string          `yaml:"by"` // how much: a time, a size, a share or a status, as Do wants it
}

func (s Step) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", s.Do, strings.Join(s.On, ", "), s.By))
}

// DefaultScenario is what a scenario starts from.
func DefaultScenario() Scenario {
	return Scenario{Rate: 1000, For: config.Duration(8 * time.Second), Long: 2, Sources: 8, Huge: 500, Files: "docker", MaxFile: 20, MaxSize: 4 * config.MiB,
		Patience: config.Duration(2 * time.Minute), MaxRSS: 512 * config.MiB}
}

// Lengthen is the scenario in its long form.
func (s Scenario) Lengthen() Scenario {
	longer := func(d config.Duration) config.Duration { return config.Duration(float64(d) * s.Long) }
	s.For, s.Steps = longer(s.For), slices.Clone(s.Steps)
	for i := range s.Steps {
		s.Steps[i].At, s.Steps[i].Every = longer(s.Steps[i].At), longer(s.Steps[i].Every)
	}
	return s
}

// String says it in words, and its steps with their times.
func (s *Scenario) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n    does:    %s\n    expects: %s\n    steps:   %.0f lines a second for %v", s.Name, s.What, s.Expect, s.Rate, s.For)
	for _, m := range s.schedule() {
		fmt.Fprintf(&b, "; %v %s", m.at, m.step)
	}
	return b.String()
}

//go:embed scenarios.yaml
var builtin []byte

// Scenarios are those that come with sluice.
func Scenarios() []Scenario {
	s, err := ReadScenarios(bytes.NewReader(builtin))
	if err != nil {
		panic(err) // a test reads them
	}
	return s
}

// ReadScenarios reads a list of scenarios and checks their steps.
func ReadScenarios(r io.Reader) ([]Scenario, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var raw []yaml.RawMessage
	if err := yaml.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("read scenarios: %w", err)
	}
	var out []Scenario
	var errs []error
	for i, one := range raw {
		s := DefaultScenario()
		if err := yaml.UnmarshalWithOptions(one, &s, yaml.Strict(), duration, size); err != nil {
			errs = append(errs, fmt.Errorf("scenario %d: %w", i+1, err))
			continue
		}
		errs = append(errs, s.check())
		out = append(out, s)
	}
	return out, errors.Join(errs...)
}

// Durations and sizes are written as in sluice's configuration.
var (
	duration = yaml.CustomUnmarshaler(func(d *config.Duration, text []byte) (err error) {
		*d, err = config.ParseDuration(string(bytes.TrimSpace(text)))
		return err
	})
	size = yaml.CustomUnmarshaler(func(b *config.Bytes, text []byte) (err error) {
		*b, err = config.ParseBytes(string(bytes.TrimSpace(text)))
		return err
	})
)

// LoadScenarios reads a file.
func LoadScenarios(name string) ([]Scenario, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadScenarios(f)
}

func (s *Scenario) check() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("scenario %q: "+format, append([]any{s.Name}, args...)...))
	}
	if s.Name == "" || strings.Trim(s.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		bad("a name is of a-z, 0-9 and -")
	}
	if s.What == "" || s.Expect == "" {
		bad("what and expect are for people: say both")
	}
	if s.Calm && s.shared() {
		bad("it breaks what it wants to be calm")
	}
	if len(s.Never) > 0 && !s.Calm && !s.shared() {
		bad("never is for one that is calm: else others may raise %s", strings.Join(s.Never, ", "))
	}
	if s.Long < 1 {
		bad("long is %v: the long form is not shorter", s.Long)
	}
	if s.Files != "docker" && s.Files != "plain" {
		bad("files is %q, not docker or plain", s.Files)
	}
	for _, step := range s.Steps {
		targets, ok := verbs[step.Do]
		if !ok {
			bad("no step does %q", step.Do)
		}
		if len(step.On) == 0 {
			bad("%s on what?", step.Do)
		}
		for _, on := range step.On {
			if ok && !slices.Contains(targets, on) {
				bad("%s is for %s, not for %s", step.Do, strings.Join(targets, ", "), on)
			}
		}
	}
	return errors.Join(errs...)
}

var (
	processes = []string{"shipper", "aggregator", "indexer", "dc1", "central", "elasticsearch"}
	links     = []string{"shipper-dc1", "aggregator-dc1", "aggregator-central", "indexer-central", "indexer-es"}

	// verbs are what a step can do, and on what.
	verbs = map[string][]string{
		"kill":   processes,                                // kill -9
		"stop":   append([]string{"docker"}, processes...), // SIGTERM; a stage must end with 0 in time
		"start":  append([]string{"docker"}, processes...),
		"freeze": processes, // SIGSTOP
		"thaw":   processes,
		"join":   {"aggregator", "indexer"}, // one more member of the group
		"leave":  {"aggregator", "indexer"}, // the newest member goes

		"cut":       links, // connections end, new ones are refused
		"delay":     links, // by: each way takes so much longer
		"half-open": links, // nothing comes through any more, but connections stay
		"narrow":    links, // by: bytes a second
		"mend":      links,

		"refuse":       {"elasticsearch"}, // by: status, or status and share: 429 0.5
		"refuse-items": {"elasticsearch"}, // by: share of items answered 429
		"slow":         {"elasticsearch"}, // by: so many times
		"drop":         {"elasticsearch"}, // by: share of bulks carried out but not answered
		"behave":       {"elasticsearch"},
		"block":        {"elasticsearch"}, // read-only, as when its disk is full
		"unblock":      {"elasticsearch"},

		"delete":  {"positions"}, // of the shipper, which must not run
		"corrupt": {"positions"},
		"fill":    {"positions", "elasticsearch"}, // the disk; of positions: with small_disk
		"free":    {"positions", "elasticsearch"},

		"step":  {"clock"}, // by: so much ahead; of the whole machine
		"right": {"clock"},
	}

	// everyones is what all pipelines of a site share.
	everyones = append([]string{"dc1", "central", "elasticsearch"}, links...)
)

// shared reports whether it breaks what others need as well. A block is for its own indices.
func (s *Scenario) shared() bool {
	return slices.ContainsFunc(s.Steps, func(step Step) bool {
		return step.Do != "block" && step.Do != "unblock" && slices.ContainsFunc(step.On, func(on string) bool { return slices.Contains(everyones, on) })
	})
}

// stepsClock reports whether it steps the clock of the machine.
func (s *Scenario) stepsClock() bool {
	return slices.ContainsFunc(s.Steps, func(step Step) bool { return step.Do == "step" })
}

// moment is a step at its time.
type moment struct {
	at   time.Duration
	step Step
}

// schedule is all steps in their order.
func (s *Scenario) schedule() []moment {
	var out []moment
	for _, step := range s.Steps {
		for i := range max(1, step.Times) {
			out = append(out, moment{step.At.D() + time.Duration(i)*step.Every.D(), step})
		}
	}
	slices.SortStableFunc(out, func(a, b moment) int { return int(a.at - b.at) })
	return out
}
