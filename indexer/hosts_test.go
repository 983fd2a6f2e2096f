package indexer

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/indexer/internal/samples"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/schemas"
)

// One of two hosts that does not answer as it should costs the other's work nothing: it
// gets a request or two, the good one gets all, and the role stays ready. Once it is
// mended it is used again.
func TestOneBadHostOfTwo(t *testing.T) {
	t.Parallel()
	f := func(name, says string, bad func(w http.ResponseWriter, r *http.Request)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			var mended atomic.Bool
			var refused, taken atomic.Int64
			other := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				bulk := r.URL.Path == "/_bulk"
				if mended.Load() {
					if bulk {
						taken.Add(1)
					}
					w.es.ServeHTTP(rw, r)
					return
				}
				if bulk {
					refused.Add(1)
				}
				bad(rw, r)
			}))
			defer other.Close()
			o := &w.cfg.Indexer.Outputs[0]
			o.Elasticsearch.Hosts = []string{other.URL, w.es.URL}
			o.Elasticsearch.Timeout = config.Duration(500e6)
			o.Bulk.RetryInitial, o.Bulk.RetryMax = config.Duration(100e6), config.Duration(1e9)
			w.produce(2000, 0) // 40 bulks
			log := &logBook{}
			r := w.startLogging(log)
			w.allCommitted(map[int32]int64{0: 2000})
			if n := refused.Load(); n > 10 {
				t.Errorf("the bad host got %d of some 40 bulks, want few", n)
			}
			w.until("the status says so", func() bool {
				st := r.status()
				return strings.Contains(st, `"host":"`+other.URL+`"`) && strings.Contains(st, "unwell_since")
			})
			if got := log.String(); !strings.Contains(got, "left out") || !strings.Contains(got, other.URL) || !strings.Contains(got, says) {
				t.Errorf("log:\n%s", got)
			}
			if why := r.st.NotReady(1 << 62); why != nil {
				t.Errorf("not ready: %v", why)
			}
			mended.Store(true)
			w.until("it is used again", func() bool {
				w.produce(50, 0)
				return taken.Load() > 3
			})
			w.allCommitted(map[int32]int64{0: int64(w.n)})
			r.stop()
			w.allSettled(r, nil)
			if got := log.String(); !strings.Contains(got, "used again") {
				t.Errorf("log:\n%s", got)
			}
		})
	}
	status := func(code int) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.WriteHeader(code)
		}
	}
	f("502 of a proxy", "502", status(502))
	f("429", "429", status(429))
	f("hangs", "deadline", func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	f("another server", "check hosts", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "<html>It works!</html>")
	})
	f("closes the connection", "EOF", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
}

// Of an answer that ends too early nothing is kept, also if the part before has refusals
// of its own: an index whose document another host has then stored is none that refuses.
func TestOfAHalfAnswerNothingIsKept(t *testing.T) {
	const blocked = `{"create":{"status":403,"error":{"type":"cluster_block_exception","reason":"index [x] blocked by: [FORBIDDEN/8/index write (api)];"}}},`
	var asked atomic.Int64
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.URL.Path != "/_bulk" {
			return
		}
		switch asked.Add(1) {
		case 1:
			w.WriteHeader(http.StatusRequestEntityTooLarge) // so it comes in parts, of three and of one
		case 2:
			io.WriteString(w, `{"errors":true,"items":[`+blocked+`{"create":{"status":201}},{"create":{"status":201}}]}`)
		case 3:
			io.WriteString(w, `{"errors":true,"items":[`+blocked)
		default:
			answerAll(w, r)
		}
	})
	one, two := httptest.NewServer(answer), httptest.NewServer(answer)
	defer one.Close()
	defer two.Close()
	o := (&world{}).output("online", one.URL)
	o.Elasticsearch.Hosts = append(o.Elasticsearch.Hosts, two.URL)
	o.Index = "sluice-{app}"
	out := newBareOutput(t, t.Context(), o)
	c := out.newPartition(&bareMarker{}, "")
	var events []kafka.View
	for i, app := range []string{"a", "b", "c", "d"} {
		events = append(events, kafka.View{Value: samples.Event("x"), Offset: int64(i), Headers: kafka.RenderHeaders([]kafka.Header{{Key: []byte(schemas.HeaderApp), Value: []byte(app)}})})
	}
	out.take(t.Context(), c, events)
	(&world{t: t}).until("stored", func() bool { return c.Open() == 0 })
	if st := out.output.Status(); len(st.Refusing) > 0 {
		t.Errorf("refusing: %v", st.Refusing)
	}
	if n := asked.Load(); n != 5 {
		t.Errorf("%d bulk requests, want the whole, two parts, the second again, and what was refused", n)
	}
}

