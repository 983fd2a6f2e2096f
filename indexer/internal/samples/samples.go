// Package samples is the records and lines that the indexer's tests share.
package samples

import (
	"strings"
	"time"

	"github.com/sluicelog/sluice/internal/jsontext"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/schemas"
)

// ReadTime is when the lines were read.
var ReadTime = time.Date(2026, 11, 21, 8, 57, 50, 0, time.UTC)

// Event is an event of ours with this line.
func Event(text string) []byte {
	at := time.Date(2026, 11, 21, 8, 57, 50, 123456789, time.UTC)
	id := schemas.NewPlace("s", "", "stdout").Line(4096).Add([]byte(text)).ID(at)
	return schemas.AppendEvent(nil, &schemas.Line{ID: id, Time: at, Message: jsontext.Append(nil, text), Stream: "stdout", Offset: 4096, Size: 180,
		Flags: []string{schemas.FlagPartial}, FileName: []byte("a.log")},
		schemas.NewTail(&schemas.Source{
			Path: "/var/lib/docker/containers/0123/0123-json.log", ContainerID: "0123", ContainerName: "mesos-6f2a", Image: "registry/order:1.2.3",
			ContainerLabels: map[string]string{"team": "order"}, TaskID: "prod_order.6f2a", FrameworkID: "f", ExecutorID: "e", Agent: "a",
			AppID: "/prod/order", AppVersion: "2026-11-20T10:00:00Z", ChronosJob: "j",
			ServiceName: "order", ServiceVersion: "1", Host: "l-agent12", DC: "dc1", Labels: map[string]string{"env": "prod"}, Dataset: "order", Tags: []string{"a", "b"},
		}))
}

// Record is one of Records.
type Record struct {
	What, Codec, Value string
	Headers            string // key=value ...
}

// Kafka is the record as fetched.
func (s Record) Kafka() kafka.Record {
	r := kafka.Record{Value: []byte(s.Value), Offset: 42, Time: time.Date(2026, 11, 21, 8, 58, 0, 0, time.UTC)}
	for _, h := range strings.Fields(s.Headers) {
		k, v, _ := strings.Cut(h, "=")
		r.Headers = append(r.Headers, kafka.Header{Key: []byte(k), Value: []byte(v)})
	}
	return r
}

