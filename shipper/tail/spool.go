package tail

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicelog/sluice/internal/logonce"
	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/position"
	"github.com/sluicelog/sluice/shipper/source"
)

// spooler copies what is unread in files that have been deleted into files of its own, below
// data_dir, since nothing else holds them than our open descriptors: not over a restart, nor
// for longer than an outage of Kafka may last. A copy is sparse, each byte where it was in its
// file, so it is read on like any copy of a log, from the same offset, in the same generation.
//
//	spool/7.log   what is not acknowledged, and the bytes before that prove the position
//	spool/7.json  the source and the record of the copy; the copy counts once this is there
type spooler struct {
	*room
	finder *finder
	dir    string
	jobs   chan spooling // cap 1
	copied chan error    // cap 1

	under   spooling // being copied; file nil: nothing is
	used    int64    // bytes of all copies
	next    int      // number of the next
	full    logonce.State
	retryAt time.Time
}

// spooling is a file to be copied.
type spooling struct {
	file     *file
	fd       int // of its own
	from, to int64
	path     string
	meta     spooled
}

// spooled is what is beside a copy.
type spooled struct {
	Spec   source.Spec     `json:"spec"`
	Record position.Record `json:"record"`
	Key    string          `json:"key"` // of the record of the file that was copied
	Path   string          `json:"path"`
	Bytes  int64           `json:"bytes"`
}

const (
	spoolAfter = 2 * time.Second // a deleted file is copied when this was not enough to ship it
	spoolAgain = 10 * time.Second
	spoolStop  = 3 * time.Second // a stop takes no longer for copying
)

var errFull = errors.New("shipper.spool.size is reached, or less than shipper.spool.min_free is free")

func newSpooler(r *room, f *finder, dir string) *spooler {
	return &spooler{room: r, finder: f, dir: dir, jobs: make(chan spooling, 1), copied: make(chan error, 1)}
}

// run copies until jobs is closed.
func (t *spooler) run() {
	for j := range t.jobs {
		t.copied <- j.copy()
	}
}

// wants reports whether a file is to be copied now: it would be lost with its descriptor.
func (t *spooler) wants(f *file, quiet time.Duration) bool {
	return t.cfg.Spool.Size > 0 && !f.src.spec.Hints.Pending && f.fd >= 0 && f.durable && f.copy.of == nil && !f.finished && f.stored >= 0 && !f.turn.ending &&
		quiet >= spoolAfter && f.lag() > 0 && !f.spooled()
}

// begin has a file copied, one at a time.
func (t *spooler) begin(f *file) {
	if t.under.file != nil || t.now.Before(t.retryAt) {
		return
	}
	j, err := t.job(f)
	if err == nil {
		t.under = j
		t.jobs <- j
	} else {
		t.failed(err)
	}
}

func (t *spooler) failed(err error) {
	if !errors.Is(err, errFull) { // another file may be smaller
		t.retryAt = t.now.Add(spoolAgain)
	}
	if t.full.Failed(err.Error()) {
		t.log.Error("deleted files cannot be copied into the spool; they are held for hold_deleted", "spool", t.dir, "used", t.used, "error", err)
	}
}

