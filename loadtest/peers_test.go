//go:build linux

package loadtest

import (
	"os"
	"strings"
	"testing"
)

func TestParsePeer(t *testing.T) {
	f := func(text string, want Peer, ok bool) {
		t.Helper()
		if got, err := ParsePeer(text); got != want || (err == nil) != ok {
			t.Errorf("%q: %+v, %v, want %+v, %v", text, got, err, want, ok)
		}
	}
	f("rsyslog", Peer{Name: "rsyslog"}, true)
	f("shipper:mine=run --x=y", Peer{Name: "mine", Cmd: "run --x=y", Part: "shipper"}, true)
	f("pipeline:mine=run", Peer{}, false)
	f("fluentd", Peer{}, false)
	f("shipper:=run", Peer{}, false)
}

func TestPeerConfigurations(t *testing.T) {
	f := func(what string, p *Proc, err error, file string, want ...string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		rest := string(text)
		for _, w := range want { // in this order
			i := strings.Index(rest, w)
			if i < 0 {
				t.Fatalf("%s has no %q in its place:\n%s", what, w, text)
			}
			rest = rest[i:]
		}
	}
	dir := t.TempDir()
	p, err := rsyslog(task{dir: dir, name: "n", files: "/a/*.log", outBroker: "h:1", outTopic: "out", compression: "lz4"})
	f("imfile to omkafka", p, err, dir+"/rsyslog.conf", `module(load="omkafka")`, `module(load="imfile"`, `ruleset(name="out"`, `request.required.acks=-1`, `input(type="imfile" File="/a/*.log"`)
	p, err = rsyslog(task{dir: dir, name: "n", inBroker: "h:1", inTopic: "in", outURL: "http://127.0.0.1:99", outIndex: "i", bulking: "2000"})
	f("imkafka to omelasticsearch", p, err, dir+"/rsyslog.conf", `ruleset(name="out"`, `serverport="99"`, `dequeueBatchSize="2000"`, `input(type="imkafka" topic="in"`)
	p, err = mirrorMaker(task{dir: dir, name: "n", inBroker: "h:1", inTopic: "in", outBroker: "h:2", partitions: 4})
	f("MirrorMaker", p, err, dir+"/mm2.properties", "n->n-to.topics = in", "n-to.producer.acks = all")
}
