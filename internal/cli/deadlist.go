package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/internal/deadletter"
)

// deadColumns are what letters are counted by.
var deadColumns = map[string]func(*deadletter.Found) string{
	"reason": func(l *deadletter.Found) string { return l.Reason },
	"app":    func(l *deadletter.Found) string { return l.App() },
	"output": func(l *deadletter.Found) string { return l.Output },
	"topic":  func(l *deadletter.Found) string { return l.Topic },
	"index":  func(l *deadletter.Found) string { return l.Target },
	"error":  func(l *deadletter.Found) string { return l.Error },
	"day":    func(l *deadletter.Found) string { return l.Died.UTC().Format(time.DateOnly) },
	"mark": func(l *deadletter.Found) string {
		if l.Mark == nil {
			return "open"
		}
		return l.Mark.Action
	},
}

// deadGroup is letters that are counted together.
type deadGroup struct {
	by          []string
	Events      int
	Bytes       int64
	First, Last time.Time // of death
	Example     string    // the error of the first
}

func deadListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list [-c FILE] [--by LIST] [filters]",
		Short: "Count dead letters by reason, application, ...",
		Long: `list counts the dead letters that nobody has dealt with yet, by reason and output or by
what --by names, with the first error of each kind.`,
		Example: `  sluice dead list -c sluice.yaml
  sluice dead list -c sluice.yaml --by app,reason --since 2h
  sluice dead list -c sluice.yaml --by error --reason 'document_*'`,
	}
	flags := newDeadFlags(cmd)
	names := slices.Sorted(maps.Keys(deadColumns))
	by := cmd.Flags().StringSlice("by", []string{"reason", "output"}, "count by these: `LIST` of "+strings.Join(names, ", "))
	asJSON := cmd.Flags().Bool("json", false, "one JSON object a line")
	cmd.RunE = action(func(cmd *cobra.Command) error {
		for _, name := range *by {
			if deadColumns[name] == nil {
				return usage{fmt.Errorf("--by: expected some of %s, got %q", strings.Join(names, ", "), name)}
			}
		}
		d, err := flags.open(cmd)
		if err != nil {
			return err
		}
		groups := map[string]*deadGroup{}
		total := 0
		err = d.walk(cmd.Context(), cmd.ErrOrStderr(), func(l *deadletter.Found) error {
			var values []string
			for _, name := range *by {
				values = append(values, deadColumns[name](l))
			}
			key := strings.Join(values, "\x00")
			g := groups[key]
			if g == nil {
				g = &deadGroup{by: values, First: l.Died, Last: l.Died, Example: l.Error}
				groups[key] = g
			}
			g.Events++
			total++
			g.Bytes += int64(len(l.Record.Value))
			if l.Died.Before(g.First) {
				g.First, g.Example = l.Died, l.Error
			}
			if l.Died.After(g.Last) {
				g.Last = l.Died
			}
			return nil
		})
		if err != nil {
			return err
		}
		list := slices.SortedFunc(maps.Values(groups), func(a, b *deadGroup) int {
			return cmp.Or(cmp.Compare(b.Events, a.Events), slices.Compare(a.by, b.by))
		})
		if *asJSON {
			return listJSON(cmd, *by, list)
		}
		return listTable(cmd, d.topic, *by, list, total)
	})
	return cmd
}

func listJSON(cmd *cobra.Command, by []string, list []*deadGroup) error {
	out := json.NewEncoder(cmd.OutOrStdout())
	for _, g := range list {
		row := map[string]any{"events": g.Events, "bytes": g.Bytes, "first": g.First.UTC(), "last": g.Last.UTC(), "example": g.Example}
		for i, name := range by {
			row[name] = g.by[i]
		}
		if err := out.Encode(row); err != nil {
			return err
		}
	}
	return nil
}

