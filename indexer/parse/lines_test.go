package parse

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/internal/jsontext"
)

// judged is a line, and what a careful reader finds in it.
type judged struct {
	name, line            string
	times, levels, logger []string // any of these is right; "" is none, a logger of nil is not asked for
}

// judgedRead is when all of them were read.
var judgedRead = time.Date(2026, 11, 21, 8, 58, 0, 0, time.UTC)

// readJudged reads a file of testdata, whose head says how it is written.
func readJudged(t testing.TB, name string) (out []judged) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	_, cases, _ := strings.Cut(string(text), "\n\n")
	lines := strings.Split(strings.TrimSuffix(cases, "\n"), "\n")
	if len(lines)%3 != 0 {
		t.Fatalf("%s: %d lines, not three a case", name, len(lines))
	}
	for i := 0; i < len(lines); i += 3 {
		want := strings.Split(lines[i+1], "\t")
		if len(want) != 3 || !strings.HasPrefix(lines[i], "# ") {
			t.Fatalf("%s: no case: %q", name, lines[i:i+3])
		}
		either := func(s string) []string {
			parts := strings.Split(s, "/")
			for k, p := range parts {
				if p == "-" {
					parts[k] = ""
				}
			}
			return parts
		}
		j := judged{name: lines[i][2:], times: either(want[0]), levels: either(want[1])}
		if want[2] != "?" {
			j.logger = either(want[2])
		}
		j.line = strings.NewReplacer("<TAB>", "\t", "<NL>", "\n", `\x1b`, "\x1b").Replace(lines[i+2])
		out = append(out, j)
	}
	return out
}

// inUTC is a time as the files of judged lines have it.
func inUTC(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	at = at.UTC()
	if at.Year() == 2026 && at.YearDay() == judgedRead.YearDay() {
		return at.Format("15:04:05.999999999")
	}
	return at.Format("2006-01-02T15:04:05.999999999")
}

// Lines that others wrote are read as a careful reader would, at least so many of them;
// and a time that is not understood is none: only so many are wrong. The numbers are
// those of the day: they are never made worse.
func TestJudgedLines(t *testing.T) {
	f := func(name string, floor, most int) {
		t.Run(name, func(t *testing.T) {
			p := newParser("UTC")
			all := readJudged(t, name)
			right, wrong, loggers, named := 0, 0, 0, 0
			for _, j := range all {
				f := p.Parse(jsontext.Append(nil, j.line), judgedRead, Options{})
				at := inUTC(f.Time)
				timed, leveled := slices.Contains(j.times, at), slices.Contains(j.levels, f.Level)
				if timed && leveled {
					right++
				} else {
					t.Logf("%-40s time %q want %q, level %q want %q: %.100s", j.name, at, j.times, f.Level, j.levels, j.line)
				}
				if !timed && at != "" {
					wrong++
					t.Logf("%-40s the time is wrong", j.name)
				}
				if j.logger != nil {
					named++
					if slices.Contains(j.logger, string(f.Logger)) {
						loggers++
					} else {
						t.Logf("%-40s logger %q want %q: %.100s", j.name, f.Logger, j.logger, j.line)
					}
				}
			}
			t.Logf("time and level are right of %d lines of %d (%.1f of 100), the logger of %d of %d; %d times are wrong",
				right, len(all), 100*float64(right)/float64(len(all)), loggers, named, wrong)
			if right < floor || wrong > most {
				t.Errorf("%d lines are read right, want %d; %d times are wrong, want %d", right, floor, wrong, most)
			}
		})
	}
	f("lines.txt", 144, 0)
	f("more.txt", 232, 0)
	f("siblings.txt", 262, 0)
}