// job is how f is to be copied.
func (t *spooler) job(f *file) (j spooling, err error) {
	if t.next == 0 {
		return j, errors.New("the spool cannot be read")
	}
	st, err := disk.StatOpen(f.fd)
	if err != nil {
		return j, err
	}
	at, ok := f.stand(t.now)
	if !ok {
		return j, errors.New("the file changes")
	}
	from := max(0, at.Offset-position.MarkerLen)
	size := st.Size - from
	var fs unix.Statfs_t
	if err := unix.Statfs(t.dir, &fs); err != nil {
		return j, fmt.Errorf("look at free space: %w", err)
	}
	if t.used+size > int64(t.cfg.Spool.Size) || int64(fs.Bavail)*fs.Bsize-size < int64(t.cfg.Spool.MinFree) {
		return j, errFull
	}
	fd, err := unix.FcntlInt(uintptr(f.fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return j, err
	}
	of := at.Generation()
	at.Of, at.Past = &of, nil
	path := filepath.Join(t.dir, fmt.Sprintf("%d.log", t.next))
	t.next++
	spec := f.src.spec
	spec.Tags = f.src.info
	return spooling{file: f, fd: fd, from: from, to: st.Size, path: path, meta: spooled{Spec: spec, Record: at, Key: f.key, Path: f.path, Bytes: size}}, nil
}

// copy makes the copy durable, or leaves nothing.
func (j *spooling) copy() (err error) {
	defer unix.Close(j.fd)
	out, err := os.OpenFile(j.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, out.Close())
		if err != nil {
			_, _ = os.Remove(j.path), os.Remove(metaPath(j.path))
		}
	}()
	buf := make([]byte, 1<<20)
	for at := j.from; at < j.to; {
		n, err := disk.Pread(j.fd, buf[:min(int64(len(buf)), j.to-at)], at)
		if err == nil && n == 0 {
			err = errors.New("the file became shorter")
		}
		if err != nil {
			return err
		}
		if _, err := out.WriteAt(buf[:n], at); err != nil {
			return err
		}
		at += int64(n)
	}
	if err := out.Sync(); err != nil {
		return err
	}
	st, err := disk.StatPath(j.path)
	if err != nil {
		return err
	}
	r := &j.meta.Record
	r.Path, r.Dev, r.Ino, r.Birth, r.Clone = j.path, st.Dev, st.Ino, st.Birth, 0
	text, err := json.Marshal(j.meta)
	if err != nil {
		return err
	}
	return writeDurable(metaPath(j.path), text)
}

func metaPath(path string) string { return strings.TrimSuffix(path, ".log") + ".json" }

func writeDurable(path string, text []byte) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// result takes what became of the copy that was under way; false: there is none, or it is of
// no use, since its file was shipped or grew meanwhile. Else nothing is read of the file any more.
func (t *spooler) result(err error) (j spooling, ok bool) {
	j, t.under = t.under, spooling{}
	f := j.file
	if err != nil {
		t.failed(fmt.Errorf("copy %s: %w", j.meta.Path, err))
		return j, false
	}
	if down, ended := t.full.OK(); ended {
		t.log.Info("deleted files can be copied into the spool again", "after", down)
	}
	t.used += j.meta.Bytes
	if st, serr := disk.StatOpen(max(f.fd, 0)); f.fd < 0 || f.finished || f.lag() == 0 || serr != nil || st.Size != j.to {
		t.drop(j.path, j.meta.Bytes)
		return j, false
	}
	t.m.spooled.Add(float64(j.meta.Bytes))
	t.maker.Unread(&f.src.lines, &f.text)
	t.finder.close(f)
	t.log.Info("deleted file is copied into the spool", "path", f.path, "bytes", j.meta.Bytes, "copy", j.path)
	return j, true
}

// done goes on with the copy in place of its file.
func (t *spooler) done(err error) {
	j, ok := t.result(err)
	if !ok {
		return
	}
	f, s := j.file, j.file.src
	i := slices.Index(s.files, f)
	t.finder.forget(f)
	fd, st, err := disk.Open(j.path)
	if err != nil {
		t.log.Error("a copy in the spool cannot be opened; it is read after the next start", "path", j.path, "error", err)
		return
	}
	s.spool = append(s.spool, j.path)
	t.finder.resume[st.Key()] = j.meta.Record
	g := t.finder.opened(s, fd, st, j.path, nil)
	g.stored = -1
	s.files = slices.Insert(s.files[:len(s.files)-1], min(max(i, 0), len(s.files)-1), g)
	t.finder.saver.save(t.now)
	t.finder.queue.add(g)
}

// shipped deletes a copy that was read to its end and stored.
func (t *spooler) shipped(f *file) {
	f.src.spool = slices.DeleteFunc(f.src.spool, func(p string) bool { return p == f.path })
	var meta spooled
	if text, err := os.ReadFile(metaPath(f.path)); err == nil {
		_ = json.Unmarshal(text, &meta)
	}
	t.drop(f.path, meta.Bytes)
	t.finder.forget(f)
}

