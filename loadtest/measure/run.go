//go:build linux

// Package measure measures the stages on real servers, beside floors and other programs,
// and how their cost grows with what is varied.
package measure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sluicelog/sluice/loadtest/fakes"
	"github.com/sluicelog/sluice/loadtest/floor"
	"github.com/sluicelog/sluice/loadtest/generate"
	"github.com/sluicelog/sluice/loadtest/proc"
	"github.com/sluicelog/sluice/loadtest/report"
	"github.com/sluicelog/sluice/loadtest/site"
	"github.com/sluicelog/sluice/loadtest/topic"
	"github.com/sluicelog/sluice/loadtest/verify"
	"github.com/sluicelog/sluice/loadtest/wait"
)

// Options say what is measured and how much.
type Options struct {
	Dir          string // for everything that is written
	Sluice, Self string // programs: the sluice under test, and this one
	Parts        []string
	Curves       []Curve // measured after the parts
	Peers        []Peer  // measured beside sluice; nil: none
	CurveElastic bool    // the curve over bulks goes into Elasticsearch as well as into the sink
	Tries        int     // measures of each program and part; the report has the median

	Lines       int64 // of each measure but those of Elasticsearch and the pipeline
	ElasticLine int64 // of those into Elasticsearch
	Sources     int
	Skew        float64
	Mean        int  // bytes of a line
	Exact       bool // all lines have Mean bytes
	Seed        uint64
	Partitions  int
	Compression string
	BulkBytes   string // of bulk bodies; empty: sluice's default
	BulkCount   int    // of floors and peers; of sluice if BulkBytes is set
	Gzip        int    // level of sluice's bulk bodies; -1: sluice's default

	Profile string // directory for a CPU profile of each of sluice's stages; it costs some per cent

	Rate float64       // of the pipeline, lines a second
	For  time.Duration // of the pipeline
}

// QuickRun is a run of some five minutes on two cores.
func QuickRun() Options {
	return Options{Parts: report.Parts, Tries: 1, Lines: 300_000, ElasticLine: 100_000, Sources: 8, Skew: 0.5, Mean: 1000, Seed: 1, Partitions: 4,
		Compression: "lz4", BulkCount: 2000, Gzip: -1, Rate: 4000, For: 20 * time.Second}
}

// FullRun takes half an hour on two cores.
func FullRun() Options {
	o := QuickRun()
	o.Tries, o.Lines, o.ElasticLine, o.Rate, o.For = 3, 2_000_000, 300_000, 8000, time.Minute
	return o
}

// job is one part, measured with options of its own.
type job struct {
	Options
	part string
	over string // curve that it is a point of; empty: of none
	x    int64  // where on it
}

func (o Options) jobs() (out []job) {
	for _, part := range o.Parts {
		out = append(out, job{Options: o, part: part})
	}
	for _, c := range o.Curves {
		out = append(out, c.jobs(o)...)
	}
	return out
}

// runner carries a run out, one job after another.
type runner struct {
	job
	site   *site.Site
	report *report.Report
	run    uint32
	n      int // measures so far, for names
	inputs map[string]*kept
	warm   bool     // Elasticsearch is
	used   []output // written by the program under test

	progress report.Progress
	steps    int // of the whole run: inputs and measures
	done     int
}

// parts are what a job can be, but for the pipeline: an input, and programs that read it.
var parts = map[string]struct {
	input    func(*runner, context.Context) (input, error)
	programs func(*runner, input) []program
}{
	report.PartShipper:    {(*runner).dockerFiles, (*runner).shippers},
	report.PartPlain:      {(*runner).plainFiles, (*runner).plainShippers},
	report.PartAggregator: {(*runner).dc1Topic, (*runner).aggregators},
	report.PartIndexer:    {(*runner).centralTopic, (*runner).indexers},
	report.PartElastic:    {(*runner).elasticTopic, (*runner).elasticIndexers},
}

