package kafka

import (
	"cmp"
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
func (c *Cluster) secure(conf *sarama.Config, d *dialer) error {
	if t := c.Config.TLS; t.Enabled {
		tc, err := clientTLS(t)
		if err != nil {
			return fmt.Errorf("kafka.%s.tls.%w", c.Name, err)
		}
		d.tls = tc
	}
	if err := authenticate(conf, c.Config.SASL); err != nil {
		return fmt.Errorf("kafka.%s.sasl.%w", c.Name, err)
	}
	return nil
}

// tlsFor is how to speak TLS with the host of an address, by the files of now.
type tlsFor func(host string) (*tls.Config, error)

// clientTLS reads the files once, so that a mistake shows at the start, and again for
// a later connection when they have changed. crypto/tls takes fixed roots only, so
// there is a configuration for each connection, and the check of roots and name stays
// the standard one: from inside the handshake the name cannot be told if it is an
// address, since no server is told such a name.
func clientTLS(t config.TLS) (tlsFor, error) {
	base := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.InsecureSkipVerify}
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
		base.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert.get() }
	}
	roots := func() (*x509.CertPool, error) { return nil, nil } // the system's
	if t.CAFile != "" && !t.InsecureSkipVerify {
		roots = newReloaded(func() (*x509.CertPool, error) { return readPool(t.CAFile) }, t.CAFile).get
		if _, err := roots(); err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
	}
	return func(host string) (_ *tls.Config, err error) {
		conf := base.Clone()
		conf.ServerName = cmp.Or(t.ServerName, host)
		conf.RootCAs, err = roots()
		return conf, err
	}, nil
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
