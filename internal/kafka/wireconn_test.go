package kafka

import (
	"sync/atomic"
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

// Logins end every now and then, and nobody notices: connections are replaced before, what
// is under way on them is answered.
func TestLoginsEnd(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(2), kfake.SeedTopics(4, "logs"), kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "p"),
		kfake.BrokerConfigs(map[string]string{"connections.max.reauth.ms": "1000"}))
	var logins atomic.Int64
	k.ControlKey(int16(kmsg.SASLAuthenticate), func(kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		logins.Add(1)
		return nil, nil, false
	})
	c := clusterAt(t, k.ListenAddrs()...)
	c.Config.SASL = config.SASL{Mechanism: "plain", Username: "u", Password: "p"}
	s := newSink(t)
	p := newTestProducer(t, c, produceOptions(), s)
	f := newFeeder(t, p)
	v := newViewer(t)
	_, leave := join(t, c, groupOptions("logs"), v)
	fed := 0
	feed := func() {
		for i := range int32(4) {
			f.add("logs", i, 100)
			fed++
		}
	}
	feed()
	eventually(t, "the first records", func() bool { return v.count() == fed })
	connected, first := value(t, c, "sluice_kafka_wire_requests_total"), logins.Load()
	eventually(t, "many logins", func() bool { feed(); return logins.Load() >= first+12 })
	drain(t, p)
	eventually(t, "all records", func() bool { return v.count() == fed })
	leave()
	p.Close()
	if acked, refused := s.counts(); acked != fed || refused > 0 || value(t, c, "sluice_kafka_wire_requests_total") <= connected {
		t.Errorf("%d of %d acknowledged, %d refused", acked, fed, refused)
	}
	for _, m := range []string{"sluice_kafka_produce_retries_total", "sluice_kafka_group_errors_total"} {
		if n := value(t, c, m); n > 0 {
			t.Errorf("%s is %v", m, n)
		}
	}
}

// A broker that wants a pause, by its answers to fetches, gets it.
func TestFetchIsThrottled(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	produce(t, k.ListenAddrs(), "logs", 0, numbered(0, 10, 50))
	set := rawFetch(t, c, k.ListenAddrs()[0], "logs")
	var pauses atomic.Int64
	k.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		r := req.(*kmsg.FetchRequest)
		if r.MinBytes == 1 || r.Topics[0].Partitions[0].FetchOffset > 0 { // sarama's, or the later ones
			return nil, nil, false
		}
		sp := kmsg.NewFetchResponseTopicPartition()
		sp.HighWatermark, sp.LastStableOffset, sp.PreferredReadReplica = 10, 10, -1
		if pauses.Add(1) == 4 {
			sp.RecordBatches = set
		}
		st := kmsg.NewFetchResponseTopic()
		st.Topic, st.TopicID = r.Topics[0].Topic, r.Topics[0].TopicID
		st.Partitions = append(st.Partitions, sp)
		resp := r.ResponseKind().(*kmsg.FetchResponse)
		resp.ThrottleMillis, resp.Topics = 100, append(resp.Topics, st)
		return resp, nil, true
	})
	v := newViewer(t)
	_, leave := join(t, c, groupOptions("logs"), v)
	eventually(t, "the records", func() bool { return v.count() == 10 })
	leave()
	if waited := value(t, c, "sluice_kafka_wire_throttled_seconds_total"); waited <= 0 || waited > 0.5 {
		t.Errorf("waited %v s, want up to 100 ms three or four times", waited)
	}
}
