//go:build linux

package measure

import (
	"slices"
	"strings"
	"testing"

	"github.com/sluicelog/sluice/loadtest/report"
)

func TestParseCurve(t *testing.T) {
	f := func(text string, quick bool, want ...int64) {
		t.Helper()
		c, err := ParseCurve(text, quick)
		if err != nil || !slices.Equal(c.Values, want) {
			t.Errorf("%s: %v, %v, want %v", text, c, err, want)
		}
	}
	f("partitions=1,2,400", false, 1, 2, 400)
	f("files", true, 1, 100, 10_000)
	f("files", false, 1, 10, 100, 1000, 10_000)
	f("size=100,2KiB", false, 100, 2048)
	f("bulk=256KiB,8MiB", false, 256<<10, 8<<20)
	bad := func(text, want string) {
		t.Helper()
		if c, err := ParseCurve(text, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v, want %q", text, c, err, want)
		}
	}
	bad("memory=1", `no curve over "memory": there are partitions, files, size, bulk`)
	bad("files=0", "0 is not from 1 to 100,000")
	bad("files=many", "files")
	bad("size=99", "99 is not from 100 B to 1048576 B")
	bad("bulk=1GiB", "1GiB is not from 16 KiB to 64 MiB")
	bad("partitions=", "partitions")
}

// A point varies one thing: of sizes the bytes stay, of all others the lines.
func TestCurveJobs(t *testing.T) {
	o := QuickCurves()
	var names []string
	for _, c := range DefaultCurves(true) {
		for _, j := range c.jobs(o) {
			names = append(names, j.over+" "+report.FormatX(j.over, j.x)+" "+j.part)
			if bytes := j.Lines * int64(j.Mean); bytes > o.Lines*int64(o.Mean) || bytes < o.Lines*int64(o.Mean)*99/100 {
				t.Errorf("%s: %d lines of %d bytes", names[len(names)-1], j.Lines, j.Mean)
			}
		}
	}
	for _, want := range []string{"partitions 64 aggregator", "files 10,000 shipper", "files 1 shipper, plain files", "size 64 kB indexer", "size 100 B shipper", "bulk 256 KiB indexer"} {
		if !slices.Contains(names, want) {
			t.Errorf("no %q in %q", want, names)
		}
	}
	if slices.Contains(names, "bulk 1 MiB elasticsearch") {
		t.Error("Elasticsearch was not asked for")
	}
	o.CurveElastic = true
	if jobs := (Curve{report.CurveBulk, []int64{1 << 20}}).jobs(o); len(jobs) != 2 || jobs[1].part != report.PartElastic || jobs[1].BulkBytes != "1MiB" {
		t.Errorf("%+v", jobs)
	}
}

// The share of a run that is done is known before it starts: as many steps as are carried out.
func TestStepsOfRun(t *testing.T) {
	f := func(o Options, want int) {
		t.Helper()
		r, sum := &runner{}, 0
		for _, r.job = range o.jobs() {
			sum += r.stepsOfJob()
		}
		if sum != want {
			t.Errorf("%d steps, want %d", sum, want)
		}
	}
	o := QuickRun()
	f(o, (1+3)+(1+4)+(1+4)+(1+3)+1)
	o.Tries, o.Parts = 3, []string{report.PartShipper}
	f(o, 1+3*3)
	o.Peers = []Peer{{Name: "rsyslog"}}
	f(o, 1+3*4)
	o = QuickCurves()
	o.Curves = []Curve{{report.CurveFiles, []int64{1, 2}}}
	f(o, 2*2*(1+2))
}
