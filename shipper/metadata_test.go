package shipper

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// What a container says of itself must not multiply its log.
func TestLabelsAreBoundedAndOfOneNameByARule(t *testing.T) {
	s := newSite(t)
	d := s.docker()
	s.cfg.Shipper.Docker.FieldsFromLabels = []string{"*"}
	s.cfg.Shipper.Docker.FieldsFromEnv = []string{"TEAM", "MARATHON_APP_LABEL_*"}
	d.add(fakeContainer{ID: fakeID(1), Name: "big", Labels: map[string]string{"big": strings.Repeat("x", 100_000), "a.b": "dot", "a_b": "plain"}, Env: []string{"TEAM=env", "MARATHON_APP_LABEL_TEAM=app"}}, true)
	d.add(fakeContainer{ID: fakeID(2), Name: "small", Labels: map[string]string{"team": "x"}}, true)
	s.cfg.Shipper.Labels = map[string]string{"zone.a": "dot"}
	for i := range 100 {
		d.write(fakeID(1), "stdout", fmt.Sprint("big ", i))
	}
	d.write(fakeID(2), "stdout", "small")
	s.start()
	s.wait(101)
	e := s.only("big 7")
	if n := len(e.Container.Labels["big"]); n != 1024 || e.Container.Labels["a_b"] != "plain" || e.Labels["team"] != "app" || e.Labels["zone_a"] != "dot" || !slices.Equal(e.Tags, []string{"metadata_cut"}) {
		t.Errorf("%d bytes of a label, %q, %v, tags %q", n, e.Container.Labels["a_b"], e.Labels, e.Tags)
	}
	if e := s.only("small"); len(e.Tags) > 0 || e.Container.Labels["team"] != "x" {
		t.Errorf("%+v", e)
	}
	if n := s.counter("shipper_cut_metadata_sources_total"); n != 1 {
		t.Errorf("%v sources with less than they say, want 1", n)
	}
	if got := s.counter("shipper_appended_bytes_total"); got > 101*2500 {
		t.Errorf("%v bytes of events", got)
	}
}
