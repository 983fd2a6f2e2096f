package indexer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/elastic/go-elasticsearch/v8"
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
	client *elasticsearch.Client
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

// newClient makes the client of a cluster. It does not connect, and never retries by
// itself: what is sent again, and when, is decided by item.
func newClient(c *config.Elasticsearch, conns int) (*elasticsearch.Client, error) {
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
	client, err := elasticsearch.NewClient(elasticsearch.Config{
		Addresses: c.Hosts, Username: c.Username, Password: c.Password.Reveal(), APIKey: c.APIKey.Reveal(),
		DisableRetry: true, Transport: bodyTransport{transport},
	})
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
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	if err != nil {
		return err
	}
	res, err := t.client.Perform(req)
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

// refusal is why a request or an item was not taken.
type refusal struct {
	status int    // 0: no answer
	kind   string // the error's type
	reason string
}

// Error implements error.
func (r *refusal) Error() string {
	switch {
	case r.status == 0:
		return r.reason
	case r.kind == "":
		return fmt.Sprintf("answered %d %s", r.status, r.reason)
	}
	return fmt.Sprintf("answered %d %s: %s", r.status, r.kind, r.reason)
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
				why = &refusal{reason: "read the answer: " + err.Error()}
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

// readRefusal reads Elasticsearch's error of a request, or the start of what a proxy
// has to say.
func readRefusal(status int, r io.Reader) *refusal {
	text, _ := io.ReadAll(io.LimitReader(r, 16<<10))
	why := &refusal{status: status}
	var s scanner
	if s.object(text) {
		readError(&s, value(&s, "error"), why)
	}
	if why.kind == "" {
		why.reason = string(cutBytes(bytes.Join(bytes.Fields(text), []byte(" ")), 256))
	}
	return why
}

// value is the member of that name of the object read last, nil if there is none.
func value(s *scanner, name string) []byte {
	for _, m := range s.members {
		if string(m.key) == name {
			return m.value
		}
	}
	return nil
}

// readError reads {"type":...,"reason":...,"caused_by":{...}} into why.
func readError(s *scanner, object []byte, why *refusal) {
	if len(object) == 0 || !s.object(object) {
		return
	}
	cause := value(s, "caused_by")
	why.kind, why.reason = text(value(s, "type")), text(value(s, "reason"))
	if len(cause) > 0 && s.object(cause) {
		why.reason += ": " + text(value(s, "reason"))
	}
	if len(why.reason) > maxReason {
		why.reason = strings.Clone(cut(why.reason, maxReason))
	}
}

// maxReason bounds what is kept of an error's text: every item of a bulk may have one.
const maxReason = 1024

func text(value []byte) string {
	if len(value) < 2 || value[0] != '"' {
		return ""
	}
	return string(unescape(nil, value[1:len(value)-1]))
}

// maxItem bounds what is read of one item of an answer.
const maxItem = 64 << 10

// readItems reads {"errors":...,"items":[{"create":{"status":201}},...]}, one item at a
// time. The verdict of every item is set, and judge is called for those not stored.
func readItems(r io.Reader, items []item, judge func(i int, v verdict, why *refusal)) error {
	in := bufio.NewReaderSize(r, 16<<10)
	head, err := in.Peek(64)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if bytes.Contains(head, []byte(`"errors":false`)) {
		for i := range items {
			items[i].verdict = indexed
		}
		io.Copy(io.Discard, in) // so that the connection can be used again
		return nil
	}
	if err := skipTo(in, `"items":[`); err != nil {
		return err
	}
	var s scanner
	var one []byte
	for i := 0; ; i++ {
		c, err := in.ReadByte()
		for err == nil && (c == ',' || c == ' ' || c == '\n') {
			c, err = in.ReadByte()
		}
		switch {
		case err != nil:
			return fmt.Errorf("after %d of %d items: %w", i, len(items), noEOF(err))
		case c == ']' && i == len(items):
			_, err := io.Copy(io.Discard, in)
			return err
		case c != '{' || i == len(items):
			return fmt.Errorf("after %d of %d items: unexpected %q", i, len(items), c)
		}
		if one, err = readObject(in, one[:0]); err != nil {
			return fmt.Errorf("in item %d of %d: %w", i, len(items), noEOF(err))
		}
		status, why := readItem(&s, one)
		v := itemVerdict(status, why.kind)
		if items[i].verdict = indexed; v != indexed {
			why.status = status
			judge(i, v, &why)
		}
	}
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func readItem(s *scanner, object []byte) (status int, why refusal) {
	if !s.object(object) || len(s.members) == 0 || !s.object(s.members[0].value) {
		return 0, refusal{kind: "unreadable", reason: string(cutBytes(object, 256))}
	}
	status, _ = strconv.Atoi(string(value(s, "status")))
	readError(s, value(s, "error"), &why)
	return status, why
}

// skipTo reads up to and with a text.
func skipTo(in *bufio.Reader, what string) error {
	for n := 0; n < len(what); {
		c, err := in.ReadByte()
		if err != nil {
			return fmt.Errorf("no %s: %w", what, noEOF(err))
		}
		switch {
		case c == what[n]:
			n++
		case c == what[0]:
			n = 1
		default:
			n = 0
		}
	}
	return nil
}

// readObject reads an object whose brace was read, of which no more than maxItem is
// kept.
func readObject(in *bufio.Reader, dst []byte) ([]byte, error) {
	dst = append(dst, '{')
	quoted, escaped := false, false
	for depth := 1; depth > 0; {
		c, err := in.ReadByte()
		if err != nil {
			return dst, err
		}
		if len(dst) < maxItem {
			dst = append(dst, c)
		}
		switch {
		case escaped:
			escaped = false
		case quoted:
			quoted, escaped = c != '"', c == '\\'
		case c == '"':
			quoted = true
		case c == '{':
			depth++
		case c == '}':
			depth--
		}
	}
	return dst, nil
}
