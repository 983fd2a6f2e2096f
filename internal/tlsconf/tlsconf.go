// Package tlsconf makes the TLS of clients. The files of a certificate and of roots are
// read at the start, so that a mistake shows there, and again for a later connection
// when they have changed: a certificate that is renewed on disk needs no restart.
package tlsconf

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/sluicelog/sluice/config"
)

// Client is how to speak TLS as a client, by the files of now. All of it may be used by
// any number of goroutines.
type Client struct {
	base       *tls.Config
	serverName string
	roots      func() (*x509.CertPool, error)
}

// New reads the files. An error begins with the key that it is about, such as
// "ca_file: ", and never holds a secret.
func New(t config.TLS) (*Client, error) {
	c := &Client{
		base:       &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.InsecureSkipVerify},
		serverName: t.ServerName,
		roots:      func() (*x509.CertPool, error) { return nil, nil }, // the system's
	}
	if t.CertFile != "" || t.KeyFile != "" {
		cert := newReloaded(t.Certificate, t.CertFile, t.KeyFile)
		if _, err := cert.get(); err != nil {
			return nil, fmt.Errorf("cert_file: %w", err)
		}
		c.base.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert.get() }
	}
	if t.CAFile != "" && !t.InsecureSkipVerify {
		c.roots = newReloaded(t.Roots, t.CAFile).get
		if _, err := c.roots(); err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
	}
	return c, nil
}

// For is the configuration of one connection to a host. crypto/tls takes fixed roots
// only, so each connection has its own and the check of roots and name stays the
// standard one: from inside a handshake the name is not known if it is an address,
// since no server is sent such a name.
func (c *Client) For(host string) (*tls.Config, error) {
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	conf := c.base.Clone()
	conf.ServerName, conf.RootCAs = cmp.Or(c.serverName, host), roots
	return conf, nil
}

// RoundTripper is base with this TLS. Once the roots have changed, requests go over new
// connections; those under way end as they began. It owns base from now on.
func (c *Client) RoundTripper(base *http.Transport) http.RoundTripper {
	return &roundTripper{client: c, current: base}
}

type roundTripper struct {
	client *Client

	mu      sync.Mutex
	current *http.Transport // guarded by mu
	roots   *x509.CertPool  // its own; guarded by mu
	ready   bool            // it has its TLS; guarded by mu
}

func (r *roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	t, err := r.transport()
	if err != nil {
		return nil, err
	}
	return t.RoundTrip(req)
}

func (r *roundTripper) transport() (*http.Transport, error) {
	conf, err := r.client.For("") // net/http adds the host's name
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ready && conf.RootCAs == r.roots {
		return r.current, nil
	}
	next := r.current
	if r.ready {
		next = r.current.Clone()
		r.current.CloseIdleConnections()
	}
	next.TLSClientConfig = conf
	r.current, r.roots, r.ready = next, conf.RootCAs, true
	return next, nil
}

// CloseIdleConnections is what http.Client calls.
func (r *roundTripper) CloseIdleConnections() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current.CloseIdleConnections()
}

// reloaded is what was read from files, read again when one has another time or size.
// While it cannot be read, what was read last is used.
type reloaded[T any] struct {
	read  func() (T, error)
	files []string

	mu    sync.Mutex
	have  bool
	value T
	stamp string
}

func newReloaded[T any](read func() (T, error), files ...string) *reloaded[T] {
	return &reloaded[T]{read: read, files: files}
}

func (r *reloaded[T]) get() (T, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var stamp string
	for _, f := range r.files {
		if fi, err := os.Stat(f); err == nil {
			stamp += fmt.Sprint(fi.ModTime().Format(time.RFC3339Nano), fi.Size(), ";")
		}
	}
	if r.have && stamp == r.stamp {
		return r.value, nil
	}
	v, err := r.read()
	if err != nil {
		if r.have {
			return r.value, nil
		}
		return v, err
	}
	r.value, r.stamp, r.have = v, stamp, true
	return v, nil
}
