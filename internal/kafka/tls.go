package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/sluicelog/sluice/config"
)

// secure sets what the cluster's tls and sasl keys ask for. Errors name the key and
// never hold a secret.
func (c *Cluster) secure(conf *sarama.Config) error {
	if t := c.Config.TLS; t.Enabled {
		tc, err := clientTLS(t)
		if err != nil {
			return fmt.Errorf("kafka.%s.tls.%w", c.Name, err)
		}
		conf.Net.TLS.Enable, conf.Net.TLS.Config = true, tc
	}
	if err := authenticate(conf, c.Config.SASL); err != nil {
		return fmt.Errorf("kafka.%s.sasl.%w", c.Name, err)
	}
	return nil
}

// clientTLS reads the files once, so that a mistake shows at the start, and again for
// a later connection when they have changed.
func clientTLS(t config.TLS) (*tls.Config, error) {
	tc := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if (t.CertFile == "") != (t.KeyFile == "") {
		return nil, errors.New("cert_file: a certificate needs a key and the other way round")
	}
	if t.CertFile != "" {
		cert := newReloaded(func() (*tls.Certificate, error) {
			c, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
			return &c, err
		}, t.CertFile, t.KeyFile)
		if _, err := cert.get(); err != nil {
			return nil, fmt.Errorf("cert_file: %w", err)
		}
		tc.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert.get() }
	}
	switch {
	case t.InsecureSkipVerify:
		tc.InsecureSkipVerify = true
	case t.CAFile != "":
		roots := newReloaded(func() (*x509.CertPool, error) { return readPool(t.CAFile) }, t.CAFile)
		if _, err := roots.get(); err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		// crypto/tls takes fixed roots only: with these it is told to skip its own
		// check, and ours is the same one with the roots of now.
		tc.InsecureSkipVerify = true
		tc.VerifyConnection = func(s tls.ConnectionState) error {
			pool, err := roots.get()
			if err != nil {
				return err
			}
			return verify(s, pool)
		}
	}
	return tc, nil
}

func readPool(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", file)
	}
	return pool, nil
}

func verify(s tls.ConnectionState, roots *x509.CertPool) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("server has no certificate")
	}
	o := x509.VerifyOptions{Roots: roots, DNSName: s.ServerName, Intermediates: x509.NewCertPool()}
	for _, c := range s.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := s.PeerCertificates[0].Verify(o)
	return err
}

// reloaded is what was read from files, read again when one has another time or size.
// While it cannot be read, what was read last is used.
type reloaded[T any] struct {
	read  func() (T, error)
	files []string

	mu    sync.Mutex
	have  bool
	value T
	stamp string
}

func newReloaded[T any](read func() (T, error), files ...string) *reloaded[T] {
	return &reloaded[T]{read: read, files: files}
}

func (r *reloaded[T]) get() (T, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var stamp string
	for _, f := range r.files {
		if fi, err := os.Stat(f); err == nil {
			stamp += fmt.Sprint(fi.ModTime().Format(time.RFC3339Nano), fi.Size(), ";")
		}
	}
	if r.have && stamp == r.stamp {
		return r.value, nil
	}
	v, err := r.read()
	if err != nil {
		if r.have {
			return r.value, nil
		}
		return v, err
	}
	r.value, r.stamp, r.have = v, stamp, true
	return v, nil
}
