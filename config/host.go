package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// host judges what the roles find on this host. One file serves a whole site, so this is
// asked only as the role that is to run here.
func (k *checker) host(roles []string) {
	for _, name := range sortedKeys(k.Kafka) {
		if key := "kafka." + name; k.used(key, roles) {
			c := k.Kafka[name]
			k.certificates(key+".tls", c.TLS)
			if c.SASL.Mechanism == "oauthbearer" && c.SASL.TokenFile != "" {
				k.tokenFile(key+".sasl.token_file", c.SASL.TokenFile)
			}
		}
	}
	for _, role := range roles {
		switch role {
		case "shipper":
			if k.DataDir != "" {
				if err := writable(k.DataDir); err != nil {
					k.fail("data_dir", "positions cannot be kept there: %v", err)
				}
			}
			if d := k.Shipper.Docker; d.Enabled && d.RootTo != "" {
				if st, err := os.Stat(d.RootTo); err != nil {
					k.fail("shipper.docker.root_to", "%v", err)
				} else if !st.IsDir() {
					k.fail("shipper.docker.root_to", "%s is no directory", d.RootTo)
				}
			}
		case "indexer":
			for i, o := range k.Indexer.Outputs {
				k.certificates(entryPath("indexer.outputs", i)+".elasticsearch.tls", o.Elasticsearch.TLS)
			}
		}
	}
}

func (k *checker) certificates(key string, t TLS) {
	if t.CAFile != "" {
		if _, err := t.Roots(); err != nil {
			k.fail(key+".ca_file", "%v", err)
		}
	}
	if t.CertFile == "" || t.KeyFile == "" {
		return
	}
	if err := guardedPath(t.KeyFile); err != nil {
		k.fail(key+".key_file", "%v", err)
	} else if _, err := t.Certificate(); err != nil {
		at := key + ".cert_file"
		if path := new(os.PathError); errors.As(err, &path) && path.Path == t.KeyFile {
			at = key + ".key_file"
		}
		k.fail(at, "%v", err)
	}
}

// Roots reads ca_file. A file without a certificate is an error.
func (t TLS) Roots() (*x509.CertPool, error) {
	pem, err := os.ReadFile(t.CAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", t.CAFile)
	}
	return pool, nil
}

// Certificate reads cert_file and key_file, which have to fit each other.
func (t TLS) Certificate() (*tls.Certificate, error) {
	c, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil && !errors.As(err, new(*os.PathError)) {
		err = fmt.Errorf("%s with %s: %w", t.CertFile, t.KeyFile, err)
	}
	return &c, err
}

func (k *checker) tokenFile(key, path string) {
	b, err := os.ReadFile(path)
	if err == nil {
		err = guardedPath(path)
	}
	switch {
	case err != nil:
		k.fail(key, "%v", err)
	case strings.TrimSpace(string(b)) == "":
		k.fail(key, "%s is empty", path)
	}
}

func guardedPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return guarded(f)
}

// writable reports what keeps this process from writing files in a directory, which need
// not exist yet. It changes nothing.
func writable(dir string) error {
	at, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for {
		st, err := os.Stat(at)
		switch {
		case err == nil && !st.IsDir():
			return fmt.Errorf("%s is no directory", at)
		case err == nil:
			if err := syscall.Access(at, 2|1); err != nil { // W_OK, X_OK
				return &os.PathError{Op: "write in", Path: at, Err: err}
			}
			return nil
		case errors.Is(err, syscall.ENOTDIR), errors.Is(err, os.ErrNotExist):
			at = filepath.Dir(at)
		default:
			return err
		}
	}
}
