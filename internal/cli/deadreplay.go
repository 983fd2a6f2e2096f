package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/indexer"
	"github.com/sluicelog/sluice/internal/deadletter"
	"github.com/sluicelog/sluice/internal/retry"
	"github.com/sluicelog/sluice/internal/rule"
)

func deadReplayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay [-c FILE] [--dry-run] [--rate N] [--to OUTPUT] [filters]",
		Short: "Index dead letters again",
		Long: `replay makes documents of dead letters by the indexer's own code, as it is and is
configured today, and sends them to the output that refused them, under the ids they
were to have: what is there already is not doubled. It changes no topic of logs. What is
indexed is marked, so that it is not replayed again; what dies again stays as it is, and
is reported with whether the cause is the same.

Stopped, it may be run again: it goes on with what has no mark.`,
		Example: `  sluice dead replay -c sluice.yaml --dry-run
  sluice dead replay -c sluice.yaml --reason document_parsing_exception --app shop
  sluice dead replay -c sluice.yaml --output standby --rate 500`,
	}
	flags := newDeadFlags(cmd)
	dry := cmd.Flags().Bool("dry-run", false, "make the documents and report where they would go; send nothing")
	rate := cmd.Flags().Int("rate", 1000, "at most `N` letters a second; 0: as many as can be")
	to := cmd.Flags().String("to", "", "to this `OUTPUT`, whichever refused them")
	why := cmd.Flags().String("why", "", "`TEXT` that is kept with the marks")
	cmd.RunE = action(func(cmd *cobra.Command) error {
		d, err := flags.open(cmd)
		if err != nil {
			return err
		}
		if *to != "" && outputNamed(d.cfg, *to) == nil {
			return usage{fmt.Errorf("--to: no output is named %q", *to)}
		}
		r := &replay{dead: d, cmd: cmd, dry: *dry, to: *to, rate: *rate, outputs: map[string]*indexer.Replayer{}, marks: map[*deadletter.Letter]*replaying{}, counts: map[string]int{}}
		return r.run(cmd.Context(), *why)
	})
	return cmd
}

// outputNamed is that of a name; nil: there is none.
func outputNamed(cfg *config.Config, name string) *config.Output {
	for i := range cfg.Indexer.Outputs {
		if o := &cfg.Indexer.Outputs[i]; o.Name == name {
			return o
		}
	}
	return nil
}

// replay is one run of the command.
type replay struct {
	*dead
	cmd     *cobra.Command
	dry     bool
	to      string
	rate    int
	outputs map[string]*indexer.Replayer
	marking *marking // nil: a dry run

	mu      sync.Mutex
	marks   map[*deadletter.Letter]*replaying // under way; guarded by mu, as all that follows
	sent    int
	stored  int
	same    int            // died again for the same cause
	other   int            // for another one
	counts  map[string]int // of letters: by what became of them, or where they would go
	batches int            // letters that are batches which cannot be read
	orphan  map[string]int // by outputs that there are no more
	failed  error          // the first mark that could not be written
}

// replaying is a letter under way: to one output, or, if no output refused it, to all.
type replaying struct {
	at      deadletter.At
	outputs []string
	left    int
	dead    bool
}

func (r *replay) run(ctx context.Context, why string) (err error) {
	if !r.dry {
		if r.marking, err = r.dead.marking(ctx, why); err != nil {
			return err
		}
		defer r.marking.marker.Close()
	}
	defer func() {
		for _, o := range r.outputs {
			o.Close()
		}
	}()
	progress, stop := context.WithCancel(ctx)
	var reporter sync.WaitGroup
	reporter.Go(func() { r.progress(progress) })
	err = r.send(ctx)
	stop()
	reporter.Wait()
	if errors.Is(err, context.Canceled) {
		err = errors.New("stopped; run it again to go on")
	}
	if r.dry {
		return errors.Join(err, r.dryReport())
	}
	return errors.Join(err, r.report())
}

