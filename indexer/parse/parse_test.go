package parse

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/indexer/internal/samples"
	"github.com/sluicelog/sluice/internal/jsontext"
)

var readTime = samples.ReadTime

func newParser(zone string) *Parser {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		panic(err)
	}
	return New(loc)
}

func TestParseText(t *testing.T) {
	p := newParser("Asia/Shanghai")
	f := func(line, format, wantTime, wantLevel, wantLogger string) {
		t.Helper()
		got := p.Parse(jsontext.Append(nil, line), readTime, Options{})
		at := ""
		if !got.Time.IsZero() {
			at = got.Time.UTC().Format("2006-01-02T15:04:05.999999999")
		}
		if got.Format.String() != format || at != wantTime || got.Level != wantLevel || string(got.Logger) != wantLogger {
			t.Errorf("%s:\ngot  %s %q %q %q\nwant %s %q %q %q", line, got.Format, at, got.Level, got.Logger, format, wantTime, wantLevel, wantLogger)
		}
		if string(got.Message) != string(jsontext.Append(nil, line)) || got.App != nil {
			t.Errorf("%s: message %s, app %s", line, got.Message, got.App)
		}
	}
	const at, ms = "2026-11-21T00:57:47", "2026-11-21T00:57:47.123"
	// ISO 8601 and what frameworks make of it
	f(`2026-11-21 08:57:47.123 INFO  [exec-1] c.q.OrderService - id=7919`, "text", ms, "info", "c.q.OrderService")
	f(`2026-11-21 08:57:47,123 [main] WARN  org.apache.kafka.Foo - x`, "text", ms, "warn", "org.apache.kafka.Foo")
	f(`2026-11-21T00:57:47.123456789Z ERROR boom`, "text", "2026-11-21T00:57:47.123456789", "error", "")
	f(`2026-11-21T08:57:47.123+08:00  INFO 12345 --- [app] [nio-80-exec-1] c.q.web.Foo$Bar : started`, "text", ms, "info", "c.q.web.Foo$Bar")
	f(`2026-11-21T08:57:47.123+0800 DEBUG x`, "text", ms, "debug", "")
	f(`2026-11-21 08:57:47.123 +0800 DEBUG x`, "text", ms, "debug", "")
	f(`2026-11-21T06:27:47+05:30 x`, "text", at, "", "")
	f(`2026-11-21 00:57:47.123 UTC [4711] LOG:  checkpoint`, "text", ms, "", "")
	f(`2026-11-21 00:57:47.123 GMT [4711] ERROR:  relation "x" does not exist`, "text", ms, "error", "")
	f(`2026-11-21 08:57:47`, "text", at, "", "")
	f(`2026-11-21 08:57:47:123 WARN x`, "text", ms, "warn", "")
	f(`2026.11.21 08:57:47.123 WARN x`, "text", ms, "warn", "")
	f(`[2026-11-21 08:57:47,123] INFO [Broker id=1] started (kafka.server.KafkaServer)`, "text", ms, "info", "kafka.server.KafkaServer")
	f(`[2026-11-21T08:57:47,123][WARN ][o.e.c.Foo            ] [node-1] text`, "text", ms, "warn", "o.e.c.Foo")
	f(`2026-11-21 08:57:47,123 - my.module - ERROR - text`, "text", ms, "error", "my.module")
	f(`2026-11-21 08:57:47,123 - module - ERROR - text`, "text", ms, "error", "module")
	f(`2026-11-21 08:57:47.123|ERROR|c.q.Foo|text`, "text", ms, "error", "c.q.Foo")
	f(`2026-11-21T08:57:47.123456+08:00 0 [Warning] [MY-010055] [Server] text`, "text", "2026-11-21T00:57:47.123456", "warn", "")
	f(`21-Nov-2026 08:57:47.123 SEVERE [main] org.apache.catalina.Foo text`, "text", ms, "error", "")
	f("\x1b[2m2026-11-21T00:57:47.123Z\x1b[0m \x1b[32m INFO\x1b[0m text", "text", ms, "info", "")
	f("  2026-11-21 08:57:47\tERROR\tx", "text", at, "error", "")
	// level first, time of the day only, level only
	f(`INFO  2026-11-21 08:57:47,123 [main] c.q.Foo: text`, "text", ms, "info", "c.q.Foo")
	f(`[INFO] 2026-11-21 08:57:47.123 text`, "text", ms, "info", "")
	f(`[ERROR] Failed to execute goal`, "text", "", "error", "")
	f(`WARNING: be careful`, "text", "", "warn", "")
	f(`INFO:root:text`, "text", "", "info", "root")
	f("\x1b[31mERROR\x1b[0m text", "text", "", "error", "")
	f(`16:57:47.123 [main] DEBUG com.foo.Bar - x`, "text", "2026-11-21T08:57:47.123", "debug", "com.foo.Bar")
	// Go, klog, nginx, Apache, syslog, epochs
	f(`2026/11/21 08:57:47 http: TLS handshake error from 1.2.3.4`, "text", at, "", "")
	f(`2026/11/21 08:57:47 [error] 1234#0: *1 connect() failed`, "text", at, "error", "")
	f(`I1121 08:57:47.123456    1234 server.go:12] text`, "text", "2026-11-21T00:57:47.123456", "info", "")
	f(`E1121 08:57:47.123456    1234 server.go:12] text`, "text", "2026-11-21T00:57:47.123456", "error", "")
	f(`10.1.2.3 - alice [21/Nov/2026:08:57:47 +0800] "GET / HTTP/1.1" 200 12 "-" "curl/8"`, "access", at, "", "")
	f(`host.example.com ::1 - - [21/Nov/2026:00:57:47 +0000] "GET / HTTP/1.1" 200 12`, "access", at, "", "")
	f(`[Sat Nov 21 08:57:47.123456 2026] [core:error] [pid 1:tid 2] text`, "text", "2026-11-21T00:57:47.123456", "error", "")
	f(`[Sat Nov 21 08:57:47 2026] [notice] text`, "text", at, "notice", "")
	f(`<34>Nov 21 08:57:47 web1 app[123]: text`, "syslog", at, "critical", "")
	f(`<165>1 2026-11-21T08:57:47.123+08:00 web1 app 123 ID47 - text`, "syslog", ms, "notice", "")
	f(`Nov 21 08:57:47 web1 app[123]: text`, "syslog", at, "", "")
	f(`Nov  1 08:57:47 web1 app[123]: text`, "syslog", "2026-11-01T00:57:47", "", "")
	f(`1795222667.123 5006 1.2.3.4 TCP_MISS/200`, "text", "2026-11-21T00:57:47.123", "", "")
	f(`1795222667123 INFO text`, "text", ms, "info", "")
	f(`1795222667123 orders`, "none", "", "", "")
	// nothing to be found
	f(``, "none", "", "", "")
	f(`   `, "none", "", "", "")
	f(`	at com.foo.Bar.baz(Bar.java:12)`, "none", "", "", "")
	f(`Error while connecting`, "none", "", "", "")
	f(`2026-11-21 08:57:47 connected to the ERROR queue`, "text", at, "", "")
	f(`2026-13-21 08:57:47 x`, "none", "", "", "")
	f(`2026-11-31 08:57:47 x`, "none", "", "", "")
	f(`2026-11-21 24:57:47 x`, "none", "", "", "")
	f(`12345678 x`, "none", "", "", "")
	f(`{not json`, "none", "", "", "")
	f(`<999>x`, "none", "", "", "")
	f(`a=b`, "none", "", "", "")
	f(`url=http://x?a=b c=d`, "none", "", "", "")
	f(`上海 12:00`, "none", "", "", "")
	// not believed: too far from the time of reading
	f(`2026-11-23 08:57:47 ERROR x`, "text", "", "error", "")
	f(`1999-11-23 08:57:47 ERROR x`, "text", "", "error", "")
	f(`0000000000.000 x`, "none", "", "", "")
}

