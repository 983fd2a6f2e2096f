//go:build linux

package servers

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// Keys are what a listener with TLS needs, as PEM.
type Keys struct {
	Certificate, Key []byte // the key in PKCS #8
	Authority        []byte // of the clients; nil: they need no certificate
}

// Replace are the settings that give a listener of a running node other keys.
func (k *KafkaCluster) Replace(ctx context.Context, node int, listener string, keys Keys) (map[string]string, error) {
	settings, err := k.tls(ctx, filepath.Dir(k.Nodes[node].Log), listener, keys)
	maps.DeleteFunc(settings, func(key, _ string) bool { return strings.HasSuffix(key, clientAuth) })
	return settings, err
}

// clientAuth cannot be changed while a broker runs.
const clientAuth = ".ssl.client.auth"

// tls are the settings of a listener. Brokers read PEM since 2.7; older ones get stores, for which files are made in dir.
func (k *KafkaCluster) tls(ctx context.Context, dir, listener string, keys Keys) (map[string]string, error) {
	name := "listener.name." + strings.ToLower(listener)
	prefix, settings := name+".ssl.", map[string]string{name + clientAuth: "none"}
	if keys.Authority != nil {
		settings[name+clientAuth] = "required"
	}
	if k.AtLeast(2, 7) {
		settings[prefix+"keystore.type"] = "PEM"
		settings[prefix+"keystore.certificate.chain"] = string(keys.Certificate)
		settings[prefix+"keystore.key"] = string(keys.Key)
		if keys.Authority != nil {
			settings[prefix+"truststore.type"] = "PEM"
			settings[prefix+"truststore.certificates"] = string(keys.Authority)
		}
		return settings, nil
	}
	dir, err := os.MkdirTemp(dir, "stores-") // others each time: a broker looks whether the names changed
	if err != nil {
		return nil, err
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	const password = "for-tests"
	for name, text := range map[string][]byte{"cert.pem": keys.Certificate, "key.pem": keys.Key, "ca.pem": keys.Authority} {
		if err := os.WriteFile(in(name), text, 0o600); err != nil {
			return nil, err
		}
	}
	if _, err := run(ctx, "openssl", "pkcs12", "-export", "-inkey", in("key.pem"), "-in", in("cert.pem"), "-out", in("keys.p12"), "-passout", "pass:"+password); err != nil {
		return nil, fmt.Errorf("make a key store: %w", err)
	}
	settings[prefix+"keystore.type"] = "PKCS12"
	settings[prefix+"keystore.location"] = in("keys.p12")
	settings[prefix+"keystore.password"] = password
	settings[prefix+"key.password"] = password
	if keys.Authority == nil {
		return settings, nil
	}
	// Java trusts in a PKCS #12 file only what its own tool has put there.
	if _, err := run(ctx, "keytool", "-importcert", "-noprompt", "-alias", "ca", "-file", in("ca.pem"), "-keystore", in("ca.p12"), "-storetype", "PKCS12",
		"-storepass", password); err != nil {
		return nil, fmt.Errorf("make a trust store: %w", err)
	}
	settings[prefix+"truststore.type"] = "PKCS12"
	settings[prefix+"truststore.location"] = in("ca.p12")
	settings[prefix+"truststore.password"] = password
	return settings, nil
}
