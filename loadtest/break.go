//go:build linux

package loadtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sluicelog/sluice/config"
)

// BreakOptions say what is broken.
type BreakOptions struct {
	Dir, Bin  string
	Scenarios []Scenario
}

// Break carries scenarios out one after another on one site. A scenario that fails is in
// the report; the error is of what kept one from being carried out.
func Break(ctx context.Context, o BreakOptions, progress Progress) (*Report, error) {
	report := NewReport(RunOptions{Bin: o.Bin})
	report.Title = "sluice: breaking it"
	done := 0 // scenarios
	say := func(text string) { progress(float64(done)/float64(len(o.Scenarios)), text) }
	report.Servers = append(report.Servers, elasticVersion)
	say("starting Kafka dc1, Kafka central and Elasticsearch")
	site, err := StartSite(ctx, SiteOptions{Dir: o.Dir, Bin: o.Bin, Elasticsearch: true, Links: true})
	if err != nil {
		return report, err
	}
	defer site.Close()
	var errs []error
	for i := range o.Scenarios {
		s := &o.Scenarios[i]
		done = i
		out, err := carryOut(ctx, site, s, say)
		if err != nil {
			errs = append(errs, fmt.Errorf("scenario %s: %w", s.Name, err))
		}
		if ctx.Err() != nil {
			break
		}
		if out != nil {
			report.Outcomes = append(report.Outcomes, out)
			say(out.String() + "\n")
		}
		if err := site.whole(ctx); err != nil {
			errs = append(errs, fmt.Errorf("after scenario %s: %w", s.Name, err))
			break
		}
	}
	report.finish()
	return report, errors.Join(errs...)
}

// whole undoes what a scenario may have left.
func (s *Site) whole(ctx context.Context) error {
	errs := []error{}
	for _, l := range s.Links {
		errs = append(errs, l.Mend())
	}
	s.Front.Set(Trouble{})
	for _, name := range []string{"dc1", "central", "elasticsearch"} {
		p := s.server(name)
		p.Resume()
		if !p.Running() {
			errs = append(errs, p.Restart(ctx))
		}
	}
	return errors.Join(errs...)
}

// server is a real server by its name.
func (s *Site) server(name string) interface {
	Kill() error
	Stop() error
	Pause() error
	Resume() error
	Restart(context.Context) error
	Running() bool
} {
	switch name {
	case "dc1":
		return s.DC1.Nodes[0]
	case "central":
		return s.Central.Nodes[0]
	case "elasticsearch":
		return s.ES.Process
	}
	return nil
}

// trial is a scenario being carried out. It is for one goroutine.
type trial struct {
	*Scenario
	site     *Site
	live     *Live
	members  []string // joined later, newest last
	problems []string
	filler   string
}

func carryOut(ctx context.Context, site *Site, s *Scenario, say func(string)) (*Outcome, error) {
	out := &Outcome{Name: s.Name, What: s.What, Expect: s.Expect}
	t := &trial{Scenario: s, site: site, live: &Live{
		Site: site, Plan: &Plan{Name: fmt.Sprintf("%s-%d", s.Name, time.Now().Unix()%1e6), Partitions: 4, Gzip: -1},
		Workload: Workload{Seed: 1, Sources: s.Sources, Skew: 0.7, HugeOf: s.Huge, Life: s.Life.D()},
		Pace:     Pace{Rate: s.Rate, For: s.For.D()}, Plain: s.Files == "plain", Rotate: s.Rotate, MaxSize: int64(s.MaxSize), MaxFile: s.MaxFile,
	}}
	if s.SmallDisk > 0 {
		undo, why := t.smallDisk()
		if why != "" {
			out.Skipped = why
			return out, nil
		}
		defer undo()
	}
	passed, refused, items, dropped := site.Front.did.counts()
	say(s.Name + ": starting")
	defer t.live.Close()
	if err := t.live.Start(ctx); err != nil {
		return nil, err
	}
	if err := t.play(ctx, say); err != nil {
		return nil, err
	}
	calm := time.Now()
	if err := t.live.Await(ctx, s.Patience.D(), say); err != nil {
		return nil, err
	}
	out.Recovery = time.Since(calm)
	shown := t.figures(ctx)
	lived, err := t.live.Finish(ctx)
	if err != nil {
		return nil, err
	}
	p2, r2, i2, d2 := site.Front.did.counts()
	shown["passed"], shown["refused"], shown["refused_items"], shown["dropped"] = p2-passed, r2-refused, i2-items, d2-dropped
	t.judge(out, lived, shown)
	return out, nil
}

