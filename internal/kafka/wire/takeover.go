package wire

import (
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	keyAPIVersions      = 18
	keySASLAuthenticate = 36

	helloMost = 64 << 10 // a longer answer of a handshake is not looked at
)

// Takeover is a connection while another client makes it ready for use: it negotiates
// and logs in, and Takeover learns from the answers which versions the broker takes and
// how long the login lasts. It keeps nothing of what is written but which request it is,
// so no password. Then Take hands the connection over, and the other client must not use
// it any more.
//
//	before: client -> Takeover -> connection        after: Conn -> connection
type Takeover struct {
	net.Conn

	mu       sync.Mutex
	asks     tracer          // guarded by mu
	hears    tracer          // guarded by mu
	asked    []question      // not yet answered; guarded by mu
	versions map[int16]int16 // guarded by mu; nil: the broker has not said
	wear     time.Time       // guarded by mu
	over     bool            // the connection is taken; guarded by mu
}

type question struct{ key, version int16 }

// NewTakeover watches a connection that nothing was said on yet.
func NewTakeover(nc net.Conn) *Takeover { return &Takeover{Conn: nc} }

// PlainConn is the connection below.
func (t *Takeover) PlainConn() net.Conn { return t.Conn }

// Write writes, for the client that makes the connection ready.
func (t *Takeover) Write(b []byte) (int, error) {
	t.mu.Lock()
	if !t.over {
		t.asks.take(b, 12, t.ask)
	}
	t.mu.Unlock()
	return t.Conn.Write(b)
}

// Read reads, for the client that makes the connection ready.
func (t *Takeover) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.mu.Lock()
	if !t.over {
		t.hears.take(b[:n], helloMost, t.hear)
	}
	t.mu.Unlock()
	return n, err
}

// wornAt is the part of a login's time after which a connection is replaced.
const wornAt = 0.8

// Take makes a Conn of the connection.
func (t *Takeover) Take(o Options) *Conn {
	t.mu.Lock()
	t.over = true
	t.asks, t.hears = tracer{}, tracer{}
	versions, wear := t.versions, t.wear
	t.mu.Unlock()
	return newConn(t.Conn, o, versions, wear)
}

// ask notes a request. The caller holds mu.
func (t *Takeover) ask(frame []byte) {
	if len(frame) >= 12 {
		t.asked = append(t.asked, question{int16(be.Uint16(frame[4:])), int16(be.Uint16(frame[6:]))})
	}
}

// hear notes an answer. The caller holds mu.
func (t *Takeover) hear(frame []byte) {
	if len(t.asked) == 0 {
		return
	}
	q := t.asked[0]
	t.asked = t.asked[1:]
	if len(frame) < 8 {
		return
	}
	body := frame[8:]
	switch q.key {
	case keyAPIVersions:
		resp := kmsg.ApiVersionsResponse{Version: q.version}
		if resp.ReadFrom(body) != nil || resp.ErrorCode != 0 {
			return // the client asks again, more modestly
		}
		t.versions = make(map[int16]int16, len(resp.ApiKeys))
		for _, k := range resp.ApiKeys {
			t.versions[k.ApiKey] = k.MaxVersion
		}
	case keySASLAuthenticate:
		resp := kmsg.SASLAuthenticateResponse{Version: q.version}
		if resp.IsFlexible() && len(body) > 0 && body[0] == 0 {
			body = body[1:]
		}
		if resp.ReadFrom(body) == nil && resp.ErrorCode == 0 && resp.SessionLifetimeMillis > 0 {
			t.wear = time.Now().Add(time.Duration(float64(resp.SessionLifetimeMillis) * wornAt * float64(time.Millisecond)))
		}
	}
}

// tracer finds the frames in a stream.
type tracer struct {
	frame []byte // what is kept of the frame that is passing, its size included
	left  int    // bytes of it still to come
	sized bool
}

// take follows the stream; of each frame up to most bytes are given to whole.
func (f *tracer) take(b []byte, most int, whole func([]byte)) {
	for len(b) > 0 {
		if !f.sized {
			n := min(4-len(f.frame), len(b))
			f.frame, b = append(f.frame, b[:n]...), b[n:]
			if len(f.frame) < 4 {
				return
			}
			f.sized, f.left = true, int(be.Uint32(f.frame))
		}
		n := min(f.left, len(b))
		f.frame = append(f.frame, b[:max(0, min(n, most-len(f.frame)))]...)
		f.left, b = f.left-n, b[n:]
		if f.left == 0 {
			whole(f.frame)
			clear(f.frame)
			f.frame, f.sized = f.frame[:0], false
		}
	}
}
