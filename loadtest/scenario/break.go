//go:build linux

package scenario

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/loadtest/balance"
	"github.com/sluicelog/sluice/loadtest/fakes"
	"github.com/sluicelog/sluice/loadtest/generate"
	"github.com/sluicelog/sluice/loadtest/report"
	"github.com/sluicelog/sluice/loadtest/site"
	"github.com/sluicelog/sluice/loadtest/wait"
	"github.com/sluicelog/sluice/test/servers"
)

// BreakOptions say what is broken.
type BreakOptions struct {
	Dir          string // for everything that is written
	Sluice, Self string // programs: the sluice under test, and this one
	Scenarios    []Scenario
	Lanes        int  // scenarios at a time; 0: one
	Clock        bool // the clock of the machine may be stepped
}

// breaker carries scenarios out in lanes on one site. Each has stages, topics, an index and
// files of its own. Of those that break what all share, one plays at a time, and nobody
// starts or is judged meanwhile; lines of the others go on, so faults overlap, which makes
// it harder for sluice and changes nothing that is expected.
type breaker struct {
	BreakOptions
	site   *site.Site
	giveUp context.CancelCauseFunc
	whole  sync.RWMutex // held by those who need whole servers, or alone to break them

	mu       sync.Mutex
	say      func(done int, text string) // for one at a time
	done     int
	outcomes []*report.Outcome // by scenario; nil: not carried out
}

// Break carries scenarios out. One that fails is in the report; the error is of what kept
// it from going on.
func Break(ctx context.Context, o BreakOptions, progress report.Progress) (*report.Report, error) {
	found := report.NewReport("sluice: breaking it", o.Sluice)
	found.Servers = append(found.Servers, report.ElasticVersion)
	b := &breaker{BreakOptions: o, outcomes: make([]*report.Outcome, len(o.Scenarios))}
	b.say = func(done int, text string) { progress(float64(done)/float64(len(o.Scenarios)), text) }
	b.tell("starting Kafka dc1, Kafka central and Elasticsearch")
	whole, err := site.Start(ctx, site.Options{Dir: o.Dir, Sluice: o.Sluice, Elasticsearch: true, Links: true, Brief: true})
	if err != nil {
		return found, err
	}
	defer whole.Close()
	b.site = whole
	// One template for all: an index without it costs Elasticsearch several times as much.
	if err := whole.Setup(ctx, &site.Plan{Name: "setup", Prefix: "lt", Target: whole.Elastic(), Refresh: "1s", Gzip: -1}); err != nil {
		return found, err
	}
	ctx, b.giveUp = context.WithCancelCause(ctx)
	defer b.giveUp(nil)
	b.run(ctx)
	found.Outcomes = slices.DeleteFunc(b.outcomes, func(o *report.Outcome) bool { return o == nil })
	found.Finish()
	return found, context.Cause(ctx)
}

// run has all scenarios carried out: in one lane those that break what all share, or in two
// of four, so that one starts while the other plays. A step of the clock is for all lanes,
// so it comes last.
func (b *breaker) run(ctx context.Context) {
	shared, own, last := make(chan int, len(b.Scenarios)), make(chan int, len(b.Scenarios)), make(chan int, len(b.Scenarios))
	for i := range b.Scenarios {
		switch s := &b.Scenarios[i]; {
		case s.stepsClock():
			last <- i
		case s.shared():
			shared <- i
		default:
			own <- i
		}
	}
	close(shared)
	close(own)
	close(last)
	lane := func(queues ...chan int) {
		for _, q := range queues {
			for i := range q {
				b.carryOut(ctx, i)
			}
		}
	}
	var lanes sync.WaitGroup
	for n := range max(1, b.Lanes) {
		if n < max(1, b.Lanes/2) {
			lanes.Go(func() { lane(shared, own) })
		} else {
			lanes.Go(func() { lane(own) })
		}
	}
	lanes.Wait()
	lane(last)
}

// tell is for all lanes.
func (b *breaker) tell(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.say(b.done, text)
}

// bites is how often a scenario is carried out whose fault does not bite: whether something
// is under way at the moment of a kill is chance, on a slow machine above all.
const bites = 3

