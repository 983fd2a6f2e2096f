package cli

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/jsontext"
	"github.com/sluicelog/sluice/internal/rule"
)

func rulesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "rules COMMAND",
		Short:   "Try rules on lines, and measure what they cost",
		Long:    `rules works on the rules of the shipper, on lines of a file or of standard input.`,
		GroupID: groupTools,
		Args:    cobra.NoArgs,

		DisableFlagsInUseLine: true,
	}
	cmd.AddCommand(rulesTryCommand(), rulesBenchCommand())
	for _, c := range cmd.Commands() {
		c.Args, c.DisableFlagsInUseLine = cobra.NoArgs, true
	}
	return cmd
}

// sourceFlags are what lines are said to come from.
type sourceFlags struct {
	path                        *string
	app, dataset, stream, lines *string
	labels                      *map[string]string
}

func newSourceFlags(cmd *cobra.Command) *sourceFlags {
	f := cmd.Flags()
	return &sourceFlags{
		path: configFlag(cmd), app: f.String("app", "", "service.name of the lines, `NAME`"), dataset: f.String("dataset", "", "event.dataset of the lines, `NAME`"),
		stream: f.String("stream", "", "stdout or stderr"), labels: f.StringToString("label", nil, "labels of the lines, `NAME=VALUE`"),
		lines: f.String("lines", "-", "`FILE` of lines; -: standard input"),
	}
}

// tried is rules, and lines of one source.
type tried struct {
	cfg    *config.Config
	set    *rule.Set
	source rule.Source
	stream string
	lines  []string
}

const mostTried = 64 << 20 // bytes of lines

func (f *sourceFlags) open(cmd *cobra.Command) (*tried, error) {
	cfg, err := config.Load(*f.path, "shipper")
	if err != nil {
		return nil, err
	}
	t := &tried{cfg: cfg, stream: *f.stream}
	t.source = rule.Source{App: *f.app, Dataset: *f.dataset, DC: cfg.DC, Host: cfg.Host, Topic: cfg.Shipper.Topic, Labels: *f.labels}
	if t.set, err = config.Rules(config.ShipperRules, cfg.Shipper.Rules); err != nil {
		return nil, err
	}
	in := cmd.InOrStdin()
	if *f.lines != "-" {
		file, err := os.Open(*f.lines)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	scan := bufio.NewScanner(io.LimitReader(in, mostTried))
	scan.Buffer(nil, int(cfg.Shipper.MaxLine)+1)
	for scan.Scan() {
		t.lines = append(t.lines, strings.TrimSuffix(scan.Text(), "\r"))
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("read lines: %w", err)
	}
	return t, nil
}

// event is that of a line; the id is that of its number, since the real one hangs on
// its file.
func (t *tried) event(i int) rule.Event {
	line := t.lines[i]
	return rule.Event{Text: jsontext.Append(nil, line), Stream: t.stream, ID: []byte(strconv.Itoa(i)), Source: t.source.App, Bytes: int64(len(line)) + 1}
}

func rulesTryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "try [-c FILE] [--app NAME] ... < LINES",
		Short:   "Say what the shipper's rules do to lines",
		Long:    `try prints for each line what becomes of it, by which rule.`,
		Example: `  tail -n 100 app.log | sluice rules try -c sluice.yaml --app shop`,
	}
	flags := newSourceFlags(cmd)
	cmd.RunE = action(func(cmd *cobra.Command) error {
		t, err := flags.open(cmd)
		if err != nil {
			return err
		}
		view, judge := t.set.View(&t.source), t.set.NewJudge()
		w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		for i, line := range t.lines {
			e := t.event(i)
			counted := ""
			v := judge.Judge(view, &e)
			what, by := "sent", "-"
			if out := v.Out(); out != nil {
				what, by = "dropped", out.Name
			}
			if v.Limit != nil && v.Out() == nil {
				what, by = "limited", v.Limit.Name
			}
			if v.Mask != nil {
				if inside, masked := judge.Mask(v.Mask, &e); masked {
					line = string(jsontext.Unescape(nil, inside))
					if what == "sent" {
						what, by = "masked", v.Mask.Name
					} else {
						by += "," + v.Mask.Name
					}
				}
			}
			judge.Tally(func(r *rule.Rule, _ rule.Counts) {
				if r.Kind == rule.Count {
					counted = "," + r.Name
				}
			})
			fmt.Fprintf(w, "%s\t%s\t%s\n", what, strings.TrimPrefix(by+counted, "-,"), short(line, 200))
		}
		return w.Flush()
	})
	return cmd
}

func rulesBenchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench [-c FILE] [--app NAME] ... < LINES",
		Short: "Measure what each rule of the shipper costs a line",
		Long: `bench runs the rules on lines again and again and prints the time that each takes by
itself, and all together. A rule that is "not searched" has no fixed text of three
characters or more in its expression: it is run on every line of its sources.`,
		Example: `  sluice rules bench -c sluice.yaml --app shop --lines app.log`,
	}
	flags := newSourceFlags(cmd)
	during := cmd.Flags().Duration("time", 300*time.Millisecond, "how long each is measured, `DURATION`")
	cmd.RunE = action(func(cmd *cobra.Command) error {
		t, err := flags.open(cmd)
		if err != nil {
			return err
		}
		if len(t.lines) == 0 {
			return usage{fmt.Errorf("bench needs lines: --lines FILE, or on standard input")}
		}
		return t.bench(cmd.OutOrStdout(), *during)
	})
	return cmd
}

// bench prints what rules cost.
func (t *tried) bench(out io.Writer, during time.Duration) error {
	events := make([]rule.Event, len(t.lines))
	bytes := 0
	for i := range events {
		events[i] = t.event(i)
		bytes += len(t.lines[i])
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RULE\tACTION\tNS/LINE\tMATCHES\t")
	row := func(name, action, note string, set *rule.Set) {
		each, matched := measure(set, &t.source, events, during)
		fmt.Fprintf(w, "%s\t%s\t%.0f\t%d\t%s\n", name, action, each, matched, note)
	}
	for i := range t.cfg.Shipper.Rules {
		set, err := config.Rules(config.ShipperRules, t.cfg.Shipper.Rules[i:i+1])
		if err != nil {
			return err
		}
		r, note := set.Rules()[0], ""
		if !r.Searched() {
			note = "not searched"
		}
		row(r.Name, r.Kind.String(), note, set)
	}
	row("all", "", "", t.set)
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%s of %d bytes on average\n", count(len(t.lines), "line"), bytes/len(t.lines))
	return err
}

// measure is the time a line takes, in nanoseconds, and how many lines matched.
func measure(set *rule.Set, source *rule.Source, events []rule.Event, during time.Duration) (each float64, matched int64) {
	view, judge := set.View(source), set.NewJudge()
	once := func() {
		for i := range events {
			if v := judge.Judge(view, &events[i]); v.Mask != nil {
				judge.Mask(v.Mask, &events[i])
			} else if v.Limit != nil {
				judge.Count(v.Limit, events[i].Bytes)
			}
		}
	}
	once()
	judge.Tally(func(_ *rule.Rule, c rule.Counts) { matched += c.Events })
	began, n := time.Now(), 0
	for n == 0 || time.Since(began) < during {
		once()
		n++
	}
	return float64(time.Since(began).Nanoseconds()) / float64(cmp.Or(n*len(events), 1)), matched
}
