package tail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/schemas"
	"github.com/sluicelog/sluice/shipper/internal/shiptest"
	"github.com/sluicelog/sluice/shipper/position"
	"github.com/sluicelog/sluice/shipper/send"
	"github.com/sluicelog/sluice/shipper/source"
	"github.com/sluicelog/sluice/shipper/source/files"
)

// bench is a Tail that is stepped by hand. Its batches go to a producer that keeps them.
type bench struct {
	*Tail
	t     *testing.T
	log   *bytes.Buffer
	kept  string  // path of the store
	end   func()  // ends it as a stop does; once
	taken []taken // by the producer since the last hand
}

type taken struct {
	rec kafka.Record
	tag kafka.Tag
}

// writer keeps what is written.
type writer struct {
	b     *bench
	left  int
	taken []taken
	rec   kafka.Record
}

func (w *writer) Begin(_ int32, key []byte, at time.Time, _ int) []byte {
	w.rec = kafka.Record{Key: key, Time: at}
	return nil
}

func (w *writer) Commit(b, _ []byte, tag kafka.Tag) {
	w.rec.Value = bytes.Clone(b)
	w.taken = append(w.taken, taken{w.rec, tag})
	w.left -= len(b)
}

func (w *writer) Flush()    { w.b.taken, w.taken = append(w.b.taken, w.taken...), nil }
func (w *writer) Close()    {}
func (w *writer) Left() int { return w.left }

func (b *bench) Partitions(context.Context, string) (int32, error) { return 4, nil }

func (b *bench) Write(_ context.Context, _ string, about int) (send.Writer, error) {
	return &writer{b: b, left: about}, nil
}

