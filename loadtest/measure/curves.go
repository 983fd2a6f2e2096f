//go:build linux

package measure

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/loadtest/report"
)

// Curve is one setting that is varied while all others stay as they are.
type Curve struct {
	Over   string
	Values []int64
}

// curveKinds say what is measured at each point.
var curveKinds = map[string]struct {
	parts       []string
	full, quick []int64
}{
	report.CurvePartitions: {[]string{report.PartShipper, report.PartAggregator, report.PartIndexer}, []int64{1, 4, 16, 64}, []int64{1, 8, 64}},
	report.CurveFiles:      {[]string{report.PartShipper, report.PartPlain}, []int64{1, 10, 100, 1000, 10_000}, []int64{1, 100, 10_000}},
	report.CurveSize:       {[]string{report.PartShipper, report.PartAggregator, report.PartIndexer}, []int64{100, 300, 1000, 4000, 16_000, 64_000}, []int64{100, 1000, 10_000, 64_000}},
	report.CurveBulk:       {[]string{report.PartIndexer}, []int64{256 << 10, 1 << 20, 4 << 20, 8 << 20}, []int64{256 << 10, 1 << 20, 8 << 20}},
}

// DefaultCurves are all of them.
func DefaultCurves(quick bool) (out []Curve) {
	for _, name := range report.CurveNames {
		values := curveKinds[name].full
		if quick {
			values = curveKinds[name].quick
		}
		out = append(out, Curve{name, values})
	}
	return out
}

// QuickCurves are options for a run of some minutes.
func QuickCurves() Options {
	o := QuickRun()
	o.Parts, o.Lines, o.ElasticLine = nil, 100_000, 50_000
	return o
}

// FullCurves carry three to four times as many lines.
func FullCurves() Options {
	o := QuickCurves()
	o.Lines, o.ElasticLine = 250_000, 100_000
	return o
}

// ParseCurve reads NAME=VALUE,VALUE,... Sizes may have a unit, such as 4MiB; files and
// partitions are numbers. NAME alone has the values of a full or a quick run.
func ParseCurve(text string, quick bool) (Curve, error) {
	name, list, given := strings.Cut(text, "=")
	i := slices.Index(report.CurveNames, name)
	if i < 0 {
		return Curve{}, fmt.Errorf("no curve over %q: there are %s", name, strings.Join(report.CurveNames, ", "))
	}
	if !given {
		return DefaultCurves(quick)[i], nil
	}
	c := Curve{Over: name}
	for _, s := range strings.Split(list, ",") {
		x, err := parseX(name, s)
		if err != nil {
			return c, fmt.Errorf("curve over %s: %w", name, err)
		}
		c.Values = append(c.Values, x)
	}
	return c, nil
}

// limits are the least and the greatest value of each.
var limits = map[string][2]int64{report.CurvePartitions: {1, 1000}, report.CurveFiles: {1, 100_000}, report.CurveSize: {100, 1 << 20}, report.CurveBulk: {16 << 10, 64 << 20}}

func parseX(name, text string) (x int64, err error) {
	if name == report.CurveSize || name == report.CurveBulk {
		b, failed := config.ParseBytes(text)
		x, err = int64(b), failed
	} else {
		x, err = strconv.ParseInt(text, 10, 64)
	}
	if l := limits[name]; err == nil && (x < l[0] || x > l[1]) {
		err = fmt.Errorf("%s is not from %s to %s", text, report.FormatX(name, l[0]), report.FormatX(name, l[1]))
	}
	return x, err
}

// jobs are the curve's points, one after another.
func (c Curve) jobs(o Options) (out []job) {
	bytes := o.Lines * int64(o.Mean) // of each point
	for _, x := range c.Values {
		p := o
		list := curveKinds[c.Over].parts
		switch c.Over {
		case report.CurvePartitions:
			p.Partitions, p.Sources, p.Skew = int(x), 128, 0
		case report.CurveFiles:
			p.Sources, p.Skew = int(x), 0
			p.Lines = max(p.Lines, x) // none is empty
		case report.CurveSize:
			p.Mean, p.Exact, p.Lines = int(x), true, max(1, bytes/x)
		case report.CurveBulk:
			p.BulkBytes, p.BulkCount = config.Bytes(x).String(), 1_000_000
			if o.CurveElastic {
				list = append(list[:len(list):len(list)], report.PartElastic)
			}
		}
		for _, part := range list {
			out = append(out, job{Options: p, part: part, over: c.Over, x: x})
		}
	}
	return out
}
