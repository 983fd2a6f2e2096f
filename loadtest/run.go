//go:build linux

package loadtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Parts of a run, in their order.
const (
	PartShipper    = "shipper"       // docker logs to Kafka
	PartAggregator = "aggregator"    // Kafka to Kafka
	PartIndexer    = "indexer"       // Kafka to a sink that costs nothing
	PartElastic    = "elasticsearch" // Kafka to Elasticsearch
	PartPipeline   = "pipeline"      // all stages, at a pace, into Elasticsearch: latency
)

// Parts has all of them.
var Parts = []string{PartShipper, PartAggregator, PartIndexer, PartElastic, PartPipeline}

// RunOptions say what is measured and how much.
type RunOptions struct {
	Dir   string // for everything that is written
	Bin   string // the sluice under test
	Parts []string
	Peers []Peer // measured beside sluice; nil: none
	Tries int    // measures of each program and part; the report has the median

	Lines       int64 // of each measure but those of Elasticsearch and the pipeline
	ElasticLine int64 // of those into Elasticsearch
	Sources     int
	Skew        float64
	Mean        int // bytes of a line
	Seed        uint64
	Partitions  int
	Compression string
	BulkBytes   string
	BulkCount   int // of floors and peers; of sluice if BulkBytes is set
	Gzip        int // level of sluice's bulk bodies; -1: sluice's default

	Profile string // directory for a CPU profile of each of sluice's stages; it costs some per cent

	Rate float64       // of the pipeline, lines a second
	For  time.Duration // of the pipeline
}

// QuickRun is a run of some five minutes on two cores.
func QuickRun() RunOptions {
	return RunOptions{Parts: Parts, Tries: 1, Lines: 300_000, ElasticLine: 100_000, Sources: 8, Skew: 0.5, Mean: 1000, Seed: 1, Partitions: 4,
		Compression: "lz4", BulkCount: 2000, Gzip: -1, Rate: 4000, For: 20 * time.Second}
}

// FullRun takes half an hour on two cores.
func FullRun() RunOptions {
	o := QuickRun()
	o.Tries, o.Lines, o.ElasticLine, o.Rate, o.For = 3, 2_000_000, 300_000, 8000, time.Minute
	return o
}

// runner carries a run out.
type runner struct {
	RunOptions
	site   *Site
	report *Report
	say    func(string)
	run    uint32
	n      int // measures so far, for names
}

