package tail

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// closer closes files in goroutines of its own. Who closes a deleted file last deletes
// it, for which the file system may wait for its journal: half a second each was seen on
// a busy disk, while there were five thousand containers a minute to look after.
type closer struct {
	fds   chan int
	under atomic.Int64 // that wait, or are being closed
}

const (
	Closers = 8    // goroutines that run Tail.CloseFiles
	closing = 1024 // files that wait to be closed; what is more is closed by who asks
)

func newCloser() *closer { return &closer{fds: make(chan int, closing)} }

// run closes until end is called; several may run.
func (c *closer) run() {
	for fd := range c.fds {
		_ = unix.Close(fd)
		c.under.Add(-1)
	}
}

func (c *closer) close(fd int) {
	c.under.Add(1)
	select {
	case c.fds <- fd:
	default:
		_ = unix.Close(fd)
		c.under.Add(-1)
	}
}

func (c *closer) end() { close(c.fds) }
