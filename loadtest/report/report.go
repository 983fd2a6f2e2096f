//go:build linux

// Package report is what a run found, as text, JSON and a page, and how far it is.
package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/sluicelog/sluice/loadtest/site"
)

// Report is all that a run has found.
type Report struct {
	Title    string        `json:"title"`
	Started  time.Time     `json:"started"`
	Took     string        `json:"took"`
	Command  string        `json:"command"`
	Sluice   string        `json:"sluice"` // version
	Machine  Machine       `json:"machine"`
	Servers  []string      `json:"servers"`
	Clients  []string      `json:"clients"`            // libraries of the load test, with versions
	Measures []Measure     `json:"measures,omitempty"` // the median of each program and part
	All      []Measure     `json:"all,omitempty"`      // every one, if there were several tries
	Pipeline []*site.Lived `json:"pipeline,omitempty"`
	Outcomes []*Outcome    `json:"scenarios,omitempty"`
	Skipped  []string      `json:"skipped,omitempty"` // peers that could not be had, and why
}

// Machine is where it ran.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory string `json:"memory"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	Load   string `json:"load"` // of the last 1, 5 and 15 minutes when it began: processes that run or wait for a disk
}

// Versions of the servers.
const (
	kafkaVersion   = "Apache Kafka 4.0.0, one broker a cluster"
	ElasticVersion = "Elasticsearch 8.18.8 core, one node, heap 1 GiB"
)

// NewReport is of a run that starts now; sluice is the program under test, if there is one.
func NewReport(title, sluice string) *Report {
	r := &Report{Title: title, Started: time.Now().UTC(), Command: strings.Join(os.Args, " "), Machine: thisMachine(), Servers: []string{kafkaVersion}, Clients: clientVersions()}
	if sluice != "" {
		out, _ := exec.Command(sluice, "version").Output()
		first, _, _ := strings.Cut(string(out), "\n")
		r.Sluice = strings.Join(strings.Fields(first), " ")
		if text, err := exec.Command("java", "-version").CombinedOutput(); err == nil {
			first, _, _ := strings.Cut(string(text), "\n")
			r.Servers = append(r.Servers, first)
		}
	}
	return r
}

// clientVersions are those of the libraries of floors and readers.
func clientVersions() (out []string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	for _, m := range info.Deps {
		switch m.Path {
		case "github.com/twmb/franz-go", "github.com/IBM/sarama":
			out = append(out, filepath.Base(m.Path)+" "+m.Version)
		}
	}
	return out
}

func thisMachine() Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version(), CPU: ProcField("/proc/cpuinfo", "model name")}
	kib := 0.0
	if _, err := fmt.Sscanf(ProcField("/proc/meminfo", "MemTotal"), "%f kB", &kib); err == nil {
		m.Memory = fmt.Sprintf("%.1f GiB", kib/(1<<20))
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(text))
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(text))[:3], " ")
	}
	return m
}

// ProcField is the first value of a name in a file of "name : value".
func ProcField(file, name string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// Add takes a measure in; Finish then chooses among those of one program.
func (r *Report) Add(m Measure) { r.All = append(r.All, m) }

// Finish takes the median of each program by CPU per event: on a shared machine that is
// steadier than events a second.
func (r *Report) Finish() {
	r.Took = time.Since(r.Started).Round(time.Second).String()
	groups, order := map[string][]Measure{}, []string{}
	for _, m := range r.All {
		key := fmt.Sprintf("%s|%d|%s|%s|%s", m.Curve, m.X, m.Part, m.Who, m.Setting)
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], m)
	}
	r.Measures = nil
	for _, key := range order {
		g := groups[key]
		slices.SortStableFunc(g, func(a, b Measure) int { return cmp.Compare(a.CPU, b.CPU) })
		m := g[(len(g)-1)/2]
		m.Tries = len(g)
		m.CPUs = [2]float64{g[0].CPUPerMillion(), g[len(g)-1].CPUPerMillion()}
		m.Rates = [2]float64{m.Rate(), m.Rate()}
		for _, o := range g {
			m.Rates = [2]float64{min(m.Rates[0], o.Rate()), max(m.Rates[1], o.Rate())}
		}
		r.Measures = append(r.Measures, m)
	}
}

