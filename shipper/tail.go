package shipper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/schemas"
)

const (
	readSize   = 256 << 10
	maxHeld    = 64 << 20    // memory for lines without end; above it, files not being read begin their line again
	quiet      = time.Minute // a renamed or deleted plain file is closed after this long at its end: its writer may still have it open
	minLine    = 16          // least of max_line: an escape or rune must fit
	maxRotated = 99          // path.1 to path.99 are looked for
	day        = 24 * time.Hour
	forget     = 7 * day // records of files not found for this long are deleted
)

// tailer is the one goroutine that owns all sources and files: it opens, reads,
// decodes, and makes batches of events. It never waits for Kafka, Docker or the store,
// so a file that appears and is deleted during an outage is at least held open.
//
//	globs, docker ->\                          /-> sender -> producer -> Done: windows
//	inotify, poll --> tailer: turn, line, emit                              |
//	                         \<- positions, once a second, of what is acknowledged
type tailer struct {
	cfg      *config.Shipper
	host, dc string
	log      *slog.Logger
	m        *meters
	maxLine  int

	watch    *watcher // nil: only the poll
	targets  chan target
	rescan   chan struct{} // cap 1: asks for the globs to be expanded
	sender   *sender
	store    *storer
	statuses chan chan any

	sources   map[string]*source
	files     map[devino]*file    // all files that are followed, open or not
	resume    map[string]position // records of files not found yet
	dirs      map[int32]*directory
	dirOf     map[string]*directory
	armed     map[int32]*file
	queue     []*file // files to be read, in turn
	refused   []refusal
	known     map[string][]byte // records of containers
	later     []record          // changes of the store besides the positions of files
	storing   []saving          // under way to the store; nil: nothing is
	under     []record          // what of later is under way
	saveAgain bool
	storeErr  string

	cur       *batch // being filled; nil: the sender has all
	chunk     []byte // where the events of the current batches are written
	buf       []byte
	scratch   []byte
	events    []watchEvent
	line      dockerLine
	event     schemas.Line
	now       time.Time
	buffered  int64 // capacity of carries and joined messages
	n         tally
	kinds     [2]kindTally
	started   time.Time
	nFD       int // open files
	departed  map[string]departure
	root      string // directory of the containers' directories
	rootWatch int32
	noWatch   bool
	noFD      bool // told that descriptors ran out
	swept     time.Time
	probed    time.Time
}

// directory is watched for names that come and go.
type directory struct {
	wd      int32
	path    string
	sources map[string]*source // by base name
}

// target is news about a source from a glob or from Docker.
type target struct {
	kind string
	name string // path or container id

	glob  *config.Files // of a path
	dated []string      // rotated siblings of a path by date, oldest first

	container *container
	root      string // the directory that holds one directory a container
	missed    bool   // the container started and was removed before Docker could say what it is
	gone      bool   // the container was removed
	drop      bool   // the container is not to be followed
}

func newTailer(cfg *config.Config, log *slog.Logger, m *meters, w *watcher, s *sender, st *storer) *tailer {
	return &tailer{
		cfg: &cfg.Shipper, host: cfg.Host, dc: cfg.DC, log: log, m: m, maxLine: max(int(cfg.Shipper.MaxLine), minLine),
		watch: w, targets: make(chan target), rescan: make(chan struct{}, 1), sender: s, store: st, statuses: make(chan chan any),
		sources: map[string]*source{}, files: map[devino]*file{}, resume: map[string]position{}, known: map[string][]byte{}, departed: map[string]departure{},
		dirs: map[int32]*directory{}, dirOf: map[string]*directory{}, armed: map[int32]*file{},
		buf: make([]byte, markerLen+readSize), now: time.Now(), started: time.Now(),
	}
}

// run reads until ctx ends. What it has not handed to the sender by then is read again
// after the next start.
func (t *tailer) run(ctx context.Context) {
	defer close(t.sender.in)
	poll := time.NewTicker(t.cfg.Poll.D())
	defer poll.Stop()
	storing := time.NewTicker(t.cfg.StoreEvery.D())
	defer storing.Stop()
	var woken <-chan struct{}
	if t.watch != nil {
		woken = t.watch.ready
	}
	for {
		free, send := t.sender.free, t.sender.in
		if t.cur != nil {
			free = nil
		}
		work := t.cur != nil && !t.cur.full() && (len(t.queue) > 0 || t.canResend())
		if t.cur == nil || len(t.cur.out) == 0 || work {
			send = nil
		}
		var idle chan struct{} // ready when there is work, so that nothing else is waited for
		if work {
			idle = closed
		}
		select {
		case <-ctx.Done():
			return
		default:
		}
		select {
		case <-ctx.Done():
			return
		case t.cur = <-free:
		case send <- t.handOver():
			t.cur = nil
		case tg := <-t.targets:
			t.now = time.Now()
			t.take(tg)
		case <-woken:
			t.now = time.Now()
			t.wake()
		case <-poll.C:
			t.now = time.Now()
			t.poll()
		case <-storing.C:
			t.now = time.Now()
			t.save()
			t.tell()
		case r := <-t.store.results:
			t.saved(r)
		case <-t.sender.refused:
			t.takeRefused()
		case reply := <-t.statuses:
			reply <- t.status()
		case <-idle:
			t.work()
		}
	}
}

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// handOver gives the batch, its events entered into their windows.
func (t *tailer) handOver() *batch {
	if t.cur == nil || len(t.cur.pushes) == 0 {
		return t.cur
	}
	t.cur.register()
	clear(t.cur.pushes)
	t.cur.pushes = t.cur.pushes[:0]
	return t.cur
}

