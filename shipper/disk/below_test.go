package disk

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNoLinkIsFollowedBelow(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(dir, "root")
	must(os.MkdirAll(filepath.Join(root, "sub"), 0o755))
	must(os.WriteFile(filepath.Join(dir, "secret"), []byte("s"), 0o644))
	must(os.WriteFile(filepath.Join(root, "sub", "a.log"), []byte("a"), 0o644))
	must(os.WriteFile(filepath.Join(dir, "others"), []byte("o"), 0o644))
	must(os.Symlink("../secret", filepath.Join(root, "link.log")))
	must(os.Symlink("sub", filepath.Join(root, "dir")))
	must(os.Symlink("/proc/self/environ", filepath.Join(root, "env.log")))
	must(os.Symlink("/dev/zero", filepath.Join(root, "dev.log")))
	must(os.Symlink("../others", filepath.Join(root, "others.log")))
	must(os.Symlink(root, filepath.Join(dir, "above")))
	f := func(path string, links bool, want error) {
		t.Helper()
		fd, _, err := OpenBelow(filepath.Dir(filepath.Join(dir, path[:len(path)-len(filepath.Base(path))])), filepath.Join(dir, path), links)
		if err == nil {
			_ = unix.Close(fd)
		}
		if !errors.Is(err, want) {
			t.Errorf("%s, links %v: %v, want %v", path, links, err, want)
		}
	}
	f("root/sub/a.log", false, nil)
	f("root/dir/a.log", false, errLink)
	f("root/dir/a.log", true, nil)
	under := func(root, path string, links bool, want error) {
		t.Helper()
		fd, _, err := OpenBelow(filepath.Join(dir, root), filepath.Join(dir, path), links)
		if err == nil {
			_ = unix.Close(fd)
		}
		if !errors.Is(err, want) {
			t.Errorf("%s, links %v: %v, want %v", path, links, err, want)
		}
	}
	under("root", "root/link.log", false, errLink)
	under("root", "root/link.log", true, nil)
	under("above", "above/sub/a.log", false, nil) // the root itself may be reached by a link
	under("root", "root/env.log", false, errLink)
	under("root", "root/env.log", true, errProc)
	under("root", "root/dev.log", true, errNotRegular)
	under("root", "root/none.log", false, os.ErrNotExist)
	under("root", "root/sub", false, errNotRegular)
	if fd, _, err := OpenBelow(root, filepath.Join(dir, "secret"), true); err == nil {
		_ = unix.Close(fd)
		t.Error("a path that is not below is opened")
	}
	if os.Getuid() == 0 {
		must(os.Chown(filepath.Join(dir, "others"), 1234, 1234))
		under("root", "root/others.log", true, errOwner)
		must(os.Chown(root, 1234, 1234))
		under("root", "root/others.log", true, nil)
		under("root", "root/link.log", true, nil) // root's
	}
	d, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY, 0)
	must(err)
	defer unix.Close(d)
	for path, want := range map[string]error{"sub/a.log": nil, "dir/a.log": unix.ELOOP, "link.log": unix.ELOOP, "none": unix.ENOENT} { // old kernels
		fd, err := openSteps(d, path)
		if err == nil {
			_ = unix.Close(fd)
		}
		if !errors.Is(err, want) {
			t.Errorf("%s by steps: %v, want %v", path, err, want)
		}
	}
}
