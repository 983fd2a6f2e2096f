package shipper

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/source"
)

// workBench is a tailer that is stepped by hand.
func workBench(t *testing.T) (*tailer, *origin) {
	t.Helper()
	tl, f := bench(false)
	tl.cfg, tl.log = &config.Shipper{ReadBudget: 64 * config.KiB}, slog.New(slog.NewTextHandler(io.Discard, nil))
	tl.sender, tl.store = newSender(nil, "logs", "host", 1, tl.m), newStorer(nil, tl.m)
	tl.files, tl.buf = map[disk.ID]*file{}, make([]byte, markerLen+readSize)
	return tl, f.src
}

// openBench follows a file of a source of its own.
func openBench(t *testing.T, tl *tailer, like *origin, path string) *file {
	t.Helper()
	s := newOrigin(source.Spec{Kind: source.KindFile, Name: path, Path: path}, "host1")
	s.n, s.tail, s.tailLen = like.n, like.tail, like.tailLen
	fd, st, err := disk.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	f := newFile(s, fd, st, path, position{}, 0)
	f.durable = true
	s.files, s.live = []*file{f}, f
	tl.files[f.id] = f
	t.Cleanup(func() { tl.close(f) })
	return f
}

func TestMemoryOfUnfinishedLinesIsBoundedAlsoOfFilesThatWaitForTheirTurn(t *testing.T) {
	tl, like := workBench(t)
	dir := t.TempDir()
	for range 400 {
		f, err := os.CreateTemp(dir, "")
		if err == nil {
			_, err = f.WriteString("short\n")
			err = joinErr(err, f.Truncate(250_000)) // a hole: a line without end
			err = joinErr(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		tl.enqueue(openBench(t, tl, like, f.Name()))
	}
	events, most := 0, int64(0)
	for i := 0; len(tl.queue) > 0; i++ {
		if i > 10_000 {
			t.Fatal("it reads the same again and again")
		}
		tl.work()
		most = max(most, tl.buffered)
		if tl.cur.full() || len(tl.queue) == 0 {
			events += len(tl.cur.out)
			tl.cur.reset()
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
	tl, like := workBench(t)
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, strings.Repeat("x", 1<<20)+"\nend\n")
	f := openBench(t, tl, like, path)
	tl.enqueue(f)
	tl.work()
	for f.turn > 0 {
		tl.work()
	}
	if len(tl.cur.out) == 0 {
		t.Errorf("the turn ended at %d, before the first line", f.read)
	}
}

func TestBuffersOfATruncatedFileAreNotReadAgain(t *testing.T) {
	tl, like := workBench(t)
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, strings.Repeat("old line\n", 100)+"no end")
	f := openBench(t, tl, like, path)
	tl.step(f)
	read := f.read
	if err := os.WriteFile(path, []byte(strings.Repeat("new line\n", 200)), 0o600); err != nil {
		t.Fatal(err)
	}
	tl.giveBack(f)
	if f.read != read || string(f.carry) != "no end" {
		t.Errorf("read %d, want %d; carry %q", f.read, read, f.carry)
	}
	if tl.step(f); !f.finished || tl.files[f.id] == f {
		t.Error("the truncation is not seen")
	}
}

func TestMemoryIsBoundedWhenKafkaRefusesEverything(t *testing.T) {
	tl, like := workBench(t)
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, strings.Repeat(strings.Repeat("x", 999)+"\n", 60_000))
	f := openBench(t, tl, like, path)
	refuse := func() {
		tl.cur.register()
		for _, o := range tl.cur.out {
			tl.sender.done(&kafka.Result{Err: kafka.ErrInvalidRecord, Tags: []kafka.Tag{o.tag}, Record: o.rec})
		}
		tl.cur.reset()
		tl.takeRefused()
	}
	for range 5 { // tries
		tl.enqueue(f)
		for len(tl.queue) > 0 || tl.canResend() {
			tl.work()
			if tl.cur.full() || len(tl.queue) == 0 {
				refuse()
			}
		}
		refuse()
		for i := range tl.refused {
			tl.refused[i].again = time.Time{}
		}
	}
	size := int64(0)
	for _, r := range tl.refused {
		size += int64(cap(r.rec.Value))
	}
	if size > maxRefused+chunkSize || size < maxRefused/2 {
		t.Errorf("%d bytes held", size)
	}
	for f.read < 60_000_000 || tl.canResend() { // Kafka takes them now
		tl.enqueue(f)
		if tl.canResend() || len(tl.queue) > 0 {
			tl.work()
		}
		tl.cur.register()
		for _, o := range tl.cur.out {
			tl.sender.done(&kafka.Result{Tags: []kafka.Tag{o.tag}, Record: o.rec})
		}
		tl.cur.reset()
	}
	if at, busy := f.mark(); at != 60_000_000 || busy || f.src.refused.Load() != 0 || tl.nRefused.Load() != 0 {
		t.Errorf("position %d, under way %v, refused %d", at, busy, tl.nRefused.Load())
	}
}

func TestEventsOfAPartitionThatWaitsKeepNoOthersInMemory(t *testing.T) {
	tl, like := workBench(t)
	tl.apart = true
	files := make([]*file, 50)
	for i := range files {
		s := newOrigin(source.Spec{Kind: source.KindFile, Name: "x", Path: "x"}, "host1")
		s.n, s.tail, s.tailLen = like.n, like.tail, like.tailLen
		files[i] = newFile(s, -1, disk.Stat{}, "x", position{}, 0)
	}
	line := []byte(strings.Repeat("x", 999) + "\n")
	var waiting [][]byte
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for range 1000 {
		for _, f := range files {
			tl.feed(f, line)
			if f == files[0] {
				waiting = append(waiting, tl.cur.out[len(tl.cur.out)-1].rec.Value)
			}
			tl.cur.reset()
		}
	}
	after := heap()
	bytes := 0
	for _, v := range waiting {
		bytes += len(v)
	}
	if kept := after - before; kept > uint64(4*bytes) {
		t.Errorf("%d bytes of events keep %d bytes of memory", bytes, kept)
	}
}