// Records are of every kind that the indexer reads.
var Records = []Record{
	{"ours, text with a time", "ecs", string(Event(`2026-11-21 08:57:47.123 INFO  [exec-1] c.q.OrderService - ua="Mozilla" 上海`)), ""},
	{"ours, nothing in the text", "ecs", string(Event(`	at a.b.C.d(C.java:12)`)), ""},
	{"ours, JSON", "ecs", string(Event(`{"time":"2026-11-20T23:59:59.5Z","level":"WARNING","logger":"a.B","trace_id":"t1","msg":"hi \"x\"","n":1.0}`)), ""},
	{"ours, logfmt", "ecs", string(Event(`time=2026-11-21T08:57:47Z level=error msg="no \"x\"" n=1`)), ""},
	{"ours, bare", "ecs", string(schemas.AppendEvent(nil, &schemas.Line{Time: time.Unix(1795251467, 0), Message: []byte("INFO x")}, schemas.NewTail(&schemas.Source{}))), ""},
	{"Filebeat", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","@metadata":{"beat":"filebeat","type":"_doc","version":"8.18.0"},"message":"ERROR boom","log":{"offset":1,"file":{"path":"/a"}},"host":{"name":"h"},"event":{"dataset":"nginx.error"},"agent":{"type":"filebeat"}}`, ""},
	{"Filebeat with an id, pretty", "ecs", "{\n \"@metadata\": {\"_id\": \"abc\"},\r\n \"message\": \"x\",\n \"log\": {\n },\n \"event\": { \"created\": \"2026-11-21T08:57:47.123Z\" }\n}", ""},
	{"an application's ECS", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","log.level":"INFO","message":"2026-11-20 10:00:00 {}","ecs.version":"1.2.0","service.name":"pay","event.dataset":"pay","trace.id":"t"}`, ""},
	{"ECS with a level of its own and JSON in the message", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","log":{"level":"info"},"trace":{"id":"outer"},"message":"{\"level\":\"error\",\"trace_id\":\"inner\",\"msg\":\"m\"}"}`, ""},
	{"ECS with app already", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","app":{"a":1},"message":"{\"b\":2}"}`, ""},
	{"ECS without message", "ecs", `{"@timestamp":1795251467123,"error":{"message":"x"}}`, ""},
	{"ECS with a time that is none", "ecs", `{"@timestamp":"yesterday","message":"x"}`, ""},
	{"ECS of the year 2099", "ecs", `{"@timestamp":"2099-11-21T08:57:47.123Z","message":"x"}`, ""},
	{"Filebeat of a zone, with a time that names none", "ecs", `{"@timestamp":"2026-11-21T16:57:47.123","event":{"timezone":"+08:00"},"message":"2026-11-21 16:57:40 ERROR x"}`, ""},
	{"foreign: host is text", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","host":"web1","message":"m"}`, ""},
	{"foreign: log is text", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","log":"whole line","message":"m"}`, ""},
	{"foreign: much is text", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","error":"boom","service":"pay","container":"c1","process":7,"user":"bob","url":"http://x/","http":200,"source":"file","trace":"t1","user_agent":"curl","event":"login","marathon":"x","message":"m"}`, ""},
	{"foreign: labels and app are none", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","labels":"a","app":"pay","message":"m"}`, ""},
	{"foreign: labels are a list", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","labels":["a","b"],"app":[1,2],"message":"m"}`, ""},
	{"foreign: labels with dots", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","labels.env":"prod","app.n":1,"message":"m"}`, ""},
	{"foreign: inside of objects", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","log":{"level":{"name":"info"},"offset":"12 bytes","file":"x","logger":"a.B"},"process":{"pid":"main","name":["a"],"x":{"y":1}},"message":"m"}`, ""},
	{"foreign: numbers that are none", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","log":{"offset":1.5,"size":"12"},"process.pid":99999999999999999999,"log.syslog.priority":"high","log.syslog.severity":{"code":1e3},"http":{"response":{"status_code":"200 OK","body":{"bytes":"-"}}},"message":"m"}`, ""},
	{"foreign: times that are none", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","event":{"created":"yesterday","ingested":"2026-11-21 08:57:47","dataset":{"a":1}},"message":"m"}`, ""},
	{"foreign: times that are some", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","event":{"created":"2026-11-21T08:57:47,123+0800","ingested":1795251467123},"message":"m"}`, ""},
	{"foreign: addresses that are none", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","source":{"ip":"not one","address":{"a":1}},"message":"m"}`, ""},
	{"foreign: message is an object", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","message":{"text":"boom","n":1}}`, ""},
	{"foreign: message is a list", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","message":["a",{"b":1}]}`, ""},
	{"foreign: message is a number", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","message":5}`, ""},
	{"foreign: tags are objects", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","tags":[{"a":1},"b"],"message":"m"}`, ""},
	{"foreign: tags are mixed", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","tags":["a",1,null,["b"]],"host":"h","message":"m"}`, ""},
	{"foreign: a list of objects", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","container":[{"id":"a"},{"id":"b"}],"process":[{"pid":1},"x"],"message":"m"}`, ""},
	{"foreign: names of Elasticsearch", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","_id":"x","_index":"i","_source":{},"_type":"_doc","_version":1,"_routing":"r","_mine":1,"message":"m"}`, ""},
	{"foreign: names that are none", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","":1," ":2,".":3,"a.":4,".b":5,"c..d":6,"log":{"":1,"x..y":2,"level":"info"},"message":"m"}`, ""},
	{"foreign: nulls", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","host":null,"log":null,"labels":null,"app":null,"tags":null,"event":null,"error":{"message":null},"message":"m"}`, ""},
	{"foreign: app has the name already", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","app":{"host":"x","n":1},"host":"web1","message":"m"}`, ""},
	{"foreign: empty objects", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","host":{},"log":{},"event":{},"labels":{},"app":{},"tags":[],"message":"m"}`, ""},
	{"foreign: what no mapping has", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","kubernetes":{"pod":{"name":"x"},"labels":{"a.b":"c"}},"fields":"x","input":[{"a":[{"b":1}]}],"message":"m"}`, ""},
	{"foreign: dots into a text", "ecs", `{"@timestamp":"2026-11-21T08:57:47.123Z","message.text":"x","stream.name":"y","host.name.short":"z","message":"m"}`, ""},
	{"Filebeat sent again", "filebeat", `{"@timestamp":"2026-11-21T08:57:47.123Z","@metadata":{"beat":"filebeat","type":"_doc"},"message":"boom","log":{"offset":7,"file":{"path":"/a","inode":"12","device_id":"34"}},"host":{"name":"h"}}`, ""},
	{"Filebeat without a place", "filebeat", `{"@timestamp":"2026-11-21T08:57:47.123Z","message":"boom","log":{"file":{"path":"/a"}},"host":{"name":"h"}}`, ""},
	{"no JSON", "ecs", "<html>\xff \n\"quoted\"</html>", "dc=dc2 app=pay dataset=d"},
	{"JSON but no object", "ecs", `[1,2]`, ""},
	{"empty", "ecs", ``, ""},
	{"json", "json", "{\"ts\":1795251467.25,\"level\":\"info\",\n\"msg\":\"zap\",\"caller\":\"a.go:1\"}", "dc=dc2 app=/prod/pay dataset=d"},
	{"json without message", "json", `{"a":{"b":[1,2]}}`, ""},
	{"json that is none", "json", `{"a":`, ""},
	{"plain", "plain", "2026-11-21 08:57:47,5 WARN a \"b\"\n", "dc=dc2"},
	{"plain, a stack trace", "plain", "2026-11-21 08:57:47,123 ERROR a.B - failed\njava.lang.IllegalStateException: boom\n\tat a.B.c(B.java:12)\n", ""},
	{"plain, an access log", "plain", `2001:db8::1 - bob [21/Nov/2026:08:57:47 +0000] "GET /a?b=\x22c HTTP/1.1" 404 12 "http://r/" "Mozilla/5.0 \"x\""`, ""},
	{"plain, syslog", "plain", `Nov 21 08:57:47 web1 sshd[077]: error: no`, ""},
	{"plain JSON", "plain", `{"msg":"m","k":"v"}`, ""},
	{"syslog 5424", "syslog", `<165>1 2026-11-21T08:57:47.123Z web1 app 123 ID47 [ex@1 a="b" c="d\"e"][two] text`, ""},
	{"syslog 3164", "syslog", "<34>Nov 21 08:57:47 web1 su[77]: 'su root' failed\n", ""},
	{"syslog without priority and host", "syslog", `Nov 21 08:57:47 cron[1]: x`, ""},
	{"syslog 5424 with escapes that are none", "syslog", `<165>1 - web1 app - - [x p="C:\é \] \\"] text`, ""},
	{"syslog 5424 without priority, with what has no field", "syslog", `1 2026-11-21T08:57:47.123Z web1 app - ID47 [ex@1 a="b"] text`, ""},
	{"syslog with a pid that is no number", "syslog", `<34>Nov 21 08:57:47 web1 java[main-1]: x`, ""},
	{"syslog with a name twice", "syslog", `<34>1 - web1 app - - [x a="1" a="2"] text`, ""},
	{"syslog with a time not believed", "syslog", `<34>1 2031-11-21T08:57:47Z web1 app - - - text`, ""},
	{"syslog that is none", "syslog", `hello`, ""},
}