func (t *spooler) drop(path string, bytes int64) {
	t.used -= bytes
	if err := errors.Join(os.Remove(metaPath(path)), os.Remove(path)); err != nil {
		t.log.Warn("a copy cannot be deleted from the spool", "path", path, "error", err)
	}
}

// load finds the copies of the last run, and gives the sources that they are of.
func (t *spooler) load() (all []spooled) {
	if err := os.MkdirAll(t.dir, 0o700); err != nil {
		t.log.Error("the spool cannot be made", "spool", t.dir, "error", err)
		return nil
	}
	entries, err := os.ReadDir(t.dir)
	if err != nil {
		t.log.Error("the spool cannot be read", "spool", t.dir, "error", err)
		return nil
	}
	t.next = 1
	for _, e := range entries {
		path := filepath.Join(t.dir, e.Name())
		var n int
		if _, err := fmt.Sscanf(e.Name(), "%d.", &n); err != nil {
			continue
		}
		t.next = max(t.next, n+1)
		switch {
		case strings.HasSuffix(path, ".json"):
			if meta, ok := t.read(path); ok {
				all = append(all, meta)
			}
		case strings.HasSuffix(path, ".log"):
			if _, err := os.Stat(metaPath(path)); errors.Is(err, os.ErrNotExist) { // not whole
				_ = os.Remove(path)
			}
		default:
			_ = os.Remove(path)
		}
	}
	return all
}

// read reads what is beside a copy.
func (t *spooler) read(path string) (meta spooled, ok bool) {
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &meta)
	}
	copied := strings.TrimSuffix(path, ".json") + ".log"
	var st disk.Stat
	if err == nil {
		st, err = disk.StatPath(copied)
	}
	if err != nil {
		t.log.Error("a copy in the spool cannot be read; it is left there", "path", path, "error", err)
		return meta, false
	}
	t.used += meta.Bytes
	if o, err := disk.StatPath(meta.Path); err == nil && position.Key(o.Key(), 0) == meta.Key { // the file itself is there
		t.drop(copied, meta.Bytes)
		return meta, false
	}
	if _, known := t.finder.resume[st.Key()]; !known {
		t.finder.resume[st.Key()] = meta.Record
	}
	meta.Path = copied
	return meta, true
}

// end copies, before the stop, what is unread of files that may be gone at the next start.
func (t *spooler) end(logger *slog.Logger) {
	close(t.jobs)
	if t.under.file != nil {
		if j, ok := t.result(<-t.copied); ok { // it is read after the next start
			t.finder.forget(j.file)
		}
	}
	until := time.Now().Add(spoolStop)
	for _, f := range t.finder.files {
		if t.cfg.Spool.Size <= 0 || f.fd < 0 || f.spooled() || f.copy.of != nil || !f.durable || f.src.spec.Hints.Pending && f.src.spec.Hints.IfKnown {
			continue
		}
		st, err := disk.StatOpen(f.fd)
		if err != nil {
			continue
		}
		if f.extent.size = st.Size; st.Links == 0 && f.times.deleted.IsZero() {
			f.times.deleted = t.now
		}
		if f.lag() <= 0 || f.times.deleted.IsZero() && !f.src.gone && !f.src.spec.Hints.Ended {
			continue
		}
		j, err := t.job(f)
		if err == nil && time.Now().After(until) {
			err = errors.New("there is no time left")
			_ = unix.Close(j.fd)
		} else if err == nil {
			err = j.copy()
		}
		if err != nil {
			if !f.times.deleted.IsZero() {
				t.m.givenFiles.Inc()
				t.m.givenBytes.Add(float64(f.lag()))
			}
			logger.Error("unread bytes of a file that may be gone at the next start are not in the spool", "path", f.path, "bytes", f.lag(), "error", err)
			continue
		}
		t.used += j.meta.Bytes
		t.m.spooled.Add(float64(j.meta.Bytes))
	}
}

// spooled reports whether a file is a copy in the spool.
func (f *file) spooled() bool { return slices.Contains(f.src.spool, f.path) }
