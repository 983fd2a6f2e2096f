//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// From a container's stdout to a document found in Elasticsearch: nothing is lost and
// nothing is doubled though every stage is killed on the way, a stop is clean whatever
// is down, and the counters add up.
func TestFromStdoutToElasticsearch(t *testing.T) {
	s := newSite(t)
	if out := s.sluice(t, "check"); !strings.Contains(out, "ok") {
		t.Errorf("check printed %q", out)
	}
	t.Logf("setup:\n%s", s.sluice(t, "setup"))
	if out := s.sluice(t, "setup"); strings.Contains(out, "created") || strings.Contains(out, "updated") {
		t.Errorf("a second setup changed something:\n%s", out)
	}
	stages := map[string]*stage{}
	for _, role := range []string{"indexer", "aggregator", "shipper"} {
		stages[role] = s.stage(t, role)
	}
	var all []*container
	more := func(t *testing.T, prefix string, n, lines int, rate float64) {
		t.Helper()
		var cs []*container
		for i := range n {
			c := newContainer(fmt.Sprintf("%s-%d", prefix, len(all)), i, lines, rate)
			s.run(t, c)
			cs = append(cs, c)
		}
		all = append(all, cs...)
	}
	lines := func() (n int) {
		for _, c := range all {
			n += c.lines()
		}
		return n
	}
	found := func(t *testing.T, within time.Duration) {
		t.Helper()
		start := time.Now()
		eventually(t, within, fmt.Sprintf("%d lines in Elasticsearch", lines()), func() (bool, any) {
			n := s.count(t)
			return n >= lines(), n
		})
		t.Logf("all %d lines are found %v after the last was written", lines(), time.Since(start).Round(100*time.Millisecond))
	}

	if testing.Short() { // with other versions of Kafka: that the path is whole, and every stage killed once
		more(t, "short", 5, 4000, 200) // 20,000 lines in 20 s
		for _, role := range []string{"shipper", "aggregator", "indexer"} {
			time.Sleep(4 * time.Second)
			stages[role].kill()
			stages[role].start(t)
		}
		s.await(t, all)
		found(t, 4*time.Minute)
		for _, g := range stages {
			g.stop(t)
		}
		s.verify(t, all)
		return
	}

	ok := t.Run("NothingLostNothingDoubledThoughKilled", func(t *testing.T) {
		more(t, "kill", 20, 10_000, 125) // 200,000 lines in 80 s
		start := time.Now()
		for round := range 3 {
			for _, role := range []string{"shipper", "aggregator", "indexer"} {
				time.Sleep(5 * time.Second) // a killed shipper is back long before an unread file is rotated away
				if round == 1 {
					stages[role].stop(t)
				} else {
					stages[role].kill()
				}
				time.Sleep(time.Second)
				stages[role].start(t)
			}
		}
		t.Logf("each stage killed twice and stopped once within %v, %d of %d lines found meanwhile", time.Since(start).Round(time.Second), s.count(t), lines())
		s.await(t, all)
		found(t, 4*time.Minute)
		rotated := 0
		for _, c := range all {
			if _, files := c.logBytes(t); files > 1 {
				rotated++
			}
		}
		if rotated < len(all)/2 {
			t.Errorf("only %d of %d logs were rotated", rotated, len(all))
		}
	})
	if !ok {
		return
	}

	t.Run("StopIsCleanWhileServersAreDown", func(t *testing.T) {
		down := func(what string, kill func() error, restart func() error, roles ...string) {
			t.Helper()
			more(t, strings.Fields(what)[0], 2, 3000, 600)
			time.Sleep(2 * time.Second)
			if err := kill(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second) // lines go on, and pile up
			t.Logf("%s is down", what)
			for _, role := range roles {
				stages[role].stop(t)
			}
			if err := restart(); err != nil {
				t.Fatal(err)
			}
			for _, role := range roles {
				stages[role].start(t)
			}
			s.await(t, all[len(all)-2:])
			found(t, 2*time.Minute)
		}
		down("dc1 Kafka", s.dc1.Kill, func() error { return s.dc1.Restart(t.Context()) }, "shipper", "aggregator")
		down("central Kafka", s.central.Kill, func() error { return s.central.Restart(t.Context()) }, "aggregator", "indexer")
		down("elasticsearch", s.es.Kill, func() error { return s.es.Restart(t.Context()) }, "indexer")
	})

	t.Run("StatsdCountersAddUp", func(t *testing.T) {
		for _, g := range stages {
			g.stop(t)
		}
		if err := s.statsd.Restart(t.Context()); err != nil { // totals start at zero
			t.Fatal(err)
		}
		for _, g := range stages {
			g.start(t)
		}
		more(t, "statsd", 4, 5000, 1000)
		s.await(t, all[len(all)-4:])
		found(t, 2*time.Minute)
		for _, g := range stages {
			g.stop(t)
		}
		s.addUp(t, 4*5000)
	})

	t.Run("EveryLineAsWritten", func(t *testing.T) { s.verify(t, all) })
}

// verify compares every document with the line that was written.
func (s *site) verify(t *testing.T, all []*container) {
	t.Helper()
	docs := s.all(t)
	for _, c := range all {
		c.verify(t, docs[c.name])
		delete(docs, c.name)
	}
	if len(docs) != 0 {
		t.Errorf("documents of containers that are not ours: %v", slices.Collect(maps.Keys(docs)))
	}
}
