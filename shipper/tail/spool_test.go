package tail

import (
	"os"
	"testing"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/shipper/position"
)

// A stop comes while a file is copied, or when that is done and nobody has looked yet: the
// storer has ended by then.
func TestAStopTakesTheCopyThatIsUnderWay(t *testing.T) {
	b := newBench(t)
	b.cfg.Spool = config.Spool{Size: config.MiB}
	b.Unspool()
	f := b.write("a\nb\n")
	b.work(b.batch) // and nothing is acknowledged
	b.hand()
	b.finder.saver.save(b.now)
	b.finder.saver.saved(<-b.finder.saver.storer.Results, b.now)
	if err := os.Remove(f.path); err != nil {
		t.Fatal(err)
	}
	sp := b.reader.spool
	if sp.begin(f); sp.under.file != f {
		t.Fatalf("it is not copied: %s", b.log)
	}
	j := sp.under
	b.end()

	store, stored, _, err := position.Open(b.kept)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, ok := stored[position.Files][f.key]; ok {
		t.Error("the record of the file that is gone is still stored")
	}
	after := newBench(t)
	sp = newSpooler(after.room, after.finder, sp.dir)
	all := sp.load()
	if len(all) != 1 || all[0].Path != j.path || all[0].Record.Offset != 0 || sp.used != 4 {
		t.Errorf("%+v, %d bytes, after the stop", all, sp.used)
	}
	if text, err := os.ReadFile(j.path); err != nil || string(text) != "a\nb\n" {
		t.Errorf("%q, %v", text, err)
	}
}