// work does one piece: refused events first, then one read of the file whose turn it is.
func (t *tailer) work() {
	t.now = time.Now()
	if t.canResend() {
		t.resend()
		return
	}
	f := t.queue[0]
	if n := f.src.next(); n != nil && n != f && !f.drained && f.problem == "" { // an older file comes first
		t.park(f)
		t.enqueue(n)
		return
	}
	more := t.step(f)
	if !more {
		t.park(f)
	} else if f.turn >= int64(t.cfg.ReadBudget) {
		f.turn = 0
		t.queue = append(t.queue[1:], f)
	}
	if t.buffered > maxHeld {
		t.shed()
	}
}

// park takes the file at the head off the queue.
func (t *tailer) park(f *file) {
	t.queue = t.queue[1:]
	f.queued, f.turn = false, 0
	if len(t.queue) == 0 {
		t.queue = nil
	}
}

// enqueue has the file, or the one of its source that comes before, read soon.
func (t *tailer) enqueue(f *file) {
	if n := f.src.next(); n != nil && !f.drained && f.problem == "" {
		f = n
	}
	if f.queued || f.fd < 0 || !f.durable || f.src.held || f.finished {
		return
	}
	f.queued, f.recheck = true, false
	t.queue = append(t.queue, f)
}

// step reads once from f and reports whether there may be more.
func (t *tailer) step(f *file) (more bool) {
	if f.fd < 0 || f.finished {
		return false
	}
	younger := f.src.after(f)
	n, err := pread(f.fd, t.buf, f.read-int64(f.prior))
	if err != nil {
		t.m.readErrs.Inc()
		t.trouble(f, err)
		return false
	}
	if n < f.prior || !bytes.Equal(t.buf[:f.prior], f.before[:f.prior]) {
		t.truncated(f)
		return false
	}
	t.recovered(f)
	if n == f.prior {
		return t.atEnd(f, younger)
	}
	used := t.feed(f, t.buf[f.prior:n])
	f.eof, f.recheck, f.grew = false, false, t.now
	f.turn += int64(used)
	f.src.n.bytes += int64(used)
	return true
}

// atEnd is where f has nothing to read. It is watched, then looked at once more, since
// it may have grown before the watch was there.
func (t *tailer) atEnd(f *file, younger bool) (again bool) {
	f.eof, f.size, f.end = true, f.read, f.read
	if younger && !f.drained {
		f.drained = true
		if n := f.src.next(); n != nil {
			defer t.enqueue(n)
		}
	}
	if t.watch == nil || f.recheck || f.watch != 0 {
		f.recheck = false
		return false
	}
	wd, err := t.watch.arm(f.fd)
	if err != nil {
		if !t.noWatch {
			t.noWatch = true
			t.log.Warn("no inotify watch for more files; they are looked at by the poll alone", "path", f.path, "err", err)
		}
		return false
	}
	f.watch, f.recheck = wd, true
	t.armed[wd] = f
	return true
}

// feed makes events of the lines in data, which starts at f.read, and reports how much
// it used: all, unless the batch is full. The unfinished last line is carried over.
func (t *tailer) feed(f *file, data []byte) (used int) {
	limit := t.rawLimit(f.src)
	for used < len(data) && !t.cur.full() {
		i := bytes.IndexByte(data[used:], '\n')
		end := i + 1
		if i < 0 {
			end = len(data) - used
		}
		line := data[used : used+end]
		start := f.read + int64(used) - int64(len(f.carry))
		if len(f.carry) > 0 || i < 0 {
			t.carry(f, line)
			line = f.carry
		}
		used += end
		rest := line
		for { // a line over the limit goes in pieces that hang on its bytes alone, not on how it was read
			content := len(rest)
			if i >= 0 {
				content--
			}
			if content <= limit {
				break
			}
			n := cutRunes(rest, limit)
			t.textLine(f, rest[:n], n, start, split|rawFlag(f.src))
			f.mid = true
			start, rest = start+int64(n), rest[n:]
		}
		if i >= 0 {
			switch {
			case f.mid:
				t.textLine(f, rest, len(rest)-1, start, split|rawFlag(f.src))
				f.mid = false
			case f.src.docker:
				t.dockerLine(f, rest, start)
			default:
				t.textLine(f, rest, len(rest)-1, start, 0)
			}
			rest = nil
		}
		if len(f.carry) > 0 {
			f.carry = f.carry[:copy(f.carry, rest)]
		}
	}
	f.remember(data[:used])
	f.read += int64(used)
	if len(f.carry) == 0 && cap(f.carry) > 64<<10 {
		t.drop(f)
	}
	return used
}

