package kafka

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"
	gometrics "github.com/rcrowley/go-metrics"

	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/internal/retry"
	"github.com/sluicelog/sluice/internal/tlsconf"
)

// protocol is the newest protocol spoken. Requests are narrowed to what each broker
// says it understands, so that older brokers (from 2.4 on) work as well.
var protocol = sarama.V3_6_0_0

func init() {
	// sarama counts into this registry whether anybody reads it or not: a dozen
	// moving averages a request and a goroutine that ages them. Ours are in metrics.go.
	gometrics.UseNilMetrics = true
}

// timing holds the waits of a cluster's clients.
type timing struct {
	dial    time.Duration // to connect
	answer  time.Duration // of a broker to one request; a silent connection is dropped after it
	ack     time.Duration // of the replicas, asked of the broker
	backoff retry.Backoff
	refresh time.Duration // metadata are read again this often
	touch   time.Duration // an idle lane commits again; 0: laneTouch

	reach func(ctx context.Context, network, addr string) (net.Conn, error) // instead of the network; nil: the network
}

func (c *Cluster) waits() timing {
	if c.timing != nil {
		return *c.timing
	}
	return timing{
		dial:    5 * time.Second,
		answer:  30 * time.Second,
		ack:     10 * time.Second,
		backoff: retry.Backoff{First: 50 * time.Millisecond, Longest: 5 * time.Second},
		refresh: 30 * time.Second,
	}
}

func (c *Cluster) log() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log.With("cluster", c.Name)
}

func (c *Cluster) registry() *metrics.Registry {
	if c.Metrics == nil {
		return metrics.New("none", "none")
	}
	return c.Metrics
}

// sarama is the configuration of a client of this cluster whose connections are
// made by d. What a group sets besides is in group.go.
func (c *Cluster) sarama(d *dialer) (*sarama.Config, error) {
	if len(c.Config.Brokers) == 0 {
		return nil, fmt.Errorf("kafka.%s.brokers: none given", c.Name)
	}
	w := c.waits()
	conf := sarama.NewConfig()
	conf.ClientID = c.Config.ClientID
	if conf.ClientID == "" {
		conf.ClientID = "sluice"
	}
	conf.RackID = c.Config.Rack
	conf.Version = protocol
	conf.Net.DialTimeout = w.dial
	conf.Net.ReadTimeout = w.answer
	conf.Net.WriteTimeout = w.answer
	conf.Net.MaxOpenRequests = 2 * linkRequests // ours is the limit that is reached
	conf.Net.Proxy.Enable = true
	conf.Net.Proxy.Dialer = d
	conf.Metadata.RefreshFrequency = w.refresh
	conf.Metadata.AllowAutoTopicCreation = false
	if err := c.secure(conf, d); err != nil {
		return nil, err
	}
	if err := conf.Validate(); err != nil {
		return nil, fmt.Errorf("kafka.%s: %w", c.Name, err)
	}
	return conf, nil
}

// dialer makes the connections of one client, so that they can all be cut at once:
// sarama's own Close waits for answers, which a broker that is gone never gives.
type dialer struct {
	ctx    context.Context
	cancel context.CancelFunc
	reach  func(ctx context.Context, network, addr string) (net.Conn, error)
	answer time.Duration   // for a handshake
	tls    *tlsconf.Client // nil: none; set before the first connection

	mu    sync.Mutex
	conns map[*conn]struct{} // open ones
}

func newDialer(ctx context.Context, w timing) *dialer {
	d := &dialer{reach: w.reach, answer: w.answer, conns: map[*conn]struct{}{}}
	if d.reach == nil {
		d.reach = (&net.Dialer{Timeout: w.dial, KeepAlive: 30 * time.Second}).DialContext
	}
	d.ctx, d.cancel = context.WithCancel(ctx)
	return d
}

// Dial is what sarama calls. What it returns is ready for use: TLS is spoken already.
func (d *dialer) Dial(network, addr string) (net.Conn, error) {
	nc, err := d.reach(d.ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, dialer: d}
	if err := d.keep(c); err != nil {
		_ = nc.Close()
		return nil, err
	}
	if d.tls == nil {
		return c, nil
	}
	secured, err := d.handshake(c, addr)
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return secured, nil
}

// keep makes Close cut the connection.
func (d *dialer) keep(c *conn) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.ctx.Err(); err != nil {
		return err
	}
	d.conns[c] = struct{}{}
	return nil
}

// handshake makes sure that the broker is the one of the address.
func (d *dialer) handshake(c net.Conn, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	conf, err := d.tls.For(host)
	if err != nil {
		return nil, fmt.Errorf("TLS with %s: %w", addr, err)
	}
	ctx, cancel := context.WithTimeout(d.ctx, d.answer)
	defer cancel()
	secured := tls.Client(c, conf)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS with %s as %s: %w", addr, conf.ServerName, err)
	}
	return secured, nil
}

// Close cuts every connection and allows no new one.
func (d *dialer) Close() {
	d.cancel()
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.conns {
		_ = c.Conn.Close()
	}
}

type conn struct {
	net.Conn
	dialer *dialer
}

// PlainConn is the connection below, for writing several buffers at once.
func (c *conn) PlainConn() net.Conn { return c.Conn }

func (c *conn) Close() error {
	c.dialer.mu.Lock()
	delete(c.dialer.conns, c)
	c.dialer.mu.Unlock()
	return c.Conn.Close()
}

// LogTo sends what sarama has to say to a logger, at debug level; at other levels it
// costs nothing. It is for main to call before any client is made: sarama has one
// logger for all of them.
func LogTo(log *slog.Logger) {
	if log.Enabled(context.Background(), slog.LevelDebug) {
		sarama.Logger, sarama.DebugLogger = saramaLog{log}, saramaLog{log}
	}
}

type saramaLog struct{ log *slog.Logger }

func (l saramaLog) Print(v ...any)                 { l.debug(fmt.Sprint(v...)) }
func (l saramaLog) Println(v ...any)               { l.debug(fmt.Sprintln(v...)) }
func (l saramaLog) Printf(format string, v ...any) { l.debug(fmt.Sprintf(format, v...)) }

func (l saramaLog) debug(text string) { l.log.Debug("sarama", "text", strings.TrimSpace(text)) }
