package tlsconf

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/config"
)

// identity is a certificate that signs itself, in PEM, and its key.
func identity(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})
}

// serve starts a server that answers with the name its client's certificate has.
func serve(t *testing.T, cert, key []byte) *httptest.Server {
	t.Helper()
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if from := r.TLS.PeerCertificates; len(from) > 0 {
			_, _ = io.WriteString(w, from[0].DNSNames[0])
		}
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// put makes the file's time differ from before, however fast it follows.
func put(t *testing.T, path string, b []byte, at time.Time) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	conf := config.TLS{CAFile: filepath.Join(dir, "ca"), CertFile: filepath.Join(dir, "cert"), KeyFile: filepath.Join(dir, "key")}
	oldCert, oldKey := identity(t, "old.test")
	newCert, newKey := identity(t, "new.test")
	before, after := serve(t, oldCert, oldKey), serve(t, newCert, newKey)
	at := time.Now()
	put(t, conf.CAFile, oldCert, at)
	put(t, conf.CertFile, oldCert, at)
	put(t, conf.KeyFile, oldKey, at)
	c, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: c.RoundTripper(&http.Transport{})}
	f := func(s *httptest.Server, want, wantErr string) {
		t.Helper()
		res, err := client.Get(s.URL)
		if err != nil {
			if wantErr == "" || !strings.Contains(err.Error(), wantErr) {
				t.Errorf("error %v, want %q", err, wantErr)
			}
			return
		}
		got, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if string(got) != want || wantErr != "" {
			t.Errorf("the server saw %s, want %s and error %q", got, want, wantErr)
		}
	}
	f(before, "old.test", "")
	f(after, "", "unknown authority")
	put(t, conf.CAFile, newCert, at.Add(time.Second))
	f(after, "old.test", "")
	f(before, "", "unknown authority") // no connection of before is used again
	put(t, conf.CertFile, newCert, at.Add(time.Second))
	put(t, conf.KeyFile, newKey, at.Add(time.Second))
	client.CloseIdleConnections()
	f(after, "new.test", "")
	put(t, conf.CAFile, []byte("half a fi"), at.Add(2*time.Second)) // what was read last is used
	f(after, "new.test", "")
}

func TestNameOfServer(t *testing.T) {
	cert, key := identity(t, "es.test")
	s := serve(t, cert, key)
	ca := filepath.Join(t.TempDir(), "ca")
	put(t, ca, cert, time.Now())
	f := func(name, wantErr string) {
		t.Helper()
		c, err := New(config.TLS{CAFile: ca, ServerName: name})
		if err != nil {
			t.Fatal(err)
		}
		res, err := (&http.Client{Transport: c.RoundTripper(&http.Transport{})}).Get(s.URL)
		if err == nil {
			res.Body.Close()
		}
		if (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("server_name %q: %v, want %q", name, err, wantErr)
		}
	}
	f("", "")
	f("es.test", "")
	f("other.test", "other.test")
	f("127.0.0.2", "127.0.0.2")
}

func TestMistakesShowAtTheStart(t *testing.T) {
	dir := t.TempDir()
	junk, none := filepath.Join(dir, "junk"), filepath.Join(dir, "none")
	put(t, junk, []byte("junk"), time.Now())
	f := func(conf config.TLS, want ...string) {
		t.Helper()
		_, err := New(conf)
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%+v: %v, want %q", conf, err, w)
			}
		}
	}
	f(config.TLS{CAFile: junk}, "ca_file: ", junk)
	f(config.TLS{CAFile: none}, "ca_file: ", none)
	f(config.TLS{CertFile: junk}, "cert_file: ")
	f(config.TLS{KeyFile: junk}, "cert_file: ")
	f(config.TLS{CertFile: junk, KeyFile: junk}, "cert_file: ")
	if _, err := New(config.TLS{CAFile: junk, InsecureSkipVerify: true}); err != nil {
		t.Errorf("roots that nobody asks for: %v", err)
	}
}
