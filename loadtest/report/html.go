//go:build linux

package report

import (
	"bytes"
	_ "embed" // the page
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"github.com/sluicelog/sluice/loadtest/proc"
	"github.com/sluicelog/sluice/loadtest/verify"
)

//go:embed report.html
var page string

var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"mib":  func(b int64) int64 { return b >> 20 },
	"bars": bars, "lines": progressLines, "charts": charts, "legend": legend,
	"short":      verify.Short,
	"digits":     func(n int64) string { return digits(float64(n)) },
	"permillion": func(u proc.Usage, lines int64) string { return fmt.Sprintf("%.1f", u.CPU.Seconds()/float64(lines)*1e6) },
}).Parse(page))

// HTML is the report as one page that needs nothing else.
func (r *Report) HTML() ([]byte, error) {
	type section struct {
		Table    table
		Measures []Measure
		Curve    bool
	}
	data := struct {
		*Report
		Sections []section
		Notes    []string
		Programs []Measure
	}{Report: r, Notes: r.notes()}
	told := map[string]bool{}
	for _, g := range r.groups() {
		data.Sections = append(data.Sections, section{r.table(g), g, g[0].Curve != ""})
		for _, m := range g { // once; the other points of a curve differ in what is varied
			if key := m.Curve + m.series(); !told[key] && m.Command != "" {
				told[key] = true
				data.Programs = append(data.Programs, m)
			}
		}
	}
	var b bytes.Buffer
	err := pageTemplate.Execute(&b, data)
	return b.Bytes(), err
}

// tone is the class of a program's colour in the charts of one part.
func tone(ms []Measure, i int) string {
	n := 0 // programs that are neither sluice nor floors, before this one
	for k := range i {
		if !strings.HasPrefix(ms[k].Who, "sluice") && !ms[k].floor() {
			n++
		}
	}
	switch {
	case ms[i].Who == "sluice":
		return "s0"
	case strings.HasPrefix(ms[i].Who, "sluice"):
		return "s2"
	case ms[i].floor():
		return "f" + fmt.Sprint(slices.Index(Floors, strings.TrimPrefix(ms[i].Who, "floor "))&1)
	}
	return [...]string{"s1", "s3", "s4"}[n%3]
}

func (m *Measure) floor() bool { return strings.HasPrefix(m.Who, "floor ") }

// bars draws one bar a program: what is "cpu" or "rate". A thin line goes from the least to the
// greatest of several tries.
func bars(ms []Measure, what string) template.HTML {
	value := func(m *Measure) (v float64, ends [2]float64) {
		if what == "cpu" {
			return m.CPUPerMillion(), m.CPUs
		}
		return m.Rate(), m.Rates
	}
	top := 0.0
	for i := range ms {
		v, ends := value(&ms[i])
		top = max(top, v, ends[1])
	}
	const width, row, left, span = chartWidth, 32, 142.0, 175.0
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %.0f %d" role="img">`, width, row*len(ms)+4)
	for i := range ms {
		v, ends := value(&ms[i])
		y := i * row
		text := fmt.Sprintf("%.1f", v)
		if what == "rate" {
			text = digits(v)
		}
		fmt.Fprintf(&b, `<text x="%.0f" y="%d" text-anchor="end">%s</text><rect class="%s" x="%.0f" y="%d" width="%.1f" height="20"/>`,
			left-8, y+18, template.HTMLEscapeString(ms[i].Who), tone(ms, i), left, y+4, max(1, v/top*span))
		at := max(v, ends[1])
		if ms[i].Tries > 1 {
			fmt.Fprintf(&b, `<line class="axis" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`, left+ends[0]/top*span, left+ends[1]/top*span, y+14, y+14)
		}
		fmt.Fprintf(&b, `<text x="%.1f" y="%d">%s</text>`, left+6+at/top*span, y+18, text)
	}
	return template.HTML(b.String() + "</svg>")
}

