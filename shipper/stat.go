package shipper

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// askBirth is what the kernel is asked for besides the usual; tests play a file system
// that does not know it.
var askBirth uint32 = unix.STATX_BTIME

var errNotRegular = errors.New("not a regular file")

// devino names a file on this host for as long as it is open.
type devino struct{ dev, ino uint64 }

// stat is what the shipper needs to know of a file.
type stat struct {
	devino
	birth   int64 // nanoseconds; 0: the file system does not tell
	size    int64
	links   uint32
	regular bool
}

func statPath(path string) (stat, error) {
	s, err := statx(unix.AT_FDCWD, path, 0)
	if err != nil {
		return s, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return s, nil
}

// statOpen is the state of an open file, whatever its name is now.
func statOpen(fd int) (stat, error) { return statx(fd, "", unix.AT_EMPTY_PATH) }

func statx(dir int, path string, flags int) (stat, error) {
	var x unix.Statx_t
	err := unix.Statx(dir, path, flags|unix.AT_STATX_SYNC_AS_STAT, unix.STATX_BASIC_STATS|int(askBirth), &x)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // old kernel, or an old seccomp profile
		return oldStat(dir, path)
	}
	if err != nil {
		return stat{}, err
	}
	s := stat{
		devino:  devino{unix.Mkdev(x.Dev_major, x.Dev_minor), x.Ino},
		size:    int64(x.Size),
		links:   x.Nlink,
		regular: x.Mode&unix.S_IFMT == unix.S_IFREG,
	}
	if x.Mask&askBirth != 0 {
		s.birth = x.Btime.Sec*1e9 + int64(x.Btime.Nsec)
	}
	return s, nil
}

func oldStat(dir int, path string) (stat, error) {
	var x unix.Stat_t
	var err error
	if path == "" {
		err = unix.Fstat(dir, &x)
	} else {
		err = unix.Stat(path, &x)
	}
	if err != nil {
		return stat{}, err
	}
	return stat{
		devino:  devino{x.Dev, x.Ino},
		size:    x.Size,
		links:   uint32(x.Nlink),
		regular: x.Mode&unix.S_IFMT == unix.S_IFREG,
	}, nil
}

// openFile opens a regular file for reading; a pipe or device is refused without
// waiting for its other end. Reading does not change its time of access, which would be
// a write to its inode, if we may do so.
func openFile(path string) (int, stat, error) {
	const flags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
	fd, err := unix.Open(path, flags|unix.O_NOATIME, 0)
	if errors.Is(err, unix.EPERM) { // another user's
		fd, err = unix.Open(path, flags, 0)
	}
	if err != nil {
		return -1, stat{}, &os.PathError{Op: "open", Path: path, Err: err}
	}
	s, err := statOpen(fd)
	if err == nil && !s.regular {
		err = errNotRegular
	}
	if err != nil {
		return -1, s, errors.Join(&os.PathError{Op: "open", Path: path, Err: err}, unix.Close(fd))
	}
	return fd, s, nil
}

// pread fills b from off and reports how much there was: less than len(b) only at the
// end of the file.
func pread(fd int, b []byte, off int64) (int, error) {
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