func (f *FrontStats) counts() (passed, refused, items, dropped float64) {
	return float64(f.Passed.Load()), float64(f.Refused.Load()), float64(f.RefusedItems.Load()), float64(f.Dropped.Load())
}

// play writes lines and does the steps meanwhile.
func (t *trial) play(ctx context.Context, say func(string)) error {
	wrote := make(chan error, 1)
	start := time.Now()
	go func() { wrote <- t.live.Write(ctx) }()
	var failed error
	for _, m := range t.schedule() {
		sleep(ctx, m.at-time.Since(start))
		if ctx.Err() != nil {
			break
		}
		say(fmt.Sprintf("%s: %s %s %s", t.Name, m.step.Do, strings.Join(m.step.On, ", "), m.step.By))
		for _, on := range m.step.On {
			if err := t.do(ctx, m.step, on); err != nil && failed == nil {
				failed = fmt.Errorf("%s %s at %v: %w", m.step.Do, on, m.at, err)
			}
		}
	}
	return errors.Join(<-wrote, failed, ctx.Err())
}

// do carries one step out on one thing.
func (t *trial) do(ctx context.Context, s Step, on string) error {
	if l := t.site.Links[on]; l != nil {
		return t.network(l, s)
	}
	if on == "docker" {
		if s.Do == "stop" {
			return t.live.daemon.Pause()
		}
		return t.live.daemon.Resume()
	}
	if on == "positions" {
		return t.positions(s)
	}
	if s.Do == "join" || s.Do == "leave" {
		return t.member(s, on)
	}
	if g := t.live.Stages[on]; g != nil {
		return t.stage(s, g)
	}
	if p := t.site.server(on); p != nil {
		switch s.Do {
		case "kill":
			return p.Kill()
		case "stop":
			return p.Stop()
		case "start":
			return p.Restart(ctx)
		case "freeze":
			return p.Pause()
		case "thaw":
			return p.Resume()
		}
	}
	return t.elastic(ctx, s)
}

func (t *trial) stage(s Step, g *Stage) error {
	switch s.Do {
	case "kill":
		g.Kill()
	case "stop":
		if took, err := g.Stop(shutdownTimeout + 2*time.Second); err != nil {
			t.problems = append(t.problems, fmt.Sprintf("stop: %v (after %v)", err, took))
		}
	case "start":
		return g.Start()
	case "freeze":
		g.Signal(syscall.SIGSTOP)
	case "thaw":
		g.Signal(syscall.SIGCONT)
	}
	return nil
}

func (t *trial) member(s Step, role string) error {
	if s.Do == "join" {
		g, err := t.site.Stage(role, t.live.Plan, len(t.members)+2)
		if err != nil {
			return err
		}
		t.members = append(t.members, g.Name)
		t.live.Stages[g.Name] = g
		return g.Start()
	}
	for i, name := range slices.Backward(t.members) {
		if g := t.live.Stages[name]; g.Role == role && g.Running() {
			_, err := g.Stop(shutdownTimeout + 2*time.Second)
			if err != nil {
				t.problems = append(t.problems, fmt.Sprintf("leave: %v", err))
			}
			delete(t.live.Stages, name)
			t.members = slices.Delete(t.members, i, i+1)
			return nil
		}
	}
	return fmt.Errorf("no member of %s is left but the first", role)
}

func (t *trial) network(l *Link, s Step) error {
	switch s.Do {
	case "cut":
		l.Cut()
		return nil
	case "delay":
		d, err := config.ParseDuration(s.By)
		if err != nil {
			return err
		}
		return l.Delay(d.D())
	case "half-open":
		return l.HalfOpen()
	case "narrow":
		b, err := config.ParseBytes(s.By)
		if err != nil {
			return err
		}
		return l.Narrow(int64(b))
	}
	if s.Do == "mend" {
		return l.Mend()
	}
	return fmt.Errorf("no link can %s", s.Do)
}