// carry adds to the unfinished line of f.
func (t *tailer) carry(f *file, b []byte) {
	was := cap(f.carry)
	f.carry = append(f.carry, b...)
	t.buffered += int64(cap(f.carry) - was)
}

func (t *tailer) drop(f *file) {
	t.buffered -= int64(cap(f.carry))
	f.carry = nil
}

// rawLimit is how long a raw line may be. A json-file line of dockerd holds at most
// 16 KiB of text, six bytes each at worst; what is far longer is none.
func (t *tailer) rawLimit(s *source) int {
	if s.docker {
		return max(t.maxLine, 256<<10)
	}
	return t.maxLine
}

func rawFlag(s *source) flags {
	if s.docker {
		return torn
	}
	return 0
}

// textLine makes the event of a line, or piece of one, that is taken as it is: raw
// with its newline if it has one, n bytes without.
func (t *tailer) textLine(f *file, raw []byte, n int, offset int64, fl flags) {
	content, message := raw[:n], raw[:n]
	if !standsForItself(content) {
		var invalid int
		t.scratch, invalid = schemas.AppendCleaned(t.scratch[:0], content)
		message = t.scratch
		if invalid > 0 {
			fl |= cleaned
		}
	}
	l := &t.event
	l.FileName = nil
	if f.src.prefix {
		if !f.mid {
			f.name = f.name[:0]
			if k := filePrefix(message); k > 0 {
				f.name = append(f.name, message[:k]...)
				message = message[k+2:]
			}
		}
		l.FileName = f.name
	}
	l.ID = f.place.Line(offset).Add(raw).ID(f.idTime)
	l.Time, l.Message, l.Stream, l.Offset, l.Size = t.now, message, "", offset, int64(len(raw))
	t.emit(f, l, fl, f.src.safe(f, offset+int64(len(raw))))
	if cap(t.scratch) > 4<<20 {
		t.scratch = nil
	}
}

// truncated begins a new generation of f: what stands before the offset is not what was
// read there, or nothing does.
func (t *tailer) truncated(f *file) {
	t.m.truncated.Inc()
	t.log.Warn("file was truncated, reading it from the start", "path", f.path, "read", f.read)
	t.flush(f)
	st, err := statOpen(f.fd)
	if err != nil {
		t.trouble(f, err)
		return
	}
	at := f.at
	at.Offset, at.Cuts, at.Marker = 0, at.Cuts+1, 0
	g := newFile(f.src, f.fd, st, f.path, at, -1)
	g.deleted, g.seen, g.grew = f.deleted, t.now, t.now
	g.watch, f.watch = f.watch, 0
	if g.watch != 0 {
		t.armed[g.watch] = g
	}
	f.fd, f.finished = -1, true
	t.files[g.id] = g
	f.src.files[slices.Index(f.src.files, f)] = g
	if f.src.live == f {
		f.src.live = g
	}
	t.save() // its lines wait for the record of the new generation
}

// flush sends what is unfinished in f as partial: no end will come. There must be a
// batch to write to.
func (t *tailer) flush(f *file) {
	for _, j := range f.src.joins {
		if len(j.holds) > 0 && j.holds[len(j.holds)-1].file == f {
			t.finish(j, f, f.lineStart(), partial)
		}
		j.more = false
	}
	if len(f.carry) > 0 {
		fl := partial | rawFlag(f.src)
		if f.mid {
			fl |= split
		}
		carry := f.carry
		start := f.lineStart()
		f.carry = nil
		t.textLine(f, carry, len(carry), start, fl)
		t.buffered -= int64(cap(carry))
	}
	f.mid = false
}

// shed gives the memory of unfinished lines back: files that are not being read go back
// to where their oldest line begins. Lines of the other stream in between are then
// sent again, under the same ids.
func (t *tailer) shed() {
	for _, f := range t.files {
		if f.queued || f.fd < 0 {
			continue
		}
		back := f.lineStart()
		here := true
		for _, j := range f.src.joins {
			here = here && (len(j.holds) == 0 || len(j.holds) == 1 && j.holds[0].file == f && !j.more)
		}
		for _, j := range f.src.joins {
			if here && len(j.holds) == 1 {
				back = min(back, j.holds[0].offset)
				j.holds = j.holds[:0]
				t.buffered -= int64(cap(j.message))
				j.message = nil
			}
		}
		t.rewind(f, back)
		if t.buffered <= maxHeld/2 {
			return
		}
	}
}

