package document

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/indexer/internal/samples"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/rule"
)

// document is what a record becomes, decoded.
func (e *Encoder) document(t *testing.T, codec string, r kafka.Record) (id string, doc map[string]any) {
	t.Helper()
	action, source, _ := strings.Cut(string(e.encode(codec, r)), "\n")
	var a struct {
		Create struct {
			ID string `json:"_id"`
		}
	}
	if err := json.Unmarshal([]byte(action), &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(source), &doc); err != nil {
		t.Fatalf("%v: %s", err, source)
	}
	return a.Create.ID, doc
}

// Members that their fields do not take are under app, by their path; the event says so,
// and its text stays.
func TestMistypedMembers(t *testing.T) {
	e := newEncoder(t, "sluice-{yyyy.MM.dd}")
	f := func(members, wantApp, wantLog string) {
		t.Helper()
		_, doc := e.document(t, "ecs", kafka.Record{Value: []byte(`{"@timestamp":"2026-11-21T08:57:47.123Z",` + members + `}`), Time: samples.ReadTime})
		render := func(v any) string {
			if v == nil {
				return ""
			}
			b, _ := json.Marshal(v)
			return string(b)
		}
		tags := render(doc["tags"])
		if got := render(doc["app"]); got != wantApp || (wantApp != "") != strings.Contains(tags, tagMistyped) {
			t.Errorf("%s: app %s, want %s; tags %s", members, got, wantApp, tags)
		}
		if got := render(doc["log"]); got != wantLog {
			t.Errorf("%s: log %s, want %s", members, got, wantLog)
		}
		if doc["message"] == nil {
			t.Errorf("%s: no message in %v", members, doc)
		}
	}
	f(`"message":"m"`, "", "")
	f(`"message":"m","host":"web1"`, `{"host":"web1"}`, "")
	f(`"message":"m","host":{"name":"web1"},"tags":["a"]`, "", "")
	f(`"message":"m","log":{"level":{"name":"info"},"offset":"x","file":{"name":"a","path":{}},"logger":"a.B"}`, `{"log.file.path":{},"log.level":{"name":"info"},"log.offset":"x"}`, `{"file":{"name":"a"},"logger":"a.B"}`)
	f(`"message":"m","log.level":["info",{}]`, `{"log.level":["info",{}]}`, "")
	f(`"message":{"a":1}`, `{"message":{"a":1}}`, "")
	f(`"message":[{"a":1}]`, `{"message":[{"a":1}]}`, "")
	f(`"message":"m","app":{"host":"a","host_":"b"},"host":"c"`, `{"host":"a","host_":"b","host__":"c"}`, "")
	f(`"message":"m","app":"x","host":"c","app.":1`, `{"app":"x","app.":1,"host":"c"}`, "")
	f(`"message":"m","app":null,"host":"c"`, `{"host":"c"}`, "")
	f(`"message":"m","host":"c","app":[]`, `{"app":[],"host":"c"}`, "")
	f(`"message":"m","app":[{"a":1},null],"host":"c","app.":2`, `{"app":[{"a":1},null],"app.":2,"host":"c"}`, "")
	f(`"message":"ERROR {\"b\":2}","host":"c"`, `{"host":"c"}`, `{"level":"error"}`)
	if e.Tally().Mistyped != 11 {
		t.Errorf("the events are not counted")
	}
}

