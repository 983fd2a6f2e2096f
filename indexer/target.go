package indexer

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
	"github.com/elastic/go-elasticsearch/v8/esapi"
	"github.com/klauspost/compress/gzip"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/admin"
)

// target is one Elasticsearch cluster: bulks are filled one at a time and sent many at
// a time.
//
//	Batch -> chunk -> filling -> flush -> _bulk -> settle -> Claim.DoneAll
//	                     ^                           |
//	                     +--------- free <-----------+
//
// Memory: max_concurrency + 1 bulks of bulk.bytes each, and their compressed bodies.
type target struct {
	log    *slog.Logger
	fig    *figures
	health *admin.Dependency
	client *elastictransport.Client
	dead   *deadLetters
	limit  *limiter
	ctx    context.Context // ends when nothing more is to be sent

	count      int
	most       int          // bulk.bytes
	bytes      atomic.Int64 // what a body is filled to: less than most once a body was too large
	linger     time.Duration
	timeout    time.Duration
	level      int
	first, top time.Duration // pauses before a refused item is sent again

	free    chan *bulk
	flushes sync.WaitGroup

	mu      sync.Mutex
	cur     *bulk   // being filled; guarded by mu
	fills   uint64  // guarded by mu
	waiting []*bulk // hold refused items and pause; they and what they hold are guarded by mu

	asked                 atomic.Bool            // a bulk request was made
	trouble               atomic.Pointer[string] // last refusal, for /status
	saidRefused, saidDead sayings
}

// sayings is what was logged when, by kind.
type sayings struct {
	mu sync.Mutex
	at map[string]time.Time // guarded by mu
}

func newTarget(ctx context.Context, o *config.Output, log *slog.Logger, fig *figures, health *admin.Dependency) (*target, error) {
	client, err := newClient(&o.Elasticsearch, o.Bulk.MaxConcurrency)
	if err != nil {
		return nil, err
	}
	t := &target{
		log: log, fig: fig, health: health, client: client, ctx: ctx,
		count: max(o.Bulk.Count, 1), most: int(o.Bulk.Bytes), linger: o.Bulk.Linger.D(), timeout: o.Elasticsearch.Timeout.D(),
		level: o.Elasticsearch.Compression, first: o.Bulk.RetryInitial.D(), top: o.Bulk.RetryMax.D(),
		free: make(chan *bulk, max(o.Bulk.MaxConcurrency, 1)+1),
	}
	t.bytes.Store(int64(t.most))
	t.limit = newLimiter(o.Bulk.Concurrency, o.Bulk.MaxConcurrency, func(n int) { fig.concurrency.Set(float64(n)) })
	for range cap(t.free) {
		t.free <- new(bulk)
	}
	return t, nil
}

// newClient makes the client of a cluster. It does not connect, does not ask which
// product answers (Elasticsearch, OpenSearch and others that know _bulk will do), and
// never retries by itself: what is sent again, and when, is decided by item.
func newClient(c *config.Elasticsearch, conns int) (*elastictransport.Client, error) {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		MaxIdleConnsPerHost:   max(conns, 1) + 1,
		IdleConnTimeout:       time.Minute,
		ResponseHeaderTimeout: 0, // the request's own deadline bounds it
		WriteBufferSize:       64 << 10,
	}
	if c.TLS.Enabled {
		conf, err := newTLS(&c.TLS)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = conf
	}
	options := []elastictransport.Option{
		elastictransport.WithTransport(bodyTransport{transport}), elastictransport.WithDisableRetry(), elastictransport.WithUserAgent("sluice"),
	}
	urls := make([]*url.URL, len(c.Hosts))
	for i, host := range c.Hosts {
		var err error
		if urls[i], err = url.Parse(strings.TrimRight(host, "/")); err != nil {
			return nil, fmt.Errorf("elasticsearch client: host %d is no URL", i+1) // which may hold a password
		}
	}
	options = append(options, elastictransport.WithURLs(urls...))
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
	return client, nil
}

