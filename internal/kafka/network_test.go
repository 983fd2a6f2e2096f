package kafka

import (
	"encoding/binary"
	"net"
	"sync"
	"time"
)

// network is what lies between the clients and a kfake cluster: it can lose requests,
// lose answers and fall silent, by kind of request.
type network struct {
	under func(network, addr string) (net.Listener, error) // makes the listeners

	// fate is asked for every request; it may be called from several goroutines.
	mu   sync.Mutex
	fate func(key int16) fate  // guarded by mu; nil: all pass
	sets int                   // how often fate was set; guarded by mu
	down bool                  // guarded by mu; connections are refused
	open map[*networkConn]bool // guarded by mu
}

type fate int

const (
	pass       fate = iota
	lose            // cut the connection before the broker reads the request
	loseAnswer      // cut the connection after the broker has acted on it
	mute            // the broker acts on it, its answer never comes, the connection stays
	stall           // its answer comes late
	hang            // neither its answer nor any later one of the connection comes, until other fates are set
)

// stalled is how late.
const stalled = 150 * time.Millisecond

func newNetwork() *network { return &network{under: net.Listen, open: map[*networkConn]bool{}} }

// listen is for kfake.ListenFn.
func (w *network) listen(network, addr string) (net.Listener, error) {
	l, err := w.under(network, addr)
	if err != nil {
		return nil, err
	}
	return &networkListener{l, w}, nil
}

func (w *network) set(f func(key int16) fate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fate = f
	w.sets++
}

func (w *network) age() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sets
}

// cut cuts all connections; while down, new ones are cut as well.
func (w *network) cut(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
	for c := range w.open {
		c.Conn.Close()
	}
}

func (w *network) of(key int16) fate {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fate == nil {
		return pass
	}
	return w.fate(key)
}

type networkListener struct {
	net.Listener
	w *network
}

func (l *networkListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		wc := &networkConn{Conn: c, w: l.w, fates: map[int32]fate{}}
		l.w.mu.Lock()
		if l.w.down {
			l.w.mu.Unlock()
			c.Close()
			continue
		}
		l.w.open[wc] = true
		l.w.mu.Unlock()
		return wc, nil
	}
}

// networkConn follows the frames of one connection.
type networkConn struct {
	net.Conn
	w *network

	head []byte // of the frame being read; up to 12 bytes
	left int    // bytes of its body to come

	mu    sync.Mutex
	fates map[int32]fate // by correlation id; guarded by mu
}

func (c *networkConn) Close() error {
	c.w.mu.Lock()
	delete(c.w.open, c)
	c.w.mu.Unlock()
	return c.Conn.Close()
}

func (c *networkConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	for rest := b[:n]; len(rest) > 0; {
		if c.left > 0 {
			skip := min(c.left, len(rest))
			c.left -= skip
			rest = rest[skip:]
			continue
		}
		take := min(12-len(c.head), len(rest)) // size, key, version, correlation id
		c.head = append(c.head, rest[:take]...)
		rest = rest[take:]
		if len(c.head) < 12 {
			continue
		}
		c.left = int(binary.BigEndian.Uint32(c.head)) - 8
		f := c.w.of(int16(binary.BigEndian.Uint16(c.head[4:])))
		if f == lose {
			c.Conn.Close()
			return 0, net.ErrClosed
		}
		c.mu.Lock()
		c.fates[int32(binary.BigEndian.Uint32(c.head[8:]))] = f
		c.mu.Unlock()
		c.head = c.head[:0]
	}
	return n, err
}

func (c *networkConn) Write(b []byte) (int, error) { // kfake writes an answer at once
	id := int32(binary.BigEndian.Uint32(b[4:]))
	c.mu.Lock()
	f := c.fates[id]
	delete(c.fates, id)
	c.mu.Unlock()
	switch f {
	case loseAnswer:
		c.Conn.Close()
		return 0, net.ErrClosed
	case mute:
		return len(b), nil
	case stall:
		time.Sleep(stalled)
	case hang:
		for age := c.w.age(); c.w.age() == age; {
			time.Sleep(stalled / 10)
		}
	}
	return c.Conn.Write(b)
}