func (r *replay) send(ctx context.Context) error {
	var bucket *rule.Bucket
	if r.rate > 0 {
		bucket = rule.NewBucket(rule.Rate{Events: float64(r.rate), Burst: 0.1}, time.Now())
	}
	err := r.walk(ctx, r.cmd.ErrOrStderr(), func(l *deadletter.Found) error {
		if bucket != nil && !r.dry {
			for wait := bucket.Take(0, time.Now()); wait > 0; wait = bucket.Take(0, time.Now()) {
				retry.Wait(ctx, wait)
				if ctx.Err() != nil {
					return ctx.Err()
				}
			}
		}
		return r.letter(ctx, l)
	})
	for _, o := range r.outputs {
		if err == nil {
			err = o.Drain(ctx)
		}
	}
	return err
}

// targets are the outputs that a letter goes to: that which refused it, or all if it was
// refused on the way.
func (r *replay) targets(l *deadletter.Found) (out []string) {
	switch {
	case r.to != "":
		return []string{r.to}
	case l.Role == "indexer":
		return []string{l.Output}
	}
	for i := range r.cfg.Indexer.Outputs {
		out = append(out, r.cfg.Indexer.Outputs[i].Name)
	}
	return out
}

func (r *replay) letter(ctx context.Context, l *deadletter.Found) error {
	if l.Reason == deadletter.Unreadable {
		r.mu.Lock()
		r.batches++
		r.mu.Unlock()
		return nil
	}
	targets := r.targets(l)
	for _, name := range targets {
		if outputNamed(r.cfg, name) == nil {
			r.mu.Lock()
			if r.orphan == nil {
				r.orphan = map[string]int{}
			}
			r.orphan[name]++
			r.mu.Unlock()
			return nil
		}
	}
	r.mu.Lock()
	r.sent++
	r.marks[l.Letter] = &replaying{at: l.At, outputs: targets, left: len(targets)}
	r.mu.Unlock()
	for _, name := range targets {
		o, err := r.replayer(name)
		if err != nil {
			return err
		}
		if r.dry {
			index, _, _ := o.Document(l.Letter)
			r.counts[name+" "+index]++
			continue
		}
		if err := o.Send(ctx, l.Letter); err != nil {
			return err
		}
	}
	if r.dry {
		delete(r.marks, l.Letter)
	}
	return nil
}

func (r *replay) replayer(name string) (*indexer.Replayer, error) {
	if o := r.outputs[name]; o != nil {
		return o, nil
	}
	log := quietly(r.cfg.Log, r.cmd.ErrOrStderr())
	o, err := indexer.NewReplayer(r.cfg, outputNamed(r.cfg, name), log, r.done)
	if err != nil {
		return nil, fmt.Errorf("output %s: %w", name, err)
	}
	r.outputs[name] = o
	return o, nil
}

// done takes what became of a letter at one output.
func (r *replay) done(l *deadletter.Letter, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.marks[l]
	m.left--
	if why != nil && !m.dead {
		m.dead = true
		text := "of another cause"
		if indexer.SameCause(l, why) {
			text = "of the same cause"
			r.same++
		} else {
			r.other++
		}
		r.counts[fmt.Sprintf("%s: %s", text, short(why.Error(), 160))]++
	}
	if m.left > 0 {
		return
	}
	delete(r.marks, l)
	if m.dead {
		return
	}
	r.stored++
	err := r.marking.marker.Mark(context.Background(), m.at, deadletter.Mark{
		Action: deadletter.Replayed, At: time.Now().UTC(), By: r.marking.by, Output: strings.Join(m.outputs, ","), Died: l.Died, Why: r.marking.why,
	})
	if err != nil && r.failed == nil {
		r.failed = fmt.Errorf("mark %s: %w", m.at, err)
	}
}

// progress reports each few seconds.
func (r *replay) progress(ctx context.Context) {
	every := time.NewTicker(5 * time.Second)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		r.mu.Lock()
		text := fmt.Sprintf("%s sent: %d indexed, %d died again", count(r.sent, "letter"), r.stored, r.same+r.other)
		r.mu.Unlock()
		fmt.Fprintln(r.cmd.ErrOrStderr(), text)
	}
}

