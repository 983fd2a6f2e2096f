package metrics

import (
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus/collectors"
)

var buildInfo = NewGauge("build_info", "always 1", "Which build this is", "version", "revision", "go")

// Process is the registry of what belongs to the process and not to a role of it:
// which build it is, and the figures of the Go runtime (goroutines, heap, garbage
// collection: go_*) and of the operating system (CPU, memory, descriptors:
// process_*). Make one a process.
func Process(host, version string) *Registry {
	r := New("process", host)
	r.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.Gauge(buildInfo, version, revision(), runtime.Version()).Set(1)
	return r
}

// revision is the commit that was built, if the build knew.
func revision() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}