func TestParseTimeWithoutYear(t *testing.T) {
	f := func(line string, read, want string) {
		t.Helper()
		at, err := time.Parse(time.DateTime, read)
		if err != nil {
			t.Fatal(err)
		}
		got := newParser("UTC").Parse([]byte(line), at, Options{})
		if s := got.Time.Format(time.DateTime); s != want {
			t.Errorf("%s read at %s: got %s, want %s", line, read, s, want)
		}
	}
	f("Dec 31 23:59:59 h p: x", "2027-01-01 00:00:01", "2026-12-31 23:59:59")
	f("Jan  1 00:00:01 h p: x", "2026-12-31 23:59:59", "2027-01-01 00:00:01")
	f("Jan  1 00:00:01 h p: x", "2026-01-02 00:00:00", "2026-01-01 00:00:01")
	f("Feb 29 12:00:00 h p: x", "2028-03-01 00:00:00", "2028-02-29 12:00:00")
	f("Feb 29 12:00:00 h p: x", "2029-01-01 00:00:00", "2028-02-29 12:00:00")
	f("23:59:59.900 [main] INFO a.B - x", "2026-11-21 00:00:01", "2026-11-20 23:59:59")
	f("00:00:00.100 [main] INFO a.B - x", "2026-11-20 23:59:59", "2026-11-21 00:00:00")
	f("W0101 00:00:01.5 1 a.go:1] x", "2026-12-31 23:59:59", "2027-01-01 00:00:01")
}