// carryOut carries one scenario out, unless it is over.
func (b *breaker) carryOut(ctx context.Context, i int) {
	s := &b.Scenarios[i]
	for n := 1; ctx.Err() == nil; n++ {
		out := &report.Outcome{Name: s.Name, What: s.What, Expect: s.Expect, Shown: balance.Figures{}}
		if err := b.try(ctx, s, out); ctx.Err() != nil {
			return
		} else if err != nil {
			out.Problems = append(out.Problems, fmt.Sprintf("not carried out to the end: %v", err))
		}
		if out.OK() && len(out.Blunt) > 0 && n < bites {
			b.tell(fmt.Sprintf("%s: once more, for the fault did not bite: %s", s.Name, strings.Join(out.Blunt, ", ")))
			continue
		}
		for _, figure := range out.Blunt {
			out.Problems = append(out.Problems, "the fault did not bite: "+figure)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.outcomes[i] = out
		b.done++
		b.say(b.done, out.String()+"\n")
		return
	}
}

// trial is a scenario being carried out. It is for one goroutine.
type trial struct {
	*Scenario
	*breaker
	live     *site.Live
	members  []string      // joined later, newest last
	joined   int           // so far
	waited   time.Duration // of steps for what they need: all later ones are so much later
	clock    *clockStep    // while it is wrong
	rise     rise
	shown    balance.Figures    // what the play raised
	took     map[string]float64 // by role: partitions assigned to joined members when one of the first was frozen
	problems []string
	filler   string
}

func (b *breaker) try(ctx context.Context, s *Scenario, out *report.Outcome) error {
	t := &trial{Scenario: s, breaker: b, shown: balance.Figures{}, took: map[string]float64{}, live: &site.Live{
		Site: b.site, Plan: &site.Plan{Name: fmt.Sprintf("%s-%d", s.Name, time.Now().Unix()%1e6), Target: b.site.Elastic(), Partitions: 4, Gzip: -1},
		Workload: generate.Workload{Seed: 1, Sources: s.Sources, Skew: 0.7, HugeOf: s.Huge, Life: s.Life.D()},
		Pace:     generate.Pace{Rate: s.Rate, For: s.For.D()}, Plain: s.Files == "plain", Rotate: s.Rotate, MaxSize: int64(s.MaxSize), MaxFile: s.MaxFile,
		Poll: 500 * time.Millisecond,
	}}
	if s.stepsClock() {
		if out.Skipped = clockKept(); !b.Clock {
			out.Skipped = "the clock of the whole machine is stepped with --clock only"
		}
	}
	if s.SmallDisk > 0 {
		var undo func()
		if undo, out.Skipped = t.smallDisk(); undo != nil {
			defer undo()
		}
	}
	if out.Skipped != "" {
		return nil
	}
	b.tell(s.Name + ": starting")
	defer t.live.Close()
	if err := t.start(ctx); err != nil {
		return err
	}
	if err := t.perform(ctx, out); err != nil {
		return err
	}
	return t.finish(ctx, out)
}

func (t *trial) start(ctx context.Context) error {
	t.whole.RLock()
	defer t.whole.RUnlock()
	return t.live.Start(ctx)
}

func (t *trial) finish(ctx context.Context, out *report.Outcome) error {
	t.whole.RLock()
	defer t.whole.RUnlock()
	lived, err := t.live.Finish(ctx)
	if err != nil {
		return err
	}
	if t.stepsClock() {
		lived.Latency = nil // it was measured with that clock
	}
	t.judge(out, lived)
	return nil
}

// perform plays and waits for the lines. Whoever breaks what all share takes its figures
// while nobody else does, so they are its own; the figures of one that is calm are its own as
// well, up to the last line.
func (t *trial) perform(ctx context.Context, out *report.Outcome) error {
	if t.shared() {
		if err := t.playAlone(ctx); err != nil {
			return err
		}
		return t.await(ctx, out)
	}
	if t.Calm {
		t.whole.RLock()
		defer t.whole.RUnlock()
	}
	if err := t.play(ctx); err != nil {
		return err
	}
	if err := t.await(ctx, out); err != nil {
		return err
	}
	t.show(ctx)
	return nil
}

// playAlone is for a scenario that breaks what all share, which is whole again at its end.
func (t *trial) playAlone(ctx context.Context) error {
	t.whole.Lock()
	defer t.whole.Unlock()
	defer func() {
		if mended := t.site.Mend(ctx); mended != nil {
			t.giveUp(fmt.Errorf("after scenario %s: %w", t.Name, mended))
		}
	}()
	before := t.site.Front.Did().Figures()
	err := t.play(ctx)
	for name, n := range t.site.Front.Did().Figures() {
		t.shown[name] = n - before[name]
	}
	if err == nil {
		_ = wait.Until(ctx, 30*time.Second, func() error { // a request that was broken may yet be tried again
			t.show(ctx)
			return t.due()
		})
	}
	return err
}

// due is an error if a counter that is to show has not risen. What the lines say comes last.
func (t *trial) due() error {
	for _, show := range t.Shows {
		if strings.HasPrefix(show.Figure, "sluice_") && !show.bites(t.shown[show.Figure]) {
			return fmt.Errorf("%s is %.4g", show, t.shown[show.Figure])
		}
	}
	return nil
}

// show takes the figures that have risen since the start of the play.
func (t *trial) show(ctx context.Context) {
	maps.Copy(t.shown, t.rise.figures(ctx, t.live.Stages))
	for at, n := range t.live.Repeated() {
		t.shown["repeated_"+at] = float64(n)
	}
}

func (t *trial) await(ctx context.Context, out *report.Outcome) error {
	last := time.Now()
	err := t.live.Await(ctx, t.Patience.D(), t.tell)
	out.Recovery = time.Since(last)
	return err
}

// play writes lines and does the steps meanwhile.
func (t *trial) play(ctx context.Context) (err error) {
	if err := t.rise.begin(ctx, t.live.Stages); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.rightClock()) }()
	wrote := make(chan error, 1)
	start := time.Now()
	go func() { wrote <- t.live.Write(ctx) }()
	var failed error
	for _, m := range t.schedule() {
		wait.Sleep(ctx, m.at+t.waited-time.Since(start))
		if ctx.Err() != nil {
			break
		}
		t.tell(t.Name + ": " + m.step.String())
		for _, on := range m.step.On {
			if err := t.do(ctx, m.step, on); err != nil && failed == nil {
				failed = fmt.Errorf("%s %s at %v: %w", m.step.Do, on, m.at, err)
			}
		}
	}
	return errors.Join(<-wrote, failed, ctx.Err())
}

