package parse

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/sluicelog/sluice/internal/jsontext"
)

// The order decides what a line that more than one format can read is taken for.
func TestOrderOfFormats(t *testing.T) {
	want := "none jsonObject oddJSON klog logfmt oddPairs syslogPriority chromium redis erlang mysqlSlow runtimeLine syslogTime uwsgi rails accessLog text"
	var got []string
	for _, f := range registry {
		got = append(got, strings.TrimPrefix(fmt.Sprintf("%T", f), "parse."))
	}
	if s := strings.Join(got, " "); s != want {
		t.Errorf("order %s\nwant  %s", s, want)
	}
	if ID(0).String() != "none" || FormatJSON.String() != "json" || FormatSyslog.String() != "syslog" {
		t.Errorf("IDs: %s, %s, %s", ID(0), FormatJSON, FormatSyslog)
	}
}

// lines are at least one of each format.
var lines = []string{
	`{"time":"2026-11-21T08:57:47.5Z","level":"WARNING","msg":"hi","n":1}`,
	`{"a":1,"a":2} [21/Nov/2026:08:57:47 +0800] "GET`,
	`time=2026-11-21T08:57:47.5Z level=warn msg="hi"`,
	`level=info msg="open`,
	`<34>Nov 21 08:57:47 web1 app[123]: text`,
	`<999>x`,
	`[2026-11-21 08:57:47,123] INFO [Broker id=1] started`,
	`[WARN] text`,
	`I1121 08:57:47.123456    1234 server.go:12] text`,
	`I1121 08:57:99 x`,
	`Nov 21 08:57:47 web1 app[123]: text`,
	`Sat Nov 21 08:57:47 2026 text`,
	`2026-11-21 08:57:47.123 INFO  [exec-1] c.q.OrderService - id=7919`,
	`2099-11-21 08:57:47.123 text`,
	`10.1.2.3 - alice [21/Nov/2026:08:57:47 +0800] "GET / HTTP/1.1" 200`,
	`INFO  2026-11-21 08:57:47,123 [main] c.q.Foo: text`,
	`Error while connecting`,
	`{"level":"error","v":NaN}`,
	`[1234:5678:1121/085747.123456:ERROR:file.cc(12)] text`,
	`1:M 21 Nov 2026 08:57:47.123 # text`,
	`1:M 21 Nov 2026 08:57:47.123 ? text`,
	`=ERROR REPORT==== 21-Nov-2026::08:57:47 ===`,
	"# Time: 2026-11-21T08:57:47.123456Z\n# User@Host: root[root] @ localhost []",
	`2026-11-21T08:57:48.123456789Z stderr F 2026-11-21 08:57:47 ERROR x`,
	`[pid: 12|app: 0|req: 1/1] 1.2.3.4 () {32 vars in 400 bytes} [Sat Nov 21 08:57:47 2026] GET /a?b=c => generated 9 bytes in 5 msecs (HTTP/1.1 200) 2 headers`,
	`Started GET "/a" for 127.0.0.1 at 2026-11-21 08:57:47 +0000`,
}

// Whatever a line is, each format reads it or leaves what is found as it was, and what it
// finds is legal.
func FuzzFormats(f *testing.F) {
	for id := range registry {
		for _, line := range lines {
			f.Add(uint8(id), line)
		}
	}
	p := newParser("Asia/Shanghai")
	f.Fuzz(func(t *testing.T, id uint8, line string) {
		m := jsontext.Append(nil, line)
		p.begin(m, readTime, Options{})
		format := registry[int(id)%len(registry)]
		if p.start >= len(m) || !format.Starts(m[p.start]) {
			return
		}
		before := p.found
		if !format.Read(p) && !reflect.DeepEqual(p.found, before) {
			t.Fatalf("%T does not read %q and leaves %+v", format, line, p.found)
		}
		for _, m := range p.found.Fields {
			if !json.Valid(m.Value) {
				t.Fatalf("%T of %q: field %s: %s", format, line, m.Name, m.Value)
			}
		}
		if p.found.Logger != nil && !json.Valid([]byte(`"`+string(p.found.Logger)+`"`)) {
			t.Fatalf("%T of %q: logger %q", format, line, p.found.Logger)
		}
	})
}

// A format reads lines of its kind among those it is asked for, and what it does not
// read it leaves as it was.
func TestFormatsReadOrLeave(t *testing.T) {
	p := newParser("UTC")
	read := make([]int, len(registry))
	for _, line := range lines {
		m := jsontext.Append(nil, line)
		for id, f := range registry {
			p.begin(m, readTime, Options{})
			before := p.found
			if !f.Starts(m[0]) {
				continue
			}
			if f.Read(p) {
				read[id]++
			} else if !reflect.DeepEqual(p.found, before) {
				t.Errorf("%T does not read %s and leaves %+v", f, line, p.found)
			}
		}
	}
	for id, n := range read {
		if n == 0 && id > 0 {
			t.Errorf("%T reads none of the lines", registry[id])
		}
	}
}