// What is wrong with the settings of an output is logged as an error, with the host and
// what to do, before there is an event, and the role is not ready at once.
func TestWrongSettingsShowAtTheStart(t *testing.T) {
	t.Parallel()
	f := func(name, cure string, output func(w *world, o *config.Output) (host string)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			host := output(w, &w.cfg.Indexer.Outputs[0])
			log := &logBook{}
			r := w.startLogging(log)
			w.until("not ready, and why", func() bool {
				why := strings.Join(r.st.NotReady(1<<62), "\n")
				return strings.Contains(why, "elasticsearch online refuses us") && strings.Contains(why, host) && strings.Contains(why, cure)
			})
			w.until("an error in the log", func() bool {
				for _, l := range strings.Split(log.String(), "\n") {
					if strings.Contains(l, "level=ERROR") && strings.Contains(l, host) && strings.Contains(l, cure) {
						return true
					}
				}
				return false
			})
			if got := log.String(); strings.Contains(got, "elasticsearch does not answer") {
				t.Errorf("log:\n%s", got)
			}
			w.produce(10, 0)
			r.stop()
			if got := w.committed(); got[0] > 0 || len(w.letters()) > 0 {
				t.Errorf("committed %v, %d dead letters", got, len(w.letters()))
			}
		})
	}
	serve := func(w *world, s *httptest.Server) string {
		w.t.Cleanup(s.Close)
		return s.URL
	}
	answer := func(status int, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.WriteHeader(status)
			io.WriteString(w, body)
		})
	}
	plain := func(status int, body string) func(*world, *config.Output) string {
		return func(w *world, o *config.Output) string {
			o.Elasticsearch.Hosts = []string{serve(w, httptest.NewServer(answer(status, body)))}
			return o.Elasticsearch.Hosts[0]
		}
	}
	quiet := func(h http.Handler) *httptest.Server {
		s := httptest.NewUnstartedServer(h)
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		s.StartTLS()
		return s
	}
	f("401 of Elasticsearch", "check the API key", plain(401, `{"error":{"type":"security_exception","reason":"missing authentication credentials"},"status":401}`))
	f("401 of a proxy", "check the API key", plain(401, "<html>no"))
	f("401 of OpenSearch's plugin", "check the API key", plain(401, "Unauthorized"))
	f("a web server", "check hosts", plain(200, "<html>It works!</html>"))
	f("JSON of another program", "check hosts", plain(200, `{"status":"ok"}`))
	f("404", "check hosts", plain(404, "404 page not found"))
	f("a redirect", "check hosts", plain(302, ""))
	f("an unknown authority", "ca_file", func(w *world, o *config.Output) string {
		o.Elasticsearch.Hosts, o.Elasticsearch.TLS.Enabled = []string{serve(w, quiet(w.es))}, true
		return o.Elasticsearch.Hosts[0]
	})
	f("TLS to a server without", "tls.enabled: false", func(w *world, o *config.Output) string {
		o.Elasticsearch.Hosts, o.Elasticsearch.TLS.Enabled = []string{strings.Replace(w.es.URL, "http:", "https:", 1)}, true
		return o.Elasticsearch.Hosts[0]
	})
	f("no TLS to a server with it", "tls.enabled: true", func(w *world, o *config.Output) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		w.t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					_ = tls.Server(c, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, io.EOF }}).Handshake()
					io.WriteString(c, "\x15\x03\x01\x00\x02\x02\x50") // as servers do that are no Go: an alert
				}()
			}
		}()
		o.Elasticsearch.Hosts = []string{"http://" + l.Addr().String()}
		return o.Elasticsearch.Hosts[0]
	})
	f("a client certificate is wanted", "cert_file", func(w *world, o *config.Output) string {
		s := httptest.NewUnstartedServer(w.es)
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
		s.StartTLS()
		o.Elasticsearch.Hosts, o.Elasticsearch.TLS = []string{serve(w, s)}, config.TLS{Enabled: true, InsecureSkipVerify: true}
		return o.Elasticsearch.Hosts[0]
	})
}

// logBook is what was logged.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

// Write implements io.Writer.
func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String is all of it.
func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