// ratio is how many times the CPU time of another program a measure took, at the same
// point; empty if that was not measured.
func (r *Report) ratio(m *Measure, of string) string {
	for i := range r.Measures {
		o := &r.Measures[i]
		if o.Who == of && o.Part == m.Part && o.Curve == m.Curve && o.X == m.X && o.CPU > 0 {
			return fmt.Sprintf("%.2f", m.CPUPerMillion()/o.CPUPerMillion())
		}
	}
	return ""
}

// group are the measures of one part, or of one curve.
func (r *Report) groups() (out [][]Measure) {
	name := func(m Measure) string { return m.Curve + "|" + map[bool]string{true: m.Part}[m.Curve == ""] }
	for _, m := range r.Measures {
		if n := len(out); n > 0 && name(out[n-1][0]) == name(m) {
			out[n-1] = append(out[n-1], m)
		} else {
			out = append(out, []Measure{m})
		}
	}
	for _, g := range out {
		if g[0].Curve != "" { // each program's points are together
			order := map[string]int{}
			for _, m := range g {
				if s := m.series(); order[s] == 0 {
					order[s] = len(order) + 1
				}
			}
			slices.SortStableFunc(g, func(a, b Measure) int { return cmp.Or(order[a.series()]-order[b.series()], cmp.Compare(a.X, b.X)) })
		}
	}
	return out
}

// series is what is one line of a chart.
func (m *Measure) series() string { return m.Part + ": " + m.Who }

// table is one for people; the first Left columns are text.
type table struct {
	Title, Note string
	Head        []string
	Rows        [][]string
	Left        int
}

// table has one row a measure of a group.
func (r *Report) table(g []Measure) table {
	curve := g[0].Curve != ""
	t := table{Title: g[0].Part, Note: fmt.Sprintf("%s events, %s MB; %s", digits(float64(g[0].Events)), digits(float64(g[0].Bytes)/1e6), g[0].Setting), Left: 1, Head: []string{"program"}}
	if g[0].Tries > 1 {
		t.Note += fmt.Sprintf("; median of %d tries by CPU time (least..greatest)", g[0].Tries)
	}
	if curve {
		k := curveTexts[g[0].Curve]
		t = table{Title: k.title, Note: fmt.Sprintf("%s. At the first point: %s events, %s MB; %s", k.what, digits(float64(g[0].Events)), digits(float64(g[0].Bytes)/1e6), g[0].Setting), Left: 2, Head: []string{"stage", "program", g[0].Curve}}
	}
	t.Head = append(t.Head, "events/s", "MB/s", "CPU-s/million", "x floor")
	if !curve {
		t.Head = append(t.Head, "x sluice")
	}
	t.Head = append(t.Head, "CPU-s/GB", "peak MiB", "allocs/event", "first event", "missing", "doubled")
	for i := range g {
		m := &g[i]
		row := []string{m.Who}
		if curve {
			row = []string{m.Part, m.Who, FormatX(m.Curve, m.X)}
		}
		rate, cpu := digits(m.Rate()), fmt.Sprintf("%.1f", m.CPUPerMillion())
		if m.Tries > 1 {
			rate += fmt.Sprintf(" (%s..%s)", digits(m.Rates[0]), digits(m.Rates[1]))
			cpu += fmt.Sprintf(" (%.1f..%.1f)", m.CPUs[0], m.CPUs[1])
		}
		row = append(row, rate, fmt.Sprintf("%.1f", m.MBs()), cpu, r.ratio(m, "floor "+Floors[0]))
		if !curve {
			row = append(row, r.ratio(m, "sluice"))
		}
		allocs, missing, doubled := "", "", ""
		if m.Allocs > 0 {
			allocs = fmt.Sprintf("%.2f", m.Allocs)
		}
		if m.Verdict != nil {
			missing, doubled = digits(float64(m.Verdict.Missing)), digits(float64(m.Verdict.Doubled))
		}
		t.Rows = append(t.Rows, append(row, fmt.Sprintf("%.1f", m.CPUPerGB()), digits(float64(m.PeakRSS>>20)), allocs, fmt.Sprintf("%.1f s", m.First.Seconds()), missing, doubled))
	}
	return t
}

