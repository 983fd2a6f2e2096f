package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// broker answers frames of one connection as a test wants it to.
type broker struct {
	t  testing.TB
	nc net.Conn
}

// pipe is a connection and its other end.
func pipe(t testing.TB, o Options) (*Conn, *broker) {
	here, there := net.Pipe()
	if o.Answer == 0 {
		o.Answer = 30 * time.Second
	}
	o.ClientID = "test"
	c := newConn(here, o, nil, time.Time{})
	t.Cleanup(func() { c.Close(); there.Close() })
	return c, &broker{t, there}
}

// next reads a request: its correlation id and all of its frame.
func (b *broker) next() (corr uint32, frame []byte) {
	b.t.Helper()
	var size [4]byte
	if _, err := io.ReadFull(b.nc, size[:]); err != nil {
		b.t.Errorf("read a request: %v", err)
		return 0, nil
	}
	frame = make([]byte, be.Uint32(size[:]))
	if _, err := io.ReadFull(b.nc, frame); err != nil {
		b.t.Errorf("read a request: %v", err)
		return 0, nil
	}
	return be.Uint32(frame[4:]), frame
}

func (b *broker) answer(corr uint32, body string) { b.write(uint32(len(body)+4), corr, body) }

func (b *broker) write(size, corr uint32, body string) {
	out := be.AppendUint32(be.AppendUint32(nil, size), corr)
	b.nc.Write(append(out, body...))
}

// log is what Done was told.
type log struct {
	mu  sync.Mutex
	got []string
}

func (l *log) frame(name string, body ...string) *Frame {
	f := &Frame{Key: 1, Version: 2, Done: func(b []byte, err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if err != nil {
			b = []byte("error")
		}
		l.got = append(l.got, name+"="+string(b))
	}}
	for _, b := range body {
		f.Body = append(f.Body, []byte(b))
	}
	return f
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.got, " ")
}

// Several requests are under way, more wait, and answers go to the right ones; a body of
// many pieces arrives as one.
func TestRequestsAreUnderWayTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := pipe(t, Options{Requests: 2})
		var l log
		sent := make(chan error, 3)
		go func() {
			sent <- c.Send(t.Context(), l.frame("a", "one ", "two"))
			sent <- c.Send(t.Context(), l.frame("b", strings.Repeat("x", 100_000), "end"))
			sent <- c.Send(t.Context(), l.frame("c"))
		}()
		first, frame := b.next()
		if got, want := string(frame), "\x00\x01\x00\x02\x00\x00\x00\x01\x00\x04testone two"; got != want {
			t.Errorf("request = %q, want %q", got, want)
		}
		second, frame := b.next()
		if !bytes.HasSuffix(frame, []byte("xxend")) || len(frame) != 14+100_003 {
			t.Errorf("a request of %d bytes that ends in %q", len(frame), frame[len(frame)-5:])
		}
		synctest.Wait()
		if len(sent) != 2 {
			t.Fatalf("%d requests are sent while two are under way, want 2", len(sent))
		}
		b.answer(first, "1")
		third, _ := b.next()
		b.answer(second, "")
		b.answer(third, "3")
		synctest.Wait()
		if got := l.String(); got != "a=1 b= c=3" {
			t.Errorf("answers %q", got)
		}
	})
}

// A connection that is silent for too long is dead, and all who wait hear of it.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := 0
		c, b := pipe(t, Options{Requests: 5, Answer: 10 * time.Second, Close: func() { closed++ }})
		var l log
		go func() { b.next(); b.next() }()
		if err := c.Send(t.Context(), l.frame("a")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if err := c.Send(t.Context(), l.frame("b")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if c.Err() != nil {
			t.Fatalf("dead after 9 s: %v", c.Err())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !c.Worn() || l.String() != "a=error b=error" || closed != 1 {
			t.Errorf("after 11 s: error %v, answers %q, closed %d times", c.Err(), l.String(), closed)
		}
		if err := c.Send(t.Context(), l.frame("c")); err == nil {
			t.Error("a dead connection takes a request")
		}
	})
}

