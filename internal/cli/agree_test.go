package cli

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicelog/sluice/config"
)

// command is the exit code of a command line and what it says on stderr. A role that
// starts drains at once.
func command(args ...string) (code int, stderr string) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, errs bytes.Buffer
	code = Execute(ctx, args, &out, &errs)
	return code, errs.String()
}

// TestCheckAndRoleAgree: of a broken file, `sluice check --role R` and `sluice R` say the
// same, with exit code 2; and so does plain `sluice check`, unless it is only this host
// that the file does not fit.
func TestCheckAndRoleAgree(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{"empty": "", "text": "no certificate\n", "token": "abc\n", "secret": "hunter2\n", "t/one.yaml": "shipper: {topic: t}\n", "t/two.yaml": "shipper: {topic: u}\n"}
	files["ca.pem"], files["key.pem"] = certificate(t)
	_, files["other.pem"] = certificate(t)
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"secret", "token", "other.pem"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o602); err != nil { // against any umask
			t.Fatal(err)
		}
	}
	const (
		kafka      = "kafka: {a: {brokers: ['127.0.0.1:1']}, b: {brokers: ['127.0.0.1:2']}}\n"
		plain      = "admin: {listen: ''}\ndata_dir: DIR/data\n"
		common     = plain + kafka
		shipper    = "shipper: {kafka: a, files: [{paths: [/x]}]}\n"
		aggregator = "aggregator: {sources: [{kafka: a}], target: {kafka: b}}\n"
		indexer    = "indexer: {kafka: b, outputs: [{name: o, elasticsearch: {hosts: ['http://127.0.0.1:1']}}]}\n"
	)
	file := filepath.Join(dir, "sluice.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, role := range config.Roles {
		write(common + shipper + aggregator + indexer)
		if code, errs := command("check", "-c", file, "--role", role); code != 0 {
			t.Fatalf("check of a good file as %s: exit code %d\n%s", role, code, errs)
		}
		if code, errs := command(role, "-c", file); code != 0 || !strings.Contains(errs, "msg=stopped") {
			t.Fatalf("%s with a good file: exit code %d\n%s", role, code, errs)
		}
	}

	broken := 0
	judge := func(role, want, text string, plainCode int) {
		t.Helper()
		broken++
		write(text)
		code, said := command("check", "-c", file, "--role", role)
		if code != 2 || !strings.Contains(said, want) {
			t.Errorf("check --role %s: exit code %d, want 2 and %q in\n%s\nof %.2000s", role, code, want, said, text)
		}
		if code, errs := command(role, "-c", file); code != 2 || errs != said {
			t.Errorf("%s: exit code %d, want 2, with\n%sand check said\n%s\nof %.2000s", role, code, errs, said, text)
		}
		if code, errs := command("check", "-c", file); code != plainCode {
			t.Errorf("check without a role: exit code %d, want %d, with\n%s\nof %.2000s", code, plainCode, errs, text)
		}
		if strings.Contains(said, "hunter2") {
			t.Errorf("a secret is shown:\n%s", said)
		}
	}
	file2 := func(role, want, text string) { t.Helper(); judge(role, want, text, 2) }
	host := func(role, want, text string) { t.Helper(); judge(role, want, text, 0) }

	// The text.
	file2("shipper", "sluice.yaml:5:14: ", common+shipper+"log: {level: [\n")
	file2("shipper", "shipper.pol_interval: unknown key; did you mean poll_interval?", common+"shipper: {kafka: a, pol_interval: 1s, files: [{paths: [/x]}]}\n")
	file2("indexer", "dc: key is already in line 1", "dc: a\ndc: b\n"+common+indexer)
	file2("indexer", "expected a duration", common+indexer+"shutdown_timeout: 8\n")
	file2("indexer", "NOT_SET_AT_ALL is not set", common+indexer+"dc: ${NOT_SET_AT_ALL}\n")
	file2("shipper", "more than 64 sections and lists", common+shipper+"x-a: &a {<<: *a}\nindexer: *a\n")
	file2("shipper", "make more than 100000 values", plain+kafka+"x-f: &f {paths: [/a, /b, /c, /d, /e, /f, /g, /h, /i]}\nshipper:\n  kafka: a\n  files:\n"+strings.Repeat("    - *f\n", 10_000))
	file2("shipper", "t/two.yaml:1:18: shipper.topic: is already set in "+dir+"/t/one.yaml:1:18", common+shipper+"include: t/*.yaml\n")
	file2("shipper", "is the file that all begins with", common+shipper+"include: sluice.yaml\n")
	file2("aggregator", "include: stat "+dir+"/none.yaml: no such file", common+aggregator+"include: none.yaml\n")
	// Every role.
	file2("indexer", "admin.listen: expected host:port", "admin: {listen: '99'}\n"+kafka+indexer)
	file2("aggregator", "log.level: expected one of", common+aggregator+"log: {level: loud}\n")
	file2("aggregator", "statsd.address: expected host:port", common+aggregator+"statsd: {address: 'h:0'}\n")
	file2("shipper", "kafka.a.sasl.password: missing", plain+"kafka: {a: {brokers: ['k:1'], sasl: {mechanism: plain, username: u}}}\n"+shipper)
	file2("shipper", "kafka.a.tls.cert_file: cert_file and key_file go together", plain+"kafka: {a: {brokers: ['k:1'], tls: {enabled: true, cert_file: /x}}}\n"+shipper)
	file2("shipper", "every user of this host may write", plain+"kafka: {a: {brokers: ['k:1'], sasl: {mechanism: plain, username: u, password: 'file:DIR/secret'}}}\n"+shipper)
	file2("shipper", `kafka.a.brokers[0]: expected host:port, got "******@k:1"`, plain+"kafka: {a: {brokers: ['u:hunter2@k:1']}}\n"+shipper)
	// Shipper.
	file2("shipper", `no Kafka cluster is named "c"`, common+"shipper: {kafka: c, files: [{paths: [/x]}]}\n")
	file2("shipper", "data_dir: missing", "admin: {listen: ''}\ndata_dir: ''\n"+kafka+shipper)
	file2("shipper", "shipper.poll_interval: expected at least 10ms", common+"shipper: {kafka: a, poll_interval: 0, files: [{paths: [/x]}]}\n")
	file2("shipper", "shipper.docker.list_interval: expected at least 100ms", common+"shipper: {kafka: a, docker: {enabled: true, list_interval: 0}}\n")
	file2("shipper", "Docker's API knows no user and password", common+"shipper: {kafka: a, docker: {enabled: true, endpoint: 'tcp://me:hunter2@h:2375'}}\n")
	file2("shipper", "expected unix:///path or tcp://host:port", common+"shipper: {kafka: a, docker: {enabled: true, endpoint: 'tcp://h:x'}}\n")
	file2("shipper", "expected unix:///path or tcp://host:port", common+"shipper: {kafka: a, docker: {enabled: true, endpoint: 'tcp://h'}}\n")
	file2("shipper", "got \"/l/*.{log,txt\": a { without its }", common+"shipper: {kafka: a, files: [{paths: ['/l/*.{log,txt']}]}\n")
	file2("shipper", "shipper.files[0].exclude[0]: expected a glob such as", common+"shipper: {kafka: a, files: [{paths: [/l], exclude: ['/l}']}]}\n")
	file2("shipper", `shipper.files[1].paths[0]: "/x" is in shipper.files[0] too`, common+"shipper: {kafka: a, files: [{paths: ['/{x,y}']}, {paths: [/x]}]}\n")
	file2("shipper", `"/l/*.log" of shipper.files[1] matches "/l/a.log" too; exclude it there`, common+"shipper: {kafka: a, files: [{paths: [/l/a.log]}, {paths: ['/l/*.log']}]}\n")
	host("shipper", "data_dir: positions cannot be kept there: "+dir+"/text is no directory", "admin: {listen: ''}\ndata_dir: DIR/text/data\n"+kafka+shipper)
	host("shipper", "shipper.docker.root_to: stat "+dir+"/none: no such file", common+"shipper: {kafka: a, docker: {enabled: true, root_from: /var/lib/docker, root_to: DIR/none}}\n")
	host("shipper", "kafka.a.tls.ca_file: "+dir+"/text holds no PEM certificate", plain+"kafka: {a: {brokers: ['k:1'], tls: {enabled: true, ca_file: DIR/text}}}\n"+shipper)
	host("shipper", "kafka.a.tls.ca_file: open "+dir+"/none: no such file", plain+"kafka: {a: {brokers: ['k:1'], tls: {enabled: true, ca_file: DIR/none}}}\n"+shipper)
	// Aggregator.
	file2("aggregator", "would read what the aggregator itself writes to a (the cluster of b: they have a broker in common)", plain+"kafka: {a: {brokers: ['k:1', 'K:2']}, b: {brokers: ['k:2']}}\n"+aggregator)
	file2("aggregator", "dead letters of sluice-dead, in a circle", common+"aggregator: {sources: [{kafka: a, topics: [^sluice]}], target: {kafka: a, topic: all}}\n")
	file2("aggregator", "aggregator.sources: missing", common+"aggregator: {target: {kafka: b}}\n")
	file2("aggregator", "missing closing )", common+"aggregator: {sources: [{kafka: a, topics: ['^(']}], target: {kafka: b}}\n")
	file2("aggregator", "aggregator.consume.instance_id: expected letters", common+"aggregator: {sources: [{kafka: a}], target: {kafka: b}, consume: {instance_id: a b}}\n")
	host("aggregator", "kafka.b.sasl.token_file: "+dir+"/empty is empty", plain+"kafka: {a: {brokers: ['k:1']}, b: {brokers: ['k:2'], sasl: {mechanism: oauthbearer, token_file: DIR/empty}}}\n"+aggregator)
	host("aggregator", "kafka.b.sasl.token_file: every user of this host may write", plain+"kafka: {a: {brokers: ['k:1']}, b: {brokers: ['k:2'], sasl: {mechanism: oauthbearer, token_file: DIR/token}}}\n"+aggregator)
	host("aggregator", "kafka.a.tls.key_file: open "+dir+"/none: no such file", plain+"kafka: {a: {brokers: ['k:1'], tls: {enabled: true, cert_file: DIR/ca.pem, key_file: DIR/none}}, b: {brokers: ['k:2']}}\n"+aggregator)
	// Indexer.
	output := func(keys string) string {
		return common + "indexer: {kafka: b, outputs: [{name: o, " + keys + "}]}\n"
	}
	const es = "elasticsearch: {hosts: ['https://127.0.0.1:1']"
	file2("indexer", "indexer.timezone: expected a name of the time zone database", common+"indexer: {timezone: Berlin, kafka: b, outputs: [{name: o, "+es+"}}]}\n")
	file2("indexer", "an index name cannot hold control characters", output("index: \"logs\\u0001\", "+es+"}"))
	file2("indexer", "is no placeholder", output("index: 'logs-{host}', "+es+"}"))
	file2("indexer", "indexer.outputs: missing", common+"indexer: {kafka: b}\n")
	file2("indexer", "a URL cannot hold user and password here", output("elasticsearch: {hosts: ['http://u:hunter2@e']}"))
	file2("indexer", "is one of indexer.topics, so dead letters would be read again", common+"indexer: {kafka: b, topics: [^.*], outputs: [{name: o, "+es+"}}]}\n")
	file2("indexer", "api_key: read the secret: open "+dir+"/none: no such file", output(es+", api_key: 'file:DIR/none'}"))
	host("indexer", "elasticsearch.tls.ca_file: "+dir+"/text holds no PEM certificate", output(es+", tls: {enabled: true, ca_file: DIR/text}}"))
	host("indexer", "elasticsearch.tls.cert_file: "+dir+"/text with "+dir+"/key.pem", output(es+", tls: {enabled: true, cert_file: DIR/text, key_file: DIR/key.pem}}"))
	host("indexer", "elasticsearch.tls.key_file: every user of this host may write", output(es+", tls: {enabled: true, cert_file: DIR/ca.pem, key_file: DIR/other.pem}}"))

	if broken < 40 {
		t.Errorf("%d broken files; want 40", broken)
	}
}

// certificate is one of its own authority, and its key, as PEM.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	c, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return text("CERTIFICATE", c), text("EC PRIVATE KEY", der)
}