// An event of Filebeat that is sent again has the id it had, whatever its time and record;
// another line, file or host has another.
func TestIDsOfFilebeat(t *testing.T) {
	e := newEncoder(t, "sluice-{yyyy.MM.dd}")
	id := func(codec, value string) string {
		got, _ := e.document(t, codec, kafka.Record{Value: []byte(value), Offset: 7, Time: samples.ReadTime})
		return got
	}
	const one = `{"@timestamp":"2026-11-21T08:57:47.123Z","message":"m","host":{"name":"h"},"agent":{"ephemeral_id":"a"},"log":{"offset":7,"file":{"path":"/a","inode":"12","device_id":"34"}}}`
	want := id("filebeat", one)
	if !strings.HasPrefix(want, "fb-") {
		t.Fatalf("id %s", want)
	}
	for _, same := range [][2]string{{"08:57:47.123", "08:59:59.999"}, {`"a"`, `"b"`}, {`"/a"`, `"/a.1"`}} {
		if got := id("filebeat", strings.Replace(one, same[0], same[1], 1)); got != want {
			t.Errorf("%s for %s: id %s, want %s", same[1], same[0], got, want)
		}
	}
	for _, other := range [][2]string{{`"m"`, `"n"`}, {`"h"`, `"i"`}, {`:7`, `:8`}, {`"12"`, `"13"`}, {`"34"`, `"35"`}, {`"inode":"12"`, `"fingerprint":"12"`}} {
		if got := id("filebeat", strings.Replace(one, other[0], other[1], 1)); got == want || !strings.HasPrefix(got, "fb-") {
			t.Errorf("%s for %s: id %s", other[1], other[0], got)
		}
	}
	for _, none := range [][2]string{{`"offset":7,`, ``}, {`"inode":"12",`, ``}} {
		if got := id("filebeat", strings.Replace(one, none[0], none[1], 1)); !strings.HasPrefix(got, "logs-3-7-") {
			t.Errorf("without %s: id %s", none[0], got)
		}
	}
	if got := id("ecs", one); !strings.HasPrefix(got, "logs-3-7-") {
		t.Errorf("by ecs: id %s", got)
	}
	if got := id("filebeat", `{"@metadata":{"_id":"mine"},`+one[1:]); got != "mine" {
		t.Errorf("of its own: id %s", got)
	}
}

// A time that names no zone is in that of the event, else of the first entry that fits,
// else of the indexer; so is an event's own @timestamp.
func TestZonesOfEvents(t *testing.T) {
	e := newEncoder(t, "sluice-{yyyy.MM.dd}")
	patterns := func(list ...string) rule.Patterns {
		p, err := rule.ParsePatterns(list)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	hours := func(n int) *time.Location { return time.FixedZone("", n*3600) }
	e.zones = []Zone{{App: patterns("pay*"), Host: patterns("!pay-eu*"), Location: hours(8)}, {Dataset: patterns("nginx"), Location: hours(-5)}, {Host: patterns("pay-eu*"), Location: hours(1)}}
	f := func(codec, value, headers, want string) {
		t.Helper()
		r := samples.Record{Value: value, Headers: headers}.Kafka()
		_, doc := e.document(t, codec, r)
		if got := doc["@timestamp"]; got != want+".000000000Z" {
			t.Errorf("%s %s %s: @timestamp %s, want %s", codec, value, headers, got, want)
		}
	}
	const line = "2026-11-21 08:00:00 x"
	f("plain", line, "", "2026-11-21T08:00:00")
	f("plain", line, "app=pay1", "2026-11-21T00:00:00")
	f("plain", line, "app=pay1 dataset=nginx", "2026-11-21T00:00:00")
	f("plain", "2026-11-21 03:00:00 x", "dataset=nginx", "2026-11-21T08:00:00")
	f("json", `{"time":"2026-11-21 08:00:00","msg":"x"}`, "app=pay1", "2026-11-21T00:00:00")
	f("syslog", `Nov 21 08:00:00 pay-eu7 app: x`, "app=pay1", "2026-11-21T07:00:00")
	f("ecs", `{"@timestamp":"2026-11-21T08:00:00","message":"x"}`, "", "2026-11-21T08:00:00")
	f("ecs", `{"@timestamp":"2026-11-21T08:00:00","service":{"name":"pay"},"message":"x"}`, "", "2026-11-21T00:00:00")
	f("ecs", `{"@timestamp":"2026-11-21T08:00:00","host":{"name":"pay-eu1"},"service.name":"pay","message":"x"}`, "", "2026-11-21T07:00:00")
	f("ecs", `{"@timestamp":"2026-11-21T08:00:00","event":{"timezone":"+02:00"},"service":{"name":"pay"},"message":"x"}`, "", "2026-11-21T06:00:00")
	f("ecs", `{"@timestamp":"2026-11-21T08:00:00","event.timezone":"Asia/Tokyo","message":"x"}`, "", "2026-11-20T23:00:00")
	f("ecs", `{"@timestamp":"2026-11-21T08:00:00","event":{"timezone":"nowhere"},"message":"x"}`, "", "2026-11-21T08:00:00")
	f("ecs", `{"@timestamp":"2026-11-21T08:00:00Z","event":{"timezone":"+02:00"},"message":"x"}`, "", "2026-11-21T08:00:00")
	f("ecs", `{"@timestamp":"2026-11-21T08:57:00Z","event":{"timezone":"+02:00"},"message":"2026-11-21 10:00:00 x"}`, "", "2026-11-21T08:00:00")
}
