package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

var (
	errLink  = errors.New("it is a link, or below one, which is not followed; follow_links: true follows it")
	errOwner = errors.New("it is a link to a file that neither the owner of the link's directory nor root owns, which is not followed")
	errProc  = errors.New("it is a link into /proc, /sys or /dev, which is not followed")
)

// OpenBelow is Open for a path below a directory in which others may write: no link below
// it is followed, unless links says so, and then only to a regular file that the owner of
// the path's directory owns, or root, and never below /proc, /sys and /dev.
func OpenBelow(root, path string, links bool) (int, Stat, error) {
	rel, err := filepath.Rel(root, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return -1, Stat{}, &os.PathError{Op: "open", Path: path, Err: fmt.Errorf("it is not below %s", root)}
	}
	fd, err := openRel(root, rel)
	if errors.Is(err, unix.ELOOP) && links {
		return openLink(path)
	}
	if errors.Is(err, unix.ELOOP) {
		err = errLink
	}
	if err != nil {
		return -1, Stat{}, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return opened(fd, path)
}

// openRel opens a path below a directory without a link; ELOOP: there is one.
func openRel(root, rel string) (int, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	fd, err := openat2(dir, rel, openFlags|unix.O_NOATIME)
	if errors.Is(err, unix.EPERM) { // another user's
		fd, err = openat2(dir, rel, openFlags)
	}
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // old kernel, or an old seccomp profile
		return openSteps(dir, rel)
	}
	return fd, err
}

func openat2(dir int, rel string, flags uint64) (fd int, err error) {
	how := unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_BENEATH}
	for range 100 { // EAGAIN: names moved meanwhile
		if fd, err = unix.Openat2(dir, rel, &how); !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return fd, err
}

// openSteps is openat2 for who has none: one element after the other.
func openSteps(dir int, rel string) (int, error) {
	at, err := unix.Dup(dir)
	if err != nil {
		return -1, err
	}
	parts := strings.Split(rel, "/")
	for i, name := range parts {
		flags := unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
		if i == len(parts)-1 {
			flags = openFlags | unix.O_NOFOLLOW
		}
		next, err := unix.Openat(at, name, flags, 0)
		if errors.Is(err, unix.ENOTDIR) && i < len(parts)-1 { // a link is none either
			var st unix.Stat_t
			if unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
				err = unix.ELOOP
			}
		}
		_ = unix.Close(at)
		if err != nil {
			return -1, err
		}
		at = next
	}
	return at, nil
}

// openLink opens what a link leads to, if that is allowed.
func openLink(path string) (int, Stat, error) {
	fd, st, err := Open(path)
	if err != nil {
		return fd, st, err
	}
	if err := mayFollow(fd, path); err != nil {
		return -1, st, errors.Join(&os.PathError{Op: "open", Path: path, Err: err}, unix.Close(fd))
	}
	return fd, st, nil
}

func mayFollow(fd int, path string) error {
	target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return err
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return err
	}
	for _, no := range []string{"/proc", "/sys", "/dev"} {
		if target == no || strings.HasPrefix(target, no+"/") || fs.Type == unix.PROC_SUPER_MAGIC || fs.Type == unix.SYSFS_MAGIC {
			return errProc
		}
	}
	var file, dir unix.Stat_t
	if err := errors.Join(unix.Fstat(fd, &file), unix.Stat(filepath.Dir(path), &dir)); err != nil {
		return err
	}
	if file.Uid != 0 && file.Uid != dir.Uid {
		return errOwner
	}
	return nil
}
