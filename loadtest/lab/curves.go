//go:build linux

package lab

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicelog/sluice/config"
)

// Curve is one setting that is varied while all others stand still.
type Curve struct {
	Over   string
	Values []int64
}

// What a curve can be over.
const (
	CurvePartitions = "partitions"
	CurveFiles      = "files"
	CurveSize       = "size" // of lines, bytes
	CurveBulk       = "bulk" // bytes of a bulk body
)

// CurveNames has all, in the order of a report.
var CurveNames = []string{CurvePartitions, CurveFiles, CurveSize, CurveBulk}

// curveKinds say what is measured at each point.
var curveKinds = map[string]struct {
	title, what string
	parts       []string
	full, quick []int64
}{
	CurvePartitions: {"Partitions of a topic", "128 sources with as many lines each, in topics of 1 to 64 partitions; the shipper spreads them by source",
		[]string{PartShipper, PartAggregator, PartIndexer}, []int64{1, 4, 16, 64}, []int64{1, 8, 64}},
	CurveFiles: {"Log files", "the same number of lines in 1 to 10,000 files, as Docker's logs of that many containers and as plain files; it includes finding and opening them",
		[]string{PartShipper, PartPlain}, []int64{1, 10, 100, 1000, 10_000}, []int64{1, 100, 10_000}},
	CurveSize: {"Size of lines", "the same number of bytes in lines of 100 B to 64 kB, all of one format and one size",
		[]string{PartShipper, PartAggregator, PartIndexer}, []int64{100, 300, 1000, 4000, 16_000, 64_000}, []int64{100, 1000, 10_000, 64_000}},
	CurveBulk: {"Size of bulk bodies", "the same topic into bulks of 256 KiB to 8 MiB, before compression",
		[]string{PartIndexer}, []int64{256 << 10, 1 << 20, 4 << 20, 8 << 20}, []int64{256 << 10, 1 << 20, 8 << 20}},
}

// DefaultCurves are all of them.
func DefaultCurves(quick bool) (out []Curve) {
	for _, name := range CurveNames {
		values := curveKinds[name].full
		if quick {
			values = curveKinds[name].quick
		}
		out = append(out, Curve{name, values})
	}
	return out
}

// QuickCurves are options for a run of some minutes.
func QuickCurves() RunOptions {
	o := QuickRun()
	o.Parts, o.Lines, o.ElasticLine = nil, 100_000, 50_000
	return o
}

// FullCurves carry three to four times as many lines.
func FullCurves() RunOptions {
	o := QuickCurves()
	o.Lines, o.ElasticLine = 250_000, 100_000
	return o
}

// ParseCurve reads NAME=VALUE,VALUE,... Sizes may have a unit, such as 4MiB; files and
// partitions are numbers. NAME alone has the values of a full or a quick run.
func ParseCurve(text string, quick bool) (Curve, error) {
	name, list, given := strings.Cut(text, "=")
	i := slices.Index(CurveNames, name)
	if i < 0 {
		return Curve{}, fmt.Errorf("no curve over %q: there are %s", name, strings.Join(CurveNames, ", "))
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
var limits = map[string][2]int64{CurvePartitions: {1, 1000}, CurveFiles: {1, 100_000}, CurveSize: {100, 1 << 20}, CurveBulk: {16 << 10, 64 << 20}}

func parseX(name, text string) (x int64, err error) {
	if name == CurveSize || name == CurveBulk {
		b, failed := config.ParseBytes(text)
		x, err = int64(b), failed
	} else {
		x, err = strconv.ParseInt(text, 10, 64)
	}
	if l := limits[name]; err == nil && (x < l[0] || x > l[1]) {
		err = fmt.Errorf("%s is not from %s to %s", text, formatX(name, l[0]), formatX(name, l[1]))
	}
	return x, err
}

// formatX is a point for people.
func formatX(over string, x int64) string {
	switch {
	case over == CurveBulk && x%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", x>>20)
	case over == CurveBulk && x%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", x>>10)
	case over == CurveSize && x%1000 == 0:
		return fmt.Sprintf("%d kB", x/1000)
	case over == CurveSize || over == CurveBulk:
		return fmt.Sprintf("%d B", x)
	}
	return digits(float64(x))
}

// jobs are the curve's points, one after another.
func (c Curve) jobs(o RunOptions) (out []job) {
	bytes := o.Lines * int64(o.Mean) // of each point
	for _, x := range c.Values {
		p := o
		list := curveKinds[c.Over].parts
		switch c.Over {
		case CurvePartitions:
			p.Partitions, p.Sources, p.Skew = int(x), 128, 0
		case CurveFiles:
			p.Sources, p.Skew = int(x), 0
			p.Lines = max(p.Lines, x) // none is empty
		case CurveSize:
			p.Mean, p.Exact, p.Lines = int(x), true, max(1, bytes/x)
		case CurveBulk:
			p.BulkBytes, p.BulkCount = config.Bytes(x).String(), 1_000_000
			if o.CurveElastic {
				list = append(list[:len(list):len(list)], PartElastic)
			}
		}
		for _, part := range list {
			out = append(out, job{RunOptions: p, part: part, over: c.Over, x: x})
		}
	}
	return out
}