func newTLS(c *config.TLS) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName, InsecureSkipVerify: c.InsecureSkipVerify}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("elasticsearch tls: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("elasticsearch tls: %s holds no certificate", c.CAFile)
		}
	}
	if c.CertFile != "" {
		if _, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile); err != nil {
			return nil, fmt.Errorf("elasticsearch tls: %w", err)
		}
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile) // read again when it changes
			return &pair, err
		}
	}
	return conf, nil
}

// greet asks the cluster for an answer until it gives one or a bulk request is made, so
// that a role without events becomes ready too. Any answer counts that is no refusal of
// us and no failure: a user who may only write is answered 403.
func (t *target) greet(ctx context.Context) {
	for !t.asked.Load() && ctx.Err() == nil {
		why := t.ask(ctx)
		if t.asked.Load() || ctx.Err() != nil {
			return
		}
		if why == nil {
			if t.health.OK() {
				t.log.Info("elasticsearch answers")
			}
			return
		}
		if t.health.Fail(why) {
			t.log.Warn("elasticsearch does not answer, trying again", "error", why)
		}
		pause(ctx, min(t.top, 2*time.Second))
	}
}

func (t *target) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	res, err := esapi.InfoRequest{}.Do(ctx, t.client)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusUnauthorized || res.StatusCode >= 500 {
		return readRefusal(res.StatusCode, res.Body)
	}
	return nil
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

// bodyTransport tells when a body has been handed over, and its length.
type bodyTransport struct{ base http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t bodyTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if b, ok := req.Body.(*body); ok {
		b.handed = true
		req.ContentLength = int64(b.Len())
	}
	return t.base.RoundTrip(req)
}

var filterPath = []string{"errors", "items.*.status", "items.*.error.type", "items.*.error.reason", "items.*.error.caused_by.type", "items.*.error.caused_by.reason"}

// post sends the items from lo to hi, exclusive. With a nil refusal the cluster has
// answered for each of them, and judge was called for those that are not stored; the
// others have the verdict indexed. A refusal is of the request as a whole.
func (t *target) post(ctx context.Context, b *bulk, lo, hi int, judge func(i int, v verdict, why *refusal)) *refusal {
	plain := b.buf[b.from(lo):b.items[hi-1].end]
	send := plain
	header := http.Header{"Content-Type": {"application/x-ndjson"}, "X-Elastic-Event-Count": {strconv.Itoa(hi - lo)}}
	if t.level > 0 {
		if b.zip == nil {
			b.zip, _ = gzip.NewWriterLevel(nil, min(t.level, gzip.BestCompression))
		}
		b.packed.Reset()
		b.zip.Reset(&b.packed)
		b.zip.Write(plain) // to memory: no error
		b.zip.Close()
		send = b.packed.Bytes()
		header.Set("Content-Encoding", "gzip")
		header.Set("X-Elastic-Uncompressed-Request-Length", strconv.Itoa(len(plain)))
	}
	t.asked.Store(true)
	t.fig.bytes.Add(float64(len(plain)))
	t.fig.sent.Add(float64(len(send)))

	rctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	in := newBody(send)
	started := time.Now()
	res, err := esapi.BulkRequest{Body: in, FilterPath: filterPath, Header: header}.Do(rctx, t.client)
	var why *refusal
	status := 0
	if err != nil {
		why = &refusal{reason: err.Error()}
	} else {
		status = res.StatusCode
		if status == http.StatusOK {
			err = readItems(res.Body, b.items[lo:hi], func(i int, v verdict, w *refusal) { judge(lo+i, v, w) })
			if err != nil {
				why = &refusal{reason: "read the answer to _bulk: " + err.Error()}
			}
		} else {
			why = readRefusal(status, res.Body)
		}
		res.Body.Close()
	}
	cancel()
	t.fig.seconds.Observe(time.Since(started).Seconds())
	t.fig.reg.Counter(bulkRequests, t.fig.name, strconv.Itoa(status)).Inc()
	if in.handed {
		<-in.closed // from here on nobody reads the buffer
	}
	return why
}
