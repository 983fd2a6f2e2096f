package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestSampleWritesThreeKinds(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		if err := Sample(ctx, dir); err != nil {
			t.Fatal(err)
		}
	})
	for dataset, name := range SampleFiles {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
		if len(lines) < 500 {
			t.Errorf("%s: %d lines, want one each 300 ms", name, len(lines))
		}
		if dataset == "shop" && !json.Valid(lines[0]) {
			t.Errorf("no JSON: %s", lines[0])
		}
	}
}

func TestSampleRotates(t *testing.T) {
	f, err := openRotated(filepath.Join(t.TempDir(), "a.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	line := bytes.Repeat([]byte("x"), 1<<20)
	for range 6 {
		if _, err := f.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]int64{f.path: 2 << 20, f.path + ".1": 4 << 20} {
		if info, err := os.Stat(name); err != nil || info.Size() != want {
			t.Errorf("%s: %v, %v, want %d bytes", name, info, err, want)
		}
	}
}
