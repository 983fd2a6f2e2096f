package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/blevesearch/bleve/v2/document"
	"github.com/blevesearch/bleve/v2/index/scorch"
	index "github.com/blevesearch/bleve_index_api"
)

// An op is one line of a bulk request and what became of it.
type op struct {
	action string // create, index, delete
	index  string
	id     string
	doc    *document.Document // nil for delete
	status int
	result string // created, updated, deleted, not_found
	err    *esError
}

// job is the part of a bulk request that is for one index.
type job struct {
	ops  []*op
	done chan struct{} // closed once each op has its status
}

// logIndex is one index on disk. Its writer goroutine is the only one that writes: it
// joins the jobs that wait into one batch, so while one batch is synced to disk the next
// one fills, and it decides alone whether an id is new.
//
// A batch is acknowledged once scorch has written its segment and the root that names it,
// both with fsync: that is its answer to Batch unless unsafe_batch is set.
type logIndex struct {
	name    string
	dir     string
	jobs    chan job
	arrival *atomic.Int64 // of the store: the last arrival given away
	written atomic.Int64  // ns since 1970, of the last batch; for retention
	docs    atomic.Int64  // documents acknowledged since the start, of all kinds of indexing

	use    sync.RWMutex // held to read while an operation runs, to write by close
	closed bool
	index  index.Index
	writer sync.WaitGroup

	doubt bool // owned by the writer: a batch failed, and may be in memory but not on disk
}

const (
	maxBatchOps = 8000
	pendingJobs = 64
)

func openIndex(name, dir string, queue *index.AnalysisQueue, arrival *atomic.Int64) (*logIndex, error) {
	idx, err := scorch.NewScorch(scorch.Name, map[string]any{
		"path":                   dir,
		"bolt_timeout":           "2s",
		"asyncErrorCallbackName": asyncErrors,
	}, queue)
	if err != nil {
		return nil, err
	}
	if err := idx.Open(); err != nil {
		return nil, fmt.Errorf("open index %s: %w", dir, err)
	}
	x := &logIndex{name: name, dir: dir, jobs: make(chan job, pendingJobs), arrival: arrival, index: idx}
	x.written.Store(time.Now().UnixNano())
	if info, err := os.Stat(filepath.Join(dir, "root.bolt")); err == nil {
		x.written.Store(info.ModTime().UnixNano())
	}
	x.writer.Go(x.write)
	return x, nil
}

// close waits for what is under way, and ends the index.
func (x *logIndex) close() error {
	x.use.Lock()
	defer x.use.Unlock()
	if x.closed {
		return nil
	}
	x.closed = true
	close(x.jobs)
	x.writer.Wait()
	return x.index.Close()
}

// submit hands ops to the writer and returns the channel that tells that they are done;
// ok is false if the index was removed.
func (x *logIndex) submit(ops []*op) (done <-chan struct{}, ok bool) {
	x.use.RLock()
	defer x.use.RUnlock()
	if x.closed {
		return nil, false
	}
	j := job{ops, make(chan struct{})}
	x.jobs <- j
	return j.done, true
}

// read calls f with a view of the index that does not change; ok is false if the index
// was removed.
func (x *logIndex) read(f func(index.IndexReader) error) (ok bool, err error) {
	x.use.RLock()
	defer x.use.RUnlock()
	if x.closed {
		return false, nil
	}
	r, err := x.index.Reader()
	if err != nil {
		return true, err
	}
	return true, errors.Join(f(r), r.Close())
}

func (x *logIndex) write() {
	for j := range x.jobs {
		jobs, n := []job{j}, len(j.ops)
	more:
		for n < maxBatchOps {
			select {
			case j, ok := <-x.jobs:
				if !ok {
					break more
				}
				jobs, n = append(jobs, j), n+len(j.ops)
			default:
				break more
			}
		}
		if err := x.apply(jobs); err != nil {
			for _, j := range jobs {
				for _, o := range j.ops {
					o.status, o.err = 0, errUnavailable(x.name, err)
				}
			}
		}
		for _, j := range jobs {
			close(j.done)
		}
	}
}

// apply stores the ops of jobs and returns when they are on disk.
func (x *logIndex) apply(jobs []job) error {
	if x.doubt {
		b := index.NewBatch()
		b.SetInternal([]byte("sync"), nil)
		if err := x.index.Batch(b); err != nil {
			return err
		}
		x.doubt = false
	}
	known, err := x.known(jobs)
	if err != nil {
		return err
	}
	b := index.NewBatch()
	now := time.Now().UnixNano()
	stored := int64(0)
	for _, j := range jobs {
		for _, o := range j.ops {
			there := known[o.id]
			switch {
			case o.action == "delete" && !there:
				o.status, o.result = 404, "not_found"
				continue
			case o.action == "delete":
				o.status, o.result = 200, "deleted"
				b.Delete(o.id)
			case o.action == "create" && there:
				o.status, o.err = 0, errConflict(x.name, o.id)
				continue
			default:
				o.status, o.result = 201, "created"
				if there {
					o.status, o.result = 200, "updated"
				}
				arrive(o.doc, x.nextArrival(now))
				b.Update(o.doc)
				stored++
			}
			known[o.id] = o.action != "delete"
		}
	}
	if len(b.IndexOps) == 0 {
		return nil
	}
	if err := x.index.Batch(b); err != nil {
		x.doubt = true
		return err
	}
	x.written.Store(now)
	x.docs.Add(stored)
	return nil
}

// nextArrival is now, or just after the last one given to any document of the store.
func (x *logIndex) nextArrival(now int64) int64 {
	for {
		last := x.arrival.Load()
		next := max(now, last+1)
		if x.arrival.CompareAndSwap(last, next) {
			return next
		}
	}
}

// known are those ids of jobs that are in the index.
func (x *logIndex) known(jobs []job) (map[string]bool, error) {
	var ids []string
	for _, j := range jobs {
		for _, o := range j.ops {
			ids = append(ids, o.id)
		}
	}
	r, err := x.index.Reader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	found, err := r.DocIDReaderOnly(ids)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for {
		internal, err := found.Next()
		if err != nil || internal == nil {
			return known, err
		}
		id, err := r.ExternalID(internal)
		if err != nil {
			return nil, err
		}
		known[id] = true
	}
}

// count is the number of documents.
func (x *logIndex) count() (n uint64, err error) {
	_, err = x.read(func(r index.IndexReader) error {
		n, err = r.DocCount()
		return err
	})
	return n, err
}

// source is the document with id, nil if there is none.
func (x *logIndex) source(id string) (src []byte, err error) {
	_, err = x.read(func(r index.IndexReader) error {
		src, err = sourceOf(r, id)
		return err
	})
	return src, err
}

func sourceOf(r index.IndexReader, id string) (src []byte, err error) {
	d, err := r.Document(id)
	if err != nil || d == nil {
		return nil, err
	}
	d.VisitFields(func(f index.Field) {
		if f.Name() == sourceField {
			src, err = unpack(f.Value())
		}
	})
	return src, err
}