func TestParseStructured(t *testing.T) {
	p := newParser("UTC")
	f := func(line, format, wantTime, wantLevel, wantLogger, wantTrace, wantMessage, wantApp string) {
		t.Helper()
		got := p.Parse(jsontext.Append(nil, line), readTime, Options{})
		at := ""
		if !got.Time.IsZero() {
			at = got.Time.Format("15:04:05.999999999")
		}
		if got.Format.String() != format || at != wantTime || got.Level != wantLevel || string(got.Logger) != wantLogger || string(got.Trace) != wantTrace {
			t.Errorf("%s:\ngot  %s %q %q %q %q\nwant %s %q %q %q %q", line, got.Format, at, got.Level, got.Logger, got.Trace, format, wantTime, wantLevel, wantLogger, wantTrace)
		}
		if wantMessage == "" {
			wantMessage = string(jsontext.Append(nil, line))
		}
		if string(got.Message) != wantMessage || string(got.App) != wantApp {
			t.Errorf("%s:\ngot  message %s app %s\nwant message %s app %s", line, got.Message, got.App, wantMessage, wantApp)
		}
	}
	f(`{"time":"2026-11-21T08:57:47.5Z","level":"WARNING","logger":"a.B","trace_id":"t1","msg":"hi \"x\"","n":1.0,"o":{"a":[1,null]}}`,
		"json", "08:57:47.5", "warn", "a.B", "t1", `hi \"x\"`, `"n":1.0,"o":{"a":[1,null]}`)
	f(`{"ts":1795251467.25,"level":"info","msg":"zap","caller":"a.go:1"}`, "json", "08:57:47.25", "info", "", "", "zap", `"caller":"a.go:1"`)
	f(`{"level":30,"time":1795251467250,"pid":1,"msg":"pino"}`, "json", "08:57:47.25", "info", "", "", "pino", `"pid":1`)
	f(`{"short_message":"gelf","level":3,"timestamp":1795251467.25,"_x":"y"}`, "json", "08:57:47.25", "error", "", "", "gelf", `"_x":"y"`)
	f(`{"@timestamp":"2026-11-21T08:57:47.500Z","log.level":"ERROR","log.logger":"a.B","message":"ecs","trace.id":"t"}`, "json", "08:57:47.5", "error", "a.B", "t", "ecs", "")
	f("{\n  \"msg\": \"pretty\",\r\n  \"a\": [1,\n 2]\n}\n", "json", "", "", "", "", "pretty", `"a":[1,  2]`)
	f(`{"a":1}`, "json", "", "", "", "", "", `"a":1`)
	f(`{}`, "json", "", "", "", "", "", "")
	f(`{"msg":{"a":1},"level":"custom","time":"yesterday","logger":7}`, "json", "", "", "", "", "", `"msg":{"a":1},"level":"custom","time":"yesterday","logger":7`)
	f(`{"time":"2036-11-21T08:57:47Z","msg":"future"}`, "json", "", "", "", "", "future", `"time":"2036-11-21T08:57:47Z"`)
	f(`{"msg":"one","message":"two","level":"info","severity":"x"}`, "json", "", "info", "", "", "one", `"message":"two","severity":"x"`)
	f(`{"msg":"\ud83d\ude00 é 上海"}`, "json", "", "", "", "", `\ud83d\ude00 é 上海`, "")
	f(`{"msg":"C:\\u0000dir","a":"\u0000"}`, "json", "", "", "", "", `C:\\u0000dir`, `"a":"\u0000"`)
	f(`{"shard":5,"record":{"level":20,"message":"hi"}}`, "json", "", "", "", "", "hi", `"shard":5,"record":{"level":20,"message":"hi"}`)
	f(`{"shard":5,"record":{"level":"DEBUG","message":"hi"}}`, "json", "", "debug", "", "", "hi", `"shard":5,"record":{"level":"DEBUG","message":"hi"}`)
	f(`{"level":"warn","record":{"level":{"name":"INFO"},"message":"hi"}}`, "json", "", "warn", "", "", "hi", `"record":{"level":{"name":"INFO"},"message":"hi"}`)
	// stays text: not legal, doubled keys, too deep, NUL
	for _, line := range []string{`{"a":1,}`, `{"a":01}`, `{"a":"\x"}`, "{\"a\":\"\t\"}", `{"a":1} x`, `{"a":1,"a":2}`, `{"o":{"b":1,"c":2,"b":3}}`, `{"a":NaN}`, `{a:1}`,
		`{"a":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}`, `{"a\u0000b":1}`, `{"a":1`, `{`,
		`{"a":1,"\u0061":2}`, `{"` + strings.Repeat("k", jsontext.MaxPath) + `":1}`, `{"n":1` + strings.Repeat("0", jsontext.MaxNumber) + `}`, "{\"a\":\"b\nc\"}"} {
		f(line, "none", "", "", "", "", "", "")
	}
	f(`time=2026-11-21T08:57:47.5Z level=warn msg="hi \"x\"\n" logger=a.B traceId=t1 n=1 empty= path=/a/b`, "logfmt", "08:57:47.5", "warn", "a.B", "t1", `hi \"x\"\n`, `"n":"1","empty":"","path":"/a/b"`)
	f(`a=1 b="c:\new \d"`, "logfmt", "", "", "", "", "", `"a":"1","b":"c:\\new \\d"`)
	f(`level=info msg="open`, "text", "", "info", "", "", "", "")
	f(`a=1 a=2`, "none", "", "", "", "", "", "")
	f(`a=1 then b=2`, "none", "", "", "", "", "", "")
}