// trouble notes that f cannot be read now; the poll tries again.
func (t *tailer) trouble(f *file, err error) {
	if f.problem != err.Error() {
		f.problem = err.Error()
		t.log.Error("cannot read file", "path", f.path, "offset", f.read, "err", err)
	}
}

func (t *tailer) recovered(f *file) {
	if f.problem != "" {
		f.problem = ""
		t.log.Info("file can be read again", "path", f.path)
	}
}

// take acts on news from a glob or Docker.
func (t *tailer) take(tg target) {
	key := tg.kind + " " + tg.name
	s := t.sources[key]
	switch {
	case tg.kind == kindFile:
		if s == nil {
			s = newFileSource(tg.name, t.host, t.dc, t.cfg.PartitionBy, tg.glob, t.cfg.Labels)
			t.add(key, s)
		}
		s.dated = tg.dated
		if s.live == nil || len(tg.dated) > 0 {
			t.discover(s)
		}
	case tg.root != "":
		t.watchRoot(tg.root)
	case tg.missed || tg.gone:
		t.containerGone(s, tg)
	case tg.drop:
		if s != nil {
			t.removeSource(key, s)
		}
	default:
		c := tg.container
		if s == nil {
			s = newSource(kindDocker, c.ID, c.Path, t.host)
			s.docker = true
			t.add(key, s)
		}
		s.held, s.gone, s.running, s.prefix = false, false, c.Running, t.cfg.Docker.FilePrefix
		if s.path != c.Path {
			t.unwatch(s)
			s.path = c.Path
			t.watchDir(s)
		}
		s.describe(c.source(t.host, t.cfg), t.dc, t.cfg.PartitionBy)
		t.keepContainer(c.ID, c)
		t.discover(s)
		for _, f := range s.files {
			t.enqueue(f)
		}
	}
}

// containerGone has the rest of a removed container's files shipped.
func (t *tailer) containerGone(s *source, tg target) {
	t.keepContainer(tg.name, nil)
	if s != nil {
		s.gone, s.running = true, false
		t.discover(s)
		t.release(s)
	}
	// What inotify saw of it may come later, so it is counted as missed later.
	d, told := t.departed[tg.name]
	if !told {
		d.at = t.now
	}
	d.ran = d.ran || tg.missed || s != nil && !s.held
	d.opened = d.opened || s != nil && s.opened
	t.departed[tg.name] = d
}

// departure is a container that was removed a moment ago.
type departure struct {
	at      time.Time
	ran     bool // Docker said that it started
	opened  bool // its log could be opened
	counted bool
}

const (
	missedAfter = 2 * time.Second
	departedFor = time.Minute
)

// release has a held source read though its container is gone: all that is known of it
// is its id, which is better than nothing, unless it may be one that is not wanted.
func (t *tailer) release(s *source) {
	if s.opened && len(t.cfg.Docker.IncludeNames) == 0 {
		s.held = false
	}
	t.lookAt(s)
	for _, f := range s.files {
		t.enqueue(f)
	}
}

// countMissed counts the containers whose log was deleted before it could be opened.
func (t *tailer) countMissed() {
	for id, d := range t.departed {
		since := t.now.Sub(d.at)
		if d.ran && !d.opened && !d.counted && since >= missedAfter {
			d.counted = true
			t.departed[id] = d
			t.m.missed.Inc()
			t.log.Warn("container was removed before its log could be read", "container", id)
		}
		if since > departedFor {
			delete(t.departed, id)
		}
	}
}

// watchRoot has the directories of new containers noticed before Docker tells of them,
// so that the log of one that lives for a moment is open before it is deleted.
func (t *tailer) watchRoot(path string) {
	if t.watch == nil || t.root == path {
		return
	}
	if wd, err := t.watch.dir(path); err == nil {
		t.root, t.rootWatch = path, wd
	}
}

// newContainer opens the log of a container of which only the directory is known. It
// is read once Docker has said what it is.
func (t *tailer) newContainer(id string) {
	key := kindDocker + " " + id
	if t.sources[key] != nil || !containerID(id) {
		return
	}
	s := newSource(kindDocker, id, filepath.Join(t.root, id, id+"-json.log"), t.host)
	s.docker, s.held = true, true
	s.describe(schemas.Source{Path: s.path, ContainerID: id, Host: t.host, Labels: merge(t.cfg.Labels), Dataset: t.cfg.Docker.Dataset}, t.dc, t.cfg.PartitionBy)
	t.add(key, s)
	t.discover(s)
	if _, ok := t.departed[id]; ok {
		s.gone, s.running = true, false
	}
}

func containerID(s string) bool {
	for _, c := range []byte(s) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return len(s) == 64
}

