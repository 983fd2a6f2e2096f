package kafka

import (
	"net"

	"github.com/IBM/sarama"

	"github.com/sluicelog/sluice/internal/kafka/wire"
)

// dialWire makes a connection for frames of our own: sarama dials the broker, by our
// dialer with its TLS, negotiates and logs in, and then says nothing on it any more.
// Up to so many requests may be under way on it. Before a connection is Worn whoever
// uses it makes another and retires it.
func (c *Cluster) dialWire(conf *sarama.Config, addr string, requests int) (*wire.Conn, error) {
	hook := &takeover{dialer: conf.Net.Proxy.Dialer}
	own := *conf
	own.Net.Proxy.Dialer = hook
	b := sarama.NewBroker(addr)
	if err := connect(b, &own); err != nil {
		return nil, err
	}
	reg := c.registry()
	return hook.conn.Take(wire.Options{
		ClientID: conf.ClientID, Requests: requests, Answer: c.waits().answer, Close: func() { _ = b.Close() },
		Meter: wire.Meter{
			Requests: reg.Counter(wireRequests, c.Name), Sent: reg.Counter(wireSent, c.Name), Received: reg.Counter(wireReceived, c.Name),
			Throttled: reg.Counter(wireThrottled, c.Name),
		},
	}), nil
}

// takeover keeps the connection that sarama makes through it.
type takeover struct {
	dialer interface {
		Dial(network, addr string) (net.Conn, error)
	}
	conn *wire.Takeover // set by Dial, which sarama calls once
}

// Dial is what sarama calls.
func (t *takeover) Dial(network, addr string) (net.Conn, error) {
	nc, err := t.dialer.Dial(network, addr)
	if err != nil {
		return nil, err
	}
	t.conn = wire.NewTakeover(nc)
	return t.conn, nil
}
