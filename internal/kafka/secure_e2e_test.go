//go:build linux && e2e

package kafka

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/test/servers"
)

// One node of Kafka with listeners for SCRAM over TLS and for OAuth tokens, and with an
// authorizer that knows who asks.
func TestRealSecuredKafka(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.leaf()
	k := realKafka(t, servers.KafkaOptions{
		Heap:       "384m",
		Listeners:  map[string]string{"SECURE": "SASL_SSL", "TOKEN": "SASL_PLAINTEXT"},
		TLS:        map[string]servers.Keys{"SECURE": {Certificate: cert, Key: pkcs8(t, key), Authority: a.pem}},
		Authorizer: true,
		Properties: []string{
			"auto.create.topics.enable=false",
			"listener.name.secure.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512",
			"listener.name.secure.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;",
			"listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;",
			"listener.name.token.sasl.enabled.mechanisms=OAUTHBEARER",
			`listener.name.token.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`,
			"listener.name.token.oauthbearer.sasl.server.callback.handler.class=" +
				"org.apache.kafka.common.security.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler",
		},
		SCRAM: []string{"SCRAM-SHA-256=[name=u,password=p256]", "SCRAM-SHA-512=[name=u,password=p512]"},
	})
	admin := realCluster(t, k.Brokers)
	dir := t.TempDir()
	files := config.TLS{Enabled: true, CAFile: write(t, dir, "ca.pem", a.pem), CertFile: write(t, dir, "c.pem", cert), KeyFile: write(t, dir, "k.pem", key)}
	scram := func(mechanism string, password config.Secret) *Cluster {
		c := realCluster(t, k.Listeners["SECURE"])
		c.Config.TLS, c.Config.SASL = files, config.SASL{Mechanism: mechanism, Username: "u", Password: password}
		return c
	}
	topic := func(name string, partitions int32) {
		t.Helper()
		if err := EnsureTopic(t.Context(), admin, name, partitions, 1); err != nil {
			t.Fatal(err)
		}
	}
	told := func(c *Cluster, what string) func() bool {
		return func() bool {
			_, err := c.Health.Down()
			return err != nil && strings.Contains(err.Error(), what)
		}
	}
	feed := func(f *feeder, topic string, n int) {
		for range n {
			f.add(topic, 0, 100)
		}
	}

	t.Run("scram over tls", func(t *testing.T) {
		for mechanism, password := range map[string]config.Secret{"scram-sha-256": "p256", "scram-sha-512": "p512"} {
			c := scram(mechanism, password)
			topic("logs-"+mechanism, 1)
			p := newTestProducer(t, c, produceOptions(), nil)
			feed(newFeeder(t, p), "logs-"+mechanism, 100)
			longDrain(t, p)
			r := newRecorder(t)
			_, leave := join(t, c, groupOptions("logs-"+mechanism), r)
			soon(t, "the records", func() bool { return r.seen() == 100 })
			leave()
		}
	})

	// Neither the other topic nor the connection suffers, and what waited arrives once it may.
	t.Run("one topic is denied", func(t *testing.T) {
		topic("open", 1)
		topic("closed", 1)
		c, s := scram("scram-sha-512", "p512"), newSink(t)
		p := newTestProducer(t, c, produceOptions(), s)
		f := newFeeder(t, p)
		feed(f, "closed", 100)
		longDrain(t, p)
		allow(t, k.Brokers, "closed", "other") // and nobody else
		soon(t, "the denial", func() bool {
			feed(f, "closed", 10)
			feed(f, "open", 10)
			time.Sleep(20 * time.Millisecond)
			return told(c, "authorized")()
		})
		n, _ := s.counts()
		feed(f, "open", 1000)
		soon(t, "the topic that is allowed", func() bool { a, _ := s.counts(); return a >= n+1000 })
		if !told(c, "closed")() {
			_, err := c.Health.Down()
			t.Errorf("health = %v, want the denied topic named", err)
		}
		allow(t, k.Brokers, "closed", "u")
		longDrain(t, p)
		if acked, refused := s.counts(); refused != 0 || int64(acked) != f.next["open/0"]+f.next["closed/0"] {
			t.Errorf("acked %d, refused %d, want %d, 0", acked, refused, f.next["open/0"]+f.next["closed/0"])
		}
		f.wantStored(k.Brokers)
	})

	t.Run("certificates are replaced", func(t *testing.T) {
		topic("certs", 1)
		c, s := scram("scram-sha-256", "p256"), newSink(t)
		p := newTestProducer(t, c, produceOptions(), s)
		f := newFeeder(t, p)
		feed(f, "certs", 100)
		longDrain(t, p)
		young := newAuthority(t)
		cert, key := young.leaf()
		settings, err := k.Replace(t.Context(), 0, "SECURE", servers.Keys{Certificate: cert, Key: pkcs8(t, key), Authority: young.pem})
		if err != nil {
			t.Fatal(err)
		}
		alterBroker(t, k.Brokers, settings)
		feed(f, "certs", 100) // on the connection that there is
		longDrain(t, p)
		if err := k.Nodes[0].Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		feed(f, "certs", 100)
		soon(t, "the server is not trusted", told(c, "unknown authority"))
		cert, key = young.leaf()
		write(t, dir, "ca.pem", young.pem)
		soon(t, "the server does not trust us", told(c, "tls"))
		write(t, dir, "k.pem", key)
		write(t, dir, "c.pem", cert)
		longDrain(t, p)
		if acked, refused := s.counts(); acked != 300 || refused != 0 {
			t.Errorf("acked %d, refused %d, want 300, 0", acked, refused)
		}
		f.wantStored(k.Brokers)
	})

	t.Run("oauth token is replaced", func(t *testing.T) {
		topic("token", 1)
		topic("others", 1)
		allow(t, k.Brokers, "others", "nobody")
		c := realCluster(t, k.Listeners["TOKEN"])
		token := filepath.Join(dir, "token")
		write(t, dir, "token", unsecured("u", time.Now().Add(-time.Minute)))
		c.Config.SASL = config.SASL{Mechanism: "oauthbearer", TokenFile: token}
		p := newTestProducer(t, c, produceOptions(), nil)
		f := newFeeder(t, p)
		feed(f, "token", 100)
		soon(t, "the token has expired", func() bool { _, err := c.Health.Down(); return err != nil })
		if _, err := c.Health.Down(); strings.Contains(err.Error(), "eyJ") {
			t.Errorf("health = %v, holds the token", err)
		}
		write(t, dir, "token", unsecured("u", time.Now().Add(time.Hour)))
		longDrain(t, p)
		f.wantStored(k.Brokers)
		feed(f, "others", 1) // u is known as such
		soon(t, "the denial", told(c, "authorized"))
		write(t, dir, "token", unsecured("nobody", time.Now().Add(time.Hour)))
		if err := k.Nodes[0].Restart(t.Context()); err != nil { // cuts the connections
			t.Fatal(err)
		}
		longDrain(t, p) // as another user
		f.wantStored(k.Brokers)
	})

	// What is promised: nothing hangs and no other topic suffers. What the old topic held
	// is gone with it; what had no callback yet, and all that comes after, is stored in the
	// new one, once and in order.
	t.Run("a topic is deleted and created anew", func(t *testing.T) {
		topic("anew", 2)
		topic("stays", 2)
		s := newSink(t)
		p := newTestProducer(t, admin, produceOptions(), s)
		f := newFeeder(t, p)
		feed := func(n int) {
			for range n {
				for i := range int32(2) {
					f.add("anew", i, 100)
					f.add("stays", i, 100)
				}
				time.Sleep(time.Millisecond)
			}
		}
		stays := func() int64 {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.last["stays/0"] + s.last["stays/1"]
		}
		feed(500)
		deleteTopic(t, k.Brokers, "anew")
		s.mu.Lock()
		acked := []int64{s.last["anew/0"], s.last["anew/1"]}
		delete(s.offsets, "anew/0")
		delete(s.offsets, "anew/1")
		s.mu.Unlock()
		feed(500)
		soon(t, "the other topic", func() bool { return stays() == 2000 })
		soon(t, "the loss is told", told(admin, "anew"))
		topic("anew", 2)
		feed(500)
		longDrain(t, p)
		if n, refused := s.counts(); n != 6000 || refused != 0 {
			t.Errorf("acked %d, refused %d, want 6000, 0", n, refused)
		}
		got := stored(t, k.Brokers, "anew")
		for i := range int32(2) {
			from := 1500 - int64(len(got[i]))
			if from < acked[i]-100 || from > 1000 {
				t.Errorf("partition %d holds the last %d of 1500, of which %d were acknowledged before", i, len(got[i]), acked[i])
			}
			for j, r := range got[i] {
				if n, _, _ := strings.Cut(string(r.Value), ":"); n != strconv.FormatInt(from+int64(j), 10) {
					t.Fatalf("partition %d: record %d is %s, want %d", i, j, n, from+int64(j))
				}
			}
		}
		delete(f.next, "anew/0")
		delete(f.next, "anew/1")
		f.wantStored(k.Brokers)
	})
}