// Run measures all parts and curves and checks what arrived. The report holds what was done also
// when there is an error.
func Run(ctx context.Context, o Options, progress report.Progress) (*report.Report, error) {
	jobs := o.jobs()
	elastic := slices.ContainsFunc(jobs, func(j job) bool { return j.part == report.PartElastic || j.part == report.PartPipeline })
	r := &runner{report: report.NewReport("sluice load test", o.Sluice), progress: progress, run: uint32(time.Now().Unix()), inputs: map[string]*kept{}}
	if elastic {
		r.report.Servers = append(r.report.Servers, report.ElasticVersion)
	}
	for _, r.job = range jobs {
		r.steps += r.stepsOfJob()
	}
	if o.Profile != "" {
		if err := os.MkdirAll(o.Profile, 0o755); err != nil {
			return r.report, err
		}
	}
	r.say("starting Kafka dc1, Kafka central" + map[bool]string{true: " and Elasticsearch"}[elastic])
	site, err := site.Start(ctx, site.Options{Dir: o.Dir, Sluice: o.Sluice, Elasticsearch: elastic})
	if err != nil {
		return r.report, err
	}
	defer site.Close()
	r.site = site
	defer r.forget(ctx)
	var errs []error
	for _, r.job = range jobs {
		if err := r.carryOut(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.label(), err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	r.report.Finish()
	return r.report, errors.Join(errs...)
}

// label is the job for people.
func (r *runner) label() string {
	if r.over == "" {
		return r.part
	}
	return fmt.Sprintf("%s %s: %s", r.over, report.FormatX(r.over, r.x), r.part)
}

func (r *runner) say(text string) { r.sayOf(0, text) }

// sayOf says how much of a step is done.
func (r *runner) sayOf(part float64, text string) {
	r.progress((float64(r.done)+min(part, 1))/float64(max(1, r.steps)), text)
}

// stepsOfJob is how many times carryOut raises r.done.
func (r *runner) stepsOfJob() int {
	p, ok := parts[r.part]
	if !ok {
		return 1
	}
	return 1 + max(1, r.Tries)*len(p.programs(r, input{}))
}

func (r *runner) carryOut(ctx context.Context) error {
	p, ok := parts[r.part]
	if !ok {
		defer func() { r.done++ }()
		return r.pipeline(ctx)
	}
	end := r.done + r.stepsOfJob()
	defer func() { r.done = end }()
	in, err := p.input(r, ctx)
	if err != nil {
		return err
	}
	r.done++
	return r.try(ctx, p.programs(r, in))
}

func (r *runner) workload() generate.Workload {
	return generate.Workload{Seed: r.Seed, Sources: r.Sources, Skew: r.Skew, Mean: r.Mean, Exact: r.Exact, Rate: 1e6}
}

func (r *runner) name(part string) string {
	r.n++
	return fmt.Sprintf("%s-%d", part, r.n)
}

func (r *runner) setting() string {
	size := "about"
	if r.Exact {
		size = "exactly"
	}
	return fmt.Sprintf("%d partitions, %s, %d sources, lines of %s %d B", r.Partitions, r.Compression, r.Sources, size, r.Mean)
}

// try measures several times, each program once a round, so that what disturbs the
// machine disturbs all.
func (r *runner) try(ctx context.Context, programs []program) error {
	var errs []error
	failed := map[string]bool{}
	for range max(1, r.Tries) {
		for _, p := range programs {
			if failed[p.who] || ctx.Err() != nil {
				continue
			}
			m := &watched{Measure: &report.Measure{Part: r.part, Curve: r.over, X: r.x, Who: p.who, Setting: r.setting(), Note: p.note}}
			r.say(r.label() + ": " + p.who)
			err := p.measure(ctx, m)
			r.done++
			err = errors.Join(err, r.sweep(ctx))
			if err != nil {
				failed[p.who] = true
				if r.skip(m.Measure, err) {
					continue
				}
				errs = append(errs, fmt.Errorf("%s: %w", p.who, err))
				continue
			}
			r.report.Add(*m.Measure)
			r.say(m.String() + "\n")
		}
	}
	return errors.Join(errs...)
}

// output is a topic on a cluster.
type output struct {
	brokers []string
	name    string
}

// sweep deletes the topics of the last measure, so that a long run does not fill the disk.
func (r *runner) sweep(ctx context.Context) error {
	var errs []error
	for _, t := range r.used {
		errs = append(errs, topic.Delete(ctx, t.brokers, t.name))
	}
	r.used = nil
	return errors.Join(errs...)
}

// program is one of those that are compared.
type program struct {
	who, note string
	measure   func(ctx context.Context, m *watched) error
}

// input is what all programs of a part read.
type input struct {
	files  string // glob, or
	topic  string
	socket string // of the Docker daemon whose logs the files are
	lines  int64
	pieces int64 // lines of the files, of which a long one has several: records of a loop that joins nothing
	bytes  int64
	run    uint32
	ledger *generate.Ledger
}

// kept is an input that stays until another of its kind is wanted.
type kept struct {
	input
	key  string
	drop func(context.Context) error
}

// input makes what is wanted, or takes what is there if it is the same. Make writes lines of
// the workload and says how to get rid of them.
func (r *runner) input(ctx context.Context, kind, setting string, lines int64, make func(w generate.Workload) (input, generate.Writer, func(context.Context) error, error)) (input, error) {
	w := r.workload()
	key := fmt.Sprintf("%s %d %+v", setting, lines, w)
	if k := r.inputs[kind]; k != nil && k.key == key {
		return k.input, nil
	} else if k != nil {
		delete(r.inputs, kind)
		if err := k.drop(ctx); err != nil {
			return input{}, err
		}
	}
	r.run++
	w.Run, w.Start = r.run, time.Now()
	in, out, drop, err := make(w)
	if err != nil {
		return in, err
	}
	r.inputs[kind] = &kept{key: key, drop: drop}
	g, err := generate.Run(ctx, generate.NewLines(w), generate.Pace{Lines: lines}, out, func(g generate.Generated) {
		r.sayOf(float64(g.Lines)/float64(lines), fmt.Sprintf("%s: writing %d of %d lines", r.label(), g.Lines, lines))
	})
	if err != nil {
		return in, err
	}
	in.lines, in.pieces, in.bytes, in.run, in.ledger = g.Lines, g.Lines, g.Bytes, w.Run, out.Ledger()
	if d, ok := out.(*generate.DockerLogs); ok {
		in.pieces = d.Pieces()
	}
	r.inputs[kind].input = in
	return in, ctx.Err()
}

// forget gets rid of all inputs; topics go with their servers.
func (r *runner) forget(ctx context.Context) {
	for kind, k := range r.inputs {
		if k.files != "" {
			k.drop(ctx)
		}
		delete(r.inputs, kind)
	}
}

// dockerFiles are Docker's logs of containers that are there.
func (r *runner) dockerFiles(ctx context.Context) (input, error) {
	return r.input(ctx, "docker", "", r.Lines, func(w generate.Workload) (in input, _ generate.Writer, _ func(context.Context) error, err error) {
		dir := filepath.Join(r.Dir, r.name("docker"))
		daemon, err := fakes.StartDaemon(dir+".sock", dir)
		if err != nil {
			return in, nil, nil, err
		}
		in.files, in.socket = filepath.Join(dir, "containers/*/*-json.log"), daemon.Socket
		return in, &generate.DockerLogs{Root: dir, Daemon: daemon}, func(context.Context) error { return errors.Join(daemon.Close(), os.RemoveAll(dir)) }, nil
	})
}

// plainFiles hold the same lines as they are.
func (r *runner) plainFiles(ctx context.Context) (input, error) {
	return r.input(ctx, "plain", "", r.Lines, func(w generate.Workload) (in input, _ generate.Writer, _ func(context.Context) error, err error) {
		dir := filepath.Join(r.Dir, r.name("plain"))
		in.files = filepath.Join(dir, "*.log")
		return in, &generate.PlainLogs{Dir: dir, Rotate: generate.RotateRename}, func(context.Context) error { return os.RemoveAll(dir) }, os.MkdirAll(dir, 0o755)
	})
}

// floors are those beside a stage: a curve has one.
func (r *runner) floors() []string {
	if r.over != "" {
		return report.Floors[:1]
	}
	return report.Floors
}

// shippers take log files that are there to a topic.
func (r *runner) shippers(in input) []program {
	programs := []program{{who: "sluice", measure: func(ctx context.Context, m *watched) error {
		p := &site.Plan{Name: r.name("ship"), Socket: in.socket, Compression: r.Compression, Gzip: -1}
		return r.stage(ctx, m, "shipper", p, in, r.site.DC1.Brokers)
	}}}
	programs = append(programs, r.produceFloors(in)...)
	return append(programs, r.peers(report.PartShipper, in)...)
}

func (r *runner) plainShippers(in input) []program {
	return append([]program{{who: "sluice", measure: func(ctx context.Context, m *watched) error {
		p := &site.Plan{Name: r.name("ship"), Files: in.files, Compression: r.Compression, Gzip: -1}
		return r.stage(ctx, m, "shipper", p, in, r.site.DC1.Brokers)
	}}}, r.produceFloors(in)...)
}

func (r *runner) produceFloors(in input) (programs []program) {
	for _, client := range r.floors() {
		programs = append(programs, program{who: "floor " + client, note: "sends lines as they are: no positions, ids, metadata", measure: func(ctx context.Context, m *watched) error {
			f := floor.Floor{Kind: "produce", Client: client, Files: in.files, To: r.site.DC1.Brokers[0]}
			return r.floor(ctx, m, f, in, r.site.DC1.Brokers)
		}})
	}
	return programs
}

// stage measures one of sluice's into the topic of its plan, and verifies it.
func (r *runner) stage(ctx context.Context, m *watched, role string, p *site.Plan, in input, out []string) error {
	topic := cmp.Or(p.Out, p.Topic())
	if err := r.toTopic(ctx, m, in, out, topic, func() (*proc.Proc, error) {
		g, err := r.site.Stage(role, p, 1)
		if err != nil {
			return nil, err
		}
		m.stage, m.Ours = g, true
		return g.Proc, nil
	}); err != nil {
		return err
	}
	v := verify.NewVerifier(verify.Options{Run: in.run, Places: true, Ordered: true, Repeats: true})
	if err := verify.All(ctx, out, []string{topic}, v, r.reading(m, v, in.lines), in.lines); err != nil {
		return err
	}
	m.Verdict = v.Verdict(in.ledger)
	return nil
}

// reading is v.See that shows how far it is.
func (r *runner) reading(m *watched, v *verify.Verifier, lines int64) func([]byte, time.Time) {
	return func(value []byte, at time.Time) {
		v.See(value, at)
		if n := v.Distinct(); n%10_000 == 0 {
			r.sayOf(1, fmt.Sprintf("%s: %s: verifying %d of %d events", r.label(), m.Who, n, lines))
		}
	}
}

// toTopic starts a program and follows it until all lines are in a topic.
func (r *runner) toTopic(ctx context.Context, m *watched, in input, out []string, name string, prepare func() (*proc.Proc, error)) error {
	if err := topic.Create(ctx, out, name, r.Partitions); err != nil {
		return err
	}
	r.used = append(r.used, output{out, name})
	c, err := topic.NewCounter(out, name, r.Partitions)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := wait.Until(ctx, 10*time.Second, func() error { _, err := c.Count(ctx); return err }); err != nil {
		return err
	}
	p, err := prepare()
	if err != nil {
		return err
	}
	m.Bytes = in.bytes
	return r.watch(ctx, m, p, c.Count, in.lines)
}

// watch runs a program to the end of its work, and stops it.
func (r *runner) watch(ctx context.Context, m *watched, p *proc.Proc, out counter, lines int64) error {
	start := time.Now()
	if err := p.Start(); err != nil {
		return err
	}
	defer p.Kill()
	if m.stage != nil && r.Profile != "" {
		profiling, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.profile(profiling, m)
		}()
		defer func() { stop(); <-done }()
	}
	m.described(p)
	if err := m.follow(ctx, p, start, out, lines, func(n int64) {
		r.sayOf(float64(n)/float64(lines), fmt.Sprintf("%s: %s: %d of %d events", r.label(), m.Who, n, lines))
	}); err != nil {
		return err
	}
	if m.stage == nil {
		settle(ctx, p.Running, out)
		p.Stop(20 * time.Second)
		return nil
	}
	status, err := m.stage.AtRest(ctx)
	if err != nil {
		return err
	}
	f, err := m.stage.Figures(ctx)
	if err != nil {
		return fmt.Errorf("read the figures of %s: %w", p.Name, err)
	}
	m.allocations(f)
	m.Counters = status.Check()
	m.CPU = p.Usage().CPU // the last commits belong to it
	_, err = p.Stop(site.StopGrace)
	return err
}

// profile takes one of 4 s, a second after the start.
func (r *runner) profile(ctx context.Context, m *watched) {
	wait.Sleep(ctx, time.Second)
	text, err := verify.Elastic{URL: m.stage.Admin}.Call(ctx, "GET", "/debug/pprof/profile?seconds=4", "")
	if err == nil {
		err = os.WriteFile(filepath.Join(r.Profile, fmt.Sprintf("%s-%d.pprof", m.stage.Role, r.n)), text, 0o644)
	}
	if err != nil && ctx.Err() == nil {
		r.say(fmt.Sprintf("%s: no profile: %v\n", m.Part, err))
	}
}

func (r *runner) floor(ctx context.Context, m *watched, f floor.Floor, in input, out []string) error {
	f.Out, f.Partitions, f.Compression, f.Lines = r.name("floor"), r.Partitions, r.Compression, in.pieces
	lines := in.lines
	in.lines = in.pieces
	err := r.toTopic(ctx, m, in, out, f.Out, func() (*proc.Proc, error) { return r.floorProc(f), nil })
	m.AtFirst = m.AtFirst * lines / max(1, in.pieces)
	m.Events = lines
	return err
}

// floorProc is a floor in a process of its own.
func (r *runner) floorProc(f floor.Floor) *proc.Proc {
	return &proc.Proc{Name: "floor " + f.Client, Log: filepath.Join(r.Dir, "floor.log"), Argv: append([]string{r.Self, "floor"}, f.Args()...)}
}

// fill writes events of sluice to a topic, for the stages that read Kafka.
func (r *runner) fill(ctx context.Context, kind string, brokers []string, lines int64) (input, error) {
	return r.input(ctx, kind, fmt.Sprintf("%d partitions, %s", r.Partitions, r.Compression), lines, func(generate.Workload) (in input, _ generate.Writer, _ func(context.Context) error, err error) {
		in.topic = r.name("fill")
		k, err := generate.NewKafkaWriter(ctx, brokers, in.topic, r.Partitions, r.Compression)
		return in, k, func(ctx context.Context) error { return topic.Delete(ctx, brokers, in.topic) }, err
	})
}

func (r *runner) dc1Topic(ctx context.Context) (input, error) {
	return r.fill(ctx, "dc1", r.site.DC1.Brokers, r.Lines)
}

func (r *runner) centralTopic(ctx context.Context) (input, error) {
	return r.fill(ctx, "central", r.site.Central.Brokers, r.Lines)
}

func (r *runner) aggregators(in input) []program {
	var programs []program
	for _, d := range []struct{ who, delivery string }{{"sluice", "at_least_once"}, {"sluice, exactly once", "exactly_once"}} {
		programs = append(programs, program{who: d.who, measure: func(ctx context.Context, m *watched) error {
			p := &site.Plan{Name: r.name("agg"), In: in.topic, Compression: r.Compression, Gzip: -1, Extra: map[string]string{"aggregator": "  delivery: " + d.delivery}}
			p.Out = p.Topic()
			return r.stage(ctx, m, "aggregator", p, in, r.site.Central.Brokers)
		}})
		if r.over != "" {
			break // curves and peers
		}
	}
	for _, client := range r.floors() {
		programs = append(programs, program{who: "floor " + client, note: "copies records: no group, no offsets kept", measure: func(ctx context.Context, m *watched) error {
			f := floor.Floor{Kind: "copy", Client: client, From: r.site.DC1.Brokers[0], In: in.topic, To: r.site.Central.Brokers[0]}
			return r.floor(ctx, m, f, in, r.site.Central.Brokers)
		}})
	}
	return append(programs, r.peers(report.PartAggregator, in)...)
}

func (r *runner) indexers(in input) []program {
	levels := []int{r.Gzip}
	if r.Gzip != 0 && r.over == "" {
		levels = append(levels, 0)
	}
	var programs []program
	for _, gzip := range levels {
		who := "sluice"
		if gzip == 0 && len(levels) > 1 {
			who = "sluice, bodies not compressed"
		}
		programs = append(programs, program{who: who, measure: func(ctx context.Context, m *watched) error {
			v := verify.NewVerifier(verify.Options{Run: in.run, Places: true})
			err := r.toSink(ctx, m, in, &fakes.Sink{See: v.See}, func(url string) (*proc.Proc, error) {
				p := &site.Plan{Name: r.name("idx"), In: in.topic, Target: url, Gzip: gzip}
				r.bulks(p)
				g, err := r.site.Stage("indexer", p, 1)
				if err != nil {
					return nil, err
				}
				m.stage, m.Ours = g, true
				return g.Proc, nil
			})
			if err == nil {
				m.Verdict = v.Verdict(in.ledger)
			}
			return err
		}})
	}
	for _, client := range r.floors() {
		programs = append(programs, program{who: "floor " + client, note: "posts events as they are, not compressed: no parsing, no group, no offsets kept", measure: func(ctx context.Context, m *watched) error {
			return r.toSink(ctx, m, in, &fakes.Sink{}, func(url string) (*proc.Proc, error) {
				return r.floorProc(r.consumeFloor(client, in, url)), nil
			})
		}})
	}
	return append(programs, r.peers(report.PartIndexer, in)...)
}

// toSink runs a program into a sink of its own.
func (r *runner) toSink(ctx context.Context, m *watched, in input, sink *fakes.Sink, prepare func(url string) (*proc.Proc, error)) error {
	s, err := fakes.Serve("127.0.0.1:0", sink)
	if err != nil {
		return err
	}
	defer s.Close()
	p, err := prepare(s.URL)
	if err != nil {
		return err
	}
	m.Bytes = in.bytes
	return r.watch(ctx, m, p, countSink(sink), in.lines)
}

// elasticTopic also gets Elasticsearch ready: all indices have the mapping that setup
// installs for lt-es-*, and its JVM has seen bulks.
func (r *runner) elasticTopic(ctx context.Context) (input, error) {
	in, err := r.fill(ctx, "elastic", r.site.Central.Brokers, r.ElasticLine)
	if err != nil || r.warm {
		return in, err
	}
	if err := r.site.Setup(ctx, &site.Plan{Name: "setup", Prefix: "lt-es", Target: r.site.ES.URL, Gzip: -1}); err != nil {
		return in, err
	}
	r.say("warming Elasticsearch up")
	r.warm = true
	return in, r.ceiling(ctx, &watched{Measure: &report.Measure{Who: "warm-up"}}, report.Floors[0], in)
}

// ceiling is a floor into Elasticsearch: what its _bulk takes at most.
func (r *runner) ceiling(ctx context.Context, m *watched, client string, in input) error {
	f := r.consumeFloor(client, in, r.site.ES.URL)
	f.Out = "lt-es-" + f.Out
	return r.toElastic(ctx, m, in, f.Out, r.floorProc(f))
}

// consumeFloor posts a topic to a URL.
func (r *runner) consumeFloor(client string, in input, url string) floor.Floor {
	f := floor.Floor{Kind: "consume", Client: client, From: r.site.Central.Brokers[0], In: in.topic, To: url, Out: r.name("floor"), Partitions: r.Partitions, Lines: in.lines, BulkCount: r.BulkCount}
	if r.over == report.CurveBulk {
		f.BulkBytes = r.x
	}
	return f
}

// elasticIndexers write into Elasticsearch; the floors are the ceiling of its _bulk.
func (r *runner) elasticIndexers(in input) []program {
	programs := []program{{who: "sluice", measure: func(ctx context.Context, m *watched) error {
		p := &site.Plan{Name: r.name("es"), In: in.topic, Target: r.site.ES.URL, Gzip: r.Gzip}
		p.Prefix = "lt-es-" + p.Name
		r.bulks(p)
		g, err := r.site.Stage("indexer", p, 1)
		if err != nil {
			return err
		}
		m.stage, m.Ours = g, true
		if err := r.toElastic(ctx, m, in, p.Index(), g.Proc); err != nil {
			return err
		}
		v := verify.NewVerifier(verify.Options{Run: in.run, Places: true})
		if err := (verify.Elastic{URL: r.site.ES.URL}).Read(ctx, p.Index()+"-*", v.See); err != nil {
			return err
		}
		m.Verdict = v.Verdict(in.ledger)
		return nil
	}}}
	for _, client := range r.floors() {
		programs = append(programs, program{who: "floor " + client, note: "the ceiling of _bulk: events as they are, 3 requests in flight", measure: func(ctx context.Context, m *watched) error {
			return r.ceiling(ctx, m, client, in)
		}})
	}
	return append(programs, r.peers(report.PartElastic, in)...)
}

// bulks sets the size of a plan's bulks, if one is wanted.
func (r *runner) bulks(p *site.Plan) {
	if r.BulkBytes != "" {
		p.BulkBytes, p.BulkCount = r.BulkBytes, r.BulkCount
	}
}

func (r *runner) toElastic(ctx context.Context, m *watched, in input, index string, p *proc.Proc) error {
	m.Bytes = in.bytes
	return r.watch(ctx, m, p, countIndexed(verify.Elastic{URL: r.site.ES.URL}, index), in.lines)
}

// pipeline runs all three stages on lines as they are written and looks at how long a
// line takes: until it can be read from the Kafka of the data centre, from the central
// one, and until a search finds it.
func (r *runner) pipeline(ctx context.Context) error {
	l := &site.Live{Site: r.site, Plan: &site.Plan{Name: r.name("live"), Partitions: r.Partitions, Compression: r.Compression, Gzip: r.Gzip, BulkBytes: r.BulkBytes},
		Workload: generate.Workload{Seed: r.Seed, Sources: r.Sources, Skew: r.Skew, Mean: r.Mean, HugeOf: 5000}, Pace: generate.Pace{Rate: r.Rate, For: r.For}, MaxSize: 20 << 20, MaxFile: 5}
	r.say(fmt.Sprintf("pipeline: %.0f lines a second for %v", r.Rate, r.For))
	if err := l.Start(ctx); err != nil {
		return err
	}
	defer l.Close()
	if err := l.Write(ctx); err != nil {
		return err
	}
	if err := l.Await(ctx, time.Minute, r.say); err != nil {
		return err
	}
	out, err := l.Finish(ctx)
	if err != nil {
		return err
	}
	r.report.Pipeline = append(r.report.Pipeline, out)
	r.say("pipeline: " + out.String() + "\n")
	return nil
}
