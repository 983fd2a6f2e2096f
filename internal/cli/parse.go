package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/indexer/parse"
	"github.com/sluicelog/sluice/internal/jsontext"
)

func parseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "parse [-c FILE] [--timezone ZONE] [--read TIME] < LINES",
		Short: "Show what the indexer finds in lines",
		Long: `parse reads lines from standard input and prints for each what the indexer would find in
it: one JSON object a line, or a table in colours where the output is a terminal. No
server is asked.

  time      of the line, in UTC; absent: it has none, or none that is believed
  level     one of trace debug info notice warn error critical alert emergency fatal
  logger    the logger or class
  message   what message becomes
  fields    all else: app of a JSON or logfmt line, http, url, process, trace, ...
  format    text json logfmt syslog access none

A time without a zone is in --timezone, or in indexer.timezone of the configuration that
-c names, or in UTC. What else a time lacks, a year or a day, and whether it is to be
believed, depends on when the line was read: --read, or now.`,
		Example: `  tail -n 100 app.log | sluice parse
  sluice parse --timezone Asia/Shanghai --read 2026-11-21T08:58:00Z < app.log
  sluice parse < app.log | jq -r 'select(.time == null) | .message'   # lines without a time`,
		GroupID: groupTools,
		Args:    cobra.NoArgs,

		DisableFlagsInUseLine: true,
	}
	path := configFlag(cmd)
	timezone := cmd.Flags().String("timezone", "", "`ZONE` of times that name none: Europe/Berlin, +08:00 (default: that of -c, or UTC)")
	read := cmd.Flags().String("read", "", "`TIME` when the lines were read, such as 2026-11-21T08:58:00Z (default: now)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		zone, err := parseZone(*path, cmd.Flags().Changed("config"), *timezone)
		if err != nil {
			return err
		}
		at := time.Now()
		if *read != "" {
			if at, err = time.Parse(time.RFC3339Nano, *read); err != nil {
				return fmt.Errorf("--read %q: expected a time such as 2026-11-21T08:58:00Z", *read)
			}
		}
		out := bufio.NewWriter(cmd.OutOrStdout())
		show := appendFoundJSON
		if isTerminal(cmd.OutOrStdout()) {
			show = appendFoundText
		}
		if err := errors.Join(parseLines(cmd.InOrStdin(), out, parse.New(zone), at, show), out.Flush()); err != nil {
			return failure{err}
		}
		return nil
	}
	return cmd
}

// parseZone is the zone that a flag names, else that of a configuration, if one is asked
// for.
func parseZone(path string, named bool, flag string) (*time.Location, error) {
	if flag != "" {
		zone, ok := parse.Zone([]byte(flag))
		if !ok {
			return nil, fmt.Errorf("--timezone %q: expected a name of the time zone database such as Europe/Berlin, or an offset such as +08:00", flag)
		}
		return zone, nil
	}
	if !named {
		return time.UTC, nil
	}
	cfg, err := config.Load(path)
	if err != nil {
		return nil, failure{err}
	}
	zone, err := time.LoadLocation(cfg.Indexer.Timezone)
	if err != nil {
		return nil, failure{err}
	}
	return zone, nil
}

// parseLines shows what is found in each line.
func parseLines(in io.Reader, out *bufio.Writer, p *parse.Parser, read time.Time, show func([]byte, *parse.Found) []byte) error {
	lines := bufio.NewReaderSize(in, 64<<10)
	var escaped, shown []byte
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			escaped = jsontext.Append(escaped[:0], bytes.TrimRight(line, "\r\n"))
			shown = show(shown[:0], p.Parse(escaped, read, parse.Options{}))
			if _, err := out.Write(shown); err != nil {
				return fmt.Errorf("write: %w", err)
			}
			if lines.Buffered() == 0 { // tail -f is seen at once
				if err := out.Flush(); err != nil {
					return fmt.Errorf("write: %w", err)
				}
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
	}
}

// appendFoundJSON appends what was found as a line of JSON.
func appendFoundJSON(dst []byte, f *parse.Found) []byte {
	dst = append(dst, '{')
	if !f.Time.IsZero() {
		dst = append(f.Time.UTC().AppendFormat(append(dst, `"time":"`...), time.RFC3339Nano), `",`...)
	}
	if f.Level != "" {
		dst = append(append(append(dst, `"level":"`...), f.Level...), `",`...)
	}
	if len(f.Logger) > 0 {
		dst = append(append(append(dst, `"logger":"`...), f.Logger...), `",`...)
	}
	dst = append(append(append(dst, `"message":"`...), f.Message...), `",`...)
	if fields := appendFields(append(dst, `"fields":{`...), f, `,"`, `":`); len(fields) > 0 {
		dst = append(fields, `},`...)
	}
	return append(append(append(dst, `"format":"`...), f.Format.String()...), "\"}\n"...)
}

// appendFields appends what else was found, each after a separator but the first; nil:
// there is nothing.
func appendFields(dst []byte, f *parse.Found, before, between string) []byte {
	n := 0
	add := func(name string, parts ...[]byte) {
		if n++; n > 1 {
			dst = append(dst, before...)
		} else {
			dst = append(dst, before[1:]...)
		}
		dst = append(append(dst, name...), between...)
		for _, p := range parts {
			dst = append(dst, p...)
		}
	}
	if len(f.Trace) > 0 {
		add("trace", []byte(`{"id":"`), f.Trace, []byte(`"}`))
	}
	for _, m := range f.Fields {
		add(m.Name, m.Value)
	}
	if len(f.App) > 0 {
		add("app", []byte("{"), f.App, []byte("}"))
	}
	if n == 0 {
		return nil
	}
	return dst
}

// Colours of a terminal.
const (
	plainColour = "\x1b[0m"
	dimColour   = "\x1b[2m"
)

// levelColours are those of levels that are not written as the rest.
var levelColours = map[string]string{
	"trace": dimColour, "debug": dimColour, "notice": "\x1b[36m", "info": "\x1b[32m", "warn": "\x1b[33m",
	"error": "\x1b[31m", "critical": "\x1b[1;31m", "alert": "\x1b[1;31m", "emergency": "\x1b[1;31m", "fatal": "\x1b[1;31m",
}

// appendFoundText appends what was found as a row for people: time, level and logger in
// columns, message, fields.
func appendFoundText(dst []byte, f *parse.Found) []byte {
	at := "-"
	if !f.Time.IsZero() {
		at = f.Time.UTC().Format("2006-01-02 15:04:05.000Z")
	}
	level, logger := f.Level, seen(f.Logger)
	if level == "" {
		level = "-"
	}
	if r := []rune(logger); len(r) > 24 {
		logger = "…" + string(r[len(r)-23:])
	}
	dst = fmt.Appendf(dst, "%s%-24s%s %s%-9s%s %-6s %-24s %s", dimColour, at, plainColour, levelColours[f.Level], level, plainColour, f.Format, logger, seen(f.Message))
	if fields := appendFields(nil, f, " ", "="); len(fields) > 0 {
		dst = append(append(append(append(dst, "  "+dimColour...), seen(fields)...), plainColour...), '\n')
		return dst
	}
	return append(dst, '\n')
}

// seen is the text of the inside of a string, without what a terminal obeys.
func seen(inside []byte) string {
	text := jsontext.Unescape(nil, inside)
	return string(bytes.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0:
			return -1
		}
		return r
	}, text))
}

// isTerminal reports whether what is written is seen by people, who want colours.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