// keepContainer has what is known of a container stored, or deleted if c is nil.
func (t *tailer) keepContainer(id string, c *container) {
	r := record{bucket: bucketContainers, key: id}
	if c != nil {
		var err error
		if r.value, err = json.Marshal(c); err != nil || bytes.Equal(r.value, t.known[id]) {
			return
		}
		t.known[id] = r.value
	} else {
		if t.known[id] == nil {
			return
		}
		delete(t.known, id)
	}
	t.later = append(t.later, r)
}

func (t *tailer) add(key string, s *source) {
	s.n = &t.kinds[1]
	if s.kind == kindDocker {
		s.n = &t.kinds[0]
	}
	t.sources[key] = s
	t.watchDir(s)
}

// removeSource stops following a source; positions of its files are kept, in case it
// comes back.
func (t *tailer) removeSource(key string, s *source) {
	for _, f := range s.files {
		if r, _, ok := f.record(t.now); ok {
			var at position
			if json.Unmarshal(r.value, &at) == nil {
				t.resume[f.key] = at
				t.later = append(t.later, r)
			}
		}
		t.close(f)
		f.finished = true
		delete(t.files, f.id)
	}
	for _, j := range s.joins {
		t.buffered -= int64(cap(j.message))
	}
	s.files, s.live, s.joins = nil, nil, nil
	t.unwatch(s)
	delete(t.sources, key)
}

func (t *tailer) watchDir(s *source) {
	if t.watch == nil || s.path == "" {
		return
	}
	path := filepath.Dir(s.path)
	d := t.dirOf[path]
	if d == nil {
		wd, err := t.watch.dir(path)
		if err != nil {
			return // the poll finds out
		}
		if d = t.dirs[wd]; d == nil {
			d = &directory{wd: wd, path: path, sources: map[string]*source{}}
			t.dirs[wd] = d
		}
		t.dirOf[path] = d
	}
	d.sources[filepath.Base(s.path)] = s
}

func (t *tailer) unwatch(s *source) {
	path := filepath.Dir(s.path)
	d := t.dirOf[path]
	if d == nil || d.sources[filepath.Base(s.path)] != s {
		return
	}
	delete(d.sources, filepath.Base(s.path))
	if len(d.sources) == 0 {
		delete(t.dirOf, path)
		if t.dirs[d.wd] == d {
			delete(t.dirs, d.wd)
			t.watch.remove(d.wd)
		}
	}
}

// wake acts on what inotify saw.
func (t *tailer) wake() {
	var lost bool
	t.events, lost = t.watch.take(t.events[:0])
	for _, e := range t.events {
		if f := t.armed[e.wd]; f != nil {
			delete(t.armed, e.wd)
			if f.watch == e.wd {
				f.watch = 0
				t.enqueue(f)
			}
			continue
		}
		if e.wd == t.rootWatch && e.name != "" {
			t.newContainer(e.name)
			continue
		}
		d := t.dirs[e.wd]
		if d == nil {
			continue
		}
		if e.gone {
			delete(t.dirs, d.wd)
			delete(t.dirOf, d.path)
			continue
		}
		if s := d.sources[e.name]; s != nil {
			t.discover(s)
		} else {
			t.askScan()
		}
	}
	if lost {
		t.log.Warn("inotify lost events, looking at every file")
		t.askScan()
		t.poll()
	}
}

func (t *tailer) askScan() {
	select {
	case t.rescan <- struct{}{}:
	default:
	}
}

// candidate is a file found under a name of a source.
type candidate struct {
	path string
	stat stat
}

// discover finds the files of a source, rotated ones first, and opens those it does not
// know. It looks again as long as it found any, since names may move meanwhile.
func (t *tailer) discover(s *source) {
	for range 10 {
		if !t.discoverOnce(s) {
			break
		}
	}
}

func (t *tailer) discoverOnce(s *source) (opened bool) {
	if s.path == "" {
		return false
	}
	found, err := t.candidates(s)
	if err != nil {
		t.sourceTrouble(s, err)
		return false
	}
	var order []*file
	var live *file
	for i, c := range found {
		f := t.files[c.stat.devino]
		if f != nil && f.key != c.stat.key() { // the inode is another file's now
			if f.fd >= 0 {
				continue // cannot be while we hold it; look again
			}
			t.finished(f)
			f = nil
		}
		if f != nil && f.src != s {
			continue // followed under another name
		}
		if f != nil {
			f.path, f.seen, f.size = c.path, t.now, c.stat.size
			if f.fd < 0 && c.stat.size != f.end {
				t.reopen(f)
			}
		} else if f = t.open(s, c.path); f != nil {
			opened = true
		}
		if f == nil {
			continue
		}
		order = append(order, f)
		if i == len(found)-1 && c.path == s.path {
			live = f
		}
	}
	if live != nil && s.live != nil && live != s.live {
		t.m.rotated.Inc()
	}
	s.live = live
	// Files whose names are gone come before those that have one.
	var all []*file
	for _, f := range s.files {
		if !slices.Contains(order, f) {
			all = append(all, f)
		}
	}
	s.files = append(all, order...)
	if f := s.next(); f != nil {
		t.enqueue(f)
	}
	return opened
}

