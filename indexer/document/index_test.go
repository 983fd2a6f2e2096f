package document

import (
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/indexer/internal/samples"
	"github.com/sluicelog/sluice/internal/kafka"
)

func TestIndexName(t *testing.T) {
	at := time.Date(2026, 11, 21, 23, 59, 59, 0, time.UTC)
	f := func(pattern, dc, dataset, app, want, wildcard string) {
		t.Helper()
		p, err := NewPattern(pattern)
		if err != nil {
			t.Fatal(err)
		}
		n := names{pattern: p}
		for range 2 { // made, known
			if got := n.of(at, []byte(dc), []byte(dataset), []byte(app)); got != want {
				t.Errorf("%s: got %s, want %s", pattern, got, want)
			}
		}
		if got := p.Wildcard(); got != wildcard {
			t.Errorf("%s: wildcard %s, want %s", pattern, got, wildcard)
		}
	}
	f("sluice-{yyyy.MM.dd}", "", "", "", "sluice-2026.11.21", "sluice-*")
	f("sluice-{yyyy.MM}-x", "", "", "", "sluice-2026.11-x", "sluice-*-x")
	f("l-{yyyy}{MM}{dd}{HH}", "", "", "", "l-2026112123", "l-*")
	f("l-{dc}-{dataset}-{app}", "DC1", "Nginx.Access", "/prod/order", "l-dc1-nginx.access-prod-order", "l-*-*-*")
	f("l-{app}", "", "", "", "l-none", "l-*")
	f("l-{app}", "", "", `A b\c*d?e"f<g>h|i,j#k:l`, "l-a-b-c-d-e-f-g-h-i-j-k-l", "l-*")
	f("l-{app}", "", "", "__..", "l-none", "l-*")
	f("l-{app}", "", "", "上海\xff", "l-上海", "l-*")
	f("l-{app}", "", "", strings.Repeat("海", 100), "l-"+strings.Repeat("海", 33), "l-*")

	bad := func(pattern, want string) {
		t.Helper()
		if _, err := NewPattern(pattern); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %s", pattern, err, want)
		}
	}
	bad("", "fixed text")
	bad("{app}-x", "fixed text")
	bad("-{app}", "fixed text")
	bad("l-{yyyy", "{ without }")
	bad("l-{foo}", "{foo} is none of")
	bad("l-{}", "{} is none of")
	bad("Logs-{yyyy}", "capitals")
	bad("a b-{yyyy}", "capitals")
}

// The same record gets the same id, another one another, also when it is at the
// same offset: of the topic made again, or of another cluster's.
func TestRecordID(t *testing.T) {
	id := func(offset int64, at time.Time, value string) string {
		return string(appendRecordID(nil, "logs", 3, &kafka.Record{Offset: offset, Time: at, Value: []byte(value)}))
	}
	one := id(42, samples.ReadTime, "a")
	if !strings.HasPrefix(one, "logs-3-42-") || one != id(42, samples.ReadTime, "a") {
		t.Errorf("id %s, then %s", one, id(42, samples.ReadTime, "a"))
	}
	for _, other := range []string{id(43, samples.ReadTime, "a"), id(42, samples.ReadTime.Add(time.Millisecond), "a"), id(42, samples.ReadTime, "b")} {
		if other == one {
			t.Errorf("two records of the id %s", one)
		}
	}
}
