package shipper

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// watcher tells when a parked file grows and when names change in a directory. It is
// inotify by hand: a file's watch fires once and is armed again when the file was read
// to its end, so a busy file costs no events, and events are fetched at most every
// watchPause, so that many writes wake us once. It only saves waiting: the poll finds
// what it misses (limits, overflow, network file systems).
type watcher struct {
	fd    int
	file  *os.File
	ready chan struct{} // cap 1: there are events to take

	mu     sync.Mutex
	events []watchEvent
	lost   bool // the kernel's queue overflowed: look at everything
}

type watchEvent struct {
	wd   int32
	gone bool // the watch is no more: it fired once, or what it watched was deleted
	name string
}

const (
	watchPause = 5 * time.Millisecond
	comes      = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_ONLYDIR
	comesGoes  = comes | unix.IN_MOVED_FROM | unix.IN_DELETE
)

func newWatcher() (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("start inotify: %w", err)
	}
	return &watcher{fd: fd, file: os.NewFile(uintptr(fd), "inotify"), ready: make(chan struct{}, 1)}, nil
}

// arm watches an open file until it is next written to.
func (w *watcher) arm(fd int) (int32, error) {
	wd, err := unix.InotifyAddWatch(w.fd, "/proc/self/fd/"+strconv.Itoa(fd), unix.IN_MODIFY|unix.IN_ONESHOT)
	return int32(wd), err
}

// dir watches names that come to a directory, or come and go.
func (w *watcher) dir(path string, mask uint32) (int32, error) {
	wd, err := unix.InotifyAddWatch(w.fd, path, mask)
	return int32(wd), err
}

func (w *watcher) remove(wd int32) { _, _ = unix.InotifyRmWatch(w.fd, uint32(wd)) }

// take hands over the events since the last call; lost says that there were more.
func (w *watcher) take(into []watchEvent) (events []watchEvent, lost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	events, lost = append(into, w.events...), w.lost
	w.events, w.lost = w.events[:0], false
	return events, lost
}

// run fetches events until close.
func (w *watcher) run() {
	buf := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(buf)
		if err != nil {
			return
		}
		w.add(buf[:n])
		select {
		case w.ready <- struct{}{}:
		default:
		}
		time.Sleep(watchPause)
	}
}

// 0        4        8        12       16
// | wd     | mask   | cookie | len    | name, NUL padded, len bytes |
func (w *watcher) add(b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(b) >= unix.SizeofInotifyEvent {
		wd, mask := int32(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint32(b[4:])
		size := int(binary.NativeEndian.Uint32(b[12:]))
		name := b[unix.SizeofInotifyEvent : unix.SizeofInotifyEvent+size]
		b = b[unix.SizeofInotifyEvent+size:]
		if mask&unix.IN_Q_OVERFLOW != 0 || len(w.events) >= 1<<16 {
			w.lost = true
			continue
		}
		for len(name) > 0 && name[len(name)-1] == 0 {
			name = name[:len(name)-1]
		}
		w.events = append(w.events, watchEvent{wd: wd, gone: mask&unix.IN_IGNORED != 0, name: string(name)})
	}
}

func (w *watcher) close() { _ = w.file.Close() }
