package parse

import (
	"testing"

	"github.com/sluicelog/sluice/internal/jsontext"
)

// A member is the message only if it is one; an empty one gives way to the next.
func TestMessages(t *testing.T) {
	p := newParser("UTC")
	f := func(line, message, app string) {
		t.Helper()
		got := p.Parse(jsontext.Append(nil, line), readTime, Options{})
		if message == "" {
			message = string(jsontext.Append(nil, line))
		}
		if string(got.Message) != message || string(got.App) != app {
			t.Errorf("%s: message %s, app %s; want %s, %s", line, got.Message, got.App, message, app)
		}
	}
	f(`msg=5 size=10`, "", `"msg":"5","size":"10"`)
	f(`msg=-1.5 size=10`, "", `"msg":"-1.5","size":"10"`)
	f(`msg= size=10`, "", `"msg":"","size":"10"`)
	f(`msg=slow size=10`, "slow", `"size":"10"`)
	f(`msg="慢" size=10`, "慢", `"size":"10"`)
	f(`type=SYSCALL msg=audit(1795251467.123:456): arch=c000003e`, "", `"type":"SYSCALL","msg":"audit(1795251467.123:456):","arch":"c000003e"`)
	f(`{"msg":"","message":"two"}`, "two", `"msg":""`)
	f(`{"message":null,"msg":"two"}`, "two", `"message":null`)
	f(`{"message":7,"msg":"two"}`, "two", `"message":7`)
	f(`{"msg":"12345","n":1}`, "", `"msg":"12345","n":1`)
	f(`{"msg":"","log":"boom\n"}`, "boom", `"msg":""`)
	f(`{"log":"boom","message":"two"}`, "two", `"log":"boom"`)
	f(`{"event":"user logged in","user":"u"}`, "user logged in", `"user":"u"`)
	f(`{"body":{"stringValue":"x"},"severityNumber":17}`, "x", `"body":{"stringValue":"x"},"severityNumber":17`)
	f(`{"body":"x","severityNumber":17}`, "x", `"severityNumber":17`)
	f(`{"level":"","severity":"error","msg":"x"}`, "x", `"level":""`)
	f(`{"event":{"dataset":"x"},"msg":"x"}`, "x", `"event":{"dataset":"x"}`)
}

// One odd member costs neither time nor level of the line, which stays text.
func TestOddMembers(t *testing.T) {
	p := newParser("UTC")
	f := func(line string) {
		t.Helper()
		got := p.Parse(jsontext.Append(nil, line), judgedRead, Options{})
		if inUTC(got.Time) != "08:57:47" || got.Level != "error" || got.Members || string(got.Message) != string(jsontext.Append(nil, line)) {
			t.Errorf("%s: time %q, level %q, members %v, message %s", line, inUTC(got.Time), got.Level, got.Members, got.Message)
		}
	}
	const in = `"time":"2026-11-21T08:57:47Z","level":"error"`
	for _, odd := range []string{`"a":NaN`, `"a":Infinity`, `"a":-Infinity`, `"a":undefined`, `"a":1,"a":2`, `"a":1,"\u0061":2`, `"a":01`, `"a":1.`, `"a":0x1F`, `"a":'it'`, `a:1`, `"a":True`, `"a":None`,
		`"a":"\x41"`, "\"a\":\"\t\"", "\"a\":\"b\nc\"", `"a":[1,2,]`, `"a":{"b":1,}`, `"a\u0000":1`, `"a":[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]`, `"a":1 /* x */`} {
		f("{" + odd + "," + in + "}")
		f("{" + in + "," + odd + "}")
	}
	for _, line := range []string{"{" + in + ",}", "{" + in + "} trailing", "{" + in, "{" + in + `,"a":"b`, "[{" + in + "}]", "{" + in + "}{" + in + "}", `{'time': '2026-11-21T08:57:47Z', 'level': 'error'}`,
		"{time: \"2026-11-21T08:57:47Z\", level: \"error\"}", "prefix: {" + in + "}"[:0] + "2026-11-21 08:57:47 {\"level\":\"error\"}"} {
		f(line)
	}
	const pairs = `time=2026-11-21T08:57:47Z level=error`
	for _, odd := range []string{`url=http://h/?a=b`, `a='b c'`, `a=b"c`, `a={"b":"c d"}`, `a=1 a=2`, `word`, `a="open`, `"quoted" x`, `=b`, `a==b`, "\x1b[31mred\x1b[0m=1"} {
		f(pairs + " " + odd)
		if odd != `a="open` {
			f("a=0 " + odd + " " + pairs)
		}
	}
	// what is neither is left alone
	for _, line := range []string{`{a:1}`, `{not json`, `{{template}}`, `{"a":1,"a":2}`, `url=http://x?a=b c=d`, `a == b`, `[{"a":1}]`} {
		if got := p.Parse(jsontext.Append(nil, line), judgedRead, Options{}); got.Format != 0 || got.Level != "" || !got.Time.IsZero() {
			t.Errorf("%s: %s, time %v, level %q", line, got.Format, got.Time, got.Level)
		}
	}
	// a byte order mark and colours are no part of the object
	for _, line := range []string{"\ufeff{" + in + `,"msg":"x"}`, "\x1b[31m{" + in + ",\"msg\":\"x\"}\x1b[0m", "\x1b[31m{" + in + ",\"msg\":\"x\"}\x1b[0m\n"} {
		if got := p.Parse(jsontext.Append(nil, line), judgedRead, Options{}); !got.Members || got.Level != "error" || string(got.Message) != "x" {
			t.Errorf("%s: level %q, message %s", line, got.Level, got.Message)
		}
	}
	// as text, nothing is read of it
	if got := p.Parse([]byte(`level=error a=b=c`), judgedRead, Options{Text: true}); got.Level != "" {
		t.Errorf("level %q of what is to stay text", got.Level)
	}
}
