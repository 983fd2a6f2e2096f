// Package tail follows files: it opens what discoverers and directories show, reads what
// grows in turns, and knows each generation of a file through rotation, copying,
// truncation and deletion. Positions move as their events are stored, and are kept.
//
//	discoverers ->\                              /-> send.Batch -> Kafka
//	inotify, poll --> Tail: turn, read, line.Maker                   |
//	                       \<- positions, once a second, of what is stored
//
// Its files, downwards: tail (the loop), status, wake, poll, news and depart (sources that
// come and go), look (what is finished), work (turns), read, truncate, blank (NULs to come), feed (bytes to
// events), spool (deleted files), discover, open, copy, stem (names of copies), same (one file or two), rest (descriptors), save, queue,
// watch, closer, writers, leftovers, several, metrics, file, room. Each calls only what is below it,
// which a test checks.
package tail

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/inotify"
	"github.com/sluicelog/sluice/shipper/line"
	"github.com/sluicelog/sluice/shipper/position"
	"github.com/sluicelog/sluice/shipper/send"
	"github.com/sluicelog/sluice/shipper/source"
)

// Tail is the one goroutine that owns all sources and files. It never waits for Kafka,
// discoverers, the store or the deletion of a file, so a file that appears and is deleted
// during an outage is at least held open.
type Tail struct {
	*room
	Changes chan source.Change // what discoverers say

	poller   *poller
	roster   *roster
	reader   *reader
	finder   *finder
	sender   *send.Sender
	refusals *send.Refusals
	levels   *levels

	look     func() // asks discoverers to look before their time
	statuses chan chan any
	batch    *send.Batch // being filled; nil: none had room yet
	events   []inotify.Event
}

// Parts are what a Tail works with.
type Parts struct {
	Watcher  *inotify.Watcher // nil: files are looked at by the poll alone
	Sender   *send.Sender
	Refusals *send.Refusals // the Sender's
	Storer   *position.Storer
	Records  map[string]position.Record // as they were stored, by key
	Look     func()                     // asks discoverers to look before their time; it does not wait
}

// New follows nothing yet.
func New(cfg *config.Config, log *slog.Logger, reg *metrics.Registry, p Parts) *Tail {
	r := &room{cfg: &cfg.Shipper, log: log, m: newMeters(reg), maker: &maker{Limit: max(int(cfg.Shipper.MaxLine), line.MinLimit)}, now: time.Now()}
	files := map[disk.ID]*file{}
	closer := newCloser()
	f := &finder{
		room: r, files: files, resume: p.Records, watches: newWatches(p.Watcher, log), queue: &queue{},
		saver: &saver{storer: p.Storer, files: files, log: log}, closer: closer, fds: newDescriptors(closer), stems: stems{}, keys: keys{}, writers: newWriters(),
	}
	if f.resume == nil {
		f.resume = map[string]position.Record{}
	}
	sp := newSpooler(r, f, filepath.Join(cfg.DataDir, "spool"))
	rd := newReader(r, f, sp)
	ro := &roster{
		room: r, reader: rd, finder: f, refusals: p.Refusals, host: cfg.Host, dc: cfg.DC, sources: map[string]*origin{},
		kinds: map[string]*kindTally{}, departed: map[string]*departure{}, kept: map[string][]byte{}, buckets: map[string]string{},
	}
	for _, kind := range source.Kinds {
		ro.kind(kind)
	}
	return &Tail{
		room: r, Changes: make(chan source.Change), roster: ro, reader: rd, finder: f, poller: &poller{room: r, roster: ro, started: r.now},
		sender: p.Sender, refusals: p.Refusals, levels: newLevels(reg), look: p.Look, statuses: make(chan chan any),
	}
}

