package metrics

import (
	"fmt"
	"slices"
	"strings"
)

const referenceHead = `# Metrics

Every figure sluice counts. ` + "`/metrics`" + ` serves them to Prometheus, with the label ` + "`role`" + ` besides those named
here; the same figures go to statsd when ` + "`statsd.address`" + ` is set. This page is generated from the declarations
(` + "`go test . -run Metrics -update`" + `).

A statsd name is ` + "`<statsd.prefix>.<role>.<host>.<name>`" + `, where everything but ASCII letters, digits, ` + "`_` and `-`" + ` has
become ` + "`_`" + ` (dots of the host name too). Label values follow as parts of the name, ` + "`none`" + ` for an empty one; with
` + "`statsd.tags: datadog`" + ` they are tags (` + "`|#label:value`" + `) and not in the name.

- A **counter** only rises. statsd gets how much it rose since the last time; nothing when it did not.
- A **gauge** is a level. statsd gets the level each time.
- A **histogram** is a distribution. statsd gets ` + "`.p50`, `.p95` and `.p99`" + ` of what was observed since the last time,
  as gauges, and the number of observations as the counter ` + "`.count`" + `; nothing when there were none.

The last figures are sent when a role has finished, so the sum of what statsd got is what the role counted.
Besides, the registry ` + "`process`" + ` of each process holds ` + "`go_*` and `process_*`" + `, the usual figures of the Go
runtime and of the operating system (goroutines, heap, garbage collection, CPU seconds, resident memory, descriptors).
`

// Reference is the reference of every declared metric as Markdown: one table for each
// package that declares some.
func Reference() string {
	by := map[string][]*Def{}
	var packages []string
	for _, d := range Defs() {
		if d.from == "" {
			continue
		}
		if by[d.from] == nil {
			packages = append(packages, d.from)
		}
		by[d.from] = append(by[d.from], d)
	}
	slices.Sort(packages)
	var b strings.Builder
	b.WriteString(referenceHead)
	b.WriteString("\n## Renamed\n\n| until now | now |\n|---|---|\n")
	for _, r := range renamed {
		fmt.Fprintf(&b, "| `%s` | `%s` |\n", r[0], r[1])
	}
	for _, p := range packages {
		fmt.Fprintf(&b, "\n## %s\n\n| Prometheus | statsd | type | unit | labels | meaning |\n|---|---|---|---|---|---|\n", p)
		for _, d := range by[p] {
			fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s | %s |\n",
				d.full(), d.statsdName(), d.Kind, d.Unit, strings.Join(d.Labels, ", "), strings.ReplaceAll(d.Help, "|", `\|`))
		}
	}
	return b.String()
}

func (d *Def) statsdName() string {
	name := d.short()
	for _, l := range d.Labels {
		name += ".<" + l + ">"
	}
	return name
}
