package samples

import "strings"

// Pad makes a line about 1 KB long, the average that the stage is built for.
func Pad(s string) string { return s + strings.Repeat(" the order was taken", (1000-len(s))/20) }

// Lines are of the kinds that the stage reads most, for benchmarks.
var Lines = []struct{ Name, Line string }{
	{"none", Pad(`	at com.qunar.order.OrderService.take(OrderService.java:120)`)},
	{"logback", Pad(`2026-11-21 08:57:47.123 INFO  [http-nio-8080-exec-1] c.q.o.OrderService - id=7919 user="u1"`)},
	{"klog", Pad(`I1121 08:57:47.123456    1234 server.go:12] text`)},
	{"nginx", Pad(`10.1.2.3 - - [21/Nov/2026:08:57:47 +0800] "GET /order/7919 HTTP/1.1" 200 123 "-" "curl/8"`)},
	{"syslog", Pad(`<34>Nov 21 08:57:47 web1 app[123]: text`)},
	{"json", `{"time":"2026-11-21T08:57:47.123Z","level":"INFO","logger":"c.q.o.OrderService","thread":"exec-1","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","order":7919,"user":{"id":17,"city":"上海"},"tags":["a","b"],"msg":"` + Pad("taken") + `"}`},
	{"json many members", `{"time":"2026-11-21T08:57:47.123Z","level":"INFO","msg":"m"` + func() (s string) {
		for i := range 40 {
			s += `,"member` + string(rune('a'+i%26)) + string(rune('a'+i/26)) + `":"value ` + string(rune('a'+i%26)) + `"`
		}
		return s
	}() + `}`},
	{"logfmt", `time=2026-11-21T08:57:47.123Z level=info msg="` + Pad("taken") + `" order=7919 user=17`},
}
