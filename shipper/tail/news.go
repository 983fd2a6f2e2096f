package tail

import (
	"maps"
	"slices"

	"github.com/sluicelog/sluice/schemas"
	"github.com/sluicelog/sluice/shipper/line"
	"github.com/sluicelog/sluice/shipper/send"
	"github.com/sluicelog/sluice/shipper/source"
)

// roster is the sources that are followed, as their discoverers describe them.
type roster struct {
	*room
	reader   *reader
	finder   *finder
	refusals *send.Refusals
	host, dc string

	sources  map[string]*origin // by spec.Key
	kinds    map[string]*kindTally
	departed map[string]*departure // by spec.Key
	kept     map[string][]byte     // what discoverers are to be given back, by spec.Key
	buckets  map[string]string     // where that is stored, by kind
	several  several
}

// kind is the figures of a kind of source.
func (t *roster) kind(kind string) *kindTally {
	k := t.kinds[kind]
	if k == nil {
		k = newKindTally(t.m.reg, kind)
		t.kinds[kind] = k
	}
	return k
}

// take acts on what a discoverer says of a source.
func (t *roster) take(c source.Change, out *send.Batch) {
	key := c.Spec.Key()
	s := t.sources[key]
	switch c.What {
	case source.Gone, source.Missed:
		t.gone(&c.Spec, s, c.What == source.Missed, out)
	case source.Dropped:
		if s != nil {
			t.remove(s)
		}
	default:
		t.follow(s, &c)
	}
}

// follow begins to follow a source, or takes over what is news of it, and finds its
// files.
func (t *roster) follow(s *origin, c *source.Change) {
	added, changed := s == nil, c.What == source.Changed
	if added {
		s = t.add(c.Spec)
	}
	known := !s.gone || s.spec.Hints.Pending
	if changed {
		t.change(s, c)
	}
	if added || changed && known { // of what is gone, late news knows less
		t.describe(s, c.Spec.Tags)
	}
	s.spec.Hints.Siblings = c.Spec.Hints.Siblings
	if c.Log != nil {
		t.takeOpen(s, c.Log)
		if t.departed[s.spec.Key()] != nil {
			s.gone, s.spec.Hints.Ended = true, true
		}
	}
	if added || changed || c.Log != nil || s.live == nil || len(s.spec.Hints.Siblings) > 0 {
		t.finder.discover(s)
	}
	if changed || c.Log != nil {
		t.finder.queue.all(s)
	}
}

func (t *roster) add(spec source.Spec) *origin {
	s := &origin{spec: spec, id: schemas.SourceID(t.host, spec.Kind, spec.Name), read: t.kind(spec.Kind)}
	s.read.now++
	s.lines, s.sent = line.NewLog[*send.Window](s.id), t.refusals.NewSource(&s.read.events)
	s.lines.Decoder, s.lines.Prefix, s.lines.Several = decoder(&spec), spec.Hints.FilePrefix, t.several.of(&t.cfg.Multiline, &spec)
	t.sources[spec.Key()] = s
	t.finder.watches.dir(s)
	t.finder.stems.add(s)
	return s
}

// decoder is what reads the lines of a source; nil: they are text.
func decoder(spec *source.Spec) line.Decoder {
	if spec.Decoder == source.JSONFile {
		return line.JSONFile
	}
	return nil
}

// describe has what events say of their source rendered: its tags, and what this host
// and its configuration add.
func (t *roster) describe(s *origin, info schemas.Source) {
	info.ID, info.Path, info.Host, info.DC = s.id, s.spec.Path, t.host, t.dc
	info.Labels = labels(&info, t.cfg.Labels, info.Labels)
	source.Bound(&info)
	if slices.Contains(info.Tags, source.TagCut) && !slices.Contains(s.info.Tags, source.TagCut) {
		t.m.cutTags.Inc()
		t.log.Warn("labels or values of a source are left out or cut in its events, which are tagged", "path", info.Path, "container_name", info.ContainerName, "tag", source.TagCut)
	}
	s.info = info
	s.sent.Describe(&info, t.cfg.PartitionBy)
}

// unspool follows a copy that is left from the last run, and the source that it is of if
// nothing else does.
func (t *roster) unspool(c spooled) {
	s := t.sources[c.Spec.Key()]
	if s == nil {
		s = t.add(c.Spec)
		s.spec.Hints.Pending = false
		s.gone = c.Spec.Kind == source.KindDocker // until its discoverer says that it is there
		t.describe(s, c.Spec.Tags)
	}
	s.spool = append(s.spool, c.Path)
	t.finder.discover(s)
	t.finder.queue.all(s)
}

// labels joins labels of a source, later ones first, with names that Elasticsearch takes
// for no objects.
func labels(of *schemas.Source, sets ...map[string]string) map[string]string {
	var out map[string]string
	for _, m := range sets {
		renamed, clash := source.Rename(m, source.Dedot)
		if clash {
			source.Tag(of, source.TagCut)
		}
		if out == nil {
			out = renamed
		} else {
			maps.Copy(out, renamed)
		}
	}
	return out
}

// change takes over what a source is.
func (t *roster) change(s *origin, c *source.Change) {
	moved := s.spec.Path != c.Spec.Path
	if moved {
		t.finder.watches.undir(s)
		t.finder.stems.remove(s)
	}
	s.spec, s.gone = c.Spec, false
	s.lines.Decoder, s.lines.Prefix, s.lines.Several = decoder(&s.spec), s.spec.Hints.FilePrefix, t.several.of(&t.cfg.Multiline, &s.spec)
	if moved {
		t.finder.watches.dir(s)
		t.finder.stems.add(s)
	}
	t.keep(&c.Spec, c.Keep)
}

// takeOpen begins to follow a file that its discoverer has opened.
func (t *roster) takeOpen(s *origin, log *source.Log) {
	if f := t.finder.files[log.Stat.ID]; f != nil {
		if f.fd >= 0 || f.is(log.Stat) { // it was found under its path meanwhile
			t.finder.closer.close(log.FD)
			return
		}
		t.finder.forget(f)
	}
	if !t.finder.spare(s) {
		t.finder.closer.close(log.FD)
		t.finder.lacks(s, errLimit)
		return
	}
	t.finder.opened(s, log.FD, log.Stat, log.Path, nil)
}

// remove stops following a source; positions of its files are kept, in case it comes
// back.
func (t *roster) remove(s *origin) {
	if d := t.departed[s.spec.Key()]; d != nil {
		d.opened = d.opened || s.opened
	}
	for _, f := range s.files {
		if at, ok := f.stand(t.now); ok {
			t.finder.resume[f.key] = at
			if c, _, ok := f.record(t.now); ok {
				t.finder.saver.note(c)
			}
		}
		t.finder.close(f)
		f.finished = true
		t.finder.left.add(f)
		delete(t.finder.files, f.id)
		delete(t.finder.keys, f.key)
	}
	t.maker.End(&s.lines)
	s.files, s.live, s.waits = nil, nil, false
	t.finder.watches.undir(s)
	t.finder.stems.remove(s)
	s.read.now--
	delete(t.sources, s.spec.Key())
}
