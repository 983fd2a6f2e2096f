package fakes

import (
	"io"
	"net"
	"testing"
	"time"
)

func TestLink(t *testing.T) {
	back, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	go func() {
		for {
			c, err := back.Accept()
			if err != nil {
				return
			}
			go io.Copy(c, c)
		}
	}()
	l, err := NewLink("echo", "127.0.0.1:0", back.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const patient = 20 * time.Second // on a busy machine
	// echo is how long an answer takes; 0: the connection broke, -1: nothing came in time.
	echo := func(c net.Conn, wait time.Duration) time.Duration {
		t.Helper()
		start := time.Now()
		c.SetDeadline(start.Add(wait))
		c.Write([]byte("x"))
		switch _, err := c.Read(make([]byte, 1)); {
		case err == nil:
			return time.Since(start)
		case err.(net.Error).Timeout():
			return -1
		}
		return 0
	}
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", l.Addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	c := dial()
	if got := echo(c, patient); got <= 0 {
		t.Fatalf("a whole link: %v", got)
	}
	if err := l.Delay(50*time.Millisecond, 0); err != nil {
		t.Fatal(err)
	}
	if got := echo(c, patient); got < 80*time.Millisecond {
		t.Errorf("delayed twice 50 ms: %v", got)
	}
	if err := l.Mend(); err != nil {
		t.Fatal(err)
	}
	if err := l.HalfOpen(); err != nil {
		t.Fatal(err)
	}
	if got := echo(c, 300*time.Millisecond); got != -1 {
		t.Errorf("half open: %v", got)
	}
	l.Cut()
	if _, err := net.Dial("tcp", l.Addr); err == nil {
		t.Error("a cut link takes connections")
	}
	if err := l.Mend(); err != nil {
		t.Fatal(err)
	}
	if got := echo(dial(), patient); got <= 0 {
		t.Errorf("mended: %v", got)
	}
}
