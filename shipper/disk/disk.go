// Package disk looks at files as the kernel knows them: by device and inode, with their
// birth, and opens them without waiting for or changing anything.
package disk

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// AskBirth is what the kernel is asked for besides the usual; tests play a file system
// that does not know it.
var AskBirth uint32 = unix.STATX_BTIME

var errNotRegular = errors.New("not a regular file")

// ID names a file on this host for as long as it is open.
type ID struct{ Dev, Ino uint64 }

// Stat is what the shipper needs to know of a file.
type Stat struct {
	ID
	Birth   int64  // nanoseconds; 0: the file system does not know it
	Written int64  // nanoseconds, when its content was last changed
	Size    int64  // bytes
	Links   uint32 // names; 0: it is deleted
	Regular bool   // no directory, pipe, device or socket
}

// Key is the name of a file's record. With a birth time the device is left out: its
// number may change when the host starts.
func (s Stat) Key() string {
	if s.Birth != 0 {
		return fmt.Sprintf("%d-%d", s.Ino, s.Birth)
	}
	return fmt.Sprintf("%d:%d", s.Dev, s.Ino)
}

// StatPath is the state of the file under a path; links are followed.
func StatPath(path string) (Stat, error) {
	s, err := statx(unix.AT_FDCWD, path, 0)
	if err != nil {
		return s, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return s, nil
}

// LstatPath is the state of what is under a path; a link is no regular file.
func LstatPath(path string) (Stat, error) {
	s, err := statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return s, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return s, nil
}

// StatOpen is the state of an open file, whatever its name is now.
func StatOpen(fd int) (Stat, error) { return statx(fd, "", unix.AT_EMPTY_PATH) }

func statx(dir int, path string, flags int) (Stat, error) {
	var x unix.Statx_t
	err := unix.Statx(dir, path, flags|unix.AT_STATX_SYNC_AS_STAT, unix.STATX_BASIC_STATS|int(AskBirth), &x)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // old kernel, or an old seccomp profile
		return oldStat(dir, path, flags)
	}
	if err != nil {
		return Stat{}, err
	}
	s := Stat{
		ID:      ID{unix.Mkdev(x.Dev_major, x.Dev_minor), x.Ino},
		Written: x.Mtime.Sec*1e9 + int64(x.Mtime.Nsec),
		Size:    int64(x.Size),
		Links:   x.Nlink,
		Regular: x.Mode&unix.S_IFMT == unix.S_IFREG,
	}
	if x.Mask&AskBirth != 0 {
		s.Birth = x.Btime.Sec*1e9 + int64(x.Btime.Nsec)
	}
	return s, nil
}

func oldStat(dir int, path string, flags int) (Stat, error) {
	var x unix.Stat_t
	var err error
	if path == "" {
		err = unix.Fstat(dir, &x)
	} else {
		err = unix.Fstatat(dir, path, &x, flags&unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		return Stat{}, err
	}
	return Stat{
		ID:      ID{x.Dev, x.Ino},
		Written: x.Mtim.Nano(),
		Size:    x.Size,
		Links:   uint32(x.Nlink),
		Regular: x.Mode&unix.S_IFMT == unix.S_IFREG,
	}, nil
}

// Open opens a regular file for reading; a pipe or device is refused without
// waiting for its other end. Reading does not change its time of access, which would be
// a write to its inode, if we may do so.
func Open(path string) (int, Stat, error) {
	fd, err := unix.Open(path, openFlags|unix.O_NOATIME, 0)
	if errors.Is(err, unix.EPERM) { // another user's
		fd, err = unix.Open(path, openFlags, 0)
	}
	if err != nil {
		return -1, Stat{}, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return opened(fd, path)
}

const openFlags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY

// opened is what was opened, if it is a regular file; else it is closed.
func opened(fd int, path string) (int, Stat, error) {
	s, err := StatOpen(fd)
	if err == nil && !s.Regular {
		err = errNotRegular
	}
	if err != nil {
		return -1, s, errors.Join(&os.PathError{Op: "open", Path: path, Err: err}, unix.Close(fd))
	}
	return fd, s, nil
}

// forOthers is how many descriptors are left to sockets, the store and the rest of the
// process.
const forOthers = 64

// Shares are how many of the process's descriptors may be files that are being read, and
// how many may be opened ahead of that by who looks out for new ones.
func Shares() (files, ahead int) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		l.Cur = 1024
	}
	all := int(min(l.Cur, 1<<30))
	ahead = min(all/16, 1024)
	return max(all-forOthers-ahead, all/4), ahead
}

// Pread fills b from off and reports how much there was: less than len(b) only at the
// end of the file.
func Pread(fd int, b []byte, off int64) (int, error) {
	n := 0
	for n < len(b) {
		k, err := unix.Pread(fd, b[n:], off+int64(n))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return n, err
		}
		if k == 0 {
			break
		}
		n += k
	}
	return n, nil
}

// Overlay reports whether a file is on an overlay file system.
func Overlay(fd int) bool {
	var s unix.Statfs_t
	return unix.Fstatfs(fd, &s) == nil && s.Type == unix.OVERLAYFS_SUPER_MAGIC
}