func (t *trial) rightClock() error {
	if t.clock == nil {
		return nil
	}
	err := t.clock.right()
	t.clock = nil
	return err
}

// do carries one step out on one thing.
func (t *trial) do(ctx context.Context, s Step, on string) error {
	if l := t.site.Links[on]; l != nil {
		return t.network(l, s)
	}
	switch {
	case on == "docker" && s.Do == "stop":
		return t.live.Daemon.Pause()
	case on == "docker":
		return t.live.Daemon.Resume()
	case on == "clock":
		return t.stepClock(s)
	case on == "positions":
		return t.positions(s)
	case s.Do == "join" || s.Do == "leave":
		return t.member(ctx, s, on)
	}
	if g := t.live.Stages[on]; g != nil {
		return t.stage(ctx, s, g)
	}
	if p := t.site.Process(on); p != nil {
		if !p.Running() && slices.Contains([]string{"kill", "stop", "freeze"}, s.Do) {
			return fmt.Errorf("it does not run")
		}
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

func (t *trial) stepClock(s Step) (err error) {
	if s.Do == "right" {
		return t.rightClock()
	}
	by, err := config.ParseDuration(s.By)
	if err == nil {
		t.clock, err = stepClock(t.Self, by.D())
	}
	return err
}

func (t *trial) stage(ctx context.Context, s Step, g *site.Stage) error {
	if up := g.Running(); up == (s.Do == "start") {
		t.problems = append(t.problems, fmt.Sprintf("%s %s: running: %v (%v)", s.Do, g.Name, up, g.Ended()))
	}
	switch s.Do {
	case "kill":
		t.rise.ends(ctx, g)
		g.Kill()
	case "stop":
		if took, err := t.stop(ctx, g); err != nil {
			t.problems = append(t.problems, fmt.Sprintf("stop: %v (after %v)", err, took))
		}
	case "start":
		return g.Start()
	case "freeze":
		t.took[g.Role] = t.taken(ctx, g.Role)
		g.Signal(syscall.SIGSTOP)
	case "thaw":
		t.shown["taken_over_"+g.Role] += t.taken(ctx, g.Role) - t.took[g.Role]
		g.Signal(syscall.SIGCONT)
	}
	return nil
}

// taken is how many partitions were assigned to members of a role that joined.
func (t *trial) taken(ctx context.Context, role string) (n float64) {
	for _, name := range t.members {
		if g := t.live.Stages[name]; g.Role == role {
			f, _ := g.Figures(ctx) // one that does not answer has shown nothing
			n += f["sluice_kafka_assignments_total"]
		}
	}
	return n
}

// stop ends a stage with SIGTERM. One that was started a moment ago, as steps that were
// late may have it, is given the time to begin: a program that hears of no signals yet is
// ended by it.
func (t *trial) stop(ctx context.Context, g *site.Stage) (time.Duration, error) {
	_ = wait.Until(ctx, 10*time.Second, func() error {
		if !g.Running() {
			return nil
		}
		_, err := servers.Call(ctx, "GET", g.Admin+"/healthz", "")
		return err
	})
	t.rise.ends(ctx, g)
	return g.Stop(site.StopGrace)
}

func (t *trial) member(ctx context.Context, s Step, role string) error {
	if s.Do == "join" {
		t.joined++ // a number is given once: the one that had it may have left, and its log stays
		g, err := t.site.Stage(role, t.live.Plan, t.joined+1)
		if err != nil {
			return err
		}
		t.members = append(t.members, g.Name)
		t.live.Stages[g.Name] = g
		return g.Start()
	}
	for i, name := range slices.Backward(t.members) {
		if g := t.live.Stages[name]; g.Role == role && g.Running() {
			_, err := t.stop(ctx, g)
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

func (t *trial) network(l *fakes.Link, s Step) error {
	switch s.Do {
	case "cut":
		l.Cut()
		return nil
	case "delay":
		d, err := config.ParseDuration(s.By)
		if err != nil {
			return err
		}
		return l.Delay(d.D(), d.D()/5)
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
		front.Set(fakes.Trouble{Status: int(number(0)), Share: number(1)})
	case "refuse-items":
		front.Set(fakes.Trouble{Items: number(0)})
	case "slow":
		front.Set(fakes.Trouble{Slow: number(0)})
	case "drop":
		front.Set(fakes.Trouble{Drop: number(0)})
	case "behave":
		front.Set(fakes.Trouble{})
	case "fill":
		if err := t.indexed(ctx); err != nil {
			return err
		}
		return t.site.FillElastic(ctx, t.live.Plan.Index()+"-*")
	case "free":
		return t.site.FreeElastic(ctx)
	case "block":
		if err := t.indexed(ctx); err != nil {
			return err
		}
		return t.site.BlockElastic(ctx, t.live.Plan.Index()+"-*", true)
	case "unblock":
		return t.site.BlockElastic(ctx, t.live.Plan.Index()+"-*", false)
	default:
		return fmt.Errorf("nothing there can %s", s.Do)
	}
	return nil
}

// indexed waits until there is an index: one that is made later has no shard that could be
// blocked.
func (t *trial) indexed(ctx context.Context) error {
	start := time.Now()
	defer func() { t.waited += time.Since(start) }()
	return wait.Until(ctx, wait.Patient, func() error {
		if t.live.Found() == 0 {
			return fmt.Errorf("nothing is indexed yet")
		}
		return nil
	})
}

// dataDir is where the shipper keeps its positions.
func (t *trial) dataDir() string {
	return cmp.Or(t.live.Plan.Positions, filepath.Join(t.site.Dir, t.live.Plan.Name, "data"))
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
	noise, random := make([]byte, info.Size()), rand.New(rand.NewPCG(1, 1))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	return os.WriteFile(path, noise, info.Mode())
}

// smallDisk mounts one for the positions.
func (t *trial) smallDisk() (undo func(), why string) {
	dir := filepath.Join(t.site.Dir, "disk-"+t.live.Plan.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
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

// judge compares what came of it with what was expected.
func (t *trial) judge(out *report.Outcome, lived *site.Lived) {
	out.Lived, out.Lines = lived, lived.Lines
	out.Problems = append(t.problems, lived.Problems()...)
	for _, v := range lived.Verdicts {
		out.Doubled += v.Doubled
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
	t.shown["sources"] = float64(lived.Sources)
	for at, l := range lived.Latency {
		t.shown["latency_"+at] = l.Max.Seconds()
	}
	for _, figure := range t.Never {
		if n := t.shown[figure]; n > 0 {
			out.Problems = append(out.Problems, fmt.Sprintf("%s is %.4g, and should not have risen", figure, n))
		}
	}
	for _, show := range t.Shows {
		n := t.shown[show.Figure]
		if out.Shown[show.Figure] = n; !show.bites(n) {
			out.Blunt = append(out.Blunt, fmt.Sprintf("%s is %.4g", show, n))
		}
	}
}