func remove(files []*file, f *file) []*file {
	return slices.DeleteFunc(files, func(g *file) bool { return g == f })
}

// candidates are the files under the names of a source, oldest first: dated siblings,
// path.N to path.1, path.
func (t *tailer) candidates(s *source) ([]candidate, error) {
	var out []candidate
	gz := 0
	look := func(path string) error {
		st, err := statPath(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && st.regular && !matchAny(s.exclude, path) {
			out = append(out, candidate{path, st})
		}
		return err
	}
	for n := 1; n <= maxRotated; n++ {
		path := s.path + "." + strconv.Itoa(n)
		had := len(out)
		if err := look(path); err != nil {
			return nil, err
		}
		if len(out) == had {
			if _, err := os.Lstat(path + ".gz"); err != nil {
				break
			}
			gz++
		}
	}
	if gz > s.compressed {
		t.m.gz.Add(float64(gz - s.compressed))
		s.compressed = gz
	}
	slices.Reverse(out)
	numbered := out
	out = nil
	for _, path := range s.dated {
		if err := look(path); err != nil {
			return nil, err
		}
	}
	out = append(out, numbered...)
	err := look(s.path)
	return out, err
}

func (t *tailer) sourceTrouble(s *source, err error) {
	t.m.openErrs.Inc()
	if exhausted(err) {
		if !t.noFD {
			t.noFD = true
			t.log.Error("no more file descriptors, files wait", "open", t.nFD, "err", err)
		}
		return
	}
	if s.problem != err.Error() {
		s.problem = err.Error()
		t.log.Error("cannot follow file", "path", s.path, "err", err)
	}
}

func exhausted(err error) bool { return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) }

// open begins to follow the file under path, where its record says or from its start.
func (t *tailer) open(s *source, path string) *file {
	fd, st, err := openFile(path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			t.sourceTrouble(s, err)
		}
		return nil
	}
	if known := t.files[st.devino]; known != nil { // moved here since it was looked for
		_ = unix.Close(fd)
		return nil
	}
	s.problem, s.opened, t.noFD = "", true, false
	t.m.opened.Inc()
	t.nFD++
	f := t.resumeFile(s, fd, st, path)
	f.seen, f.grew = t.now, t.now
	s.files = append(s.files, f)
	t.files[f.id] = f
	if d, ok := t.departed[s.name]; ok {
		d.opened = true
		t.departed[s.name] = d
	}
	if !f.durable {
		t.save()
	}
	return f
}

func (t *tailer) resumeFile(s *source, fd int, st stat, path string) *file {
	at := position{Path: path, Dev: st.dev, Ino: st.ino, Birth: st.birth, Seen: t.now.UnixNano()}
	rec, ok := t.resume[st.key()]
	if !ok {
		f := newFile(s, fd, st, path, at, -1)
		f.durable = st.birth != 0 // else its generation is the moment we saw it, to be stored first
		return f
	}
	delete(t.resume, st.key())
	at.Seen, at.Cuts, at.Offset, at.Marker = rec.Seen, rec.Cuts, rec.Offset, rec.Marker
	f := newFile(s, fd, st, path, at, rec.Offset)
	same, err := f.load()
	if err == nil && (!same || marker(f.before[:f.prior]) != rec.Marker) {
		t.m.truncated.Inc()
		t.log.Warn("file is not what it was, reading it from the start", "path", path, "offset", rec.Offset, "size", st.size)
		at.Cuts, at.Offset, at.Marker = at.Cuts+1, 0, 0
		return newFile(s, fd, st, path, at, -1)
	}
	f.durable = true
	f.mid = f.prior > 0 && f.before[f.prior-1] != '\n'
	return f
}

// reopen takes up a closed file that has grown.
func (t *tailer) reopen(f *file) {
	fd, st, err := openFile(f.path)
	if err != nil {
		t.sourceTrouble(f.src, err)
		return
	}
	if st.key() != f.key || st.devino != f.id {
		_ = unix.Close(fd)
		return
	}
	t.nFD++
	f.fd, f.eof, f.drained = fd, false, false
}

// close gives the descriptor back.
func (t *tailer) close(f *file) {
	if f.watch != 0 {
		t.watch.remove(f.watch)
		delete(t.armed, f.watch)
		f.watch = 0
	}
	if f.fd >= 0 {
		_ = unix.Close(f.fd)
		f.fd = -1
		t.nFD--
	}
	if cap(f.carry) > 0 {
		t.drop(f)
	}
}

