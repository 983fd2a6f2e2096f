package kafka

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sluicelog/sluice/config"
)

// authority makes certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t}
	a.cert, a.key, a.pem = a.issue(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue signs a certificate, with its own key if there is no authority yet.
func (a *authority) issue(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.Subject = pkix.Name{CommonName: "sluice test"}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return out, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func (a *authority) leaf() (cert, key []byte) {
	return a.leafOf([]string{"kafka.test"}, net.IPv4(127, 0, 0, 1))
}

func (a *authority) leafOf(names []string, ips ...net.IP) (cert, key []byte) {
	_, k, cert := a.issue(&x509.Certificate{
		IPAddresses: ips, DNSNames: names,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	der, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

func (a *authority) server() *tls.Config {
	conf := a.serverAs(a.leaf())
	conf.ClientAuth = tls.RequireAndVerifyClientCert
	return conf
}

func (a *authority) serverAs(cert, key []byte) *tls.Config {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		a.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool}
}

func write(t testing.TB, dir, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Over TLS with a client certificate, the authority and the certificate are read
// again when they change; a server that cannot prove who it is gets nothing.
func TestTLS(t *testing.T) {
	t.Parallel()
	a, stranger := newAuthority(t), newAuthority(t)
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"), kfake.TLS(a.server()))
	dir := t.TempDir()
	cert, key := stranger.leaf()
	c := clusterAt(t, k.ListenAddrs()...)
	c.Config.TLS = config.TLS{Enabled: true, CAFile: write(t, dir, "ca.pem", stranger.pem), CertFile: write(t, dir, "cert.pem", cert), KeyFile: write(t, dir, "key.pem", key)}
	p := newTestProducer(t, c, produceOptions(), nil)
	f := newFeeder(t, p)
	for range 100 {
		f.add("logs", 0, 100)
	}
	told := func(what string) func() bool {
		return func() bool {
			_, err := c.Health.Down()
			return err != nil && strings.Contains(err.Error(), what)
		}
	}
	eventually(t, "the server is not trusted", told("unknown authority"))
	write(t, dir, "ca.pem", a.pem)
	eventually(t, "the server does not trust us", told("tls"))
	cert, key = a.leaf()
	write(t, dir, "key.pem", key)
	write(t, dir, "cert.pem", cert)
	drain(t, p)

	c.Config.TLS.ServerName = "other.test"
	other := newTestProducer(t, c, produceOptions(), nil)
	newFeeder(t, other).add("logs", 0, 10)
	eventually(t, "the server has another name", told("other.test"))
	other.Close()

	c.Config.TLS.ServerName = "kafka.test"
	r := newRecorder(t)
	_, leave := join(t, c, groupOptions("logs"), r)
	eventually(t, "the records", func() bool { return r.seen() == 100 })
	leave()
}

// A server has to have the name or the address that it is reached by, or the one that
// server_name gives instead.
func TestNameOfServer(t *testing.T) {
	t.Parallel()
	a, dir := newAuthority(t), t.TempDir()
	ca := write(t, dir, "ca.pem", a.pem)
	server := func(names []string, ips ...net.IP) string {
		k := fake(t, kfake.NumBrokers(1), kfake.TLS(a.serverAs(a.leafOf(names, ips...))))
		return k.ListenAddrs()[0]
	}
	local, other := net.IPv4(127, 0, 0, 1), net.IPv4(10, 0, 0, 1)
	f := func(addr, name, want string) {
		t.Helper()
		c := clusterAt(t, addr)
		c.Config.TLS = config.TLS{Enabled: true, CAFile: ca, ServerName: name}
		d := newDialer(t.Context(), c.waits())
		defer d.Close()
		if _, err := c.sarama(d); err != nil {
			t.Fatal(err)
		}
		nc, err := d.Dial("tcp", addr)
		if err == nil {
			defer nc.Close()
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("server_name %q: %v, want %q", name, err, want)
		}
	}
	named := server([]string{"kafka.test"})
	f(named, "", "as 127.0.0.1: ")
	f(named, "kafka.test", "")
	f(named, "other.test", "as other.test: ")
	f(named, "127.0.0.1", "as 127.0.0.1: ")
	numbered := server(nil, local)
	f(numbered, "", "")
	f(numbered, "10.0.0.1", "as 10.0.0.1: ")
	f(numbered, "kafka.test", "as kafka.test: ")
	elsewhere := server([]string{"kafka.test"}, other)
	f(elsewhere, "", "as 127.0.0.1: ")
	f(elsewhere, "10.0.0.1", "")
}

const saslSecret = "not-for-logs"

// Each mechanism lets the right one in; a wrong password is told without the password
// and tried on.
func TestSASL(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"), kfake.EnableSASL(),
		kfake.Superuser("PLAIN", "u", saslSecret), kfake.Superuser("SCRAM-SHA-256", "u", saslSecret), kfake.Superuser("SCRAM-SHA-512", "u", saslSecret))
	for _, m := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		c := clusterAt(t, k.ListenAddrs()...)
		c.Config.SASL = config.SASL{Mechanism: m, Username: "u", Password: saslSecret}
		p := newTestProducer(t, c, produceOptions(), nil)
		newFeeder(t, p).add("logs", 0, 10)
		drain(t, p)

		c.Config.SASL.Password = config.Secret("wrong-" + saslSecret)
		wrong := newTestProducer(t, c, produceOptions(), nil)
		newFeeder(t, wrong).add("logs", 0, 10)
		eventually(t, m+" tells of a wrong password", func() bool { _, err := c.Health.Down(); return err != nil })
		if _, err := c.Health.Down(); strings.Contains(err.Error(), saslSecret) {
			t.Errorf("%s: error holds the password: %v", m, err)
		}
		wrong.Close()
	}
}

func TestTokenFile(t *testing.T) {
	dir := t.TempDir()
	conf := sarama.NewConfig()
	path := write(t, dir, "token", []byte("first\n"))
	if err := authenticate(conf, config.SASL{Mechanism: "oauthbearer", TokenFile: path}); err != nil {
		t.Fatal(err)
	}
	f := func(want string) {
		t.Helper()
		got, err := conf.Net.SASL.TokenProvider.Token()
		if err != nil || got.Token != want {
			t.Errorf("token = %v, %v, want %s", got, err, want)
		}
	}
	f("first")
	write(t, dir, "token", []byte(" second "))
	f("second")
	write(t, dir, "token", nil)
	if _, err := conf.Net.SASL.TokenProvider.Token(); err == nil {
		t.Error("an empty token file is no error")
	}
	if err := conf.Validate(); err != nil {
		t.Error(err)
	}
}

// A wrong configuration is an error at the start that names the key.
func TestWrongConfiguration(t *testing.T) {
	dir := t.TempDir()
	junk := write(t, dir, "junk.pem", []byte("junk"))
	f := func(want string, set func(*Cluster, *ProducerOptions)) {
		t.Helper()
		c, o := clusterAt(t, "127.0.0.1:1"), produceOptions()
		c.Config.SASL.Password = "hush-hush"
		set(c, &o)
		p, err := NewProducer(t.Context(), c, o)
		if err == nil {
			p.Close()
			t.Fatalf("no error, want one with %q", want)
		}
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush-hush") {
			t.Errorf("error %q, want one with %q", err, want)
		}
	}
	f("kafka.test.brokers", func(c *Cluster, o *ProducerOptions) { c.Config.Brokers = nil })
	f("kafka.test.tls.ca_file", func(c *Cluster, o *ProducerOptions) { c.Config.TLS = config.TLS{Enabled: true, CAFile: junk} })
	f("kafka.test.tls.cert_file", func(c *Cluster, o *ProducerOptions) { c.Config.TLS = config.TLS{Enabled: true, CertFile: junk} })
	f("kafka.test.tls.cert_file", func(c *Cluster, o *ProducerOptions) {
		c.Config.TLS = config.TLS{Enabled: true, CertFile: junk, KeyFile: junk}
	})
	f("kafka.test.sasl.mechanism", func(c *Cluster, o *ProducerOptions) { c.Config.SASL.Mechanism = "gssapi" })
	f("kafka.test.sasl.username", func(c *Cluster, o *ProducerOptions) { c.Config.SASL.Mechanism = "plain" })
	f("kafka.test.sasl.password", func(c *Cluster, o *ProducerOptions) {
		c.Config.SASL = config.SASL{Mechanism: "scram-sha-512", Username: "u"}
	})
	f("kafka.test.sasl.token_file", func(c *Cluster, o *ProducerOptions) { c.Config.SASL.Mechanism = "oauthbearer" })
	f("compression", func(c *Cluster, o *ProducerOptions) { o.Compression = "lzma" })
	f("buffer", func(c *Cluster, o *ProducerOptions) { o.Buffer = 0 })

	if _, err := NewGroup(clusterAt(t, "127.0.0.1:1"), groupOptions("^("), newRecorder(t)); err == nil {
		t.Error("a topic that is no regular expression is no error")
	}
}

const saramaLogEnv = "SLUICE_TEST_SARAMA_LOG"

func init() {
	if os.Getenv(saramaLogEnv) != "" {
		LogTo(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})))
	}
}

// What sarama says goes to our log, and holds neither passwords nor tokens. It is
// TestSASL once more in a process of its own, since sarama has one logger for all.
func TestSaramaLogHoldsNoSecret(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^TestSASL$")
	cmd.Env = append(os.Environ(), saramaLogEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	for _, want := range []string{"level=DEBUG msg=sarama", "SASL authentication succeeded"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%s is not in what sarama said:\n%s", want, out)
		}
	}
	for _, secret := range []string{saslSecret, base64.StdEncoding.EncodeToString([]byte(saslSecret)), fmt.Sprintf("%x", saslSecret)} {
		if strings.Contains(string(out), secret) {
			t.Errorf("sarama's log holds %s", secret)
		}
	}
}