// An idle connection is not given up, and one that the broker closes is noticed at once.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := pipe(t, Options{Answer: time.Second})
		var l log
		go func() { corr, _ := b.next(); b.answer(corr, "1") }()
		if err := c.Send(t.Context(), l.frame("a")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if c.Worn() || l.String() != "a=1" {
			t.Fatalf("after an hour: %v, %q", c.Err(), l.String())
		}
		b.nc.Close()
		synctest.Wait()
		if !c.Worn() {
			t.Error("nobody noticed that the broker has closed")
		}
	})
}

// What is sent after the broker asked for a pause waits for its end.
func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := pipe(t, Options{Requests: 5})
		var l log
		c.Throttle(3 * time.Second)
		go func() { corr, _ := b.next(); b.answer(corr, "1") }()
		began := time.Now()
		if err := c.Send(t.Context(), l.frame("a")); err != nil || time.Since(began) != 3*time.Second {
			t.Errorf("sent after %v: %v", time.Since(began), err)
		}
		c.Throttle(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Send(ctx, l.frame("b")); !errors.Is(err, context.DeadlineExceeded) || c.Worn() {
			t.Errorf("send = %v, dead %v, want the end of its time alone", err, c.Err())
		}
	})
}

// A retired connection finishes what is under way and closes.
func TestRetire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := pipe(t, Options{Requests: 5})
		var l log
		go c.Send(t.Context(), l.frame("a"))
		corr, _ := b.next()
		c.Retire()
		if err := c.Send(t.Context(), l.frame("b")); !errors.Is(err, ErrRetired) {
			t.Errorf("send = %v, want %v", err, ErrRetired)
		}
		if c.Err() != nil {
			t.Fatalf("closed with a request under way: %v", c.Err())
		}
		b.answer(corr, "1")
		synctest.Wait()
		if l.String() != "a=1" || !errors.Is(c.Err(), ErrRetired) {
			t.Errorf("answers %q, then %v", l.String(), c.Err())
		}
	})
}

// sendOrFail sends a frame. The answer may end the connection before Send returns: then
// that has the error, and Done is not called but by us.
func sendOrFail(t *testing.T, c *Conn, f *Frame) {
	if c.Send(t.Context(), f) != nil {
		f.Done(nil, ErrBroken)
	}
}

// A connection that is closed while an answer is read has told of it once.
func TestCloseWhileAnAnswerIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := pipe(t, Options{})
		var l log
		f := l.frame("a")
		f.Room = func(n int) []byte {
			c.Close()
			return make([]byte, n)
		}
		go sendOrFail(t, c, f)
		corr, _ := b.next()
		b.answer(corr, "1")
		synctest.Wait()
		if l.String() != "a=error" {
			t.Errorf("answers %q, want one error", l.String())
		}
	})
}

// Lengths and ids that lie end the connection, and take no memory.
func TestLies(t *testing.T) {
	f := func(name string, answer func(b *broker, corr uint32)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			c, b := pipe(t, Options{})
			var l log
			go sendOrFail(t, c, l.frame("a"))
			corr, _ := b.next()
			answer(b, corr)
			b.nc.Close()
			synctest.Wait()
			if l.String() != "a=error" || c.Err() == nil {
				t.Errorf("%s: answers %q, %v", name, l.String(), c.Err())
			}
		})
	}
	f("another id", func(b *broker, corr uint32) { b.answer(corr+1, "x") })
	f("a negative size", func(b *broker, corr uint32) { b.write(1<<31+5, corr, "") })
	f("no room for the id", func(b *broker, corr uint32) { b.write(3, corr, "") })
	f("2 GiB", func(b *broker, corr uint32) { b.write(1<<31-1, corr, "") })
	f("an end in the middle", func(b *broker, corr uint32) { b.write(100, corr, "short") })
	const n = 200 << 20
	got := testing.AllocsPerRun(1, func() {
		if _, err := readBody(bytes.NewReader(make([]byte, 100)), n, nil); err == nil {
			t.Error("200 MiB of 100 bytes")
		}
	})
	if got > 10 {
		t.Errorf("%v allocations", got)
	}
	if b, err := readBody(bytes.NewReader(make([]byte, 40<<20)), 40<<20, nil); err != nil || len(b) != 40<<20 {
		t.Errorf("40 MiB: %d bytes, %v", len(b), err)
	}
}