// progressLines draws events at the output over time, one line a program.
func progressLines(ms []Measure) template.HTML {
	var f frame
	var all []line
	for i, m := range ms {
		l := line{class: tone(ms, i), name: m.Who}
		for _, s := range slices.Concat([]Sample{{}}, m.Samples) {
			l.at(s.At.Seconds(), float64(s.Events), "")
		}
		all = append(all, l)
	}
	f.fit(all, false, false)
	for _, x := range niceTicks(f.x[1]) {
		f.ticks = append(f.ticks, tick{x, fmt.Sprintf("%g s", x)})
	}
	return f.draw(all)
}

// chartOf is one figure of a curve's points.
type chartOf struct {
	Title string
	value func(m *Measure) float64 // below or at 0: not known
}

var chartKinds = []chartOf{
	{"CPU-seconds for a million events", (*Measure).CPUPerMillion},
	{"CPU-seconds for a GB of input", (*Measure).CPUPerGB},
	{"events a second", (*Measure).Rate},
	{"MB of input a second", (*Measure).MBs},
	{"peak memory, MiB", func(m *Measure) float64 { return float64(m.PeakRSS) / (1 << 20) }},
	{"heap allocations an event", func(m *Measure) float64 { return m.Allocs }},
}

// seriesClass gives each stage its colour; a floor has its stage's, dashed.
func seriesClass(m *Measure) string {
	c := map[string]string{PartShipper: "s0", PartAggregator: "s1", PartIndexer: "s2", PartPlain: "s3", PartElastic: "s4"}[m.Part]
	if m.floor() {
		c += " dashed"
	}
	return c
}

// legend names the lines of a curve's charts, or of a part's.
func legend(ms []Measure) template.HTML {
	var b strings.Builder
	told := map[string]bool{}
	for i := range ms {
		class, name := seriesClass(&ms[i]), ms[i].series()
		if ms[i].Curve == "" {
			class, name = tone(ms, i), ms[i].Who
		}
		if !told[name] {
			told[name] = true
			fmt.Fprintf(&b, `<span><svg class="key" viewBox="0 0 28 10" aria-hidden="true"><line class="%s" x1="1" y1="5" x2="27" y2="5"/></svg>%s</span> `, class, template.HTMLEscapeString(name))
		}
	}
	return template.HTML(b.String())
}

// chart is a drawing under its title.
type chart struct {
	Title string
	SVG   template.HTML
}

// charts draws what a curve's points say.
func charts(ms []Measure) (out []chart) {
	over := ms[0].Curve
	for _, kind := range chartKinds {
		var all []line
		for i := range ms {
			m := &ms[i]
			if i == 0 || ms[i-1].series() != m.series() {
				all = append(all, line{class: seriesClass(m), name: m.series()})
			}
			if v := kind.value(m); v > 0 {
				all[len(all)-1].at(float64(m.X), v, fmt.Sprintf("%s, %s %s: %s", m.series(), over, FormatX(over, m.X), round3(v)))
			}
		}
		var f frame
		f.fit(all, true, true)
		if f.x[1] == 0 {
			continue
		}
		for i := range ms {
			t := tick{float64(ms[i].X), FormatX(over, ms[i].X)}
			if !slices.Contains(f.ticks, t) {
				f.ticks = append(f.ticks, t)
			}
		}
		out = append(out, chart{kind.Title, f.draw(all)})
	}
	return out
}

// line is one of a drawing.
type line struct {
	class, name string
	points      []point
}

type point struct {
	x, y float64
	text string // shown at the pointer; empty: no dot
}

func (l *line) at(x, y float64, text string) { l.points = append(l.points, point{x, y, text}) }

// frame is the rectangle that lines are drawn in.
type frame struct {
	x, y       [2]float64 // ends
	logX, logY bool
	ticks      []tick // of x
}

type tick struct {
	at   float64
	text string
}

const (
	chartWidth, chartHeight                 = 400.0, 230.0
	chartLeft, chartRight, chartTop, chartB = 52.0, 26.0, 10.0, 26.0
)