// leftOut reports letters that were not replayed.
func (r *replay) leftOut() {
	if r.batches > 0 {
		fmt.Fprintf(r.cmd.ErrOrStderr(), "%s holding a batch that cannot be read, left out: it makes no documents\n", count(r.batches, "letter"))
	}
	for _, name := range slices.Sorted(maps.Keys(r.orphan)) {
		fmt.Fprintf(r.cmd.ErrOrStderr(), "%s of output %s, which there is not any more, left out: --to names another\n", count(r.orphan[name], "letter"), name)
	}
}

func (r *replay) dryReport() error {
	r.leftOut()
	out := r.cmd.OutOrStdout()
	for _, key := range slices.Sorted(maps.Keys(r.counts)) {
		name, index, _ := strings.Cut(key, " ")
		fmt.Fprintf(out, "%s would go to index %s of output %s\n", count(r.counts[key], "letter"), index, name)
	}
	_, err := fmt.Fprintf(out, "%s would be replayed; nothing was sent\n", count(r.sent, "letter"))
	return err
}

func (r *replay) report() error {
	r.leftOut()
	known := int64(0)
	for _, o := range r.outputs {
		known += o.Duplicates()
	}
	out := r.cmd.OutOrStdout()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(r.counts)) {
		fmt.Fprintf(out, "%s died again %s\n", count(r.counts[key], "letter"), key)
	}
	text := fmt.Sprintf("%s: %d indexed", count(r.sent, "letter"), r.stored)
	if known > 0 {
		text += fmt.Sprintf(" (%d were there)", known)
	}
	text += fmt.Sprintf(", %d died again", r.same+r.other)
	if left := len(r.marks); left > 0 {
		text += fmt.Sprintf(", %d given up", left)
	}
	if _, err := fmt.Fprintln(out, text); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.cmd.Context()), 30*time.Second)
	defer cancel()
	err := errors.Join(r.failed, r.marking.end(ctx, "dead letters replayed: "+text))
	if err == nil && r.same+r.other > 0 {
		err = fmt.Errorf("%s died again; they stay in %s", count(r.same+r.other, "letter"), r.topic)
	}
	return err
}

func deadDropCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drop [-c FILE] [--dry-run] --all | filters",
		Short: "Set dead letters aside: they are neither listed nor replayed any more",
		Long: `drop marks letters as dealt with. Their bytes stay in the topic until its retention takes
them, and list --marked counts them still.`,
		Example: `  sluice dead drop -c sluice.yaml --app test-* --why 'load test'
  sluice dead drop -c sluice.yaml --at sluice-dead/0/17`,
	}
	flags := newDeadFlags(cmd)
	dry := cmd.Flags().Bool("dry-run", false, "count them; mark none")
	all := cmd.Flags().Bool("all", false, "all letters that have no mark")
	why := cmd.Flags().String("why", "", "`TEXT` that is kept with the marks")
	cmd.RunE = action(func(cmd *cobra.Command) error {
		d, err := flags.open(cmd)
		if err != nil {
			return err
		}
		if d.words == "" && !*all {
			return usage{errNoFilter}
		}
		var m *marking
		if !*dry {
			if m, err = d.marking(cmd.Context(), *why); err != nil {
				return err
			}
			defer m.marker.Close()
		}
		n := 0
		err = d.walk(cmd.Context(), cmd.ErrOrStderr(), func(l *deadletter.Found) error {
			n++
			if *dry {
				return nil
			}
			return m.marker.Mark(cmd.Context(), l.At, deadletter.Mark{Action: deadletter.Dropped, At: time.Now().UTC(), By: m.by, Died: l.Died, Why: *why})
		})
		if *dry && err == nil {
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s would be dropped; nothing was marked\n", count(n, "letter"))
			return err
		}
		if err == nil {
			err = m.end(cmd.Context(), "dead letters dropped: "+count(n, "letter"))
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s dropped\n", count(n, "letter"))
		return err
	})
	return cmd
}
