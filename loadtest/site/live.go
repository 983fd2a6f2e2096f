//go:build linux

package site

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicelog/sluice/loadtest/fakes"
	"github.com/sluicelog/sluice/loadtest/generate"
	"github.com/sluicelog/sluice/loadtest/proc"
	"github.com/sluicelog/sluice/loadtest/topic"
	"github.com/sluicelog/sluice/loadtest/verify"
	"github.com/sluicelog/sluice/loadtest/wait"
)

// Live is a whole pipeline at work: lines are written at a pace, three stages carry
// them, and readers at every joint count and time them.
type Live struct {
	Site     *Site
	Plan     *Plan
	Workload generate.Workload // Run, Start and Rate are set by Start
	Pace     generate.Pace
	Plain    bool              // plain files instead of containers
	Rotate   generate.Rotation // of plain files
	MaxSize  int64
	MaxFile  int
	Poll     time.Duration // between two searches, which is how exactly they are timed; 0: 100 ms

	Stages map[string]*Stage // by name: shipper, aggregator, indexer, indexer-2 ...

	Daemon  *fakes.Daemon
	writer  generate.Writer
	lines   *generate.Lines
	wrote   generate.Generated
	joints  map[string]*verify.Verifier // dc1, central
	reading map[string]*verify.Reading  // likewise
	found   *found

	cancel context.CancelFunc
	wg     sync.WaitGroup
	errs   [2]error
}

// Lived is what came of it.
type Lived struct {
	Setting  string                     `json:"setting"`
	Lines    int64                      `json:"lines"`
	Bytes    int64                      `json:"bytes"`
	Sources  int                        `json:"sources"`
	Rate     float64                    `json:"rate"` // lines a second as written
	Late     time.Duration              `json:"late"` // the most that the writer was late
	Latency  map[string]verify.Latency  `json:"latency"`
	Verdicts map[string]*verify.Verdict `json:"verdicts"` // dc1, central, elasticsearch
	Usage    map[string]proc.Usage      `json:"usage"`    // by stage
	Counters []verify.Problem           `json:"counters"`
	Losses   []string                   `json:"losses"` // counters of things given up, for people
	Stops    map[string]string          `json:"stops"`  // how each stage ended
}

// OK is true if all verdicts are and all counters come out.
func (l *Lived) OK() bool { return len(l.Problems()) == 0 }

// Problems lists what is wrong, with where.
func (l *Lived) Problems() (out []string) {
	for _, at := range []string{"dc1", "central", "elasticsearch"} {
		if v := l.Verdicts[at]; v != nil {
			for _, p := range v.Problems {
				out = append(out, at+": "+p.String())
			}
		}
	}
	for _, p := range l.Counters {
		out = append(out, p.String())
	}
	for stage, how := range l.Stops {
		if how != "" {
			out = append(out, stage+": "+how)
		}
	}
	return out
}

func (l *Lived) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d lines of %d sources at %.0f/s", l.Lines, l.Sources, l.Rate)
	for _, at := range []string{"dc1", "central", "search"} {
		if t, ok := l.Latency[at]; ok && t.N > 0 {
			fmt.Fprintf(&b, "; %s p50 %v p99 %v max %v", at, verify.Short(t.P50), verify.Short(t.P99), verify.Short(t.Max))
		}
	}
	if v := l.Verdicts["elasticsearch"]; v != nil {
		fmt.Fprintf(&b, "; %d missing, %d doubled", v.Missing, v.Doubled)
	}
	for _, p := range l.Problems() {
		b.WriteString("\n  " + p)
	}
	return b.String()
}

const (
	StopGrace = shutdownTimeout + 12*time.Second
)

// Roles in the order of the way.
var Roles = []string{"shipper", "aggregator", "indexer"}

