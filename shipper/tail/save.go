package tail

import (
	"log/slog"
	"time"

	"github.com/sluicelog/sluice/internal/logonce"
	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/position"
)

// saver has the positions of files stored, and what else is to be remembered, one set of
// changes at a time.
type saver struct {
	storer *position.Storer
	files  map[disk.ID]*file // all that are followed
	log    *slog.Logger

	later   []position.Change // besides the positions of files
	under   []position.Change // what of later is under way
	storing []saving          // under way to the store; nil: nothing is
	again   bool              // more is to be stored once that is done
	problem logonce.State     // they cannot be stored
}

// saving is a file's position on its way to the store.
type saving struct {
	file   *file
	value  int64
	ending bool // where its last line ends is in it
}

// note has a change stored with the next set.
func (s *saver) note(c ...position.Change) { s.later = append(s.later, c...) }

// changes are what is not on disk as it should be, deletions first: a new file may have
// the key of one that is forgotten.
func (s *saver) changes(now time.Time) (changes []position.Change, files []saving) {
	changes = s.later
	for _, f := range s.files {
		committed, _ := f.window().Position()
		if committed == f.stored || f.fd < 0 && committed != f.text.Read {
			continue
		}
		if c, value, ok := f.record(now); ok {
			changes = append(changes, c)
			files = append(files, saving{f, value, f.turn.ending})
		}
	}
	return changes, files
}

// save begins to store what changed, unless that is already under way.
func (s *saver) save(now time.Time) {
	if s.storing != nil {
		s.again = true
		return
	}
	changes, files := s.changes(now)
	if len(changes) == 0 {
		return
	}
	s.storing, s.again = append([]saving{}, files...), false
	s.under, s.later = changes[:len(s.later):len(s.later)], nil
	s.storer.Jobs <- changes
}

// saved is called with the result of what was under way, and gives the files whose lines,
// or last line, may be sent now.
func (s *saver) saved(err error, now time.Time) (durable []*file) {
	done := s.storing
	s.storing = nil
	if err != nil {
		if s.problem.Failed(err.Error()) {
			s.log.Error("positions cannot be stored, lines may be sent again after a restart", "error", err)
		}
		s.later = append(s.under, s.later...)
		return nil
	}
	if down, ended := s.problem.OK(); ended {
		s.log.Info("positions are stored again", "after", down)
	}
	for _, d := range done {
		if d.file.stored = d.value; d.file.turn.ending && !d.ending {
			d.file.stored = -1 // not yet with its end
		}
		if d.ending {
			d.file.turn.ending = false
			durable = append(durable, d.file)
		}
		if !d.file.durable {
			d.file.durable = true
			durable = append(durable, d.file)
		}
	}
	if s.again {
		s.save(now)
	}
	return durable
}

// end stores the last changes, after the storer's Run.
func (s *saver) end(now time.Time) {
	if s.storing != nil {
		s.again = false
		s.saved(<-s.storer.Results, now)
	}
	changes, files := s.changes(now)
	if len(changes) == 0 {
		return
	}
	if err := s.storer.Put(changes); err != nil {
		s.log.Error("last positions are not stored, lines will be sent again under the same ids", "error", err)
		return
	}
	s.later = nil
	for _, d := range files {
		d.file.stored = d.value
	}
}
