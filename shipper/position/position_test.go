package position

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluicelog/sluice/internal/metrics"
)

func TestWhatWasStoredIsThereAfterAReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "positions.db")
	s, all, broken, err := Open(path)
	if err != nil || broken != nil || len(all[Files]) != 0 {
		t.Fatalf("%v, broken %v, %d records", err, broken, len(all[Files]))
	}
	if err := s.Put([]Change{{Files, "a", []byte(`{"offset":7}`)}, {Files, "b", []byte(`{"offset":8}`)}, {Containers, "c", []byte("x")}}); err != nil {
		t.Fatal(err)
	}
	w := NewStorer(s, metrics.New("shipper", "h"))
	go w.Run()
	w.Jobs <- []Change{{Files, "b", nil}, {Files, "torn", []byte(`{"offset":`)}}
	if err := <-w.Results; err != nil {
		t.Fatal(err)
	}
	close(w.Jobs)
	if _, _, _, err := Open(path); err == nil {
		t.Error("two have it open")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, all, broken, err = Open(path)
	if err != nil || broken != nil {
		t.Fatal(err, broken)
	}
	if at := Decode(all[Files]); len(at) != 1 || at["a"].Offset != 7 || string(all[Containers]["c"]) != "x" {
		t.Errorf("%+v", all)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAStoreThatCannotBeReadIsMovedAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "positions.db")
	if err := os.WriteFile(path, []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, all, broken, err := Open(path)
	if err != nil || broken == nil || len(all[Files]) != 0 {
		t.Fatalf("%v, broken %v, %d records", err, broken, len(all[Files]))
	}
	if b, err := os.ReadFile(path + ".bad"); err != nil || string(b) != "no database" {
		t.Errorf("%q, %v", b, err)
	}
	if err := errors.Join(s.Put([]Change{{Files, "a", []byte("{}")}}), s.Close()); err != nil {
		t.Error(err)
	}
}
