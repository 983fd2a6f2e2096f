package generate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/loadtest/fakes"
)

// rotated lists the files of a log, oldest first.
func rotated(t *testing.T, path string) []string {
	t.Helper()
	files, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(files, func(a, b string) int { return len(b)*100 - len(a)*100 + strings.Compare(b, a) })
	return files
}

func TestDockerLogs(t *testing.T) {
	w := Workload{Seed: 3, Run: 5, Sources: 4, Skew: 1, Start: testStart, Rate: 1000, HugeOf: 50}
	d := &DockerLogs{Root: t.TempDir(), MaxSize: 200_000, MaxFile: 20}
	g, err := Run(t.Context(), NewLines(w), Pace{Lines: 3000}, d, nil)
	if err != nil || g.Lines != 3000 {
		t.Fatalf("%+v, %v", g, err)
	}
	want := map[string]bool{}
	for l := NewLines(w); l.Sent() < 3000; {
		l.Next()
		want[string(l.AppendText(nil))] = true
	}
	got, cut, sum := Ledger{}, 0, int64(0)
	for n := range 4 {
		id := ContainerID(5, n)
		files := rotated(t, filepath.Join(d.Root, "containers", id, id+"-json.log"))
		if len(id) != 64 || len(files) < 2 {
			t.Errorf("container %s: files %v", id, files)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sum += int64(len(text))
			line, offset, size := "", int64(0), int64(0)
			for raw := range bytes.Lines(text) {
				var e struct{ Log, Stream, Time string }
				if err := json.Unmarshal(raw, &e); err != nil {
					t.Fatalf("%s: %v: %s", file, err, raw)
				}
				if len(e.Log) > dockerCut+1 {
					t.Fatalf("a piece of %d bytes", len(e.Log))
				}
				if _, err := time.Parse(time.RFC3339Nano, e.Time); err != nil {
					t.Fatal(err)
				}
				line += e.Log
				size += int64(len(raw))
				if !strings.HasSuffix(e.Log, "\n") {
					cut++
					continue
				}
				m, _ := FindMark([]byte(line))
				if !want[line[:len(line)-1]] || m.Source != n {
					t.Fatalf("unknown line %q", line)
				}
				delete(want, line[:len(line)-1])
				got.Add(m, offset, size)
				line, offset, size = "", offset+size, 0
			}
		}
	}
	if len(want) > 0 || cut < 20 || sum != g.Bytes || d.pieces != int64(3000+cut) {
		t.Errorf("%d lines are not there, %d pieces, the writer says %d, %d bytes, want %d", len(want), cut, d.pieces-3000, sum, g.Bytes)
	}
	if !slices.Equal(got.Sources, d.Ledger().Sources) {
		t.Errorf("files hold  %+v\nledger says %+v", got.Sources, d.Ledger().Sources)
	}
}

func TestPlainLogs(t *testing.T) {
	f := func(rotate Rotation, keepsAll bool) {
		t.Helper()
		w := Workload{Seed: 3, Run: 5, Sources: 2, Start: testStart, Rate: 1000}
		p := &PlainLogs{Dir: t.TempDir(), Rotate: rotate, MaxSize: 100_000, MaxFile: 50, Settle: 20 * time.Millisecond}
		for l := NewLines(w); l.Sent() < 1000; {
			if err := p.WriteNext(l); err != nil {
				t.Fatal(err)
			}
			if l.Sent()%50 == 0 { // the time of every cut has come, however slow the machine is
				if err := p.Flush(time.Now().Add(time.Hour)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		_, _, wrote := p.Ledger().Total()
		got, sum := Ledger{}, int64(0)
		for n := range 2 {
			for _, file := range rotated(t, filepath.Join(p.Dir, fmt.Sprintf("app-%06d.log", n))) {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				offset := int64(0)
				for raw := range bytes.Lines(text) {
					m, ok := FindMark(raw)
					if !ok {
						t.Fatalf("%s: %s", file, raw)
					}
					got.Add(m, offset, int64(len(raw)))
					offset += int64(len(raw))
				}
				sum += offset
			}
		}
		if same := slices.Equal(got.Sources, p.Ledger().Sources); same != keepsAll || keepsAll && sum != wrote {
			t.Errorf("%q: files hold %d bytes %+v, ledger says %d %+v", rotate, sum, got.Sources, wrote, p.Ledger().Sources)
		}
	}
	f(RotateNone, true)
	f(RotateRename, true)
	f(RotateDelete, false)
	f(RotateTruncate, false) // keeps one copy
}

// A container is told of when it starts and ends, and its files go with it.
func TestContainersComeAndGo(t *testing.T) {
	dir, err := os.MkdirTemp("", "lt") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	d, err := fakes.StartDaemon(filepath.Join(dir, "s"), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", d.Socket)
	}}}
	events, err := client.Get("http://docker/v1.41/events")
	if err != nil {
		t.Fatal(err)
	}
	defer events.Body.Close()
	logs := &DockerLogs{Root: dir, Life: 50 * time.Millisecond, Daemon: d}
	lines := NewLines(Workload{Seed: 1, Run: 1, Sources: 2, Start: testStart, Rate: 500, Life: 50 * time.Millisecond})
	for lines.Sent() < 100 {
		if err := logs.WriteNext(lines); err != nil {
			t.Fatal(err)
		}
	}
	sources, _, _ := logs.Ledger().Total()
	f := func(want int) {
		t.Helper()
		left, err := os.ReadDir(filepath.Join(dir, "containers"))
		if err != nil || sources < 6 || len(left) != want {
			t.Errorf("%d containers in 200 ms of 50 ms each, %d there, want %d (%v)", sources, len(left), want, err)
		}
	}
	f(sources)
	if err := logs.Flush(time.Now().Add(time.Minute)); err != nil { // when the life of all is over
		t.Fatal(err)
	}
	f(0)
	count, read := map[string]int{}, json.NewDecoder(bufio.NewReader(events.Body))
	for count["start"] < sources || count["destroy"] < sources {
		var e fakes.ContainerEvent
		if err := read.Decode(&e); err != nil {
			t.Fatal(err)
		}
		count[e.Action]++
	}
	d.Start(fakes.Container{ID: ContainerID(1, 7), LogPath: "/log"})
	resp, err := client.Get("http://docker/containers/" + ContainerID(1, 7) + "/json")
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	defer resp.Body.Close()
	var c struct{ LogPath string }
	if err := json.NewDecoder(resp.Body).Decode(&c); err != nil || c.LogPath != "/log" {
		t.Errorf("%+v, %v", c, err)
	}
}
