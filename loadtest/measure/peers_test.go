//go:build linux

package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	yaml "github.com/goccy/go-yaml"

	"github.com/sluicelog/sluice/loadtest/proc"
	"github.com/sluicelog/sluice/loadtest/report"
)

func TestParsePeer(t *testing.T) {
	f := func(text string, want Peer, ok bool) {
		t.Helper()
		if got, err := ParsePeer(text); got != want || (err == nil) != ok {
			t.Errorf("%q: %+v, %v, want %+v, %v", text, got, err, want, ok)
		}
	}
	f("rsyslog", Peer{Name: "rsyslog"}, true)
	f("otelcol-memory", Peer{Name: "otelcol-memory"}, true)
	f("shipper:mine=run --x=y", Peer{Name: "mine", Cmd: "run --x=y", Part: "shipper"}, true)
	f("pipeline:mine=run", Peer{}, false)
	f("fluentd", Peer{}, false)
	f("shipper:=run", Peer{}, false)
}

func TestPeerConfigurations(t *testing.T) {
	f := func(what string, p *proc.Proc, err error, file string, want ...string) {
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
	p, err = mirrorMaker(task{bin: "java", dir: dir, name: "n", inBroker: "h:1", inTopic: "in", outBroker: "h:2", partitions: 4})
	f("MirrorMaker", p, err, dir+"/mm2.properties", "n->n-to.topics = in", "n-to.producer.acks = all")
}

// The collector is told to wait for all replicas, and to count a record as read only when what is behind the receiver has it.
func TestOtelcolConfigurations(t *testing.T) {
	f := func(q otelcolQueue, do task, want map[string]string) {
		t.Helper()
		do.bin, do.dir, do.name, do.compression, do.bulking = "/x/otelcol", t.TempDir(), "n", "lz4", "2000"
		p, err := q.prepare(do)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(do.dir + "/otelcol.yaml")
		if err != nil || p.Argv[0] != do.bin || p.Argv[2] != do.dir+"/otelcol.yaml" {
			t.Fatal(err, p.Argv)
		}
		for path, want := range want {
			at, err := yaml.PathString(path)
			if err != nil {
				t.Fatal(err)
			}
			var got any
			if err := at.Read(strings.NewReader(string(text)), &got); err != nil && !errors.Is(err, yaml.ErrNotFoundNode) {
				t.Errorf("%s: %v in\n%s", path, err, text)
			} else if fmt.Sprint(got) != want {
				t.Errorf("%s is %v, want %s, in\n%s", path, got, want, text)
			}
		}
	}
	f(noQueue, task{files: "/a/*/*.log", outBroker: "h:1", outTopic: "out"}, map[string]string{
		"$.receivers.file_log.include[0]":                     "/a/*/*.log",
		"$.receivers.file_log.storage":                        "file_storage",
		"$.receivers.file_log.operators[1].is_last_entry":     `body endsWith "\n"`,
		"$.exporters.kafka.producer.required_acks":            "all",
		"$.exporters.kafka.producer.compression":              "lz4",
		"$.exporters.kafka.sending_queue":                     "map[enabled:false]",
		"$.exporters.kafka.retry_on_failure.max_elapsed_time": "0s",
		"$.service.pipelines.logs.receivers":                  "[file_log]",
		"$.service.pipelines.logs.exporters":                  "[kafka]",
	})
	f(inMemory, task{inBroker: "h:1", inTopic: "in", outBroker: "h:2", outTopic: "out"}, map[string]string{
		"$.receivers.kafka.brokers":                         "[h:1]",
		"$.receivers.kafka.logs.topics":                     "[in]",
		"$.receivers.kafka.logs.encoding":                   "raw",
		"$.receivers.kafka.message_marking.after":           "true",
		"$.exporters.kafka.brokers":                         "[h:2]",
		"$.exporters.kafka.sending_queue.batch.min_size":    "2000",
		"$.exporters.kafka.sending_queue.block_on_overflow": "true",
	})
	f(noQueue, task{inBroker: "h:1", inTopic: "in", outURL: "http://127.0.0.1:99", outIndex: "i"}, map[string]string{
		"$.receivers.kafka.logs.encoding":                 "json",
		"$.exporters.elasticsearch.endpoints":             "[http://127.0.0.1:99]",
		"$.exporters.elasticsearch.logs_index":            "i",
		"$.exporters.elasticsearch.mapping.mode":          "bodymap",
		"$.exporters.elasticsearch.sending_queue.enabled": "false",
		"$.exporters.elasticsearch.retry_on_failure":      "<nil>",
		"$.service.pipelines.logs.exporters":              "[elasticsearch]",
	})
}

// What the examples use is in the environment of a command.
func TestPeerExamples(t *testing.T) {
	p, err := Peer{Name: "x", Cmd: "run"}.command(task{dir: "/d", name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, e := range p.Env {
		name, _, _ := strings.Cut(e, "=")
		known[name] = true
		if !strings.Contains(PeerEnv, name+" ") {
			t.Errorf("%s is not told", name)
		}
	}
	for _, name := range regexp.MustCompile(`LT_[A-Z_]+`).FindAllString(PeerExamples+PeerEnv, -1) {
		if !known[name] {
			t.Errorf("%s is not in the environment", name)
		}
	}
	for _, quoted := range regexp.MustCompile(`--peer '([^']*)'`).FindAllStringSubmatch(PeerExamples, -1) {
		if _, err := ParsePeer(quoted[1]); err != nil {
			t.Error(err)
		}
	}
}

// Each known peer is measured at some part and says there how it differs.
func TestKnownPeers(t *testing.T) {
	r := &runner{}
	for _, name := range KnownPeers {
		r.Peers = append(r.Peers, Peer{Name: name})
		for _, k := range knownPeers {
			for part, note := range k.notes {
				if k.name == name && (!slices.Contains(report.Parts[:4], part) || note == "") {
					t.Errorf("%s at %s: %q", k.who, part, note)
				}
			}
		}
	}
	r.Peers = append(r.Peers, Peer{Name: "mine", Cmd: "run", Part: report.PartIndexer})
	f := func(part string, want ...string) {
		t.Helper()
		var got []string
		for _, p := range r.peers(part, input{}) {
			got = append(got, p.who)
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("%s: %q, want %q", part, got, want)
		}
	}
	rsyslog, noQueue, inMemory := "rsyslog 8.2302", "OpenTelemetry collector 0.155.0", "OpenTelemetry collector 0.155.0, queue in memory"
	f(report.PartShipper, rsyslog, noQueue, inMemory)
	f(report.PartAggregator, rsyslog, noQueue, inMemory, "MirrorMaker 2 4.0.0")
	f(report.PartIndexer, rsyslog, noQueue, inMemory, "mine")
}

// A peer that cannot be had is in every form of the report, and is no failure of the run.
func TestSkippedPeerIsTold(t *testing.T) {
	r := &runner{report: report.NewReport("sluice load test", ""), progress: func(float64, string) {}}
	m := &report.Measure{Part: report.PartShipper, Who: "OpenTelemetry collector"}
	if r.skip(m, errors.New("it broke")) || len(r.report.Skipped) > 0 {
		t.Error("a failure was taken for a peer that cannot be had")
	}
	if !r.skip(m, fmt.Errorf("measure: %w", skipped{errors.New("no Go\ntoolchain")})) {
		t.Error("a peer that cannot be had was taken for a failure")
	}
	if !r.report.OK() {
		t.Error("a peer that cannot be had counts against sluice")
	}
	page, err := r.report.HTML()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(r.report)
	if err != nil {
		t.Fatal(err)
	}
	for form, got := range map[string]string{"text": r.report.String(), "page": string(page), "JSON": string(text)} {
		if want := "shipper: OpenTelemetry collector: no Go toolchain"; !strings.Contains(got, want) {
			t.Errorf("%s has no %q:\n%s", form, want, got)
		}
	}
}

// A program is stopped only when nothing more comes, however long that takes within half a minute.
func TestSettle(t *testing.T) {
	f := func(comesFor, endsAfter, want time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			settle(t.Context(), func() bool { return time.Since(start) < endsAfter }, func(context.Context) (int64, error) {
				return int64(min(time.Since(start), comesFor) / time.Second), nil
			})
			if got := time.Since(start); got.Round(time.Second) != want {
				t.Errorf("comes for %v, ends after %v: waited %v, want %v", comesFor, endsAfter, got, want)
			}
		})
	}
	f(0, time.Hour, 2*time.Second)
	f(5*time.Second, time.Hour, 7*time.Second)
	f(time.Hour, time.Hour, 30*time.Second)
	f(time.Hour, 3*time.Second, 3*time.Second)
	f(0, 0, 0)
}
