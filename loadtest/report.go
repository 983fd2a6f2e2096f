//go:build linux

package loadtest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is all that a run has found.
type Report struct {
	Title    string     `json:"title"`
	Started  time.Time  `json:"started"`
	Took     string     `json:"took"`
	Command  string     `json:"command"`
	Sluice   string     `json:"sluice"` // version
	Machine  Machine    `json:"machine"`
	Servers  []string   `json:"servers"`
	Measures []Measure  `json:"measures,omitempty"` // the median of each program and part
	All      []Measure  `json:"all,omitempty"`      // every one
	Pipeline []*Lived   `json:"pipeline,omitempty"`
	Outcomes []*Outcome `json:"scenarios,omitempty"`
}

// Machine is where it ran.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory string `json:"memory"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

// NewReport of a run that starts now.
func NewReport(o RunOptions) *Report {
	r := &Report{Title: "sluice load test", Started: time.Now().UTC(), Command: strings.Join(os.Args, " "), Machine: thisMachine(), Servers: []string{"Apache Kafka 4.0.0, one broker a cluster", "Elasticsearch 8.18.8 core, one node, heap 1 GiB"}}
	if o.Bin != "" {
		out, _ := exec.Command(o.Bin, "version").Output()
		r.Sluice, _, _ = strings.Cut(string(out), "\n")
	}
	return r
}

func thisMachine() Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version(), CPU: field("/proc/cpuinfo", "model name"), Memory: field("/proc/meminfo", "MemTotal")}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(text))
	}
	return m
}

// field is the first value of a name in a file of "name : value".
func field(file, name string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func (r *Report) add(m Measure) { r.All = append(r.All, m) }

// finish takes the median of each program by CPU per event: on a shared machine that is
// steadier than events a second.
func (r *Report) finish() {
	r.Took = time.Since(r.Started).Round(time.Second).String()
	groups, order := map[string][]Measure{}, []string{}
	for _, m := range r.All {
		key := m.Part + "\x00" + m.Who + "\x00" + m.Setting
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], m)
	}
	r.Measures = nil
	for _, key := range order {
		g := groups[key]
		slices.SortStableFunc(g, func(a, b Measure) int { return cmp.Compare(a.CPU, b.CPU) })
		r.Measures = append(r.Measures, g[(len(g)-1)/2])
	}
}

// OK is true if everything that was verified is as promised. Peers and floors are not held to it.
func (r *Report) OK() bool { return len(r.Problems()) == 0 }

// Problems lists what is wrong with sluice; what peers lose stands in the table alone.
func (r *Report) Problems() (out []string) {
	for _, m := range r.All {
		if m.Verdict != nil && m.stage != nil {
			for _, p := range m.Verdict.Problems {
				out = append(out, m.Part+" "+m.Who+": "+p.String())
			}
		}
		for _, p := range m.Counters {
			out = append(out, m.Part+" "+m.Who+": "+p.String())
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
	fmt.Fprintf(&b, "%s, %s\n%s, %d cores, %s, Linux %s, %s\n", r.Sluice, r.Started.Format("2006-01-02 15:04 MST"), r.Machine.CPU, r.Machine.Cores, r.Machine.Memory, r.Machine.Kernel, r.Machine.Go)
	if len(r.Measures) > 0 {
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintf(w, "\npart\tprogram\tevents/s\tMB/s\tCPU-s/million\tpeak MiB\tallocs/event\tmissing\tdoubled\tfirst event\t\n")
		for _, m := range r.Measures {
			missing, doubled, allocs := "", "", ""
			if m.Verdict != nil {
				missing, doubled = fmt.Sprint(m.Verdict.Missing), fmt.Sprint(m.Verdict.Doubled)
			}
			if m.Allocs > 0 {
				allocs = fmt.Sprintf("%.2f", m.Allocs)
			}
			fmt.Fprintf(w, "%s\t%s\t%.0f\t%.0f\t%.1f\t%d\t%s\t%s\t%s\t%.1fs\t\n", m.Part, m.Who, m.Rate(), m.MBs(), m.CPUPerMillion(), m.PeakRSS>>20, allocs, missing, doubled, m.First.Seconds())
		}
		w.Flush()
		for _, note := range r.notes() {
			fmt.Fprintln(&b, note)
		}
	}
	for _, l := range r.Pipeline {
		fmt.Fprintf(&b, "\npipeline: %s\n", l)
		for _, role := range Roles {
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
		if note := "  " + m.Who + ": " + m.Note; m.Note != "" && !slices.Contains(out, note) {
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
	text, err := json.MarshalIndent(r, "", "  ")
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
