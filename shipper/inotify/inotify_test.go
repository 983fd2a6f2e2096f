package inotify

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// next waits until something was seen.
func next(t *testing.T, w *Watcher) (all []Event) {
	t.Helper()
	for len(all) == 0 {
		<-w.Ready
		var lost bool
		if all, lost = w.Take(all); lost {
			t.Fatal("events were lost")
		}
	}
	return all
}

func TestNamesAndGrowthAreReported(t *testing.T) {
	w, err := New()
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(w.Run)
	defer running.Wait()
	defer w.Close()
	dir := t.TempDir()
	wd, err := w.Dir(dir, ComesGoes)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "a.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if e := next(t, w); len(e) != 1 || e[0] != (Event{WD: wd, Name: "a.log", Came: true}) {
		t.Errorf("%+v", e)
	}
	armed, err := w.Arm(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	grew := next(t, w)
	for len(grew) < 2 { // it grew, and its watch is no more: it fires once
		grew = append(grew, next(t, w)...)
	}
	if len(grew) != 2 || grew[0] != (Event{WD: armed}) || grew[1] != (Event{WD: armed, Gone: true}) {
		t.Errorf("%+v", grew)
	}
	if _, err := f.WriteString("y"); err != nil {
		t.Fatal(err)
	}
	w.Remove(wd)
	if e := next(t, w); len(e) != 1 || e[0] != (Event{WD: wd, Gone: true}) {
		t.Errorf("%+v", e)
	}
	if _, err := w.Dir(filepath.Join(dir, "a.log"), Comes); err == nil {
		t.Error("a file is watched as a directory")
	}
}
