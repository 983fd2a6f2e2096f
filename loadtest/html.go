//go:build linux

package loadtest

import (
	"bytes"
	_ "embed" // the page
	"fmt"
	"html/template"
	"slices"
	"strings"
)

//go:embed report.html
var page string

var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"mib":  func(b int64) int64 { return b >> 20 },
	"bars": bars, "lines": polylines,
	"parts": func(ms []Measure) [][]Measure {
		var out [][]Measure
		for _, m := range ms {
			if n := len(out); n > 0 && out[n-1][0].Part == m.Part {
				out[n-1] = append(out[n-1], m)
			} else {
				out = append(out, []Measure{m})
			}
		}
		return out
	},
	"short":      short,
	"permillion": func(u Usage, lines int64) string { return fmt.Sprintf("%.1f", u.CPU.Seconds()/float64(lines)*1e6) },
}).Parse(page))

// HTML is the report as one page that needs nothing else.
func (r *Report) HTML() ([]byte, error) {
	var b bytes.Buffer
	err := pageTemplate.Execute(&b, r)
	return b.Bytes(), err
}

var colours = []string{"#0b7285", "#868e96", "#adb5bd", "#e67700", "#5f3dc4", "#c92a2a", "#2b8a3e"}

func colour(i int) string { return colours[i%len(colours)] }

// bars draws one bar a program: what is "cpu" or "rate".
func bars(ms []Measure, what string) template.HTML {
	value := func(m *Measure) float64 {
		if what == "cpu" {
			return m.CPUPerMillion()
		}
		return m.Rate()
	}
	top := 0.0
	for i := range ms {
		top = max(top, value(&ms[i]))
	}
	const width, row = 560.0, 26
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %.0f %d" role="img">`, width, row*len(ms)+4)
	for i := range ms {
		v, y := value(&ms[i]), i*row
		text := fmt.Sprintf("%.1f", v)
		if what == "rate" {
			text = fmt.Sprintf("%.0fk", v/1000)
		}
		fmt.Fprintf(&b, `<text x="178" y="%d" text-anchor="end">%s</text><rect x="186" y="%d" width="%.1f" height="18" fill="%s"/><text x="%.1f" y="%d">%s</text>`,
			y+17, template.HTMLEscapeString(ms[i].Who), y+4, max(1, v/top*300), colour(i), 192+v/top*300, y+17, text)
	}
	return template.HTML(b.String() + "</svg>")
}

// polylines draws events at the output over time, one line a program.
func polylines(ms []Measure) template.HTML {
	var right, top float64
	for _, m := range ms {
		for _, s := range m.Samples {
			right, top = max(right, s.At.Seconds()), max(top, float64(s.Events))
		}
	}
	if right == 0 || top == 0 {
		return ""
	}
	const width, height, left = 560.0, 180.0, 50.0
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %.0f %.0f" role="img"><line x1="%.0f" y1="%.0f" x2="%.0f" y2="%.0f" stroke="#ccc"/><text x="%.0f" y="12" text-anchor="end">%.0fk</text><text x="%.0f" y="%.0f" text-anchor="end">%.1f s</text>`,
		width, height, left, height-18, width, height-18, left-4, top/1000, width, height-3, right)
	for i, m := range ms {
		var points []string
		for _, s := range slices.Concat([]Sample{{}}, m.Samples) {
			points = append(points, fmt.Sprintf("%.1f,%.1f", left+s.At.Seconds()/right*(width-left), height-18-float64(s.Events)/top*(height-30)))
		}
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="2" points="%s"><title>%s</title></polyline>`, colour(i), strings.Join(points, " "), template.HTMLEscapeString(m.Who))
	}
	return template.HTML(b.String() + "</svg>")
}
