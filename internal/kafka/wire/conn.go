package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicelog/sluice/internal/metrics"
)

// ErrRetired is what Send returns after Retire: use the connection's successor.
var ErrRetired = errors.New("connection is retired")

const (
	answerMost = 256 << 20 // a longer answer is held to be a lie
	roomMost   = 16 << 20  // memory for an answer is taken at once up to this size; more only as it comes
)

// Options are the choices of a connection.
type Options struct {
	ClientID string
	Requests int           // under way at most, from 1 on; more wait in Send
	Answer   time.Duration // a connection whose answer takes longer is given up; a Frame may say otherwise
	Meter    Meter
	Close    func() // closes what the connection came from, besides the connection; nil: nothing
}

// Meter counts what passes; a nil counter is not used.
type Meter struct {
	Requests, Sent, Received metrics.Counter // requests, bytes, bytes
	Throttled                metrics.Counter // seconds that requests waited because the broker asked for it
}

// Frame is one request: everything but its size, key, version, correlation id and
// client id, which the connection writes.
type Frame struct {
	Key, Version int16
	Flexible     bool          // the request has a header of version 2, and its answer one of version 1
	Body         [][]byte      // written in order; must not change until Done is called or Send has failed
	Timeout      time.Duration // for the answer, from the sending on; 0: Options.Answer
	Room         func(n int) []byte

	// Done is called once with the answer, without its header, or with the reason why
	// there is none; then the connection is dead. Calls come in the order of sending from
	// the connection's goroutine, which reads no other answer meanwhile. The body is in
	// memory from Room, if that is given, else its own.
	Done func(body []byte, err error)
}

// Conn is a connection to a broker. Several requests may be under way; answers come in
// the order of the requests. It is safe for concurrent use. Once it has failed it stays
// so, and whoever uses it makes a new one.
type Conn struct {
	nc       net.Conn
	o        Options
	versions map[int16]int16
	wear     time.Time // not to be used from then on; zero: for ever
	slots    chan struct{}
	dead     chan struct{} // closed when err is set

	write sync.Mutex // held while a request is written
	corr  int32      // guarded by write
	head  []byte     // guarded by write
	vec   net.Buffers

	mu      sync.Mutex
	queue   []*pending // written or being written, in that order; guarded by mu
	err     error      // guarded by mu
	retired bool       // guarded by mu
	until   time.Time  // the broker wants no request before; guarded by mu
}

// pending is a request that waits for its answer.
type pending struct {
	f       *Frame
	corr    int32
	late    time.Time
	writing bool // its Send has not returned
	gone    bool // answered
}

func newConn(nc net.Conn, o Options, versions map[int16]int16, wear time.Time) *Conn {
	o.Requests = max(1, o.Requests)
	c := &Conn{nc: nc, o: o, versions: versions, wear: wear, slots: make(chan struct{}, o.Requests), dead: make(chan struct{})}
	_ = nc.SetDeadline(time.Time{})
	go c.read()
	return c
}

// Highest is the highest version of a request that the broker takes; -1: it does not
// know the request, or does not say what it knows.
func (c *Conn) Highest(key int16) int16 {
	if v, ok := c.versions[key]; ok {
		return v
	}
	return -1
}

// Worn says whether the connection is to be replaced: it is dead, or so much of its
// login's time is over that frames under way might meet the end of it. A connection is
// never logged in again: the answers to that would come between ours.
func (c *Conn) Worn() bool {
	return c.Err() != nil || !c.wear.IsZero() && !time.Now().Before(c.wear)
}

// Err is why the connection is dead; nil: it is not.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Addr is the broker's address.
func (c *Conn) Addr() string { return c.nc.RemoteAddr().String() }

// Close closes the connection; what waits for an answer hears that there is none.
func (c *Conn) Close() error {
	c.fail(net.ErrClosed)
	return nil
}

// Retire closes the connection when the last answer has come; no more may be sent.
func (c *Conn) Retire() {
	c.mu.Lock()
	c.retired = true
	idle := len(c.queue) == 0
	c.mu.Unlock()
	if idle {
		c.fail(ErrRetired)
	}
}

// Throttle holds up what is sent from now on, as the broker has asked for in an answer.
func (c *Conn) Throttle(d time.Duration) {
	if d <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := time.Now().Add(min(d, time.Minute)); t.After(c.until) {
		c.until = t
	}
}