// Start starts the stages and the readers.
func (l *Live) Start(ctx context.Context) error {
	l.Workload.Run, l.Workload.Rate = uint32(time.Now().UnixNano()>>20), l.Pace.Rate
	l.joints, l.reading, l.Stages, l.found = map[string]*verify.Verifier{}, map[string]*verify.Reading{}, map[string]*Stage{}, &found{}
	dir := filepath.Join(l.Site.Dir, l.Plan.Name)
	if err := l.input(dir); err != nil {
		return err
	}
	l.Plan.Refresh = "1s"
	if l.Plan.Target == "" {
		l.Plan.Target = l.Site.Elastic()
		if err := l.Site.Setup(ctx, l.Plan); err != nil {
			return err
		}
	}
	ctx, l.cancel = context.WithCancel(ctx)
	for i, at := range []string{"dc1", "central"} {
		brokers := l.brokers(at)
		if err := topic.Create(ctx, brokers, l.Plan.Topic(), max(1, l.Plan.Partitions)); err != nil {
			return err
		}
		v, far := verify.NewVerifier(verify.Options{Run: l.Workload.Run, Places: true, Ordered: true, Repeats: true}), &verify.Reading{}
		l.joints[at], l.reading[at] = v, far
		l.wg.Go(func() { l.errs[i] = verify.Kafka(ctx, brokers, []string{l.Plan.Topic()}, v.See, far) })
	}
	if l.Site.ES != nil {
		l.wg.Go(func() {
			l.found.poll(ctx, verify.Elastic{URL: l.Site.ES.URL}, l.Plan.Index()+"-*", cmp.Or(l.Poll, 100*time.Millisecond))
		})
	}
	for _, role := range Roles {
		g, err := l.Site.Stage(role, l.Plan, 1)
		if err == nil {
			err = g.Start()
		}
		if err != nil {
			return err
		}
		l.Stages[role] = g
	}
	return l.ready(ctx)
}

// brokers are those of a joint.
func (l *Live) brokers(at string) []string {
	if at == "central" {
		return l.Site.Central.Brokers
	}
	return l.Site.DC1.Brokers
}

