package shipper

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/zeebo/xxh3"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/sluicelog/sluice/shipper/disk"
)

// position is what is remembered of a file: up to where its lines are acknowledged, and
// what tells that it is still the same file with the same content.
type position struct {
	Path   string `json:"path"` // where it was last seen; for people and for the sweep
	Dev    uint64 `json:"dev"`
	Ino    uint64 `json:"ino"`
	Birth  int64  `json:"birth,omitempty"` // nanoseconds; 0: the file system does not tell
	Seen   int64  `json:"seen"`            // nanoseconds, when we first saw it
	Cuts   int    `json:"cuts,omitempty"`  // truncations seen
	Offset int64  `json:"offset"`          // all below is acknowledged
	Marker uint64 `json:"marker"`          // hash of the markerLen bytes before Offset
	Stored int64  `json:"stored"`          // seconds, of this record

	Of   *generation `json:"of,omitempty"`   // of the file that this one is a copy of
	Past *proof      `json:"past,omitempty"` // of the generation before the last truncation
}

// generation is what the ids of a file's lines hang on.
type generation struct {
	Ino   uint64 `json:"ino"`
	Since int64  `json:"since"` // birth, or when it was first seen; nanoseconds
	Cuts  int    `json:"cuts,omitempty"`
}

func (p *position) generation() generation {
	if p.Of != nil {
		return *p.Of
	}
	since := p.Birth
	if since == 0 {
		since = p.Seen
	}
	return generation{p.Ino, since, p.Cuts}
}

// proof is by what a copy of a generation is known, and from where the copy is read.
type proof struct {
	Of     generation `json:"of"`
	At     int64      `json:"at"`
	Marker uint64     `json:"marker"` // hash of the markerLen bytes before At
	From   int64      `json:"from"`   // all below is acknowledged
}

// cut is where the file stands after a truncation.
func (p position) cut(past proof) position {
	p.Cuts, p.Offset, p.Marker, p.Of, p.Past = p.Cuts+1, 0, 0, nil, &past
	return p
}

// markerLen bytes before an offset prove that the file is the same up to there.
const markerLen = 64

func marker(b []byte) uint64 { return xxh3.Hash(b) }

// preceding reads the markerLen bytes before off, or all there are. The error is
// io.ErrUnexpectedEOF if the file ends before off.
func preceding(fd int, b *[markerLen]byte, off int64) (n int, err error) {
	want := int(min(off, markerLen))
	n, err = disk.Pread(fd, b[:want], off-int64(want))
	if err == nil && n < want {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// record is one change of the store: a nil value deletes the key.
type record struct {
	bucket string
	key    string
	value  []byte
}

// bucketFiles holds positions; others hold what discoverers have kept.
const bucketFiles = "files"

// positions is the store. Only put is called after open, from one goroutine at a time.
type positions struct{ db *bbolt.DB }

// openPositions opens or creates the store and reads all of it. A store that cannot be
// read is moved aside to path.bad and told in broken; all files are then read from
// their start, and their lines have the same ids as before. An error means that
// another process has it open, or that the directory cannot be written.
func openPositions(path string) (p *positions, all map[string]map[string][]byte, broken, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, nil, nil, fmt.Errorf("create data directory: %w", err)
	}
	p, all, err = readPositions(path)
	if err == nil {
		return p, all, nil, nil
	}
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, nil, nil, fmt.Errorf("open positions %s: another process uses it", path)
	}
	if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil, fmt.Errorf("open positions %s: %w", path, err)
	}
	broken = err
	if err := os.Rename(path, path+".bad"); err != nil {
		return nil, nil, nil, fmt.Errorf("move unreadable positions aside: %w", err)
	}
	p, all, err = readPositions(path)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("create positions %s: %w", path, err)
	}
	return p, all, broken, nil
}

var errCut = errors.New("cut off")