func newBench(t *testing.T) *bench {
	t.Helper()
	cfg := config.Default()
	cfg.DataDir = t.TempDir()
	cfg.Host, cfg.DC, cfg.Shipper.ReadBudget = "host1", "dc1", 64*config.KiB
	b := &bench{t: t, log: &bytes.Buffer{}, kept: filepath.Join(t.TempDir(), "positions.db")}
	log, reg := slog.New(slog.NewTextHandler(b.log, nil)), metrics.New("shipper", "host1")
	store, _, _, err := position.Open(b.kept)
	if err != nil {
		t.Fatal(err)
	}
	r := send.NewRefusals(log, reg)
	sender := send.NewSender(&cfg.Shipper, r, reg)
	storer := position.NewStorer(store, reg)
	sender.Start(b)
	b.Tail = New(cfg, log, reg, Parts{Sender: sender, Refusals: r, Storer: storer, Look: func() {}})
	var working, closing sync.WaitGroup
	working.Go(func() { sender.Run(context.Background()) })
	b.batch = <-sender.Free
	working.Go(storer.Run)
	closing.Go(b.CloseFiles)
	closing.Go(b.FindWriters)
	closing.Go(b.Copy)
	b.end = sync.OnceFunc(func() {
		close(sender.In)
		close(storer.Jobs)
		working.Wait()
		b.End()
		closing.Wait()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(b.end)
	return b
}

// hand sends the batch and returns what of it the producer has.
func (b *bench) hand() []taken {
	b.batch.Send()
	if b.batch.Full() {
		next := <-b.sender.Free
		b.sender.In <- b.batch
		b.batch = next
	}
	out := b.taken
	b.taken = nil
	return out
}

// answer is what Kafka says of a record; nil: it is stored.
func (b *bench) answer(s taken, err error) {
	b.sender.Done(&kafka.Result{Err: err, Tags: []kafka.Tag{s.tag}, Record: s.rec})
}

// follow follows a file of a source of its own.
func (b *bench) follow(path string) *file {
	b.t.Helper()
	b.roster.take(source.Change{Spec: source.Spec{Kind: source.KindFile, Name: path, Path: path}}, nil)
	s := b.roster.sources[source.KindFile+" "+path]
	if s == nil || s.live == nil {
		b.t.Fatalf("%s is not followed", path)
	}
	s.live.durable = true
	b.finder.queue.add(s.live)
	return s.live
}

// write makes a file with text and follows it.
func (b *bench) write(text string) *file {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "web.log")
	shiptest.Append(b.t, path, text)
	return b.follow(path)
}

func TestMemoryOfUnfinishedLinesIsBoundedAlsoOfFilesThatWaitForTheirTurn(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	for i := range 400 {
		path := filepath.Join(dir, fmt.Sprint(i))
		shiptest.Append(t, path, "short\n"+strings.Repeat("no end ", 35_000))
		b.follow(path)
	}
	events, most := 0, int64(0)
	for i := 0; !b.finder.queue.empty(); i++ {
		if i > 10_000 {
			t.Fatal("it reads the same again and again")
		}
		b.work(b.batch)
		most = max(most, b.maker.Memory)
		if b.batch.Full() || b.finder.queue.empty() {
			events += len(b.hand())
		}
	}
	if most > maxHeld || most < maxHeld/2 {
		t.Errorf("%d bytes held at most, want at most %d", most, maxHeld)
	}
	if events != 400 {
		t.Errorf("%d events, want 400", events)
	}
}

// Else a line longer than the budget would be begun for ever when memory is short.
func TestATurnLastsUntilALineIsFinished(t *testing.T) {
	b := newBench(t)
	f := b.write(strings.Repeat("x", 1<<20) + "\nend\n")
	b.work(b.batch)
	for f.turn.read > 0 {
		b.work(b.batch)
	}
	if len(b.hand()) == 0 {
		t.Errorf("the turn ended at %d, before the first line", f.text.Read)
	}
}

func TestBuffersOfATruncatedFileAreNotReadAgain(t *testing.T) {
	b := newBench(t)
	f := b.write(strings.Repeat("old line\n", 100) + "no end")
	b.reader.step(b.batch, f)
	read := f.text.Read
	if err := os.WriteFile(f.path, []byte(strings.Repeat("new line\n", 200)), 0o600); err != nil {
		t.Fatal(err)
	}
	f.rewind(b.maker, f.src.lines.Back(&f.text))
	if f.text.Read != read || f.text.Carried() != len("no end") {
		t.Errorf("read %d, want %d; %d bytes carried", f.text.Read, read, f.text.Carried())
	}
	if b.reader.step(b.batch, f); !f.finished || b.finder.files[f.id] == f {
		t.Error("the truncation is not seen")
	}
}

func TestMemoryIsBoundedWhenKafkaRefusesEverything(t *testing.T) {
	b := newBench(t)
	f := b.write(strings.Repeat(strings.Repeat("x", 999)+"\n", 60_000))
	kept := 0
	refuse := func() {
		for _, s := range b.hand() {
			b.answer(s, kafka.ErrInvalidRecord)
			kept += len(s.rec.Value)
		}
		b.refusals.Take(b.now)
	}
	for try := range 5 {
		b.now = b.now.Add(time.Duration(try) * time.Minute)
		b.refusals.Order()
		kept = 0
		b.finder.queue.add(f)
		for !b.finder.queue.empty() || b.refusals.Due(b.now) {
			if now := b.now; b.refusals.Due(now) {
				b.refusals.Resend(b.batch)
			} else {
				b.reader.work(b.batch)
			}
			if b.batch.Full() || b.finder.queue.empty() {
				refuse()
			}
		}
		refuse()
	}
	if const16, half := 16<<20, 8<<20; kept > const16+512<<10 || kept < half {
		t.Errorf("%d bytes are kept of what is refused", kept)
	}
	for i := 0; f.text.Read < 60_000_000 || b.refusals.Due(b.now); i++ { // Kafka takes them now
		if i > 100_000 {
			t.Fatalf("it is not read on from %d", f.text.Read)
		}
		b.now = b.now.Add(time.Hour)
		b.finder.queue.add(f)
		switch {
		case b.refusals.Due(b.now):
			b.refusals.Resend(b.batch)
		case !b.finder.queue.empty():
			b.reader.work(b.batch)
		}
		for _, s := range b.hand() {
			b.answer(s, nil)
		}
	}
	if at, n := f.window().Position(); at != 60_000_000 || n > 0 || !f.src.sent.Mended() {
		t.Errorf("position %d, %d under way", at, n)
	}
}

func TestStatusNamesOffsetLagAndError(t *testing.T) {
	b := newBench(t)
	f := b.write("a\nb\n")
	f.src.info.ServiceName = "order"
	b.work(b.batch)
	b.answer(b.hand()[0], nil)
	f.extent.size = 10
	f.problem.Failed("input/output error")
	got, err := json.Marshal(b.status())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"path":"` + f.path + `"`, `"offset":2`, `"read":4`, `"size":10`, `"lag_bytes":8`, `"error":"input/output error"`, `"service":"order"`} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
}

func TestReadErrorsAreToldOnChangeAndOnRecovery(t *testing.T) {
	b := newBench(t)
	f := b.write("")
	for range 3 {
		f.trouble(b.Tail.log, errors.New("disk on fire"))
	}
	f.recovered(b.Tail.log)
	f.recovered(b.Tail.log)
	if a, c := strings.Count(b.log.String(), "disk on fire"), strings.Count(b.log.String(), "can be read again"); a != 1 || c != 1 {
		t.Errorf("logged %d times and %d times", a, c)
	}
}

func TestEventsSayTheirSourceAndGeneration(t *testing.T) {
	b := newBench(t)
	f := b.write("a\n")
	b.work(b.batch)
	sent := b.hand()
	if err := os.WriteFile(f.path, []byte("other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for !b.finder.queue.empty() {
		b.work(b.batch)
	}
	for _, f := range b.finder.saver.saved(<-b.finder.saver.storer.Results, b.now) { // before its first line is sent
		b.finder.queue.add(f)
	}
	b.work(b.batch)
	sent = append(sent, b.hand()...)
	if len(sent) != 2 {
		t.Fatalf("%d events", len(sent))
	}
	var e [2]shiptest.Event
	for i := range e {
		if err := json.Unmarshal(sent[i].rec.Value, &e[i]); err != nil {
			t.Fatal(err)
		}
		if e[i].Log.Source != string(sent[i].rec.Key) || e[i].Log.Source != schemas.SourceID("host1", source.KindFile, f.path) {
			t.Errorf("source %q, key %q", e[i].Log.Source, sent[i].rec.Key)
		}
	}
	g := f.at.Generation()
	if want := fmt.Sprintf("%d-%d-0", g.Ino, g.Since); e[0].Log.Generation != want || e[1].Log.Generation != strings.TrimSuffix(want, "0")+"1" {
		t.Errorf("generations %q and %q, want %q and then one cut more", e[0].Log.Generation, e[1].Log.Generation, want)
	}
}

// A copy of Docker's log is read as a file of its own: its lines have the ids that they
// had, and a line that is unfinished in the log is joined with what follows it there.
func TestCopiesOfDockersLogsAreNotAdopted(t *testing.T) {
	live := &file{src: &origin{spec: source.Spec{Decoder: source.JSONFile}}, at: position.Record{Birth: 1}}
	copied := &file{src: live.src, at: position.Record{Birth: 2}}
	if mayCopy(copied, live) {
		t.Error("a copy of Docker's log may be adopted")
	}
	live.src.spec.Decoder = source.Text
	if !mayCopy(copied, live) {
		t.Error("a younger sibling may not be a copy")
	}
}

func TestLateEventsOfAGoneContainerDoNotReplaceItsDescription(t *testing.T) {
	b := newBench(t)
	path := filepath.Join(t.TempDir(), "c-json.log")
	shiptest.Append(t, path, shiptest.DockerJSON("stdout", "not read yet\n", time.Now()))
	news := func(task string) source.Change {
		return source.Change{What: source.Changed, Spec: source.Spec{
			Kind: source.KindDocker, Name: "c", Path: path, Decoder: source.JSONFile, Joiner: source.Pieces,
			Tags: schemas.Source{ContainerName: "order", TaskID: task}, Hints: source.Hints{EndReported: true},
		}}
	}
	b.roster.take(news("order.1"), nil)
	b.roster.take(source.Change{What: source.Gone, Spec: source.Spec{Kind: source.KindDocker, Name: "c"}}, nil)
	b.roster.take(news(""), nil) // an event has no environment
	if got := b.roster.sources[source.KindDocker+" c"].info.TaskID; got != "order.1" {
		t.Errorf("task %q after a late event, want order.1", got)
	}
}

func TestSourceIDsOfJSONFilesAreThoseOfTheirContainers(t *testing.T) {
	id := fmt.Sprintf("%064x", 7)
	dir := filepath.Join(t.TempDir(), id)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, id+"-json.log")
	shiptest.Append(t, path, "")
	scanner, err := files.New([]config.Files{{Paths: []string{path}, Codec: "docker"}}, time.Hour, slog.New(slog.DiscardHandler), metrics.New("shipper", "host1"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b := newBench(t)
	go scanner.Run(ctx, b.Changes)
	b.roster.take(<-b.Changes, nil)
	s := b.roster.sources[source.KindDocker+" "+id]
	if s == nil || s.id != schemas.SourceID("host1", source.KindDocker, id) || s.info.ContainerID != id {
		t.Fatalf("%+v", s)
	}
	if n := strings.Count(string(schemas.AppendEvent(nil, &schemas.Line{}, schemas.NewTail(&s.info))), id); n != 3 {
		t.Errorf("the container's id is %d times in the event", n)
	}
}

func TestTrailIsTheLastBytes(t *testing.T) {
	var tr trail
	text := ""
	for i := range 40 {
		more := strings.Repeat(string(rune('a'+i%26)), i%9*i%70)
		text += more
		tr.remember([]byte(more))
		if want := text[max(0, len(text)-position.MarkerLen):]; string(tr.text()) != want {
			t.Fatalf("after %d: %q, want %q", i, tr.text(), want)
		}
	}
}

// What is made of a file that is truncated, given up or not to be followed any more is in
// flight until Kafka has it, so that made is acknowledged and in flight.
func TestEventsOfFilesThatAreGoneStayInFlight(t *testing.T) {
	gone := map[string]func(b *bench, f *file){
		"dropped":  func(b *bench, f *file) { b.roster.take(source.Change{What: source.Dropped, Spec: f.src.spec}, nil) },
		"given up": func(b *bench, f *file) { b.reader.giveUp(f, b.batch) },
		"truncated": func(b *bench, f *file) {
			if err := os.WriteFile(f.path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			b.reader.step(b.batch, f)
		},
	}
	for name, end := range gone {
		for _, sent := range []bool{true, false} {
			b := newBench(t)
			f := b.write("a\nb\nc\n")
			b.reader.step(b.batch, f)
			var events []taken
			if sent {
				events = b.hand()
			}
			end(b, f)
			flight := func() (n int64) {
				for _, f := range b.finder.files {
					n += f.window().UnderWay()
				}
				return n + b.finder.left.underWay()
			}
			if n := flight(); n != 3 {
				t.Errorf("%s, sent %v: %d events in flight, want 3", name, sent, n)
			}
			if !sent {
				events = b.hand()
			}
			for i, e := range events {
				b.answer(e, nil)
				if n := flight(); n != int64(2-i) {
					t.Errorf("%s, sent %v: %d events in flight after %d acknowledgements", name, sent, n, i+1)
				}
			}
			if len(b.finder.left.windows) > 0 {
				t.Errorf("%s: windows are kept", name)
			}
		}
	}
}