func (l *Live) input(dir string) (err error) {
	if l.Plain {
		p := &generate.PlainLogs{Dir: filepath.Join(dir, "logs"), Rotate: l.Rotate, MaxSize: l.MaxSize, MaxFile: l.MaxFile, Settle: 3 * time.Second}
		l.writer, l.Plan.Files = p, filepath.Join(p.Dir, "*.log")
		return os.MkdirAll(p.Dir, 0o755)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if l.Daemon, err = fakes.StartDaemon(filepath.Join(dir, "d.sock"), filepath.Join(dir, "docker")); err != nil {
		return err
	}
	l.Plan.Socket = l.Daemon.Socket
	l.writer = &generate.DockerLogs{Root: filepath.Join(dir, "docker"), MaxSize: l.MaxSize, MaxFile: l.MaxFile, Life: l.Workload.Life, Daemon: l.Daemon}
	return nil
}

// ready waits until every stage says so, so that latency is not that of its start.
func (l *Live) ready(ctx context.Context) error {
	for _, role := range Roles {
		g := l.Stages[role]
		if err := wait.Until(ctx, wait.Patient, func() error {
			if !g.Running() {
				return fmt.Errorf("%s is not running: %v", role, g.Ended())
			}
			return g.connected(ctx)
		}); err != nil {
			return fmt.Errorf("wait for %s: %w", role, err)
		}
	}
	wait.Sleep(ctx, time.Second) // groups have joined by then
	return nil
}

// Write writes lines until the pace or ctx ends.
func (l *Live) Write(ctx context.Context) (err error) {
	l.Workload.Start = time.Now()
	l.lines = generate.NewLines(l.Workload)
	l.wrote, err = generate.Run(ctx, l.lines, l.Pace, l.writer, func(g generate.Generated) { l.found.wrote(g.Lines, l.Workload.Start, l.Pace) })
	l.found.wrote(l.wrote.Lines, l.Workload.Start, l.Pace)
	return err
}

// Await waits until all that was written can be read from the central Kafka and found
// by a search. It gives up when nothing new was there and no stage finished anything for a
// time: the verdicts then say what is missing.
func (l *Live) Await(ctx context.Context, patience time.Duration, say func(string)) error {
	want, last, moved := l.wrote.Lines, int64(-1), time.Now()
	var finished int64
	for asked := moved; ctx.Err() == nil; wait.Sleep(ctx, 200*time.Millisecond) {
		dc1, central, found := l.joints["dc1"].Distinct(), l.joints["central"].Distinct(), l.found.n.Load()
		say(fmt.Sprintf("%s: %d lines written, %d in dc1, %d central, %d found", l.Plan.Name, want, dc1, central, found))
		if dc1 >= want && central >= want && found >= want {
			return nil
		}
		if time.Since(asked) > 5*time.Second {
			finished, asked = l.finished(ctx), time.Now()
		}
		if sum := dc1 + central + found + finished; sum != last {
			last, moved = sum, time.Now()
		}
		if time.Since(moved) > patience {
			return nil
		}
	}
	return ctx.Err()
}

// finished is how many events all stages are done with, those that come again included.
func (l *Live) finished(ctx context.Context) int64 {
	n := 0.0
	for _, g := range l.Stages {
		if s, err := g.Status(ctx); err == nil { // Finish reports one that does not answer
			n += s.Account.Finished()
		}
	}
	return int64(n)
}

// Finish reads the counters, stops the stages, each within its time, and judges.
func (l *Live) Finish(ctx context.Context) (*Lived, error) {
	ledger := l.writer.Ledger()
	sources, lines, bytes := ledger.Total()
	out := &Lived{Setting: fmt.Sprintf("%d partitions", l.Plan.Partitions), Lines: lines, Bytes: bytes, Sources: sources, Rate: float64(l.wrote.Lines) / l.wrote.Elapsed.Seconds(), Late: l.wrote.Late,
		Latency: map[string]verify.Latency{}, Verdicts: map[string]*verify.Verdict{}, Usage: map[string]proc.Usage{}, Stops: map[string]string{}}
	for name, g := range l.Stages {
		if !g.Running() {
			out.Stops[name] = fmt.Sprintf("not running at the end: %v", g.Ended())
			continue
		}
		s, err := g.AtRest(ctx)
		if err != nil {
			out.Stops[name] = err.Error()
			continue
		}
		out.Counters = append(out.Counters, s.Check()...)
		for _, loss := range s.Account.Losses {
			out.Losses = append(out.Losses, name+": "+loss.String())
		}
	}
	var stopping sync.WaitGroup
	ends := map[string]*error{}
	for name, g := range l.Stages {
		end := new(error)
		ends[name] = end
		stopping.Go(func() { _, *end = g.Stop(StopGrace) })
	}
	stopping.Wait()
	for name, g := range l.Stages {
		if err := *ends[name]; err != nil && out.Stops[name] == "" {
			out.Stops[name] = err.Error()
		}
		out.Usage[name] = g.Usage()
	}
	var unread error
	for at, far := range l.reading { // nobody writes any more
		unread = errors.Join(unread, far.ToEnd(ctx, l.brokers(at), []string{l.Plan.Topic()}))
	}
	l.cancel()
	l.wg.Wait()
	for at, v := range l.joints {
		out.Verdicts[at] = v.Verdict(ledger)
		out.Latency[at] = out.Verdicts[at].Latency
	}
	if l.Site.ES != nil {
		v := verify.NewVerifier(verify.Options{Run: l.Workload.Run, Places: true})
		if err := wait.Until(ctx, wait.Patient, func() error {
			v = verify.NewVerifier(verify.Options{Run: l.Workload.Run, Places: true})
			return verify.Elastic{URL: l.Site.ES.URL}.Read(ctx, l.Plan.Index()+"-*", v.See)
		}); err != nil {
			return out, err
		}
		out.Verdicts["elasticsearch"] = v.Verdict(ledger)
		out.Latency["search"] = l.found.hist.Latency()
	}
	return out, errors.Join(append(l.errs[:], unread)...)
}

// Repeated is how often lines came again under the same id so far, by joint: dc1, central.
func (l *Live) Repeated() map[string]int64 {
	out := map[string]int64{}
	for at, v := range l.joints {
		out[at] = v.Repeated()
	}
	return out
}

// Found is how many documents the last search found.
func (l *Live) Found() int64 { return l.found.n.Load() }

// Close kills what still runs.
func (l *Live) Close() {
	if l.cancel != nil {
		l.cancel()
	}
	for _, g := range l.Stages {
		g.Kill()
	}
	if l.Daemon != nil {
		l.Daemon.Close()
	}
	l.wg.Wait()
}

// found times lines until a search finds them, by counting: when n documents are
// found, the n-th line written is taken to be among them. So it is exact where lines
// keep their order, and the maximum is right always.
type found struct {
	n      atomic.Int64
	mu     sync.Mutex
	hist   verify.Hist // owned by poll
	sent   int64
	start  time.Time
	pace   generate.Pace
	timed  int64 // owned by poll
	failed error // owned by poll
}

func (f *found) wrote(lines int64, start time.Time, pace generate.Pace) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent, f.start, f.pace = lines, start, pace
}

func (f *found) poll(ctx context.Context, es verify.Elastic, index string, every time.Duration) {
	for ; ctx.Err() == nil; wait.Sleep(ctx, every) {
		n, err := es.Count(ctx, index, false)
		if f.failed = err; err != nil {
			continue
		}
		f.n.Store(n)
		now := time.Now()
		f.mu.Lock()
		start, pace := f.start, f.pace
		f.mu.Unlock()
		for ; f.timed < n && !start.IsZero(); f.timed++ {
			f.hist.Record(now.Sub(start.Add(pace.Due(f.timed))))
		}
	}
}
