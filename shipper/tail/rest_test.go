package tail

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/internal/shiptest"
	"github.com/sluicelog/sluice/shipper/source"
)

// come follows a file of a source of its own, if there is a descriptor for it.
func (b *bench) come(path string, hints source.Hints) *origin {
	b.t.Helper()
	b.roster.take(source.Change{Spec: source.Spec{Kind: source.KindFile, Name: path, Path: path, Hints: hints}}, nil)
	return b.roster.sources[source.KindFile+" "+path]
}

// readAll reads until nothing is to be read, and returns the messages.
func (b *bench) readAll() (messages []string) {
	b.t.Helper()
	for i := 0; !b.finder.queue.empty(); i++ {
		if i > 10_000 {
			b.t.Fatal("it reads for ever")
		}
		b.work(b.batch)
		if b.batch.Full() || b.finder.queue.empty() {
			for _, e := range b.hand() {
				messages = append(messages, shiptest.Decode(b.t, e.rec.Value).Message)
				b.answer(e, nil)
			}
		}
	}
	return messages
}

func openFiles(b *bench) (n int) {
	for _, f := range b.finder.files {
		if f.fd >= 0 {
			n++
		}
	}
	return n
}

func TestFilesLongestAtRestAreClosedForOthers(t *testing.T) {
	b := newBench(t)
	b.finder.fds.limit = 3
	dir := t.TempDir()
	path := func(i int) string { return filepath.Join(dir, fmt.Sprint(i)) }
	for i := range 3 {
		shiptest.Append(t, path(i), "a\n")
		b.come(path(i), source.Hints{})
		b.readAll()
	}
	deleted, renamed := b.roster.sources["file "+path(0)].live, b.roster.sources["file "+path(1)].live
	if err := os.Remove(path(0)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path(1), path(1)+".old"); err != nil {
		t.Fatal(err)
	}
	shiptest.Append(t, path(3), "b\n")
	b.come(path(3), source.Hints{})
	if got := b.readAll(); len(got) != 1 || got[0] != "b" {
		t.Errorf("%q", got)
	}
	if third := b.roster.sources["file "+path(2)].live; deleted.fd < 0 || renamed.fd < 0 || third.fd >= 0 || openFiles(b) != 3 {
		t.Errorf("closed: the deleted one %v, the renamed one %v, the third %v", deleted.fd < 0, renamed.fd < 0, third.fd < 0)
	}
	shiptest.Append(t, path(2), "c\n")
	b.poller.poll(b.batch)
	if got := b.readAll(); len(got) != 1 || got[0] != "c" {
		t.Errorf("%q after the closed file has grown", got)
	}
}

// What goes with its container is closed only if nothing else is at rest.
func TestLogsOfRunningContainersAreClosedLast(t *testing.T) {
	b := newBench(t)
	b.finder.fds.limit = 2
	dir := t.TempDir()
	f := func(name string, hints source.Hints) *file {
		t.Helper()
		shiptest.Append(t, filepath.Join(dir, name), name+"\n")
		s := b.come(filepath.Join(dir, name), hints)
		b.readAll()
		if s.live == nil {
			t.Fatalf("%s is not opened", name)
		}
		return s.live
	}
	log := f("container", source.Hints{EndReported: true})
	plain := f("plain", source.Hints{})
	f("other", source.Hints{})
	if log.fd < 0 || plain.fd >= 0 {
		t.Errorf("closed: the container's %v, the plain one %v", log.fd < 0, plain.fd < 0)
	}
	f("container2", source.Hints{EndReported: true})
	f("container3", source.Hints{EndReported: true})
	if log.fd >= 0 {
		t.Error("with containers alone, the log longest at rest is still open")
	}
}

func TestFilesThatAreAlwaysBeingReadGiveWay(t *testing.T) {
	b := newBench(t)
	b.finder.fds.limit = 2
	dir := t.TempDir()
	var want, got int
	for i := range 5 {
		path := filepath.Join(dir, fmt.Sprint(i))
		shiptest.Append(t, path, strings.Repeat(fmt.Sprintf("%d %s\n", i, strings.Repeat("x", 997)), 1000))
		want += 1000
		b.come(path, source.Hints{})
	}
	if n := len(b.finder.fds.waiting); n != 3 || openFiles(b) != 2 {
		t.Errorf("%d wait, %d are open", n, openFiles(b))
	}
	first := map[string]int{}
	for _, m := range b.readAll() {
		if _, ok := first[m[:1]]; !ok {
			first[m[:1]] = got
		}
		got++
	}
	if got != want || len(b.finder.fds.waiting) > 0 {
		t.Errorf("%d lines, want %d; %d wait", got, want, len(b.finder.fds.waiting))
	}
	for i, at := range first {
		if at > 2000 { // of 5000
			t.Errorf("file %s had its first turn after %d lines", i, at)
		}
	}
}

// A line that is unfinished when its file is closed is read again when that goes on.
func TestAnUnfinishedLineSurvivesThatItsFileIsClosed(t *testing.T) {
	b := newBench(t)
	b.finder.fds.limit = 1
	half := b.write("a\nhal")
	b.readAll()
	b.come(filepath.Join(t.TempDir(), "none"), source.Hints{})
	path := filepath.Join(t.TempDir(), "other")
	shiptest.Append(t, path, "b\n")
	b.come(path, source.Hints{})
	b.readAll()
	if half.fd >= 0 || half.text.Read != 2 || b.maker.Memory != 0 {
		t.Fatalf("open %v, at %d, %d bytes held", half.fd >= 0, half.text.Read, b.maker.Memory)
	}
	shiptest.Append(t, half.path, "f\n")
	b.poller.poll(b.batch)
	if got := b.readAll(); len(got) != 1 || got[0] != "half" {
		t.Errorf("%q", got)
	}
}

// Others of the process may need more than what is left to them.
func TestFewerFilesAreOpenedOnceDescriptorsHaveRunOut(t *testing.T) {
	b := newBench(t)
	b.finder.fds.limit = 100
	b.finder.fds.open = 60
	b.finder.trouble(&origin{}, &os.PathError{Op: "open", Path: "x", Err: unix.EMFILE})
	if n := b.finder.fds.limit; n != 60-family {
		t.Errorf("the limit is %d", n)
	}
	b.finder.fds.open = 0
	if n := strings.Count(b.log.String(), "descriptors run short"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	if most, ahead := disk.Shares(); most < 1 || ahead < 1 {
		t.Errorf("%d files, %d ahead", most, ahead)
	}
}