// Whatever the message says, the parser ends, what it returns are insides of JSON, and
// a text is never changed.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"time":"2026-11-21T08:57:47.5Z","level":"WARNING","msg":"hi \"x\"","o":{"a":[1,null]}}`, `a=1 b="x\n" c=`, `2026-11-21 08:57:47.123 INFO  [exec-1] c.q.OrderService - id=7919`,
		`<34>Nov 21 08:57:47 web1 app[123]: text`, `I1121 08:57:47.123456 1 a.go:1] x`, `10.1.2.3 - a [21/Nov/2026:08:57:47 +0800] "GET /"`, "[Sat Nov 21 08:57:47.1 2026] [core:error] x", "\x1b[31mERROR\x1b[0m x",
		`{"a":"\ud83d"}`, `Nov`, `[`, `2026-`, `17952514671234567`, `{"\ud83d\ude00":1e9,"b":-0.1}`} {
		f.Add(s)
	}
	for _, line := range lines {
		f.Add(line)
	}
	for _, trace := range []string{"a.B: x\n\tat c.D\nCaused by: e", "Traceback (most recent call last):\n  x\nValueError: y", "panic: x\n\ngoroutine 1 [running]:", "PHP Fatal error:  Uncaught A\\B: x\nStack trace:\n#0",
		"x (NoMethodError)\n\tfrom a.rb:1", `{"err":{"type":"E","message":"m","stack":"E: m\n    at f"}}`} {
		f.Add(trace)
	}
	for _, name := range []string{"lines.txt", "more.txt", "siblings.txt"} {
		for _, j := range readJudged(f, name) {
			f.Add(j.line)
		}
	}
	p := newParser("Asia/Shanghai")
	f.Fuzz(func(t *testing.T, line string) {
		in := jsontext.Append(nil, line)
		kept := string(in)
		got := p.Parse(in, readTime, Options{})
		if string(in) != kept {
			t.Fatalf("%q: the message was written to", line)
		}
		for what, s := range map[string][]byte{"message": got.Message, "logger": got.Logger, "trace": got.Trace} {
			if !json.Valid([]byte(`"` + string(s) + `"`)) {
				t.Fatalf("%q: %s %q is no inside of a string", line, what, s)
			}
		}
		if !json.Valid([]byte("{" + string(got.App) + "}")) {
			t.Fatalf("%q: app %q", line, got.App)
		}
		for i, m := range got.Fields {
			if !json.Valid(m.Value) || slices.ContainsFunc(got.Fields[:i], func(o Field) bool { return o.Name == m.Name }) {
				t.Fatalf("%q: field %s twice or no JSON: %s", line, m.Name, m.Value)
			}
		}
		if !got.Members && (string(got.Message) != kept || len(got.App) > 0) {
			t.Fatalf("%q: text became %q", line, got.Message)
		}
		if !got.Time.IsZero() && !Believable(got.Time, readTime) {
			t.Fatalf("%q: time %v", line, got.Time)
		}
	})
}
