package tail

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/sluicelog/sluice/shipper/disk"
	"github.com/sluicelog/sluice/shipper/internal/shiptest"
	"github.com/sluicelog/sluice/shipper/position"
	"github.com/sluicelog/sluice/shipper/source"
)

// clone follows a file as if it were on a file system of its own that is a copy of another.
func (b *bench) clone(path string, dev uint64) *file {
	b.t.Helper()
	fd, st, err := disk.Open(path)
	if err != nil {
		b.t.Fatal(err)
	}
	st.Dev, st.Ino, st.Birth = dev, 77, 1763715467000000001
	b.roster.take(source.Change{Spec: source.Spec{Kind: source.KindFile, Name: path, Path: ""}, Log: &source.Log{Path: path, FD: fd, Stat: st}}, nil)
	f := b.finder.files[st.ID]
	if f == nil {
		b.t.Fatalf("%s is not followed", path)
	}
	return f
}

func (b *bench) store() {
	for b.finder.saver.storing != nil {
		for _, f := range b.finder.saver.saved(<-b.finder.saver.storer.Results, b.now) {
			b.finder.queue.add(f)
		}
	}
}

// Two copies of one file system have files of the same inode and birth: the same line in
// both is two lines, and each has its position, also after a restart in another order.
func TestFilesOfClonedVolumesAreTwo(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	shiptest.Append(t, one, "same\n")
	shiptest.Append(t, two, "same\nmore\n")
	f, g := b.clone(one, 1), b.clone(two, 2)
	b.finder.queue.add(f)
	b.finder.queue.add(g)
	ids := map[string]bool{}
	read := func() {
		b.store()
		for !b.finder.queue.empty() {
			b.work(b.batch)
		}
		for _, e := range b.hand() {
			ids[shiptest.Decode(t, e.rec.Value).Meta.ID] = true
			b.answer(e, nil)
		}
	}
	if g.durable || g.key == f.key {
		t.Errorf("keys %s and %s, the second's lines may be sent: %v", f.key, g.key, g.durable)
	}
	read()
	if len(ids) != 3 {
		t.Errorf("%d ids of 3 lines", len(ids))
	}
	if want := "77-1763715467000000001-0"; f.text.Generation != want || g.text.Generation != want+"-1" {
		t.Errorf("generations %s and %s", f.text.Generation, g.text.Generation)
	}
	records := map[string]position.Record{}
	for _, f := range []*file{f, g} {
		c, _, ok := f.record(b.now)
		var at position.Record
		if !ok || json.Unmarshal(c.Value, &at) != nil {
			t.Fatal("no record")
		}
		records[c.Key] = at
	}
	again := newBench(t)
	again.finder.resume = records
	g, f = again.clone(two, 5), again.clone(one, 6) // other numbers, and another order
	if f.text.Read != 5 || g.text.Read != 10 || f.at.Clone != 0 || g.at.Clone != 1 {
		t.Errorf("positions %d and %d, numbers %d and %d", f.text.Read, g.text.Read, f.at.Clone, g.at.Clone)
	}
}

// The record that is there belongs to who has its path, or had it.
func TestARecordIsForWhoHadIt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "there")
	shiptest.Append(t, path, "x\n")
	there, err := disk.StatPath(path)
	if err != nil || there.Birth == 0 {
		t.Skip("no births here")
	}
	key := there.Key()
	other := there
	other.Dev++
	f := func(what string, st disk.Stat, at string, resume map[string]position.Record, open keys, want int) {
		t.Helper()
		if k, n := open.of(st, at, resume); n != want || k != position.Key(key, n) {
			t.Errorf("%s: %s %d, want %d", what, k, n, want)
		}
	}
	record := func(path string, dev uint64) position.Record { return position.Record{Path: path, Dev: dev} }
	f("nothing is known", there, path, nil, keys{}, 0)
	f("its own", there, path, map[string]position.Record{key: record(path, 0)}, keys{}, 0)
	f("renamed", there, path, map[string]position.Record{key: record(dir+"/before", there.Dev)}, keys{}, 0)
	f("renamed, after a start of the host", there, path, map[string]position.Record{key: record(dir+"/before", 99)}, keys{}, 0)
	f("another is there that had it", other, dir+"/clone", map[string]position.Record{key: record(path, there.Dev)}, keys{}, 1)
	f("another is open", other, dir+"/clone", nil, keys{key: there.ID}, 1)
	f("two others are open", other, dir+"/clone", nil, keys{key: there.ID, key + "+1": {Dev: 3, Ino: there.Ino}}, 2)
	f("its own of two", other, dir+"/clone", map[string]position.Record{key: record(path, 1), key + "+1": record(dir+"/clone", 2)}, keys{}, 1)
	f("the other's of two", there, path, map[string]position.Record{key: record(path, 1), key + "+1": record(dir+"/clone", 2)}, keys{}, 0)
	f("renamed, one of two", other, dir+"/renamed", map[string]position.Record{key: record(path, 1), key + "+1": record(dir+"/clone", other.Dev)}, keys{}, 1)
}
