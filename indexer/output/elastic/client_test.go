package elastic

import (
	"io"
	"net/http"
	"testing"
)

// A bulk's arena is not used again while net/http may still read it: a body counts as
// free only when it has been closed.
func TestBodyIsWaitedFor(t *testing.T) {
	b := newBody([]byte("x"))
	returned := make(chan struct{})
	tr := bodyTransport{roundTripper(func(r *http.Request) (*http.Response, error) {
		go func() {
			<-returned
			r.Body.Close()
			r.Body.Close() // as net/http may
		}()
		return nil, io.ErrUnexpectedEOF
	})}
	req, _ := http.NewRequest(http.MethodPost, "http://x", b)
	if _, err := tr.RoundTrip(req); err == nil || !b.handed || req.ContentLength != 1 {
		t.Errorf("error %v, handed %v, length %d", err, b.handed, req.ContentLength)
	}
	select {
	case <-b.closed:
		t.Error("counts as closed while it may be read")
	default:
	}
	close(returned)
	<-b.closed
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
