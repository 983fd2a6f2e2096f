package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/deadletter"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/rule"
)

func deadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dead COMMAND",
		Short: "Read dead letters, index them again, or set them aside",
		Long: `dead works on the dead-letter topic of the indexer: events that Elasticsearch refused
for good, each with the reason. Letters stay in their topic until its retention takes
them; what was done with one is noted in a topic beside it, and from then on it is left
out unless --marked asks for it.`,
		GroupID: groupTools,
		Args:    cobra.NoArgs,
		Run:     nil,

		DisableFlagsInUseLine: true,
	}
	cmd.AddCommand(deadListCommand(), deadShowCommand(), deadReplayCommand(), deadDropCommand())
	for _, c := range cmd.Commands() {
		c.Args, c.DisableFlagsInUseLine = cobra.NoArgs, true
	}
	return cmd
}

// deadFlags are what the commands on dead letters have in common.
type deadFlags struct {
	path                                     *string
	topic                                    *string
	reason, app, output, source, index, only *[]string
	text, since, until                       *string
	marked                                   *bool
}

func newDeadFlags(cmd *cobra.Command) *deadFlags {
	f := cmd.Flags()
	return &deadFlags{
		path:   configFlag(cmd),
		topic:  f.String("topic", "", "dead-letter `TOPIC` on the indexer's cluster (indexer.dead_letter_topic)"),
		reason: f.StringSlice("reason", nil, "only these reasons: globs, /RE2/, ! for not; `LIST`"),
		app:    f.StringSlice("app", nil, "only of these applications; `LIST` as --reason"),
		output: f.StringSlice("output", nil, "only refused by these outputs; `LIST` as --reason"),
		source: f.StringSlice("from-topic", nil, "only of records of these topics; `LIST` as --reason"),
		index:  f.StringSlice("index", nil, "only those that were to go to these indices; `LIST` as --reason"),
		only:   f.StringSlice("at", nil, "only the letters at these `PLACES`, topic/partition/offset"),
		text:   f.String("error", "", "only those whose error holds this `TEXT`"),
		since:  f.String("since", "", "only those that died at this `TIME` or later: 2026-11-29T10:00:00Z, or 2h: so long ago"),
		until:  f.String("until", "", "only those that died before this `TIME`"),
		marked: f.Bool("marked", false, "those that were replayed or dropped before as well"),
	}
}

// dead is what a command on dead letters works with.
type dead struct {
	cfg     *config.Config
	cluster *kafka.Cluster
	topic   string
	filter  *deadletter.Filter
	words   string // the filter as it was asked for
}

func (f *deadFlags) open(cmd *cobra.Command) (*dead, error) {
	cfg, err := config.LoadHere(*f.path, "indexer")
	if err != nil {
		return nil, err
	}
	log := newLog(cfg.Log, cmd.ErrOrStderr())
	ix := &cfg.Indexer
	d := &dead{cfg: cfg, topic: ix.DeadLetterTopic, cluster: &kafka.Cluster{Name: ix.Kafka, Config: cfg.Kafka[ix.Kafka], Log: log}}
	if *f.topic != "" {
		d.topic = *f.topic
	}
	if d.filter, err = f.filter(d.topic, time.Now()); err != nil {
		return nil, usage{err}
	}
	d.words = f.words(cmd)
	return d, nil
}

func (f *deadFlags) filter(topic string, now time.Time) (*deadletter.Filter, error) {
	out := &deadletter.Filter{Error: *f.text, Marked: *f.marked, At: map[deadletter.At]bool{}}
	for _, p := range []struct {
		flag string
		list []string
		to   *rule.Patterns
	}{{"reason", *f.reason, &out.Reason}, {"app", *f.app, &out.App}, {"output", *f.output, &out.Output}, {"from-topic", *f.source, &out.Topic}, {"index", *f.index, &out.Index}} {
		var err error
		if *p.to, err = rule.ParsePatterns(p.list); err != nil {
			return nil, fmt.Errorf("--%s: %w", p.flag, err)
		}
	}
	for _, t := range []struct {
		flag, text string
		to         *time.Time
	}{{"since", *f.since, &out.Since}, {"until", *f.until, &out.Until}} {
		if t.text == "" {
			continue
		}
		at, err := parseMoment(t.text, now)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", t.flag, err)
		}
		*t.to = at
	}
	for _, s := range *f.only {
		at, err := deadletter.ParseAt(s, topic)
		if err != nil {
			return nil, fmt.Errorf("--at: %w", err)
		}
		out.At[at] = true
	}
	return out, nil
}

