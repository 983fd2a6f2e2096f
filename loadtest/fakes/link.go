package fakes

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Link is the network between a stage and a server, which can be cut, slowed or left
// half open. It is a toxiproxy in this process. It is for one goroutine.
type Link struct {
	Addr  string // where the stage dials
	proxy *toxiproxy.Proxy
}

var toxics = toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())

// NewLink listens on addr and hands connections on to upstream.
func NewLink(name, addr, upstream string) (*Link, error) {
	l := &Link{Addr: addr, proxy: toxiproxy.NewProxy(toxics, name, addr, upstream)}
	if err := l.proxy.Start(); err != nil {
		return nil, fmt.Errorf("listen for link %s: %w", name, err)
	}
	l.Addr = l.proxy.Listen
	return l, nil
}

// Cut ends all connections and refuses new ones.
func (l *Link) Cut() { l.proxy.Stop() }

// Mend undoes everything.
func (l *Link) Mend() error {
	l.proxy.Toxics.ResetToxics(context.Background())
	if l.proxy.Enabled {
		return nil
	}
	return l.proxy.Start()
}

// Delay makes each way take so much longer, give or take jitter.
func (l *Link) Delay(d, jitter time.Duration) error {
	return l.both("latency", map[string]int64{"latency": d.Milliseconds(), "jitter": jitter.Milliseconds()})
}

// HalfOpen keeps all connections and accepts new ones, but nothing comes through any
// more, in either direction: a firewall that forgot them.
func (l *Link) HalfOpen() error { return l.both("timeout", map[string]int64{"timeout": 0}) }

// Narrow lets so many bytes a second through each way.
func (l *Link) Narrow(bytes int64) error {
	return l.both("bandwidth", map[string]int64{"rate": max(1, bytes>>10)})
}

func (l *Link) both(kind string, attributes map[string]int64) error {
	for _, stream := range []string{"upstream", "downstream"} {
		text, err := json.Marshal(map[string]any{"name": kind + stream, "type": kind, "stream": stream, "attributes": attributes})
		if err != nil {
			return err
		}
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(string(text))); err != nil {
			return fmt.Errorf("%s on link %s: %w", kind, l.proxy.Name, err)
		}
	}
	return nil
}

// Close ends all connections.
func (l *Link) Close() { l.proxy.Stop() }