// unsecured is a token that nobody has signed.
func unsecured(subject string, expires time.Time) []byte {
	enc := base64.RawURLEncoding
	claims := fmt.Sprintf(`{"sub":%q,"iat":%d,"exp":%d}`, subject, expires.Add(-2*time.Hour).Unix(), expires.Unix())
	return []byte(enc.EncodeToString([]byte(`{"alg":"none"}`)) + "." + enc.EncodeToString([]byte(claims)) + ".\n")
}

// request asks a broker something by a client that knows nothing of this package.
func request(t *testing.T, addrs []string, req kmsg.Request) kmsg.Response {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	resp, err := cl.Request(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// allow lets a user, beside those who are allowed already, do everything with a topic.
func allow(t *testing.T, addrs []string, topic, user string) {
	t.Helper()
	rule := kmsg.NewCreateACLsRequestCreation()
	rule.ResourceType, rule.ResourceName, rule.ResourcePatternType = kmsg.ACLResourceTypeTopic, topic, kmsg.ACLResourcePatternTypeLiteral
	rule.Principal, rule.Host, rule.Operation, rule.PermissionType = "User:"+user, "*", kmsg.ACLOperationAll, kmsg.ACLPermissionTypeAllow
	req := kmsg.NewPtrCreateACLsRequest()
	req.Creations = append(req.Creations, rule)
	if r := request(t, addrs, req).(*kmsg.CreateACLsResponse).Results[0]; r.ErrorCode != 0 {
		t.Fatalf("allow %s: %d", topic, r.ErrorCode)
	}
}

// alterBroker changes the configuration of node 1 while it runs.
func alterBroker(t *testing.T, addrs []string, values map[string]string) {
	t.Helper()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, "1"
	for name, value := range values {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Op, c.Value = name, kmsg.IncrementalAlterConfigOpSet, &value
		r.Configs = append(r.Configs, c)
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = append(req.Resources, r)
	if got := request(t, addrs, req).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]; got.ErrorCode != 0 {
		t.Fatalf("alter node 1: %d %v", got.ErrorCode, *got.ErrorMessage)
	}
}

// pkcs8 is the form in which Kafka reads keys.
func pkcs8(t *testing.T, key []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(key)
	k, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