// Send writes a request. It waits while the most requests are under way, and for as long
// as the broker wants no more. An error means that the broker has not got it and Done is
// not called; unless ctx ended or the connection is retired, the connection is dead.
func (c *Conn) Send(ctx context.Context, f *Frame) error {
	select {
	case c.slots <- struct{}{}:
	case <-c.dead:
		return c.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
	err := c.wait(ctx)
	if err == nil {
		err = c.put(f)
	}
	if err != nil {
		<-c.slots
	}
	return err
}

// wait waits until the broker wants requests.
func (c *Conn) wait(ctx context.Context) error {
	for {
		c.mu.Lock()
		d := time.Until(c.until)
		c.mu.Unlock()
		if d <= 0 {
			return nil
		}
		if c.o.Meter.Throttled != nil {
			c.o.Meter.Throttled.Add(d.Seconds())
		}
		t := time.NewTimer(d)
		select {
		case <-t.C:
		case <-c.dead:
			t.Stop()
			return c.Err()
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}

// put writes the request; it has a slot.
func (c *Conn) put(f *Frame) error {
	c.write.Lock()
	defer c.write.Unlock()
	c.corr++
	timeout := f.Timeout
	if timeout <= 0 {
		timeout = c.o.Answer
	}
	now := time.Now()
	p := &pending{f: f, corr: c.corr, late: now.Add(timeout), writing: true}
	c.mu.Lock()
	err := c.err
	if err == nil && c.retired {
		err = ErrRetired
	}
	if err != nil {
		c.mu.Unlock()
		return err
	}
	if c.queue = append(c.queue, p); len(c.queue) == 1 {
		_ = c.nc.SetReadDeadline(p.late)
	}
	c.mu.Unlock()
	_ = c.nc.SetWriteDeadline(now.Add(c.o.Answer))
	n, err := c.frame(f)
	if c.o.Meter.Sent != nil {
		c.o.Meter.Sent.Add(float64(n))
	}
	if c.o.Meter.Requests != nil {
		c.o.Meter.Requests.Inc()
	}
	if err != nil {
		c.fail(fmt.Errorf("write to broker %s: %w", c.Addr(), err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p.writing = false
	if c.err != nil && !p.gone {
		return c.err
	}
	return nil
}

// frame writes header and body. The caller holds write.
func (c *Conn) frame(f *Frame) (int64, error) {
	h := append(c.head[:0], 0, 0, 0, 0)
	h = be.AppendUint16(h, uint16(f.Key))
	h = be.AppendUint16(h, uint16(f.Version))
	h = be.AppendUint32(h, uint32(c.corr))
	h = be.AppendUint16(h, uint16(len(c.o.ClientID)))
	h = append(h, c.o.ClientID...)
	if f.Flexible {
		h = append(h, 0) // no tags
	}
	size := len(h) - 4
	for _, b := range f.Body {
		size += len(b)
	}
	be.PutUint32(h, uint32(size))
	defer func() { c.head = h[:0] }()
	if size <= 16<<10 {
		for _, b := range f.Body {
			h = append(h, b...)
		}
		n, err := c.nc.Write(h)
		return int64(n), err
	}
	vec := append(c.vec[:0], h)
	vec = append(vec, f.Body...)
	c.vec = vec
	n, err := vec.WriteTo(innermost(c.nc)) // one system call where it is plain TCP
	clear(c.vec[:cap(c.vec)])
	return n, err
}

// innermost is what may be written to in one piece: the TCP connection below wrappers
// that only watch.
func innermost(nc net.Conn) net.Conn {
	for {
		w, ok := nc.(interface{ PlainConn() net.Conn })
		if !ok {
			return nc
		}
		nc = w.PlainConn()
	}
}

// read takes answers until the connection fails.
func (c *Conn) read() {
	r := bufio.NewReaderSize(c.nc, 4<<10)
	for {
		if err := c.answer(r); err != nil {
			c.fail(fmt.Errorf("read from broker %s: %w", c.Addr(), err))
			return
		}
	}
}

// answer reads one answer and hands it over.
func (c *Conn) answer(r *bufio.Reader) error {
	var h [8]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return err
	}
	size, corr := int64(int32(be.Uint32(h[:])))-4, int32(be.Uint32(h[4:]))
	c.mu.Lock()
	var p *pending
	if len(c.queue) > 0 {
		p = c.queue[0]
	}
	c.mu.Unlock()
	switch {
	case p == nil:
		return fmt.Errorf("an answer that nobody asked for: %w", ErrBroken)
	case p.corr != corr:
		return fmt.Errorf("an answer to request %d instead of %d: %w", corr, p.corr, ErrBroken)
	case size < 0 || size > answerMost:
		return fmt.Errorf("an answer of %d bytes: %w", size, ErrBroken)
	}
	if p.f.Flexible {
		n, err := skipTags(r)
		if err != nil {
			return err
		}
		if size -= n; size < 0 {
			return fmt.Errorf("an answer that is shorter than its header: %w", ErrBroken)
		}
	}
	body, err := readBody(r, int(size), p.f.Room)
	if err != nil {
		return err
	}
	if c.o.Meter.Received != nil {
		c.o.Meter.Received.Add(float64(size + 8))
	}
	c.mu.Lock()
	if err := c.err; err != nil { // closed meanwhile: the request has heard of that
		c.mu.Unlock()
		return err
	}
	p.gone = true
	c.queue = append(c.queue[:0], c.queue[1:]...)
	late := time.Time{}
	if len(c.queue) > 0 {
		late = c.queue[0].late
	}
	_ = c.nc.SetReadDeadline(late)
	last := c.retired && len(c.queue) == 0
	c.mu.Unlock()
	<-c.slots
	p.f.Done(body, nil)
	if last {
		return ErrRetired
	}
	return nil
}

// readBody reads n bytes into memory from room, or grows with what comes: a length that
// is a lie takes no more than twice what was sent.
func readBody(r io.Reader, n int, room func(int) []byte) ([]byte, error) {
	if n <= roomMost {
		var b []byte
		if room != nil {
			b = room(n)[:n]
		} else {
			b = make([]byte, n)
		}
		_, err := io.ReadFull(r, b)
		return b, err
	}
	var b []byte
	for len(b) < n {
		more := make([]byte, min(n, max(roomMost, 2*len(b))))
		at := copy(more, b)
		b = more
		if _, err := io.ReadFull(r, b[at:]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// skipTags reads over the tags of a header; n is how many bytes they are.
func skipTags(r *bufio.Reader) (n int64, err error) {
	uvarint := func() (v uint64) {
		for shift := 0; shift < 35 && err == nil; shift += 7 {
			var b byte
			if b, err = r.ReadByte(); err != nil {
				return 0
			}
			n++
			v |= uint64(b&0x7f) << shift
			if b < 0x80 {
				return v
			}
		}
		if err == nil {
			err = ErrBroken
		}
		return 0
	}
	for i := uvarint(); i > 0 && err == nil; i-- {
		uvarint()
		size := uvarint()
		if err == nil {
			var skipped int
			skipped, err = r.Discard(int(min(size, 1<<20)))
			n += int64(skipped)
		}
	}
	return n, err
}

// fail ends the connection; the first reason counts.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	close(c.dead)
	lost := c.queue
	c.queue = nil
	waiting := lost[:0:0]
	for _, p := range lost {
		if !p.writing { // its Send reports it otherwise
			waiting = append(waiting, p)
		}
	}
	c.mu.Unlock()
	_ = c.nc.Close()
	if c.o.Close != nil {
		c.o.Close()
	}
	for _, p := range waiting {
		p.f.Done(nil, err)
		<-c.slots
	}
}

// Call asks a small question and reads its answer into resp, at the version of req.
func (c *Conn) Call(ctx context.Context, req kmsg.Request, resp kmsg.Response) error {
	type answer struct {
		body []byte
		err  error
	}
	got := make(chan answer, 1)
	f := &Frame{Key: req.Key(), Version: req.GetVersion(), Flexible: req.IsFlexible(), Body: [][]byte{req.AppendTo(nil)},
		Done: func(body []byte, err error) { got <- answer{body, err} }}
	if err := c.Send(ctx, f); err != nil {
		return err
	}
	select {
	case a := <-got:
		if a.err != nil {
			return a.err
		}
		resp.SetVersion(req.GetVersion())
		if err := resp.ReadFrom(a.body); err != nil {
			return fmt.Errorf("%s answered by %s: %w", kmsg.NameForKey(req.Key()), c.Addr(), err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