// poll looks at every source: what inotify does not tell is found here.
func (t *tailer) poll() {
	full := t.now.Sub(t.probed) >= t.cfg.Scan.D()
	if full {
		t.probed = t.now
	}
	for key, s := range t.sources {
		if full || t.changed(s) {
			t.discover(s)
		}
		if s.gone && s.held {
			t.release(s)
		}
		t.lookAt(s)
		if len(s.files) == 0 && s.live == nil && (s.gone || s.globbed) && t.vanished(s) {
			t.removeSource(key, s)
		}
	}
	t.countMissed()
	t.retryRefused()
	if t.now.Sub(t.swept) > time.Hour {
		t.sweep()
	}
}

// changed tells whether another file than the known one is under the source's path, and
// has the known one read if it grew.
func (t *tailer) changed(s *source) bool {
	if s.path == "" || s.live == nil {
		return s.path != ""
	}
	st, err := statPath(s.path)
	if err != nil || st.devino != s.live.id || st.key() != s.live.key {
		return true
	}
	f := s.live
	f.size, f.seen = st.size, t.now
	return f.fd < 0 && st.size != f.end
}

func (t *tailer) vanished(s *source) bool {
	_, err := statPath(s.path)
	return errors.Is(err, fs.ErrNotExist)
}

// lookAt reads what grew of a source's files and closes what is finished.
func (t *tailer) lookAt(s *source) {
	for _, f := range slices.Clone(s.files) {
		if f.fd >= 0 {
			if f != s.live {
				if st, err := statOpen(f.fd); err == nil {
					f.size = st.size
					if st.links == 0 && f.deleted.IsZero() {
						f.deleted = t.now
					}
				}
			}
			if f.size != f.end || !f.eof {
				t.enqueue(f)
			} else if cap(f.carry) > 0 && t.now.Sub(f.grew) > 5*time.Second && f == s.live {
				t.rewind(f, f.lineStart())
			}
		}
		t.settle(f)
	}
}

// rewind gives the buffer of an unfinished line back and has f read from an earlier
// position when it grows.
func (t *tailer) rewind(f *file, to int64) {
	t.drop(f)
	if to == f.read {
		return
	}
	f.read = to
	if ok, err := f.load(); err != nil || !ok {
		f.prior = 0
	}
}

// settle closes f when nothing more will come of it, or when it was kept for long
// enough after it was deleted.
func (t *tailer) settle(f *file) {
	s := f.src
	if f.fd < 0 {
		t.settleClosed(f)
		return
	}
	if !f.deleted.IsZero() && t.now.Sub(f.deleted) >= t.cfg.HoldDeleted.D() {
		t.giveUp(f)
		return
	}
	if !f.eof || f.size > f.end || !t.over(f) || t.cur == nil {
		return
	}
	if f.read < f.end { // the unfinished line was given back
		t.enqueue(f)
		return
	}
	if !s.after(f) || !s.docker {
		t.flush(f) // no end will come of what is unfinished
	}
	committed, underWay := f.mark()
	if len(f.carry) > 0 || s.holds(f) || underWay || committed != f.read || len(t.cur.pushes) > 0 {
		return
	}
	if f == s.live && !s.gone {
		if f.stored == committed {
			t.close(f) // an exited container's: opened again when it grows
		}
		return
	}
	t.close(f)
	if !f.deleted.IsZero() {
		t.finished(f)
	}
}

// over tells whether a file that was read to its end will not grow any more.
func (t *tailer) over(f *file) bool {
	s, still := f.src, t.now.Sub(f.grew)
	switch {
	case s.docker && s.after(f): // dockerd never goes back to a rotated file
		return f.drained
	case s.kind == kindDocker && (s.gone || !s.running):
		return still >= 2*t.cfg.Poll.D()
	case f == s.live:
		return false
	}
	return still >= min(quiet, t.cfg.HoldDeleted.D())
}

// settleClosed forgets a closed file that has no name any more.
func (t *tailer) settleClosed(f *file) {
	if f == f.src.live || t.now.Sub(f.seen) < 3*t.cfg.Scan.D()+t.cfg.Poll.D() {
		return
	}
	t.finished(f)
}

// finished forgets a file and its record.
func (t *tailer) finished(f *file) {
	f.finished = true
	f.src.files = remove(f.src.files, f)
	if f.src.live == f {
		f.src.live = nil
	}
	if t.files[f.id] == f {
		delete(t.files, f.id)
	}
	t.later = append(t.later, record{bucket: bucketFiles, key: f.key})
}

// giveUp closes a deleted file with what is unread in it.
func (t *tailer) giveUp(f *file) {
	if t.cur == nil {
		return
	}
	t.flush(f)
	if lost := f.size - f.read; lost > 0 {
		t.m.givenFiles.Inc()
		t.m.givenBytes.Add(float64(lost))
		t.log.Error("deleted file given up with bytes unread", "path", f.path, "bytes", lost, "held", t.now.Sub(f.deleted).Round(time.Second))
	}
	t.close(f)
	t.finished(f)
}

