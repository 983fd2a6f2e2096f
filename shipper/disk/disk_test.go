package disk

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOnlyRegularFilesAreOpenedAndNothingIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, dir, "/dev/null"} {
		if fd, _, err := Open(path); !errors.Is(err, errNotRegular) || fd != -1 {
			t.Errorf("%s: descriptor %d, %v", path, fd, err)
		}
	}
	if _, _, err := Open(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestAFileIsTheSameUnderEachOfItsNames(t *testing.T) {
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	if err := os.WriteFile(a, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	fd, open, err := Open(a)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := os.Rename(a, b); err != nil {
		t.Fatal(err)
	}
	moved, err := StatPath(b)
	if err != nil || moved.ID != open.ID || moved.Key() != open.Key() || moved.Size != 5 || moved.Links != 1 || !moved.Regular {
		t.Errorf("%+v, %v; was %+v", moved, err, open)
	}
	if err := os.Remove(b); err != nil {
		t.Fatal(err)
	}
	if gone, err := StatOpen(fd); err != nil || gone.Links != 0 || gone.ID != open.ID {
		t.Errorf("%+v, %v", gone, err)
	}
	buf := make([]byte, 8)
	if n, err := Pread(fd, buf, 1); n != 4 || err != nil || string(buf[:n]) != "ello" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	if n, err := Pread(fd, buf, 9); n != 0 || err != nil {
		t.Errorf("%d bytes after the end, %v", n, err)
	}
}

func TestKeysLeaveTheDeviceOutWhereTheyCan(t *testing.T) {
	f := func(s Stat, want string) {
		t.Helper()
		if got := s.Key(); got != want {
			t.Errorf("%+v: %s, want %s", s, got, want)
		}
	}
	f(Stat{ID: ID{Dev: 7, Ino: 12}, Birth: 99}, "12-99")
	f(Stat{ID: ID{Dev: 7, Ino: 12}}, "7:12")
}
