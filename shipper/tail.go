package shipper

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sluicelog/sluice/config"
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
	nRefused  atomic.Int64      // memory of those that are held, until Kafka takes them
	known     map[string][]byte // records of containers
	later     []record          // changes of the store besides the positions of files
	storing   []saving          // under way to the store; nil: nothing is
	under     []record          // what of later is under way
	saveAgain bool
	storeErr  string

	cur       *batch // being filled; nil: the sender has all
	chunk     []byte // where the events of the current batches are written
	apart     bool   // partition_by source: a chunk is of one source
	chunkOf   *source
	ahead     int // about what the events of the bytes at hand will take
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
		apart: cfg.Shipper.PartitionBy == "source", buf: make([]byte, markerLen+readSize), now: time.Now(), started: time.Now(),
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
	if f.turn == 0 {
		f.turnFrom = f.src.safe(f, f.lineStart())
	}
	if more := !t.waits(f) && t.step(f); !more {
		t.park(f)
	} else if t.turnOver(f) {
		f.turn = 0
		t.queue = append(t.queue[1:], f)
	}
	if t.buffered > maxHeld {
		t.shed()
	}
}

// turnOver tells whether it is the next file's turn: f had its budget and came a line
// further, so that it gets on even if its buffers are given back between its turns.
func (t *tailer) turnOver(f *file) bool {
	budget := int64(t.cfg.ReadBudget)
	return f.turn >= budget && (f.src.safe(f, f.lineStart()) > f.turnFrom || f.turn >= budget+2*int64(t.rawLimit(f.src)))
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
	if f.queued || f.fd < 0 || !f.durable || f.src.held || f.finished || t.waits(f) {
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
	if t.apart {
		t.ahead = len(f.carry) + len(data) + (bytes.Count(data, []byte{'\n'})+1)*f.src.tailLen
	}
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
	t.ahead = 0
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
	t.flushCarry(f)
	f.mid = false
}

// flushCarry sends the beginning of a line as partial.
func (t *tailer) flushCarry(f *file) {
	if len(f.carry) == 0 {
		return
	}
	fl := partial | rawFlag(f.src)
	if f.mid {
		fl |= split
	}
	carry, start := f.carry, f.lineStart()
	f.carry = nil
	t.textLine(f, carry, len(carry), start, fl)
	t.buffered -= int64(cap(carry))
	f.mid = false
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
		t.taken(s)
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
