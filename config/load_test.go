package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// testEnv is the environment of these tests.
func testEnv(name string) (string, bool) {
	v, ok := map[string]string{
		"HOSTNAME": "web1", "N": "7", "YES": "true", "SIZE": "3MiB", "EMPTY": "",
		"EVIL": "x\nadmin: {pprof: true}", "PASSWORD": "hunter2", "DOLLAR": "${N}",
	}[name]
	return v, ok
}

// load parses a text without validation.
func load(text string) (*Config, error) {
	c, err := parse("f.yaml", []byte(text), testEnv, []string{""})
	if c != nil {
		c.file = nil
	}
	return c, err
}

func TestEmptyFileIsDefaults(t *testing.T) {
	want := Default()
	want.Host = "web1"
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "---\n# nothing\n...\n", "~", "shipper:\nkafka:\nindexer: {}\n"} {
		got, err := load(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("load(%q) = %+v, %v; want the defaults", text, got, err)
		}
	}
}

func TestValuesOverDefaults(t *testing.T) {
	got, err := load(`
dc: 7                       # text as written
log: {level: debug}
statsd: {prefix: "", interval: 1m30s, mtu: 512}
kafka:
  a: {brokers: [x:1], client_id: ""}
  b:
shipper:
  labels: {version: 1.10, canary: true, empty: ""}
  produce: {linger: 0, batch_records: "${N}", buffer: "${SIZE}"}
  max_line: 1MB
  docker: {enabled: "${YES}", fields_from_env: []}
  files:
    - paths: [/a, '/b']
    - paths: [/c]
      codec: docker
      labels: {a: b}
indexer:
  outputs:
    - name: |-
        online
      bulk: {count: 1}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Host, want.DC, want.Log.Level = "web1", "7", "debug"
	want.Statsd.Prefix, want.Statsd.Interval, want.Statsd.MTU = "", Duration(90*time.Second), 512
	a := DefaultKafka()
	a.Brokers, a.ClientID = []string{"x:1"}, ""
	want.Kafka = map[string]Kafka{"a": a, "b": DefaultKafka()}
	s := &want.Shipper
	s.Labels = map[string]string{"version": "1.10", "canary": "true", "empty": ""}
	s.Produce.Linger, s.Produce.BatchRecords, s.Produce.Buffer, s.MaxLine = 0, 7, 3*MiB, 1e6
	s.Docker.Enabled, s.Docker.FieldsFromEnv = true, []string{}
	s.Files = []Files{{Paths: []string{"/a", "/b"}, Codec: "plain"}, {Paths: []string{"/c"}, Codec: "docker", Labels: map[string]string{"a": "b"}}}
	o := DefaultOutput()
	o.Name, o.Bulk.Count = "online", 1
	want.Indexer.Outputs = []Output{o}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestAnchorsAndMerge(t *testing.T) {
	got, err := load(`
shipper:
  produce: &slow {linger: 1s, batch_records: 9}
aggregator:
  produce:
    batch_records: 5
    <<: *slow
indexer:
  produce: {<<: [{linger: 2s}, *slow]}
  codecs: {a: json, <<: {a: ecs, b: ecs}}
`)
	if err != nil {
		t.Fatal(err)
	}
	if p := got.Aggregator.Produce; p.Linger.D() != time.Second || p.BatchRecords != 5 {
		t.Errorf("aggregator.produce = %+v; want linger 1s of the anchor, batch_records 5 of its own", p)
	}
	if m := got.Indexer.Codecs; !reflect.DeepEqual(m, map[string]string{"a": "json", "b": "ecs"}) {
		t.Errorf("indexer.codecs = %v; want a of its own, b of the other", m)
	}
	if p := got.Indexer.Produce; p.Linger.D() != 2*time.Second || p.BatchRecords != 9 {
		t.Errorf("indexer.produce = %+v; want linger 2s of the first, batch_records 9 of the second", p)
	}
}

// TestColonsInFlowStyle: YAML takes a colon for the end of a key only with a space after it.
func TestColonsInFlowStyle(t *testing.T) {
	got, err := load("kafka: {dc1: {brokers: [k1:9092, k2:9092 , 10.0.0.1:1, é:2], rack: a:b:c, tls: {ca_file: null:1}}}\nadmin: {listen: :1, pprof: true}\n")
	if err != nil {
		t.Fatal(err)
	}
	k := got.Kafka["dc1"]
	if want := []string{"k1:9092", "k2:9092", "10.0.0.1:1", "é:2"}; !reflect.DeepEqual(k.Brokers, want) {
		t.Errorf("brokers %q; want %q", k.Brokers, want)
	}
	if k.Rack != "a:b:c" || k.TLS.CAFile != "null:1" || got.Admin.Listen != ":1" || !got.Admin.Pprof {
		t.Errorf("got %+v, %+v", k, got.Admin)
	}
}

func TestSubstitution(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got, err := expand(text, testEnv); err != nil || got != want {
			t.Errorf("expand(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
	f("plain", "plain")
	f("${HOSTNAME}-${N}", "web1-7")
	f("${NONE:-a b}", "a b")
	f("${EMPTY}", "")
	f("${EMPTY:-x}", "x")
	f("${N:-x}${N:?x}", "77")
	f("${NONE:-idx-{yyyy.MM}}", "idx-{yyyy.MM}")
	f("${NONE:-${N}}", "7")
	f("${DOLLAR}", "${N}") // a value is not looked into
	f("$$", "$")
	f("$${N}", "${N}")
	f("^logs-.*$", "^logs-.*$")
	f("$N $", "$N $")
	f("{dc}", "{dc}")

	bad := func(text, want string) {
		t.Helper()
		if got, err := expand(text, testEnv); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("expand(%q) = %q, %v; want an error with %q", text, got, err, want)
		}
	}
	bad("${NONE}", "the environment variable NONE is not set")
	bad("${NONE:?name the disk}", "NONE is not set: name the disk")
	bad("${EMPTY:?name the disk}", "name the disk")
	bad("${N", "${ without }")
	bad("${}", "expected ${VAR}")
	bad("${N-x}", "expected ${VAR}")
	bad("${1N}", "expected ${VAR}")

	c, err := load("data_dir: ${EVIL}\n")
	if err != nil || c.Admin.Pprof || c.DataDir != "x\nadmin: {pprof: true}" {
		t.Errorf("a value became structure: %+v, %v", c, err)
	}
}

func TestSecretFromFile(t *testing.T) {
	dir := t.TempDir()
	f := func(content, want string) {
		t.Helper()
		path := filepath.Join(dir, "secret")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := load("kafka: {a: {sasl: {password: 'file:" + path + "', username: file:x}}}\n")
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Kafka["a"].SASL.Password.Reveal(); got != want {
			t.Errorf("secret of %q = %q; want %q", content, got, want)
		}
		if got := c.Kafka["a"].SASL.Username; got != "file:x" {
			t.Errorf("username = %q; want the text, it is no secret", got)
		}
	}
	f("hunter2\n", "hunter2")
	f("hunter2\r\n", "hunter2")
	f("hunter2\n\n", "hunter2\n")
	f(" hunter2", " hunter2")
	f("${N}", "${N}")
	f("", "")

	_, err := parse("f.yaml", []byte("kafka: {a: {sasl: {password: 'file:/none/x'}}}\nshipper: {kafka: a}\n"), testEnv, []string{"shipper"})
	if want := "f.yaml:1:30: kafka.a.sasl.password: read the secret: open /none/x: no such file or directory"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("missing file: %v; want %s", err, want)
	}
}

// TestErrors lists texts with every error they give, in the order of the file.
func TestErrors(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		_, err := load(text)
		var got []string
		if err != nil {
			got = strings.Split(err.Error(), "\n")
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("load(%q)\ngot  %s\nwant %s", text, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		}
	}
	// Unknown and doubled keys.
	f("shiper:\n  topic: x\n", "f.yaml:1:1: shiper: unknown key; did you mean shipper?")
	f("shipper:\n  pol_interval: 1s\n  brokers: [x]\n",
		"f.yaml:2:3: shipper.pol_interval: unknown key; did you mean poll_interval?",
		"f.yaml:3:3: shipper.brokers: unknown key; known here are kafka, topic, partition_by, labels, app_from, produce, max_line, read_budget, poll_interval, scan_interval, store_interval, spool, partial_after, hold_deleted, multiline, rules, docker, files")
	f("indexer:\n  outputs:\n    - name: a\n      bulk:\n        byts: 1\n", "f.yaml:5:9: indexer.outputs[0].bulk.byts: unknown key; did you mean bytes?")
	f("dc: a\nhost: h\ndc: b\n", "f.yaml:3:1: dc: key is already in line 1")
	f("kafka:\n  a: {}\n  a: {}\n", "f.yaml:3:3: kafka.a: key is already in line 2")
	// Wrong types.
	f("shipper: x\n", `f.yaml:1:10: shipper: expected a section of keys, got "x"`)
	f("shipper:\n  - a\n", "f.yaml:2:3: shipper: expected a section of keys, got a list")
	f("- a\n", "f.yaml:1:1: expected a section of keys, got a list")
	f("just text\n", `f.yaml:1:1: expected a section of keys, got "just text"`)
	f("kafka: [a]\n", "f.yaml:1:8: kafka: expected a section of names and values, got a list")
	f("indexer: {topics: logs}\n", `f.yaml:1:19: indexer.topics: expected a list such as [a, b], got "logs"`)
	f("dc: {a: b}\n", "f.yaml:1:5: dc: expected a single value, got a section")
	f("dc:\n  a: b\n", "f.yaml:2:3: dc: expected a single value, got a section")
	f("dc:\nhost: a\n", `f.yaml:1:4: dc: has no value; leave the key out for the default, or write ""`)
	f("indexer: {topics: [a, ~]}\n", "f.yaml:1:23: indexer.topics[1]: entry has no value")
	f("shutdown_timeout: 8\n", `f.yaml:1:19: shutdown_timeout: expected a duration such as 5s, 200ms or 30d, got "8"`)
	f("statsd: {mtu: 1.5}\n", `f.yaml:1:15: statsd.mtu: expected a size such as 512, 64KiB or 8MiB, got "1.5"`)
	f("admin: {pprof: yes}\n", `f.yaml:1:16: admin.pprof: expected true or false, got "yes"`)
	f("shipper: {produce: {batch_records: 4k}}\n", `f.yaml:1:36: shipper.produce.batch_records: expected a whole number, got "4k"`)
	f("shipper: {produce: {batch_records: '${PASSWORD}'}}\n", `f.yaml:1:36: shipper.produce.batch_records: expected a whole number, got "${PASSWORD}"`)
	f("statsd: {address: '${PASSWORD}'}\n", `f.yaml:1:19: statsd.address: expected host:port, got "${PASSWORD}"`)
	f("dc: !!str a\n", "f.yaml:1:5: dc: YAML tags such as !!str are not supported; quote a value to make it a string")
	f("dc: *a\n", "f.yaml:1:5: dc: no anchor &a above")
	f("log: &l {level: *l}\n", "f.yaml:1:17: log.level: no anchor &l above")
	// Variables.
	f("dc: ${NONE}\nhost: a\n", "f.yaml:1:5: dc: the environment variable NONE is not set; ${NONE:-text} gives a default")
	f("dc: ${N\n", "f.yaml:1:5: dc: ${ without }; write $${ for the characters themselves")
	// All of it at once.
	f("log: {level: 1s}\ndcc: a\nadmin: {pprof: 3}\nstatsd: {mtu: x}\nhost: []\n",
		`f.yaml:1:14: log.level: expected one of debug, info, warn, error, got "1s"`,
		"f.yaml:2:1: dcc: unknown key; did you mean dc?",
		`f.yaml:3:16: admin.pprof: expected true or false, got "3"`,
		`f.yaml:4:15: statsd.mtu: expected a size such as 512, 64KiB or 8MiB, got "x"`,
		"f.yaml:5:7: host: expected a single value, got a list")
	// Syntax: one error, for the rest cannot be read.
	f("a: [1,\n", "f.yaml:1:4: sequence end token ']' not found")
	f("log: {level: ${N}}\n", `f.yaml:1:15: ',' or '}' must be specified (inside { } and [ ] a variable has to be quoted: "${VAR}")`)
	f("dc: a\n---\nhost: b\n", "f.yaml:2:1: a configuration is one YAML document without directives")
	f("---\n---\ndc: a\n", "f.yaml:2:1: a configuration is one YAML document without directives")
	f("%YAML 1.2\n---\ndc: a\n", "f.yaml:1:1: a configuration is one YAML document without directives")
}

func TestErrorsAreTyped(t *testing.T) {
	_, err := load("admin: {pprof: 3}\n")
	var e *Error
	if !errors.As(err, &e) || e.Line != 1 || e.Column != 16 || e.Key != "admin.pprof" || e.File != "f.yaml" {
		t.Errorf("error %#v; want an *Error at f.yaml:1:16", err)
	}
	_, err = Load(filepath.Join(t.TempDir(), "none.yaml"))
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "none.yaml: no such file") {
		t.Errorf("missing file: %v", err)
	}
}

// TestOtherRolesMayBeMissingHere: one file serves hosts that lack each other's secrets.
func TestOtherRolesMayBeMissingHere(t *testing.T) {
	const text = `
kafka:
  dc1: {brokers: [k:1]}
  central: {brokers: [c:1], sasl: {mechanism: plain, username: u, password: "file:/none/kafka"}}
shipper: {kafka: dc1, files: [{paths: [/x]}]}
indexer:
  kafka: central
  outputs: [{name: a, elasticsearch: {hosts: [http://e:1], api_key: "${NONE}"}}]
`
	if _, err := parse("f.yaml", []byte(text), testEnv, []string{"shipper"}); err != nil {
		t.Errorf("as shipper: %v", err)
	}
	_, err := parse("f.yaml", []byte(text), testEnv, nil)
	for _, want := range []string{"kafka.central.sasl.password", "indexer.outputs[0].elasticsearch.api_key"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("for all roles: %v; want an error for %s", err, want)
		}
	}
	if _, err := parse("f.yaml", []byte(text+"  topcs: [x]\n"), testEnv, []string{"shipper"}); err == nil {
		t.Error("as shipper: an unknown key of the indexer passed")
	}
}

// FuzzParse: no text makes the loader panic, each error says where, and what is read
// survives being written and read again.
func FuzzParse(f *testing.F) {
	f.Add(string(Example))
	for _, s := range []string{"", "a: &x {b: *x}", "<<: {dc: a}", "<<: [[{}]]", "? a\n: b", "kafka: {? }", "dc: |\n  x", "shipper: {labels: {'<<': a, '': b}}", "\xff: \x00", "dc: \"\\x00\"", "'': ''", "dc: ${A:-${B:-{}}}", "? [a]\n", "- - -", "%A", "a:\n\t- b", "{", "*", "!!x y", "dc: >-\n a\n\n b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "file:") || strings.Contains(text, "include") {
			return // do not read what a fuzzer names
		}
		c, err := parse("f.yaml", []byte(text), testEnv, []string{""})
		if err != nil {
			for _, e := range split(err) {
				if e.Line < 1 || e.Column < 1 {
					t.Fatalf("%q: error without a position: %v", text, e)
				}
			}
			return
		}
		out, err := Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parse("f.yaml", out, testEnv, []string{""})
		if err != nil {
			t.Fatalf("%q was written as\n%s\nwhich gives %v", text, out, err)
		}
		if out2, _ := Marshal(again); string(out2) != string(out) {
			t.Fatalf("%q was written as\n%s\nand then as\n%s", text, out, out2)
		}
	})
}

// split is the *Errors of a joined error.
func split(err error) []*Error {
	var e *Error
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var out []*Error
		for _, err := range j.Unwrap() {
			out = append(out, split(err)...)
		}
		return out
	}
	errors.As(err, &e)
	return []*Error{e}
}
