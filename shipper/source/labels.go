package source

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sluicelog/sluice/internal/jsontext"
	"github.com/sluicelog/sluice/schemas"
)

// Bounds of what events say of their source: it is in each of them, so what a container
// says of itself must not multiply its log.
const (
	MaxValue = 1 << 10 // of one value, in bytes; a longer one is cut
	MaxName  = 256     // of the name of a label, in bytes; a longer one is left out
	MaxAll   = 8 << 10 // of all as they are in an event, in bytes; labels that are too much are left out

	leastValue = 128 // what is left of values if they alone are too much
)

// TagCut is in the tags of events whose source has labels or values that were left out or
// cut.
const TagCut = "metadata_cut"

// Dedot keeps Elasticsearch from taking a.b for an object a.
func Dedot(name string) string { return strings.ReplaceAll(name, ".", "_") }

// Rename gives labels other names. Of several that get one name the one counts that has
// it already, else the first in the order of their bytes; clash: there were such.
func Rename(labels map[string]string, rename func(string) string) (out map[string]string, clash bool) {
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if out == nil {
			out = map[string]string{}
		}
		name := rename(k)
		if _, taken := out[name]; taken {
			clash = true
			if name != k {
				continue
			}
		}
		out[name] = labels[k]
	}
	return out, clash
}

// Bound keeps what is said of a source within the bounds, and tags it if that took
// something from it. Its labels go in the order of their names, those of the container
// after the others; the path stays whole. The maps of s are not changed but replaced.
func Bound(s *schemas.Source) {
	texts := []*string{
		&s.ContainerID, &s.ContainerName, &s.Image, &s.TaskID, &s.FrameworkID, &s.ExecutorID, &s.Agent, &s.AppID, &s.AppVersion,
		&s.ChronosJob, &s.ServiceName, &s.ServiceVersion, &s.Host, &s.DC, &s.Dataset,
	}
	taken := false
	shorten := func(limit int) (all int) {
		all = width(s.Path) + width(s.ID)
		for _, t := range texts {
			var cut bool
			*t, cut = cutText(*t, limit)
			taken = taken || cut
			all += width(*t)
		}
		return all
	}
	all := shorten(MaxValue)
	if all > MaxAll {
		all = shorten(leastValue)
	}
	for _, m := range []*map[string]string{&s.Labels, &s.ContainerLabels} {
		var kept map[string]string
		for _, k := range slices.Sorted(maps.Keys(*m)) {
			v, cut := cutText((*m)[k], MaxValue)
			need := width(k) + width(v)
			if len(k) > MaxName || all+need > MaxAll {
				taken = true
				continue
			}
			if kept == nil {
				kept = make(map[string]string, len(*m))
			}
			kept[k], all, taken = v, all+need, taken || cut
		}
		*m = kept
	}
	if taken {
		Tag(s, TagCut)
	}
}

// Tag adds a tag unless it is there.
func Tag(s *schemas.Source, tag string) {
	if !slices.Contains(s.Tags, tag) {
		s.Tags = append(slices.Clone(s.Tags), tag)
	}
}

// width is how many bytes a text takes in an event, with what is around it.
func width(s string) int {
	if s == "" {
		return 0
	}
	return len(jsontext.Append(nil, s)) + len(`"":,`)
}

func cutText(s string, limit int) (_ string, cut bool) {
	if len(s) <= limit {
		return s, false
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit], true
}