// Keep has what a discoverer knows of its sources stored, and follows what it recalls;
// before Run.
func (t *Tail) Keep(k source.Keeper, stored map[string]map[string][]byte) {
	kind, bucket := k.Kept()
	t.roster.buckets[kind] = bucket
	for name, v := range stored[bucket] {
		t.roster.kept[(&source.Spec{Kind: kind, Name: name}).Key()] = v
	}
	for _, c := range k.Recall(stored[bucket]) {
		t.roster.take(c, nil)
	}
}

// Unspool follows what is left in the spool from the last run; after Keep, before Run.
func (t *Tail) Unspool() {
	for _, c := range t.reader.spool.load() {
		t.roster.unspool(c)
	}
}

// Run reads until ctx ends. It closes the sender's In.
func (t *Tail) Run(ctx context.Context) {
	defer func() {
		if t.batch != nil {
			t.batch.Send()
		}
		close(t.sender.In)
	}()
	poll := time.NewTicker(t.cfg.Poll.D())
	defer poll.Stop()
	storing := time.NewTicker(t.cfg.StoreEvery.D())
	defer storing.Stop()
	var woken <-chan struct{}
	if w := t.finder.watches.inotify; w != nil {
		woken = w.Ready
	}
	for {
		var free chan *send.Batch
		var idle chan struct{} // ready when there is work, so that nothing else is waited for
		switch {
		case t.batch == nil:
			free = t.sender.Free
		case t.batch.Full():
			t.batch.Send()
			free = t.sender.Free // until there is room again this one takes what must be sent
		case t.busy():
			idle = closed
		case !t.batch.Empty():
			t.batch.Send()
		}
		select {
		case <-ctx.Done():
			return
		default:
		}
		select {
		case <-ctx.Done():
			return
		case b := <-free:
			if t.batch != nil {
				t.sender.In <- t.batch
			}
			t.batch = b
		case c := <-t.Changes:
			t.now = time.Now()
			t.roster.take(c, t.batch)
		case <-woken:
			t.now = time.Now()
			t.wake(t.batch)
		case <-poll.C:
			t.now = time.Now()
			t.poller.poll(t.batch)
			if t.batch != nil {
				t.batch.Summarise(t.now)
			}
		case <-storing.C:
			t.now = time.Now()
			t.finder.saver.save(t.now)
			t.report()
		case err := <-t.finder.saver.storer.Results:
			for _, f := range t.finder.saver.saved(err, t.now) {
				t.finder.queue.add(f)
			}
		case seen := <-t.finder.writers.results:
			t.finder.writers.take(seen)
		case err := <-t.reader.spool.copied:
			t.now = time.Now()
			t.reader.spool.done(err)
		case <-t.refusals.Ready:
			t.refusals.Take(t.now)
		case reply := <-t.statuses:
			reply <- t.status()
		case <-idle:
			t.work(t.batch)
		}
	}
}

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

func (t *Tail) busy() bool { return !t.finder.queue.empty() || t.refusals.Due(t.now) }

// work does one piece: refused events first, then one read of the file whose turn it is.
func (t *Tail) work(out *send.Batch) {
	t.now = time.Now()
	if t.refusals.Due(t.now) {
		t.refusals.Resend(out)
		return
	}
	t.reader.work(out)
}

// CloseFiles closes what Run and End give back. It ends after End, or later: a directory
// may not answer.
func (t *Tail) CloseFiles() { t.finder.closer.run() }

// Copy copies deleted files into the spool. It ends after End, or later.
func (t *Tail) Copy() { t.reader.spool.run() }

// FindWriters finds out who writes to files that have no name any more. It ends after End,
// or later.
func (t *Tail) FindWriters() { t.finder.writers.run() }

// End stores the last positions and closes all files, after Run.
func (t *Tail) End() {
	t.now = time.Now()
	t.finder.saver.end(t.now)
	t.reader.spool.end(t.log)
	t.finder.saver.end(t.now) // the records of files that are in the spool now
	t.report()
	for _, f := range t.finder.files {
		t.finder.close(f)
	}
	t.finder.closer.end()
	t.finder.writers.end()
}