// Of what another client says before, the broker's versions and the time of its login
// are kept.
func TestTakeoverLearns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		b := &broker{t, there}
		over := NewTakeover(here)
		ask := func(key, version uint16, body string) {
			out := be.AppendUint32(nil, uint32(10+len(body)))
			out = be.AppendUint16(be.AppendUint16(out, key), version)
			out = append(append(out, 0, 0, 0, 7, 0xff, 0xff), body...)
			go func() {
				for i := range out { // in pieces
					over.Write(out[i : i+1])
				}
			}()
			b.next()
		}
		hear := func(body []byte, size int) {
			go b.answer(7, string(body))
			if _, err := io.ReadFull(over, make([]byte, size)); err != nil {
				t.Fatal(err)
			}
		}
		ask(18, 3, "")
		old := &kmsg.ApiVersionsResponse{Version: 0, ErrorCode: 35}
		hear(old.AppendTo(nil), 8+len(old.AppendTo(nil)))
		ask(18, 0, "")
		v := &kmsg.ApiVersionsResponse{Version: 0, ApiKeys: []kmsg.ApiVersionsResponseApiKey{{ApiKey: 1, MaxVersion: 11}}}
		hear(v.AppendTo(nil), 8+len(v.AppendTo(nil)))
		ask(36, 1, "secret")
		a := &kmsg.SASLAuthenticateResponse{Version: 1, SessionLifetimeMillis: 100_000}
		hear(a.AppendTo(nil), 8+len(a.AppendTo(nil)))
		c := over.Take(Options{Answer: time.Minute})
		defer c.Close()
		if c.Highest(1) != 11 || c.Highest(0) != -1 {
			t.Errorf("fetch up to version %d, produce %d, want 11, -1", c.Highest(1), c.Highest(0))
		}
		time.Sleep(79 * time.Second)
		if c.Worn() {
			t.Error("worn after 79 % of its time")
		}
		time.Sleep(2 * time.Second)
		if !c.Worn() {
			t.Error("not worn after 81 % of its time")
		}
	})
}

// Whatever a broker writes, a connection ends, and each request is answered once.
func FuzzConn(f *testing.F) {
	f.Add([]byte{0, 0, 0, 6, 0, 0, 0, 1, 'a', 'b', 0, 0, 0, 7, 0, 0, 0, 2, 0, 'c', 'd'}, true)
	f.Add([]byte{0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1}, false)
	f.Fuzz(func(t *testing.T, said []byte, flexible bool) {
		ours, theirs := net.Pipe()
		c := newConn(ours, Options{ClientID: "t", Requests: 2, Answer: time.Minute}, nil, time.Time{})
		go io.Copy(io.Discard, theirs)
		done := make(chan int, 4)
		for range 2 {
			frame := &Frame{Key: 1, Version: 11, Flexible: flexible, Body: [][]byte{{1}}, Done: func(body []byte, err error) {
				if err == nil && len(body) > len(said) {
					t.Errorf("a body of %d bytes in %d", len(body), len(said))
				}
				done <- 1
			}}
			if err := c.Send(context.Background(), frame); err != nil {
				t.Fatal(err)
			}
		}
		theirs.Write(said)
		theirs.Close()
		for range 2 {
			<-done
		}
		<-c.dead
		if len(done) > 0 {
			t.Error("a request is answered twice")
		}
	})
}
