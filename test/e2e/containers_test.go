//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicelog/sluice/test/e2e/workload"
	"github.com/sluicelog/sluice/test/servers"
)

// container is a task that writes one sequence of lines, or several under file-name
// prefixes.
type container struct {
	name, task, app string
	rate            float64
	writers         map[string]workload.Lines // by file name; "" is no prefix

	id   string
	logs string // path of the current log file
}

func (c *container) lines() (n int) {
	for _, w := range c.writers {
		n += w.Count
	}
	return n
}

func newContainer(prefix string, i, lines int, rate float64) *container {
	c := &container{
		name: fmt.Sprintf("mesos-%s-%02d", prefix, i),
		task: fmt.Sprintf("prod_order-%d.%s-%02d-aaaa-bbbb", i%5, prefix, i),
		app:  fmt.Sprintf("/prod/order-%d", i%5),
		rate: rate,
	}
	c.writers = map[string]workload.Lines{"": {Seed: uint64(i + 1), Count: lines, Huge: i == 1}}
	if i == 0 { // N tasks in one container
		c.writers = map[string]workload.Lines{"access.log": {Seed: 101, Count: lines / 2}, "order-service.log": {Seed: 102, Count: lines / 2}}
	}
	return c
}

// run starts the container; its processes write and end.
func (s *site) run(t *testing.T, c *container) {
	t.Helper()
	var script []string
	for name, w := range c.writers {
		cmd := fmt.Sprintf("/writer -seed %d -lines %d -rate %g", w.Seed, w.Count, c.rate/float64(len(c.writers)))
		if name != "" {
			cmd += " -prefix " + name
		}
		if w.Huge {
			cmd += " -huge"
		}
		script = append(script, cmd+" &")
	}
	id, err := s.docker.Run(t.Context(), "run", "-d", "--network=none", "--name", c.name,
		"-v", s.writer+":/writer:ro",
		"-e", "MESOS_TASK_ID="+c.task, "-e", "MARATHON_APP_ID="+c.app, "-e", "MARATHON_APP_VERSION=2026-11-20T10:00:00Z", "-e", "MARATHON_APP_LABEL_TEAM=order",
		servers.Image, "sh", "-c", strings.Join(script, " ")+" wait")
	if err != nil {
		t.Fatal(err)
	}
	c.id = id
	if c.logs, err = s.docker.Run(t.Context(), "inspect", "-f", "{{.LogPath}}", c.name); err != nil {
		t.Fatal(err)
	}
}

// await waits for the end of the containers.
func (s *site) await(t *testing.T, cs []*container) {
	t.Helper()
	args := []string{"wait"}
	for _, c := range cs {
		args = append(args, c.name)
	}
	out, err := s.docker.Run(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	for i, code := range strings.Fields(out) {
		if code != "0" {
			t.Fatalf("%s ended with %s", cs[i].name, code)
		}
	}
}

// logBytes is the size of all log files of the container, rotated ones included.
func (c *container) logBytes(t *testing.T) (sum int64, files int) {
	t.Helper()
	names, err := filepath.Glob(c.logs + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		info, err := os.Stat(n)
		if err != nil {
			t.Fatal(err)
		}
		sum += info.Size()
	}
	return sum, len(names)
}
