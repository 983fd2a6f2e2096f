package elastic

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/tlsconf"
)

// newHost makes one host of a cluster, and its client, which does not ask which product
// answers (Elasticsearch, OpenSearch and others that know _bulk will do), and never
// retries by itself: what is sent again, when and where, is decided by item. It does not
// connect.
func newHost(c *config.Elasticsearch, i, conns int) (*host, error) {
	at, err := url.Parse(strings.TrimRight(c.Hosts[i], "/"))
	if err != nil {
		return nil, fmt.Errorf("elasticsearch.hosts[%d]: not a URL", i) // which may hold a password
	}
	base := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		MaxIdleConnsPerHost:   max(conns, 1) + 1,
		IdleConnTimeout:       time.Minute,
		ResponseHeaderTimeout: 0, // the request's own deadline bounds it
		WriteBufferSize:       64 << 10,
	}
	trip := http.RoundTripper(base)
	if c.TLS.Enabled {
		secure, err := tlsconf.New(c.TLS)
		if err != nil {
			return nil, fmt.Errorf("elasticsearch.tls.%w", err)
		}
		trip = secure.RoundTripper(base)
	}
	options := []elastictransport.Option{
		elastictransport.WithURLs(at), elastictransport.WithTransport(bodyTransport{withExtras(trip, c)}),
		elastictransport.WithDisableRetry(), elastictransport.WithUserAgent("sluice"),
	}
	switch key, user := c.APIKey.Reveal(), c.Username; {
	case key != "":
		options = append(options, elastictransport.WithAPIKey(key))
	case user != "":
		options = append(options, elastictransport.WithBasicAuth(user, c.Password.Reveal()))
	}
	client, err := elastictransport.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("elasticsearch client: %w", err)
	}
	idle := base.CloseIdleConnections
	if c, ok := trip.(interface{ CloseIdleConnections() }); ok {
		idle = c.CloseIdleConnections
	}
	return &host{name: at.Redacted(), client: client, idle: idle, renewed: time.Now()}, nil
}

// extras adds the headers of the configuration to every request, and its parameters to
// every bulk request.
type extras struct {
	base       http.RoundTripper
	headers    map[string]string
	parameters string // as in a URL; empty: none
}

func withExtras(base http.RoundTripper, c *config.Elasticsearch) http.RoundTripper {
	if len(c.Headers)+len(c.Parameters) == 0 {
		return base
	}
	q := url.Values{}
	for name, value := range c.Parameters {
		q.Set(name, value)
	}
	return &extras{base, c.Headers, q.Encode()}
}

// RoundTrip implements http.RoundTripper.
func (t *extras) RoundTrip(req *http.Request) (*http.Response, error) {
	for name, value := range t.headers {
		req.Header.Set(name, value)
	}
	if t.parameters != "" && strings.HasSuffix(req.URL.Path, "/_bulk") {
		req.URL.RawQuery = strings.TrimPrefix(req.URL.RawQuery+"&"+t.parameters, "&")
	}
	return t.base.RoundTrip(req)
}

// body is a request's body in memory that is used again: net/http may read it until it
// has closed it, also after the request has failed.
type body struct {
	bytes.Reader
	handed bool // to the transport, which will close it
	once   sync.Once
	closed chan struct{}
}

func newBody(b []byte) *body {
	r := &body{closed: make(chan struct{})}
	r.Reset(b)
	return r
}

// Close is called by net/http.
func (b *body) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

// bodyTransport notes when a body has been handed over, and its length.
type bodyTransport struct{ base http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t bodyTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if b, ok := req.Body.(*body); ok {
		b.handed = true
		req.ContentLength = int64(b.Len())
	}
	return t.base.RoundTrip(req)
}
