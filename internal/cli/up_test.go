package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// Promise 1, nothing is lost: a file of three times what the embedded Kafka keeps of a
// partition waits until the store has what came before. And what is kept is for its owner.
func TestUpWaitsForTheStore(t *testing.T) {
	const lines, lineBytes = 3000, 8 << 10 // 24 MiB
	file := filepath.Join(t.TempDir(), "big.log")
	random, line := rand.NewChaCha8([32]byte{}), make([]byte, lineBytes)
	var b bytes.Buffer
	for i := range lines {
		random.Read(line)
		for i, r := range line {
			line[i] = "!#$%()*+,;=?@^|~"[r%16] // little to compress, and nothing to index
		}
		fmt.Fprintf(&b, "%d %s\n", i, line)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	u := &up{dir: t.TempDir(), listen: "127.0.0.1:0", paths: []string{file}, kafkaBytes: 1} // that is 8 MiB a partition
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out output
	cmd := &cobra.Command{}
	cmd.SetContext(ctx)
	cmd.SetOut(&out)
	cmd.SetErr(t.Output())
	ended := make(chan error, 1)
	go func() { ended <- u.run(cmd) }()
	for got := 0; got < lines; {
		select {
		case err := <-ended:
			t.Fatalf("ended with %d of %d lines stored: %v", got, lines, err)
		case <-time.After(100 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatalf("%d of %d lines were stored", got, lines)
		}
		if m := out.find(`search   (http://\S+)`); m != "" {
			got = countStored(t, m)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(u.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == u.dir {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func countStored(t *testing.T, store string) int {
	t.Helper()
	resp, err := http.Get(store + "/_count")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a struct{ Count int }
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		t.Fatal(err)
	}
	return a.Count
}

// output is what a command has printed so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

// find is what the pattern's first group matches, if it does.
func (o *output) find(pattern string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	m := regexp.MustCompile(pattern).FindSubmatch(o.b.Bytes())
	if m == nil {
		return ""
	}
	return string(m[1])
}