func (t *trial) elastic(ctx context.Context, s Step) error {
	number := func(i int) float64 {
		if f := strings.Fields(s.By); i < len(f) {
			n, _ := strconv.ParseFloat(f[i], 64)
			return n
		}
		return 0
	}
	front := t.site.Front
	switch s.Do {
	case "refuse":
		front.Set(Trouble{Status: int(number(0)), Share: number(1)})
	case "refuse-items":
		front.Set(Trouble{Items: number(0)})
	case "slow":
		front.Set(Trouble{Slow: number(0)})
	case "drop":
		front.Set(Trouble{Drop: number(0)})
	case "behave":
		front.Set(Trouble{})
	case "block", "unblock":
		_, err := Elastic{t.site.ES.URL}.Call(ctx, "PUT", "/"+t.live.Plan.Index()+"-*/_settings",
			map[string]string{"block": `{"index.blocks.read_only_allow_delete":true}`, "unblock": `{"index.blocks.read_only_allow_delete":null}`}[s.Do])
		return err
	default:
		return fmt.Errorf("nothing there can %s", s.Do)
	}
	return nil
}

// dataDir is where the shipper keeps its positions.
func (t *trial) dataDir() string {
	return orElse(t.live.Plan.Positions, filepath.Join(t.site.Dir, t.live.Plan.Name, "data"))
}

func (t *trial) positions(s Step) error {
	if s.Do == "fill" {
		return t.fill()
	}
	if s.Do == "free" {
		return os.Remove(t.filler)
	}
	if t.live.Stages["shipper"].Running() {
		return fmt.Errorf("the shipper still runs")
	}
	n := 0
	err := filepath.WalkDir(t.dataDir(), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		if s.Do == "delete" {
			return os.Remove(path)
		}
		return scribble(path)
	})
	if err == nil && n == 0 {
		err = fmt.Errorf("no file in %s", t.dataDir())
	}
	return err
}

// scribble overwrites the whole file but its length with noise.
func scribble(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	noise := make([]byte, info.Size())
	for i := range noise {
		noise[i] = byte(mix(uint64(i)))
	}
	return os.WriteFile(path, noise, info.Mode())
}

// smallDisk mounts one for the positions.
func (t *trial) smallDisk() (undo func(), why string) {
	dir := filepath.Join(t.site.Dir, "small")
	if err := makeDir(dir); err != nil {
		return nil, err.Error()
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", t.SmallDisk)); err != nil {
		return nil, fmt.Sprintf("mount a small disk: %v", err)
	}
	t.live.Plan.Positions = filepath.Join(dir, "data")
	return func() {
		t.live.Close() // nobody may be in it
		syscall.Unmount(dir, 0)
	}, ""
}

// fill writes to the disk of the positions until nothing fits any more.
func (t *trial) fill() error {
	t.filler = filepath.Join(filepath.Dir(t.dataDir()), "filler")
	f, err := os.Create(t.filler)
	if err != nil {
		return err
	}
	defer f.Close()
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 4
		} else if err != nil {
			return err
		}
	}
	return nil
}

// figures of all stages that run, summed.
func (t *trial) figures(ctx context.Context) Figures {
	sum := Figures{}
	for _, g := range t.live.Stages {
		f, err := g.Figures(ctx)
		if err != nil {
			continue // Finish tells of it
		}
		for name, v := range f {
			sum[name] += v
		}
	}
	return sum
}

// judge compares what came of it with what was expected.
func (t *trial) judge(out *Outcome, lived *Lived, shown Figures) {
	out.Lived, out.Lines = lived, lived.Lines
	out.Problems = append(t.problems, lived.Problems()...)
	for at, v := range lived.Verdicts {
		out.Doubled += v.Doubled
		shown["repeated_"+at] = float64(v.Repeated)
	}
	out.Missing = lived.Verdicts["elasticsearch"].Missing
	out.Repeated = lived.Verdicts["central"].Repeated
	for name, u := range lived.Usage {
		out.PeakRSS = max(out.PeakRSS, u.PeakRSS)
		if u.PeakRSS > int64(t.MaxRSS) {
			out.Problems = append(out.Problems, fmt.Sprintf("%s took %d MiB of memory, more than %v", name, u.PeakRSS>>20, t.MaxRSS))
		}
	}
	out.Problems = append(out.Problems, lived.Losses...)
	for _, name := range t.Shows {
		if shown[name] == 0 {
			out.Problems = append(out.Problems, fmt.Sprintf("the fault did not bite: %s is 0", name))
		}
	}
}