// parseMoment reads a time, or how long ago it was.
func parseMoment(s string, now time.Time) (time.Time, error) {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(form, s, time.Local); err == nil {
			return t, nil
		}
	}
	if d, err := config.ParseDuration(s); err == nil {
		return now.Add(-d.D()), nil
	}
	return time.Time{}, fmt.Errorf("expected a time such as 2026-11-29T10:00:00Z or %q, or a duration such as 2h, got %q", now.Format("2006-01-02 15:04"), s)
}

// filters are the flags that choose letters.
var filters = []string{"reason", "app", "output", "from-topic", "index", "at", "error", "since", "until"}

// words are the filters as flags; empty: none.
func (f *deadFlags) words(cmd *cobra.Command) string {
	var out []string
	for _, name := range filters {
		if flag := cmd.Flags().Lookup(name); flag.Changed {
			out = append(out, "--"+name+" "+strings.Trim(flag.Value.String(), "[]"))
		}
	}
	return strings.Join(out, " ")
}

// walk reads the letters and says on w what could not be read.
func (d *dead) walk(ctx context.Context, w io.Writer, f func(*deadletter.Found) error) error {
	unread, err := deadletter.Walk(ctx, d.cluster, d.topic, d.filter, f)
	if err != nil {
		return err
	}
	if unread.Records > 0 {
		fmt.Fprintf(w, "%s cannot be read as letters and were left out; the first: %v\n", count(unread.Records, "record"), unread.First)
	}
	if n := len(unread.Incomplete); n > 0 {
		l := unread.Incomplete[0]
		fmt.Fprintf(w, "of %s parts are missing, and they were left out; the first was read at %s: %s/%d@%d\n", count(n, "letter"), l.Cluster, l.Topic, l.Partition, l.Record.Offset)
	}
	return nil
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// marking is what a command that marks letters works with.
type marking struct {
	*dead
	marker *deadletter.Marker
	by     string
	why    string
	now    time.Time
}

func (d *dead) marking(ctx context.Context, why string) (*marking, error) {
	m, err := deadletter.NewMarker(ctx, d.cluster, d.topic, kafka.ProducerOptions{Produce: d.cfg.Indexer.Produce})
	if err != nil {
		return nil, fmt.Errorf("marks: %w", err)
	}
	return &marking{dead: d, marker: m, by: operator(d.cfg.Host), why: why, now: time.Now()}, nil
}

// end stores the marks and leaves an event that says who has done what.
func (m *marking) end(ctx context.Context, text string) error {
	if m.words != "" {
		text += " (" + m.words + ")"
	}
	text += ", by " + m.by
	if m.why != "" {
		text += ": " + m.why
	}
	if i := slices.IndexFunc(m.cfg.Indexer.Topics, func(t string) bool { return !strings.HasPrefix(t, "^") }); i >= 0 {
		if err := m.marker.Event(ctx, m.cfg.Indexer.Topics[i], m.cfg.Host, m.cfg.DC, text, m.now); err != nil {
			return fmt.Errorf("event of what was done: %w", err)
		}
	}
	return m.marker.Drain(ctx)
}

// operator is who runs this: user@host.
func operator(host string) string {
	name := os.Getenv("SUDO_USER")
	if u, err := user.Current(); name == "" && err == nil {
		name = u.Username
	}
	return name + "@" + host
}

// quietly is a logger for what the user is told otherwise, but for warnings.
func quietly(cfg config.Log, w io.Writer) *slog.Logger {
	if cfg.Level == "info" {
		cfg.Level = "warn"
	}
	return newLog(cfg, w)
}

var errNoFilter = errors.New("choose letters by a filter such as --reason or --app, or all of them by --all")