// sweep deletes the records of files that were not found for long.
func (t *tailer) sweep() {
	t.swept = t.now
	if t.now.Sub(t.started) < time.Hour {
		return
	}
	var gone []record
	for key, p := range t.resume {
		if t.now.Sub(time.Unix(p.Stored, 0)) < forget {
			continue
		}
		if st, err := statPath(p.Path); err == nil && st.key() == key {
			continue
		}
		gone = append(gone, record{bucket: bucketFiles, key: key})
		delete(t.resume, key)
	}
	t.later = append(t.later, gone...)
}

func (t *tailer) canResend() bool {
	return len(t.refused) > 0 && !t.refused[0].again.After(t.now)
}

const refusedAgain = 30 * time.Second

// takeRefused sorts what Kafka refused: too large is split, anything else, and what
// cannot be split, waits and is tried again. Its file's position does not pass it.
func (t *tailer) takeRefused() {
	for _, r := range t.sender.takeRefused() {
		a, b, ok := []byte(nil), []byte(nil), false
		if errors.Is(r.err, kafka.ErrTooLarge) {
			a, b, ok = splitEvent(r.rec.Value)
		}
		if !ok {
			t.m.heldRefused.Inc()
			if s := sourceOf(r.tag); s != nil && s.problem != r.err.Error() {
				s.problem = r.err.Error()
				t.log.Error("Kafka refuses an event, its file's position waits for it", "path", s.path, "bytes", len(r.rec.Value), "err", r.err)
			}
			r.again = t.now.Add(refusedAgain)
			t.refused = append(t.refused, r)
			continue
		}
		t.m.splitRefused.Inc()
		p := &pieces{of: r.tag}
		p.left.Store(2)
		first, second := r.rec, r.rec
		first.Value, second.Value = a, b
		tag := kafka.Tag{Owner: p}
		t.refused = slices.Insert(t.refused, 0, refusal{rec: first, tag: tag}, refusal{rec: second, tag: tag})
	}
}

// retryRefused brings forward what waited long enough.
func (t *tailer) retryRefused() {
	slices.SortStableFunc(t.refused, func(a, b refusal) int { return a.again.Compare(b.again) })
}

func (t *tailer) resend() {
	r := t.refused[0]
	t.refused = t.refused[1:]
	s := sourceOf(r.tag)
	t.cur.out = append(t.cur.out, outgoing{rec: r.rec, tag: r.tag, hash: s.hash})
	t.cur.bytes += len(r.rec.Value)
}

// tell gives the metrics what was counted, and the levels of now.
func (t *tailer) tell() {
	for i, kind := range []string{kindDocker, kindFile} {
		k := &t.kinds[i]
		t.m.read[kind].Add(float64(k.bytes))
		t.m.made[kind].Add(float64(k.events))
		k.bytes, k.events = 0, 0
	}
	t.m.joined.Add(float64(t.n.joined))
	for i, n := range t.n.flagged {
		t.m.flagged[i].Add(float64(n))
	}
	t.n = tally{}
	var lag, flight int64
	held := 0
	for _, f := range t.files {
		f.mu.Lock()
		lag += max(0, f.size-f.committed)
		flight += f.window.next - f.window.base
		if f.window.empty() && !f.queued {
			f.window.ring = nil
		}
		f.mu.Unlock()
		if !f.deleted.IsZero() && f.fd >= 0 {
			held++
		}
	}
	docker := 0
	for _, s := range t.sources {
		if s.kind == kindDocker {
			docker++
		}
	}
	t.m.open.Set(float64(t.nFD))
	t.m.held.Set(float64(held))
	t.m.lag.Set(float64(lag))
	t.m.flight.Set(float64(flight))
	t.m.unfinished.Set(float64(t.buffered))
	t.m.dockerSources.Set(float64(docker))
	t.m.fileSources.Set(float64(len(t.sources) - docker))
}

// sourceStatus is a source in /status.
type sourceStatus struct {
	Kind      string       `json:"kind"`
	Path      string       `json:"path"`
	Container string       `json:"container,omitempty"`
	Name      string       `json:"container_name,omitempty"`
	Service   string       `json:"service,omitempty"`
	Held      bool         `json:"held,omitempty"` // opened, waits to be described by Docker
	Error     string       `json:"error,omitempty"`
	Files     []fileStatus `json:"files"`
}

func (t *tailer) status() any {
	out := make([]sourceStatus, 0, len(t.sources))
	for _, s := range t.sources {
		st := sourceStatus{
			Kind: s.kind, Path: s.path, Container: s.container, Name: s.info.ContainerName, Service: s.info.ServiceName,
			Held: s.held, Error: s.problem, Files: []fileStatus{},
		}
		for _, f := range s.files {
			st.Files = append(st.Files, f.status())
		}
		out = append(out, st)
	}
	slices.SortFunc(out, func(a, b sourceStatus) int { return strings.Compare(a.Path, b.Path) })
	return out
}
