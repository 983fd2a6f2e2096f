package rule

import (
	"fmt"
	"testing"
)

// lines are of the kinds that sites have most.
var lines = []string{
	`10.1.2.3 - - [29/Nov/2026:07:12:13 +0000] "GET /api/v1/orders/4711?expand=items HTTP/1.1" 200 1532 "https://shop.example.com/" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36" 0.023`,
	`2026-11-29 07:12:13.123  INFO 1 --- [nio-8080-exec-7] c.e.shop.order.OrderController           : Order 4711 of customer 12345 placed, 3 items, total 57.80 EUR`,
	`{"time":"2026-11-29T07:12:13.123Z","level":"info","logger":"shop.cart","msg":"item added","cart":"a1b2c3","item":4711,"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}`,
	`I1129 07:12:13.123456       1 reconciler.go:224] "Reconciling" controller="deployment" namespace="shop" name="cart-7d9f8b"`,
	`	at org.springframework.web.servlet.FrameworkServlet.processRequest(FrameworkServlet.java:1014)`,
}

// hundred are rules as sites write them: most by text, some by application.
func hundred(all bool) []Spec {
	texts := []string{"GET /healthz", "GET /metrics%d", "DEBUG com.vendor%d", "(?i)deprecated api v%d", "heartbeat from node%d", `Connection reset by peer \(%d\)`, "cache miss for key%d", "(?:ping|pong) seq=%d", "slow query %d", `retrying in \d+ ms \(try %d\)`}
	var out []Spec
	for i := range 100 {
		s := Spec{Name: fmt.Sprint("rule", i), Match: Match{Text: fmt.Sprintf(texts[i%len(texts)]+"%.0s", i, i)}, Drop: true}
		if i%len(texts) == 0 {
			s.Match.Text = fmt.Sprintf("GET /health%d", i)
		}
		if !all && i%2 == 0 {
			s.Match.App = []string{fmt.Sprint("app", i)}
		}
		out = append(out, s)
	}
	return out
}

func benchmarkRules(b *testing.B, specs []Spec) {
	s := set(b, specs...)
	v := s.View(&Source{App: "shop"})
	j := s.NewJudge()
	events := make([]Event, len(lines))
	n := 0
	for i, l := range lines {
		events[i] = Event{Text: inside(l), ID: []byte("AZqTf0sBxxxxxxxxxxxxxxxx"), Source: "0123456789abcdef", Bytes: int64(len(l))}
		n += len(l)
	}
	b.SetBytes(int64(n / len(lines)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		j.Judge(v, &events[i%len(events)])
	}
}

func BenchmarkNone(b *testing.B) { benchmarkRules(b, nil) }

// Half of the rules are for other applications.
func Benchmark100(b *testing.B) { benchmarkRules(b, hundred(false)) }

// All are for this source.
func Benchmark100ByText(b *testing.B) { benchmarkRules(b, hundred(true)) }

func BenchmarkMask(b *testing.B) {
	for _, name := range Masks() {
		b.Run(name, func(b *testing.B) {
			s := set(b, Spec{Mask: []string{name}})
			j := s.NewJudge()
			events := make([]Event, len(lines))
			for i, l := range lines {
				events[i] = Event{Text: inside(l)}
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				j.Mask(s.Rules()[0], &events[i%len(events)])
			}
		})
	}
}

func TestNothingIsAllocatedForAnEvent(t *testing.T) {
	s := set(t, append(hundred(true), Spec{Name: "mask", Mask: Masks()}, Spec{Name: "sample", Sample: "9/10"}, Spec{Name: "count", Count: true, Match: Match{Text: "Order"}})...)
	j, v := s.NewJudge(), s.View(&Source{})
	e := Event{ID: []byte("AZqTf0sBxxxxxxxxxxxxxxxx"), Source: "0123456789abcdef"}
	var texts [][]byte
	for _, l := range lines {
		texts = append(texts, inside(l))
	}
	all := func() {
		for _, t := range texts {
			e.Text = t
			if v := j.Judge(v, &e); v.Mask != nil {
				j.Mask(v.Mask, &e)
			}
		}
	}
	all()
	if n := testing.AllocsPerRun(100, all); n > 0 && !raceEnabled {
		t.Errorf("%v allocations for %d events", n, len(lines))
	}
}