// Run measures all parts and checks what arrived. The report holds what was done also
// when there is an error; say is told what is being done, and results with a newline at
// their end.
func Run(ctx context.Context, o RunOptions, say func(string)) (*Report, error) {
	r := &runner{RunOptions: o, report: NewReport(o), say: say, run: uint32(time.Now().Unix())}
	say("starting Kafka dc1, Kafka central" + map[bool]string{true: " and Elasticsearch"}[r.needsElastic()])
	site, err := StartSite(ctx, SiteOptions{Dir: o.Dir, Bin: o.Bin, Elasticsearch: r.needsElastic()})
	if err != nil {
		return r.report, err
	}
	defer site.Close()
	r.site = site
	parts := map[string]func(context.Context) error{
		PartShipper: r.shipper, PartAggregator: r.aggregator, PartIndexer: r.indexer, PartElastic: r.elastic, PartPipeline: r.pipeline,
	}
	var errs []error
	for _, part := range o.Parts {
		if err := parts[part](ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", part, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	r.report.finish()
	return r.report, errors.Join(errs...)
}

func (r *runner) needsElastic() bool {
	return slices.Contains(r.Parts, PartElastic) || slices.Contains(r.Parts, PartPipeline)
}

func (r *runner) workload() Workload {
	r.run++
	return Workload{Seed: r.Seed, Run: r.run, Sources: r.Sources, Skew: r.Skew, Mean: r.Mean, Start: time.Now(), Rate: 1e6}
}

func (r *runner) name(part string) string {
	r.n++
	return fmt.Sprintf("%s-%d", part, r.n)
}

func (r *runner) setting() string {
	return fmt.Sprintf("%d partitions, %s, %d sources, mean %d B", r.Partitions, r.Compression, r.Sources, r.Mean)
}

// try measures several times, each program once a round, so that what disturbs the
// machine disturbs all.
func (r *runner) try(ctx context.Context, part string, programs []program) error {
	var errs []error
	failed := map[string]bool{}
	for range max(1, r.Tries) {
		for _, p := range programs {
			if failed[p.who] || ctx.Err() != nil {
				continue
			}
			m := Measure{Part: part, Who: p.who, Setting: orElse(p.setting, r.setting()), Note: p.note}
			r.say(part + ": " + p.who)
			if err := p.measure(ctx, &m); err != nil {
				failed[p.who] = true
				errs = append(errs, fmt.Errorf("%s: %w", p.who, err))
				continue
			}
			r.report.add(m)
			r.say(m.String() + "\n")
		}
	}
	return errors.Join(errs...)
}

// program is one of those that are compared.
type program struct {
	who, setting, note string
	measure            func(ctx context.Context, m *Measure) error
}

// shipper: log files that are there, to a topic.
func (r *runner) shipper(ctx context.Context) error {
	w := r.workload()
	dir := filepath.Join(r.Dir, "docker")
	daemon, err := StartDaemon(filepath.Join(r.Dir, "docker.sock"), dir)
	if err != nil {
		return err
	}
	defer daemon.Close()
	logs := &DockerLogs{Root: dir, Daemon: daemon}
	g, err := Generate(ctx, NewLines(w), Pace{Lines: r.Lines}, logs, func(g Generated) { r.say(fmt.Sprintf("writing lines: %d of %d", g.Lines, r.Lines)) })
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	in := input{files: filepath.Join(dir, "containers/*/*-json.log"), bytes: g.Bytes, lines: g.Lines, run: w.Run, ledger: logs.Ledger()}
	programs := []program{{who: "sluice", measure: func(ctx context.Context, m *Measure) error {
		p := &Plan{Name: r.name("ship"), Socket: daemon.Socket, Compression: r.Compression, Gzip: -1}
		return r.stage(ctx, m, "shipper", p, in, r.site.DC1.Brokers)
	}}}
	for _, client := range Floors {
		programs = append(programs, program{who: "floor " + client, note: "sends lines as they are: no positions, ids, metadata", measure: func(ctx context.Context, m *Measure) error {
			f := Floor{Kind: "produce", Client: client, Files: in.files, To: r.site.DC1.Brokers[0]}
			return r.floor(ctx, m, f, in, r.site.DC1.Brokers)
		}})
	}
	programs = append(programs, r.peers(PartShipper, in)...)
	return r.try(ctx, PartShipper, programs)
}

// input is what all programs of a part read.
type input struct {
	files  string // glob, or
	topic  string
	lines  int64
	bytes  int64
	run    uint32
	ledger *Ledger
}

// stage measures one of sluice's into the topic of its plan, and verifies it.
func (r *runner) stage(ctx context.Context, m *Measure, role string, p *Plan, in input, out []string) error {
	topic := orElse(p.Out, p.Topic())
	if err := r.toTopic(ctx, m, in, out, topic, func() (*Proc, error) {
		g, err := r.site.Stage(role, p, 1)
		if err != nil {
			return nil, err
		}
		m.stage = g
		return g.Proc, nil
	}); err != nil {
		return err
	}
	v := NewVerifier(VerifyOptions{Run: in.run, Places: true, Ordered: true, Repeats: true})
	if err := ReadAll(ctx, out, []string{topic}, v, in.lines); err != nil {
		return err
	}
	m.Verdict = v.Verdict(in.ledger)
	return nil
}

// toTopic starts a program and follows it until all lines are in a topic.
func (r *runner) toTopic(ctx context.Context, m *Measure, in input, out []string, topic string, prepare func() (*Proc, error)) error {
	if err := CreateTopic(ctx, out, topic, r.Partitions); err != nil {
		return err
	}
	c, err := newTopicCounter(out, topic, r.Partitions)
	if err != nil {
		return err
	}
	defer c.close()
	if err := eventually(ctx, 10*time.Second, func() error { _, err := c.count(ctx); return err }); err != nil {
		return err
	}
	p, err := prepare()
	if err != nil {
		return err
	}
	m.Bytes = in.bytes
	return r.watch(ctx, m, p, c.count, in.lines)
}

// watch runs a program to the end of its work, and stops it.
func (r *runner) watch(ctx context.Context, m *Measure, p *Proc, out counter, lines int64) error {
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
	if err := m.follow(ctx, p, start, out, lines, r.say); err != nil {
		return err
	}
	if m.stage == nil {
		p.Stop(20 * time.Second)
		return nil
	}
	f, err := atRest(ctx, m.stage)
	if err != nil {
		return err
	}
	m.allocations(f)
	m.Counters = Check(m.stage.Role, f)
	_, err = p.Stop(shutdownTimeout + 2*time.Second)
	return err
}

// profile takes one of 4 s, a second after the start.
func (r *runner) profile(ctx context.Context, m *Measure) {
	sleep(ctx, time.Second)
	text, err := Elastic{m.stage.Admin}.Call(ctx, "GET", "/debug/pprof/profile?seconds=4", "")
	if err == nil {
		err = os.WriteFile(filepath.Join(r.Profile, fmt.Sprintf("%s-%d.pprof", m.Part, r.n)), text, 0o644)
	}
	if err != nil && ctx.Err() == nil {
		r.say(fmt.Sprintf("%s: no profile: %v\n", m.Part, err))
	}
}

// atRest reads the counters once the last acknowledgement is counted.
func atRest(ctx context.Context, g *Stage) (f Figures, err error) {
	inFlight := map[string]string{"shipper": "sluice_shipper_events_in_flight", "aggregator": "sluice_aggregator_in_flight", "indexer": "sluice_indexer_events_in_flight"}[g.Role]
	err = eventually(ctx, 5*time.Second, func() error {
		if f, err = g.Figures(ctx); err != nil {
			return err
		}
		if f[inFlight] != 0 {
			return fmt.Errorf("%s is %.0f though all events are at the output", inFlight, f[inFlight])
		}
		return nil
	})
	if f != nil {
		return f, nil // Check tells of what does not come out
	}
	return nil, fmt.Errorf("read the counters of %s: %w", g.Name, err)
}

func (r *runner) floor(ctx context.Context, m *Measure, f Floor, in input, out []string) error {
	f.Out, f.Partitions, f.Compression, f.Lines = r.name("floor"), r.Partitions, r.Compression, in.lines
	return r.toTopic(ctx, m, in, out, f.Out, func() (*Proc, error) { return r.floorProc(f), nil })
}

// floorProc is a floor in a process of its own.
func (r *runner) floorProc(f Floor) *Proc {
	return &Proc{Name: "floor " + f.Client, Log: filepath.Join(r.Dir, "floor.log"), Argv: append([]string{r.Bin, "loadtest", "floor"}, f.Args()...)}
}

// Args is the floor as arguments of the command that runs it.
func (f Floor) Args() []string {
	return []string{"--kind", f.Kind, "--client", f.Client, "--files", f.Files, "--from", f.From, "--to", f.To, "--in", f.In, "--out", f.Out,
		"--partitions", fmt.Sprint(f.Partitions), "--compression", f.Compression, "--lines", fmt.Sprint(f.Lines), "--bulk-count", fmt.Sprint(f.BulkCount)}
}

// ReadAll reads topics until lines different ones were there and then nothing more came
// for two seconds, so that what is doubled is seen as well.
func ReadAll(ctx context.Context, brokers, topics []string, v *Verifier, lines int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var records atomic.Int64
	var wg sync.WaitGroup
	var err error
	wg.Go(func() { err = ReadKafka(ctx, brokers, topics, v.See, &records) })
	quiet(ctx, &records, func() bool { return v.Distinct() >= lines })
	cancel()
	wg.Wait()
	return err
}

// quiet returns once nothing has been counted for 2 s (done) or 15 s (not done).
func quiet(ctx context.Context, records *atomic.Int64, done func() bool) {
	last, since := int64(-1), time.Now()
	for ctx.Err() == nil {
		if n := records.Load(); n != last {
			last, since = n, time.Now()
		}
		if limit := 2 * time.Second; done() && time.Since(since) > limit || time.Since(since) > 15*time.Second {
			return
		}
		sleep(ctx, 50*time.Millisecond)
	}
}

// eventually tries until it is nil or the time is over.
func eventually(ctx context.Context, within time.Duration, try func() error) error {
	for end := time.Now().Add(within); ; sleep(ctx, 50*time.Millisecond) {
		err := try()
		if err == nil || time.Now().After(end) || ctx.Err() != nil {
			return err
		}
	}
}

// fill writes events of sluice to a topic, for the stages that read Kafka.
func (r *runner) fill(ctx context.Context, brokers []string, lines int64) (input, error) {
	w := r.workload()
	topic := r.name("fill")
	k, err := NewKafkaWriter(ctx, brokers, topic, r.Partitions, r.Compression)
	if err != nil {
		return input{}, err
	}
	g, err := Generate(ctx, NewLines(w), Pace{Lines: lines}, k, func(g Generated) { r.say(fmt.Sprintf("filling topic %s: %d of %d", topic, g.Lines, lines)) })
	return input{topic: topic, lines: g.Lines, bytes: g.Bytes, run: w.Run, ledger: k.Ledger()}, err
}

func (r *runner) aggregator(ctx context.Context) error {
	in, err := r.fill(ctx, r.site.DC1.Brokers, r.Lines)
	if err != nil {
		return err
	}
	programs := []program{{who: "sluice", measure: func(ctx context.Context, m *Measure) error {
		p := &Plan{Name: r.name("agg"), In: in.topic, Compression: r.Compression, Gzip: -1}
		p.Out = p.Topic()
		return r.stage(ctx, m, "aggregator", p, in, r.site.Central.Brokers)
	}}}
	for _, client := range Floors {
		programs = append(programs, program{who: "floor " + client, note: "copies records: no group, no offsets kept", measure: func(ctx context.Context, m *Measure) error {
			f := Floor{Kind: "copy", Client: client, From: r.site.DC1.Brokers[0], In: in.topic, To: r.site.Central.Brokers[0]}
			return r.floor(ctx, m, f, in, r.site.Central.Brokers)
		}})
	}
	programs = append(programs, r.peers(PartAggregator, in)...)
	return r.try(ctx, PartAggregator, programs)
}

func (r *runner) indexer(ctx context.Context) error {
	in, err := r.fill(ctx, r.site.Central.Brokers, r.Lines)
	if err != nil {
		return err
	}
	levels := []int{r.Gzip}
	if r.Gzip != 0 {
		levels = append(levels, 0)
	}
	var programs []program
	for _, gzip := range levels {
		who := "sluice"
		if gzip == 0 && len(levels) > 1 {
			who = "sluice, bodies not compressed"
		}
		programs = append(programs, program{who: who, measure: func(ctx context.Context, m *Measure) error {
			v := NewVerifier(VerifyOptions{Run: in.run, Places: true})
			return r.toSink(ctx, m, in, &Sink{Verifier: v}, func(url string) (*Proc, error) {
				p := &Plan{Name: r.name("idx"), In: in.topic, Target: url, Gzip: gzip, BulkBytes: r.BulkBytes}
				if r.BulkBytes != "" {
					p.BulkCount = r.BulkCount
				}
				g, err := r.site.Stage("indexer", p, 1)
				if err != nil {
					return nil, err
				}
				m.stage = g
				return g.Proc, nil
			})
		}})
	}
	for _, client := range Floors {
		programs = append(programs, program{who: "floor " + client, note: "posts events as they are, not compressed: no parsing, no group, no offsets kept", measure: func(ctx context.Context, m *Measure) error {
			return r.toSink(ctx, m, in, &Sink{}, func(url string) (*Proc, error) {
				return r.floorProc(Floor{Kind: "consume", Client: client, From: r.site.Central.Brokers[0], In: in.topic, To: url, Out: r.name("floor"), Partitions: r.Partitions, Lines: in.lines, BulkCount: r.BulkCount}), nil
			})
		}})
	}
	programs = append(programs, r.peers(PartIndexer, in)...)
	return r.try(ctx, PartIndexer, programs)
}

// toSink runs a program into a sink of its own.
func (r *runner) toSink(ctx context.Context, m *Measure, in input, sink *Sink, prepare func(url string) (*Proc, error)) error {
	s, err := Serve("127.0.0.1:0", sink)
	if err != nil {
		return err
	}
	defer s.Close()
	p, err := prepare(s.URL)
	if err != nil {
		return err
	}
	m.Bytes = in.bytes
	if err := r.watch(ctx, m, p, countSink(sink), in.lines); err != nil {
		return err
	}
	if sink.Verifier != nil {
		m.Verdict = sink.Verifier.Verdict(in.ledger)
	}
	return nil
}

// elastic measures into Elasticsearch; the floors are the ceiling of its _bulk.
func (r *runner) elastic(ctx context.Context) error {
	in, err := r.fill(ctx, r.site.Central.Brokers, r.ElasticLine)
	if err != nil {
		return err
	}
	es := Elastic{r.site.ES.URL}
	// All indices have the mapping that setup installs for lt-es-*.
	ceiling := func(client string) func(ctx context.Context, m *Measure) error {
		return func(ctx context.Context, m *Measure) error {
			f := Floor{Kind: "consume", Client: client, From: r.site.Central.Brokers[0], In: in.topic, To: es.URL, Out: "lt-es-" + r.name("floor"), Partitions: r.Partitions, Lines: in.lines, BulkCount: r.BulkCount}
			return r.toElastic(ctx, m, in, f.Out, r.floorProc(f))
		}
	}
	if err := r.site.Setup(ctx, &Plan{Name: "setup", Prefix: "lt-es", Target: es.URL, Gzip: -1}); err != nil {
		return err
	}
	r.say("warming Elasticsearch up")
	if err := ceiling("franz-go")(ctx, &Measure{Who: "warm-up"}); err != nil {
		return err
	}
	programs := []program{
		{who: "sluice", measure: func(ctx context.Context, m *Measure) error {
			p := &Plan{Name: r.name("es"), In: in.topic, Target: es.URL, Gzip: r.Gzip, BulkBytes: r.BulkBytes}
			p.Prefix = "lt-es-" + p.Name
			g, err := r.site.Stage("indexer", p, 1)
			if err != nil {
				return err
			}
			m.stage = g
			if err := r.toElastic(ctx, m, in, p.Index(), g.Proc); err != nil {
				return err
			}
			v := NewVerifier(VerifyOptions{Run: in.run, Places: true})
			if err := es.Read(ctx, p.Index()+"-*", v.See); err != nil {
				return err
			}
			m.Verdict = v.Verdict(in.ledger)
			return nil
		}},
		{who: "floor franz-go", note: "the ceiling of _bulk: events as they are, 3 requests in flight", measure: ceiling("franz-go")},
		{who: "floor sarama", note: "likewise", measure: ceiling("sarama")},
	}
	programs = append(programs, r.peers(PartElastic, in)...)
	return r.try(ctx, PartElastic, programs)
}

func (r *runner) toElastic(ctx context.Context, m *Measure, in input, index string, p *Proc) error {
	m.Bytes = in.bytes
	if err := r.watch(ctx, m, p, countIndexed(Elastic{r.site.ES.URL}, index), in.lines); err != nil {
		return err
	}
	return nil
}

// Setup installs sluice's templates for the plan's indices, as an operator would.
func (s *Site) Setup(ctx context.Context, p *Plan) error {
	g, err := s.Stage("indexer", p, 1)
	if err != nil {
		return err
	}
	g.Proc.Argv = []string{s.Bin, "setup", "-c", filepath.Join(s.Dir, p.Name, "indexer.yaml")}
	if err := g.Start(); err != nil {
		return err
	}
	return g.Wait(ctx)
}

// pipeline runs all three stages on lines as they are written and looks at how long a
// line takes: until it can be read from the Kafka of the data centre, from the central
// one, and until a search finds it.
func (r *runner) pipeline(ctx context.Context) error {
	l := &Live{Site: r.site, Plan: &Plan{Name: r.name("live"), Partitions: r.Partitions, Compression: r.Compression, Gzip: r.Gzip, BulkBytes: r.BulkBytes},
		Workload: Workload{Seed: r.Seed, Sources: r.Sources, Skew: r.Skew, Mean: r.Mean, HugeOf: 5000}, Pace: Pace{Rate: r.Rate, For: r.For}, MaxSize: 20 << 20, MaxFile: 5}
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