func listTable(cmd *cobra.Command, topic string, by []string, list []*deadGroup, total int) error {
	out := cmd.OutOrStdout()
	if total == 0 {
		_, err := fmt.Fprintf(out, "no letters in %s that fit\n", topic)
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "EVENTS\t%s\tFIRST\tLAST\tERROR\n", strings.ToUpper(strings.Join(by, "\t")))
	for _, g := range list {
		fmt.Fprintf(w, "%d", g.Events)
		for _, v := range g.by {
			fmt.Fprintf(w, "\t%s", cmp.Or(short(v, 60), "-"))
		}
		example := short(g.Example, 100)
		if slices.Contains(by, "error") {
			example = ""
		}
		fmt.Fprintf(w, "\t%s\t%s\t%s\n", g.First.UTC().Format(deadTime), g.Last.UTC().Format(deadTime), example)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%s in %s\n", count(total, "letter"), topic)
	return err
}

const deadTime = "2006-01-02T15:04:05Z"

// short is a text as one line of n characters at most.
func short(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > n {
		return string(r[:n-3]) + "..."
	}
	return s
}

func deadShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show [-c FILE] [-n N] [filters]",
		Short: "Print dead letters with all that is known of them",
		Long: `show prints letters: where each is and was read, why it is there, and its record with
key, headers and value.`,
		Example: `  sluice dead show -c sluice.yaml -n 1 --reason document_parsing_exception
  sluice dead show -c sluice.yaml --at sluice-dead/0/17
  sluice dead show -c sluice.yaml -n 0 --json | jq -r .value`,
	}
	flags := newDeadFlags(cmd)
	most := cmd.Flags().IntP("number", "n", 10, "at most `N` letters; 0: all")
	asJSON := cmd.Flags().Bool("json", false, "one JSON object a line")
	cmd.RunE = action(func(cmd *cobra.Command) error {
		d, err := flags.open(cmd)
		if err != nil {
			return err
		}
		shown := 0
		err = d.walk(cmd.Context(), cmd.ErrOrStderr(), func(l *deadletter.Found) error {
			if *most > 0 && shown == *most {
				return errEnough
			}
			shown++
			if *asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(letterJSON(l))
			}
			return showLetter(cmd, l)
		})
		switch {
		case errors.Is(err, errEnough):
			fmt.Fprintf(cmd.ErrOrStderr(), "there are more than these %d; -n 0 prints all\n", *most)
			return nil
		case err == nil && shown == 0 && !*asJSON:
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "no letters in %s that fit\n", d.topic)
		}
		return err
	})
	return cmd
}

var errEnough = errors.New("enough")

func showLetter(cmd *cobra.Command, l *deadletter.Found) error {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-8s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "%s\n", l.At)
	status := ""
	if l.Status > 0 {
		status = fmt.Sprintf(" (%d)", l.Status)
	}
	row("died", "%s of %s%s", l.Died.UTC().Format(deadTime), l.Reason, status)
	row("error", "%s", short(l.Error, 1000))
	row("by", "%s, output %s", l.Role, cmp.Or(l.Output, "-"))
	row("target", "%s, id %s", cmp.Or(l.Target, "-"), cmp.Or(l.ID, "-"))
	row("read", "at %s: %s/%d@%d, of %s", cmp.Or(l.Cluster, "-"), l.Topic, l.Partition, l.Record.Offset, l.Record.Time.UTC().Format(deadTime))
	if l.Mark != nil {
		row("mark", "%s %s by %s", l.Mark.Action, l.Mark.At.UTC().Format(deadTime), l.Mark.By)
	}
	row("key", "%s", printable(l.Record.Key))
	for _, h := range l.Record.Headers {
		row("header", "%s=%s", printable(h.Key), printable(h.Value))
	}
	row("value", "%s", printable(l.Record.Value))
	_, err := fmt.Fprintln(cmd.OutOrStdout(), b.String())
	return err
}

// printable is bytes as text of one line; what is none is quoted.
func printable(b []byte) string {
	if s := string(b); utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return s
	}
	return strconv.Quote(string(b))
}

func letterJSON(l *deadletter.Found) map[string]any {
	out := map[string]any{
		"at": l.At.String(), "died": l.Died.UTC(), "reason": l.Reason, "error": l.Error, "status": l.Status, "role": l.Role, "output": l.Output, "target": l.Target, "id": l.ID,
		"cluster": l.Cluster, "topic": l.Topic, "partition": l.Partition, "offset": l.Record.Offset, "record_time": l.Record.Time.UTC(), "key": string(l.Record.Key),
	}
	headers := map[string]string{}
	for _, h := range l.Record.Headers {
		headers[string(h.Key)] = string(h.Value)
	}
	out["headers"] = headers
	if utf8.Valid(l.Record.Value) {
		out["value"] = string(l.Record.Value)
	} else {
		out["value_base64"] = l.Record.Value // as encoding/json writes bytes
	}
	if l.Mark != nil {
		out["mark"] = l.Mark
	}
	return out
}
