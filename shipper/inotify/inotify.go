// Package inotify reports which files grow and which names come and go.
package inotify

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicelog/sluice/internal/wake"
)

// Watcher reports when a parked file grows and when names change in a directory. A
// file's watch fires once and is armed again when the file was read to its end, so a
// busy file costs no events, and events are fetched at most every watchPause, so that
// many writes wake us once. It only saves waiting: the poll finds what it misses (limits, overflow, network file systems).
type Watcher struct {
	fd    int
	file  *os.File
	Ready wake.Signal // there are events to take

	mu     sync.Mutex
	events []Event
	lost   bool // the kernel's queue overflowed: look at everything
}

// Event is what was seen by one watch.
type Event struct {
	WD   int32  // the watch
	Gone bool   // the watch is no more: it fired once, or what it watched was deleted
	Name string // in a watched directory
	Came bool   // the name came, else it went
}

// What of a directory is watched.
const (
	Comes     = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_ONLYDIR
	ComesGoes = Comes | unix.IN_MOVED_FROM | unix.IN_DELETE
)

const watchPause = 5 * time.Millisecond

// New makes a watcher, whose events are fetched once Run runs. Its other methods but for
// Take may be called from one goroutine at a time.
func New() (*Watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("start inotify: %w", err)
	}
	return &Watcher{fd: fd, file: os.NewFile(uintptr(fd), "inotify"), Ready: wake.New()}, nil
}

// Arm watches an open file until it is next written to.
func (w *Watcher) Arm(fd int) (int32, error) {
	wd, err := unix.InotifyAddWatch(w.fd, "/proc/self/fd/"+strconv.Itoa(fd), unix.IN_MODIFY|unix.IN_ONESHOT)
	return int32(wd), err
}

// Dir watches names that come to a directory, or come and go.
func (w *Watcher) Dir(path string, mask uint32) (int32, error) {
	wd, err := unix.InotifyAddWatch(w.fd, path, mask)
	return int32(wd), err
}

// Remove ends a watch.
func (w *Watcher) Remove(wd int32) { _, _ = unix.InotifyRmWatch(w.fd, uint32(wd)) }

// Take hands over the events since the last call; lost says that there were more.
func (w *Watcher) Take(into []Event) (events []Event, lost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	events, lost = append(into, w.events...), w.lost
	w.events, w.lost = w.events[:0], false
	return events, lost
}

// Run fetches events until Close.
func (w *Watcher) Run() {
	buf := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(buf)
		if err != nil {
			return
		}
		w.add(buf[:n])
		w.Ready.Raise()
		time.Sleep(watchPause)
	}
}

// 0        4        8        12       16
// | wd     | mask   | cookie | len    | name, NUL padded, len bytes |
func (w *Watcher) add(b []byte) {
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
		w.events = append(w.events, Event{WD: wd, Gone: mask&unix.IN_IGNORED != 0, Name: string(name), Came: mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0})
	}
}

// Close ends Run.
func (w *Watcher) Close() { _ = w.file.Close() }
