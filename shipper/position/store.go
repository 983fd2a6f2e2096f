package position

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Change is one change of the store: a nil value deletes the key.
type Change struct {
	Bucket string
	Key    string
	Value  []byte
}

// Buckets of the store.
const (
	Files      = "files"      // Records, by the Key of their file's disk.Stat
	Containers = "containers" // what is known of sources, so that they are followed at once at the next start
)

// Store keeps positions in a bbolt file, which one process has open at a time. Put is
// for one goroutine at a time.
type Store struct{ db *bbolt.DB }

// Open opens or creates the store and reads all of it, by bucket and key. A store that
// cannot be read is moved aside to path.bad and reported in broken; all files are then
// read from their start, and their lines have the same ids as before. An error means that
// another process has it open, or that the directory cannot be written.
func Open(path string) (p *Store, all map[string]map[string][]byte, broken, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, nil, nil, fmt.Errorf("create data directory: %w", err)
	}
	p, all, err = read(path)
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
	p, all, err = read(path)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("create positions %s: %w", path, err)
	}
	return p, all, broken, nil
}

var errCut = errors.New("cut off")

// read turns what bbolt does on a broken file (panics, faults in the mapped
// part of a file that was cut) into errors.
func read(path string) (p *Store, all map[string]map[string][]byte, err error) {
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
		for _, name := range []string{Files, Containers} {
			b, err := tx.CreateBucketIfNotExists([]byte(name))
			if err != nil {
				return err
			}
			m := map[string][]byte{}
			all[name] = m
			if err := b.ForEach(func(k, v []byte) error {
				m[string(k)] = append([]byte(nil), v...)
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return &Store{db: db}, all, nil
}

// closeBroken gives the lock of a broken store back if that is possible.
func closeBroken(db *bbolt.DB) {
	defer func() { _ = recover() }()
	_ = db.Close()
}

// Put makes changes durable, all or none.
func (p *Store) Put(changes []Change) error {
	err := p.db.Update(func(tx *bbolt.Tx) error {
		for _, c := range changes {
			b := tx.Bucket([]byte(c.Bucket))
			var err error
			if c.Value == nil {
				err = b.Delete([]byte(c.Key))
			} else {
				err = b.Put([]byte(c.Key), c.Value)
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

// Close waits for what is under way.
func (p *Store) Close() error { return p.db.Close() }
