package aggregator

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluicelog/sluice/internal/kafka"
)

func TestWithDC(t *testing.T) {
	label := []kafka.Header{{Key: dcKey, Value: []byte("dc1")}}
	f := func(headers, want, wantDC string) {
		t.Helper()
		var in []kafka.Header
		for _, h := range strings.Fields(headers) {
			k, v, _ := strings.Cut(h, "=")
			in = append(in, kafka.Header{Key: []byte(k), Value: []byte(v)})
		}
		with, dc, rest := withDC(in, label, nil, 3)
		got := ""
		for _, h := range with {
			got += fmt.Sprintf(" %s=%s", h.Key, h.Value)
		}
		if got[1:] != want || string(dc) != wantDC {
			t.Errorf("withDC(%s) = %s, dc %s, want %s, %s", headers, got[1:], dc, want, wantDC)
		}
		if len(rest)%(len(in)+1) != 0 || cap(with) != len(with) && len(rest) > 0 {
			t.Errorf("withDC(%s) leaves %d free, %d after it", headers, len(rest), cap(with)-len(with))
		}
	}
	f("", "dc=dc1", "dc1")
	f("app=x", "app=x dc=dc1", "dc1")
	f("app=x dc=dc2 y=", "app=x dc=dc2 y=", "dc2")
	f("dc=", "dc=", "")
	if with, _, rest := withDC(make([]kafka.Header, 10_000), label, nil, 4096); len(with) != 10_001 || len(rest) > 1024 {
		t.Errorf("a record of 10,000 headers has %d, and %d are free", len(with), len(rest))
	}
}

func BenchmarkWithDC(b *testing.B) {
	label := []kafka.Header{{Key: dcKey, Value: []byte("dc1")}}
	app := kafka.Header{Key: []byte("app"), Value: []byte("web")}
	for name, headers := range map[string][]kafka.Header{"none": nil, "other": {app}, "there": {app, label[0]}} {
		b.Run(name, func(b *testing.B) {
			const batch = 1000
			b.ReportAllocs()
			for b.Loop() {
				var free []kafka.Header
				for i := range batch {
					_, _, free = withDC(headers, label, free, batch-i)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/record")
		})
	}
}