// digits is a whole number with commas.
func digits(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// write aligns the table for a terminal.
func (t table) write(b *bytes.Buffer) {
	widths := make([]int, len(t.Head))
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	fmt.Fprintf(b, "\n%s: %s\n", t.Title, t.Note)
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		line := ""
		for i, cell := range row {
			if i < t.Left {
				line += fmt.Sprintf("%-*s  ", widths[i], cell)
			} else {
				line += fmt.Sprintf("%*s  ", widths[i], cell)
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// OK is true if everything that was verified is as promised. Peers and floors are not held to it.
func (r *Report) OK() bool { return len(r.Problems()) == 0 }

// Problems lists what is wrong with sluice; what peers lose is in the table alone.
func (r *Report) Problems() (out []string) {
	for _, m := range r.All {
		name := m.Part + " " + m.Who
		if m.Curve != "" {
			name += ", " + m.Curve + " " + FormatX(m.Curve, m.X)
		}
		if m.Verdict != nil && m.Ours {
			for _, p := range m.Verdict.Problems {
				out = append(out, name+": "+p.String())
			}
		}
		for _, p := range m.Counters {
			out = append(out, name+": "+p.String())
		}
	}
	for _, l := range r.Pipeline {
		out = append(out, l.Problems()...)
	}
	for _, o := range r.Outcomes {
		for _, p := range o.Problems {
			out = append(out, o.Name+": "+p)
		}
	}
	return out
}

// String is the report for a terminal.
func (r *Report) String() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s, %s\n%s, %d cores, %s, Linux %s, %s, load average %s\n", r.Sluice, r.Started.Format("2006-01-02 15:04 MST"), r.Machine.CPU, r.Machine.Cores, r.Machine.Memory, r.Machine.Kernel, r.Machine.Go, r.Machine.Load)
	fmt.Fprintf(&b, "%s; clients: %s\n", strings.Join(r.Servers, "; "), strings.Join(r.Clients, ", "))
	for _, g := range r.groups() {
		r.table(g).write(&b)
	}
	if len(r.Measures) > 0 {
		b.WriteString("\nx floor, x sluice: CPU time as a multiple of that of floor " + Floors[0] + ", of sluice, with the same input\n")
		for _, note := range r.notes() {
			fmt.Fprintln(&b, note)
		}
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(&b, "  skipped: %s\n", s)
	}
	for _, l := range r.Pipeline {
		fmt.Fprintf(&b, "\npipeline: %s\n", l)
		for _, role := range site.Roles {
			u := l.Usage[role]
			fmt.Fprintf(&b, "  %-10s %6.1f CPU-s/million, %d MiB\n", role, u.CPU.Seconds()/float64(l.Lines)*1e6, u.PeakRSS>>20)
		}
	}
	if len(r.Outcomes) > 0 {
		b.WriteString("\n")
		for _, o := range r.Outcomes {
			fmt.Fprintln(&b, o)
		}
	}
	if problems := r.Problems(); len(problems) > 0 {
		fmt.Fprintf(&b, "\nNOT AS PROMISED:\n  %s\n", strings.Join(problems, "\n  "))
	} else {
		fmt.Fprintf(&b, "\nAll as promised: nothing missing, nothing doubled, counters add up. Took %s.\n", r.Took)
	}
	return b.String()
}

func (r *Report) notes() (out []string) {
	for _, m := range r.Measures {
		if note := "  " + m.series() + ": " + m.Note; m.Note != "" && !slices.Contains(out, note) {
			out = append(out, note)
		}
	}
	return out
}

// Save writes report.json and report.html into a directory.
func (r *Report) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	whole := *r
	if len(whole.All) == len(whole.Measures) {
		whole.All = nil
	}
	text, err := json.MarshalIndent(&whole, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "report.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	page, err := r.HTML()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "report.html"), page, 0o644)
}
