package shipper

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/schemas"
	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/inotify"
	"github.com/sluicelog/sluice/shipper/source"
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
//	discoverers --->\                          /-> sender -> producer -> Done: windows
//	inotify, poll --> tailer: turn, line, emit                              |
//	                         \<- positions, once a second, of what is acknowledged
type tailer struct {
	cfg      *config.Shipper
	host, dc string
	log      *slog.Logger
	m        *meters
	maxLine  int

	watch    *inotify.Watcher // nil: only the poll
	news     chan source.Change
	lookers  []source.Looker
	sender   *sender
	store    *storer
	statuses chan chan any

	sources   map[string]*origin
	files     map[disk.ID]*file   // all files that are followed, open or not
	resume    map[string]position // records of files not found yet
	dirs      map[int32]*directory
	dirOf     map[string]*directory
	armed     map[int32]*file
	closer    *closer // nil: files are closed here
	queue     []*file // files to be read, in turn
	refused   []refusal
	nRefused  atomic.Int64      // memory of those that are held, until Kafka takes them
	buckets   map[string]string // of what discoverers have kept, by kind of source
	kept      map[string][]byte // of sources
	later     []record          // changes of the store besides the positions of files
	storing   []saving          // under way to the store; nil: nothing is
	under     []record          // what of later is under way
	saveAgain bool
	storeErr  string

	cur      *batch // being filled; nil: the sender has all
	chunk    []byte // where the events of the current batches are written
	apart    bool   // partition_by source: a chunk is of one source
	chunkOf  *origin
	ahead    int // about what the events of the bytes at hand will take
	buf      []byte
	scratch  []byte
	events   []inotify.Event
	line     dockerLine
	event    schemas.Line
	now      time.Time
	buffered int64 // capacity of carries and joined messages
	n        tally
	kinds    map[string]*kindTally // of source
	started  time.Time
	nFD      int // open files
	departed map[string]departure
	noWatch  bool
	noFD     bool // told that descriptors ran out
	swept    time.Time
	probed   time.Time
}

func newTailer(cfg *config.Config, log *slog.Logger, m *meters, w *inotify.Watcher, s *sender, st *storer) *tailer {
	t := &tailer{
		cfg: &cfg.Shipper, host: cfg.Host, dc: cfg.DC, log: log, m: m, maxLine: max(int(cfg.Shipper.MaxLine), minLine),
		watch: w, news: make(chan source.Change), sender: s, store: st, statuses: make(chan chan any),
		sources: map[string]*origin{}, files: map[disk.ID]*file{}, resume: map[string]position{}, buckets: map[string]string{}, kept: map[string][]byte{}, kinds: map[string]*kindTally{}, departed: map[string]departure{},
		dirs: map[int32]*directory{}, dirOf: map[string]*directory{}, armed: map[int32]*file{},
		apart: cfg.Shipper.PartitionBy == "source", buf: make([]byte, markerLen+readSize), now: time.Now(), started: time.Now(),
	}
	for _, kind := range source.Kinds {
		t.kind(kind)
	}
	return t
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
		woken = t.watch.Ready
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
		case c := <-t.news:
			t.now = time.Now()
			t.take(c)
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
	if f.queued || f.fd < 0 || !f.durable || f.like != nil || f.src.Hints.Pending || f.finished || t.waits(f) {
		return
	}
	f.queued, f.recheck = true, false
	t.queue = append(t.queue, f)
}

// poll looks at every source: what inotify does not tell is found here.
func (t *tailer) poll() {
	full := t.now.Sub(t.probed) >= t.cfg.Scan.D()
	if full {
		t.probed = t.now
	}
	for key, s := range t.sources {
		if full || !(s.gone && s.live == nil) && t.changed(s) { // nothing comes to the directory of what is gone
			t.discover(s)
		}
		if s.gone && s.Hints.Pending {
			t.release(s)
		}
		t.lookAt(s)
		t.taken(s)
		if len(s.files) == 0 && s.live == nil && (s.gone || !s.Hints.EndReported) && t.vanished(s) {
			t.removeSource(key, s)
		}
	}
	t.countMissed()
	t.retryRefused()
	if t.now.Sub(t.swept) > time.Hour {
		t.sweep()
	}
}
