package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicelog/sluice/config"
)

// Frames of our own are answered on a connection that sarama has secured and logged in,
// and it is replaced before its login ends.
func TestWireConnectionBySarama(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(3, "logs"), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "u", "p"),
		kfake.TLS(a.serverAs(a.leaf())), kfake.BrokerConfigs(map[string]string{"connections.max.reauth.ms": "4000"}))
	c := clusterAt(t, k.ListenAddrs()...)
	c.Config.TLS = config.TLS{Enabled: true, CAFile: write(t, t.TempDir(), "ca.pem", a.pem)}
	c.Config.SASL = config.SASL{Mechanism: "scram-sha-256", Username: "u", Password: "p"}
	d := newDialer(t.Context(), c.waits())
	defer d.Close()
	conf, err := c.sarama(d)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := c.dialWire(conf, k.ListenAddrs()[0], 4)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if conn.Highest(1) < 12 || conn.Worn() {
		t.Fatalf("fetch up to version %d, worn %v", conn.Highest(1), conn.Worn())
	}
	for range 3 {
		req, resp := kmsg.NewPtrMetadataRequest(), kmsg.NewPtrMetadataResponse()
		req.Version = 9
		if err := conn.Call(t.Context(), req, resp); err != nil || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 3 {
			t.Fatalf("metadata: %v, %v", err, resp.Topics)
		}
	}
	if sent, received := value(t, c, "sluice_kafka_wire_sent_bytes_total"), value(t, c, "sluice_kafka_wire_received_bytes_total"); sent == 0 || received <= sent {
		t.Errorf("sent %v bytes, received %v", sent, received)
	}
	eventually(t, "the connection is worn", conn.Worn)
	if err := conn.Err(); err != nil {
		t.Errorf("it is dead as well: %v", err)
	}
	conn.Retire()
	if conn.Err() == nil {
		t.Error("retired and not closed")
	}
}