// fit takes the ends from the points. Values that differ much get a logarithmic axis if they may.
func (f *frame) fit(all []line, logX, mayLogY bool) {
	least := math.Inf(1)
	f.x[0] = math.Inf(1)
	for _, l := range all {
		for _, p := range l.points {
			f.x = [2]float64{min(f.x[0], p.x), max(f.x[1], p.x)}
			f.y[1], least = max(f.y[1], p.y), min(least, p.y)
		}
	}
	f.logX, f.logY = logX, mayLogY && f.y[1] > 20*least
	if f.logY {
		f.y = [2]float64{math.Pow(10, math.Floor(math.Log10(least))), math.Pow(10, math.Ceil(math.Log10(f.y[1])))}
		return
	}
	if t := niceTicks(f.y[1]); len(t) > 0 {
		f.y[1] = t[len(t)-1] + t[1] - t[0]
		if over := f.y[1] - (t[1] - t[0]); over >= f.y[1] {
			f.y[1] = over
		}
	}
}

// niceTicks are 0 and three to six round steps up to top.
func niceTicks(top float64) (out []float64) {
	if top <= 0 {
		return nil
	}
	step := math.Pow(10, math.Floor(math.Log10(top/3)))
	for _, n := range []float64{5, 2} {
		if top/(step*n) >= 3 {
			step *= n
			break
		}
	}
	for i := 0; float64(i)*step <= top*1.0001; i++ {
		out = append(out, float64(i)*step)
	}
	return out
}

func (f *frame) px(x float64) float64 {
	return chartLeft + scale(x, f.x, f.logX)*(chartWidth-chartLeft-chartRight)
}

func (f *frame) py(y float64) float64 {
	return chartHeight - chartB - scale(y, f.y, f.logY)*(chartHeight-chartTop-chartB)
}

// scale maps the ends to 0 and 1.
func scale(v float64, ends [2]float64, logarithmic bool) float64 {
	if ends[0] == ends[1] {
		return 0.5
	}
	if logarithmic {
		return (math.Log(v) - math.Log(ends[0])) / (math.Log(ends[1]) - math.Log(ends[0]))
	}
	return (v - ends[0]) / (ends[1] - ends[0])
}

func (f *frame) draw(all []line) template.HTML {
	if f.y[1] == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %.0f %.0f" role="img">`, chartWidth, chartHeight)
	levels := niceTicks(f.y[1])
	if f.logY {
		levels = nil
		for y := f.y[0]; y <= f.y[1]*1.001; y *= 10 {
			levels = append(levels, y)
		}
	}
	for _, y := range levels {
		fmt.Fprintf(&b, `<line class="grid" x1="%.0f" x2="%.0f" y1="%.1f" y2="%.1f"/><text x="%.0f" y="%.1f" text-anchor="end">%s</text>`,
			chartLeft, chartWidth-chartRight, f.py(y), f.py(y), chartLeft-6, f.py(y)+4, axisText(y))
	}
	for _, t := range f.ticks {
		fmt.Fprintf(&b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%.0f" y2="%.0f"/><text x="%.1f" y="%.0f" text-anchor="middle">%s</text>`,
			f.px(t.at), f.px(t.at), chartTop, chartHeight-chartB, f.px(t.at), chartHeight-8, t.text)
	}
	for _, l := range all {
		var at []string
		for _, p := range l.points {
			at = append(at, fmt.Sprintf("%.1f,%.1f", f.px(p.x), f.py(p.y)))
		}
		fmt.Fprintf(&b, `<polyline class="%s" points="%s"><title>%s</title></polyline>`, l.class, strings.Join(at, " "), template.HTMLEscapeString(l.name))
		for _, p := range l.points {
			if p.text != "" {
				fmt.Fprintf(&b, `<circle class="%s" cx="%.1f" cy="%.1f" r="3.5"><title>%s</title></circle>`, l.class, f.px(p.x), f.py(p.y), template.HTMLEscapeString(p.text))
			}
		}
	}
	return template.HTML(b.String() + "</svg>")
}

// axisText is short: 20k, 1.5M, 0.05.
func axisText(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%gM", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%gk", v/1e3)
	}
	return fmt.Sprintf("%g", math.Round(v*1e6)/1e6)
}

// round3 has three digits that count.
func round3(v float64) string {
	if v >= 100 {
		return digits(v)
	}
	return fmt.Sprintf("%.3g", v)
}