// readPositions turns what bbolt does on a broken file (panics, faults in the mapped
// part of a file that was cut) into errors.
func readPositions(path string) (p *positions, all map[string]map[string][]byte, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	var db *bbolt.DB
	defer func() {
		if r := recover(); r != nil {
			p, all, err = nil, nil, fmt.Errorf("read positions: %v", r)
		}
		if err != nil && db != nil {
			closeBroken(db)
		}
	}()
	db, err = bbolt.Open(path, 0o640, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, nil, err
	}
	all = map[string]map[string][]byte{}
	err = db.Update(func(tx *bbolt.Tx) error {
		// Before the check, which reads from a goroutine where a fault would kill us.
		if st, err := os.Stat(path); err != nil || st.Size() < tx.Size() {
			return fmt.Errorf("the file is shorter than its %d bytes (%w)", tx.Size(), errors.Join(errCut, err))
		}
		var found error
		for e := range tx.Check() {
			found = errors.Join(found, e)
		}
		if found != nil {
			return found
		}
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			m := map[string][]byte{}
			all[string(name)] = m
			return b.ForEach(func(k, v []byte) error {
				m[string(k)] = append([]byte(nil), v...)
				return nil
			})
		})
	})
	if err != nil {
		return nil, nil, err
	}
	return &positions{db: db}, all, nil
}

// closeBroken gives the lock of a broken store back if that is possible.
func closeBroken(db *bbolt.DB) {
	defer func() { _ = recover() }()
	_ = db.Close()
}

// put makes changes durable, all or none.
func (p *positions) put(changes []record) error {
	err := p.db.Update(func(tx *bbolt.Tx) error {
		for _, c := range changes {
			b, err := tx.CreateBucketIfNotExists([]byte(c.bucket))
			if err != nil {
				return err
			}
			if c.value == nil {
				err = b.Delete([]byte(c.key))
			} else {
				err = b.Put([]byte(c.key), c.value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store positions: %w", err)
	}
	return nil
}

func (p *positions) close() error { return p.db.Close() }

// decodePositions reads the records of files; those that cannot be read are left out,
// their files are read again.
func decodePositions(raw map[string][]byte) map[string]position {
	out := make(map[string]position, len(raw))
	for k, v := range raw {
		var p position
		if json.Unmarshal(v, &p) == nil && p.Offset >= 0 {
			out[k] = p
		}
	}
	return out
}

// saving is a file's position on its way to the store.
type saving struct {
	file  *file
	value int64
}

// storer makes changes durable in a goroutine of its own, one set at a time, since a
// disk may take its time.
type storer struct {
	p       *positions
	m       *meters
	jobs    chan []record // cap 1; closed by Run
	results chan error    // cap 1
}

func newStorer(p *positions, m *meters) *storer {
	return &storer{p: p, m: m, jobs: make(chan []record, 1), results: make(chan error, 1)}
}

func (s *storer) run() {
	for changes := range s.jobs {
		s.results <- s.put(changes)
	}
}

func (s *storer) put(changes []record) error {
	start := time.Now()
	err := s.p.put(changes)
	s.m.storing.Observe(time.Since(start).Seconds())
	if err != nil {
		s.m.storeErrs.Inc()
	}
	return err
}

// changes are the records that are not on disk as they should be, deletions first: a
// new file may have the key of one that is forgotten.
func (t *tailer) changes() (changes []record, files []saving) {
	changes = t.later
	for _, f := range t.files {
		committed, _ := f.mark()
		if committed == f.stored || f.fd < 0 && committed != f.read {
			continue
		}
		if r, value, ok := f.record(t.now); ok {
			changes = append(changes, r)
			files = append(files, saving{f, value})
		}
	}
	return changes, files
}

// save begins to store what changed, unless that is already under way.
func (t *tailer) save() {
	if t.storing != nil {
		t.saveAgain = true
		return
	}
	changes, files := t.changes()
	if len(changes) == 0 {
		return
	}
	t.storing, t.saveAgain = append([]saving{}, files...), false
	t.under, t.later = changes[:len(t.later):len(t.later)], nil
	t.store.jobs <- changes
}

// saved is told how that went.
func (t *tailer) saved(err error) {
	done := t.storing
	t.storing = nil
	if err != nil {
		if t.storeErr != err.Error() {
			t.storeErr = err.Error()
			t.log.Error("positions cannot be stored, lines may be sent again after a restart", "err", err)
		}
		t.later = append(t.under, t.later...)
		return
	}
	if t.storeErr != "" {
		t.storeErr = ""
		t.log.Info("positions are stored again")
	}
	for _, s := range done {
		s.file.stored = s.value
		if !s.file.durable {
			s.file.durable = true
			t.enqueue(s.file)
		}
	}
	if t.saveAgain {
		t.save()
	}
}
