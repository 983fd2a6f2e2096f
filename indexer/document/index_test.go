package document

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/indexer/internal/samples"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/schemas"
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

// The index is of the day of the event's time while that is near to its record's, else of
// the record's day, with a tag; of no day where there is no time to trust. @timestamp
// stays what the line says.
func TestIndexDay(t *testing.T) {
	pattern, err := NewPattern("sluice-{yyyy.MM.dd}")
	if err != nil {
		t.Fatal(err)
	}
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	kolkata, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	record := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	days := Days{MaxAge: 7 * 24 * time.Hour, MaxAhead: time.Hour}
	f := func(d Days, codec, value string, recorded time.Time, wantIndex, wantTime, wantTags string) {
		t.Helper()
		for _, clock := range []time.Time{time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC)} {
			e := NewEncoder(Options{Pattern: pattern, Zone: time.UTC, Codec: codec, Days: d})
			e.At(clock)
			out := e.Append(nil, &kafka.Record{Value: []byte(value), Time: recorded}, "logs", 3)
			var action struct {
				Create struct {
					Index string `json:"_index"`
				}
			}
			var doc struct {
				At   string `json:"@timestamp"`
				Tags json.RawMessage
			}
			lines := bytes.Split(out, []byte("\n"))
			if err := json.Unmarshal(lines[0], &action); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(lines[1], &doc); err != nil {
				t.Fatal(err)
			}
			if key := doubled(lines[1]); key != "" {
				t.Errorf("%s: %s is there twice in %s", value, key, lines[1])
			}
			doc.At = strings.Replace(doc.At, ".000000000Z", "Z", 1)
			wantTime := strings.ReplaceAll(wantTime, "CLOCK", clock.Format("2006-01-02T15:04:05Z"))
			if action.Create.Index != wantIndex || doc.At != wantTime || string(doc.Tags) != wantTags {
				t.Errorf("%s %s at %v: index %s, @timestamp %s, tags %s; want %s, %s, %s", codec, value, recorded, action.Create.Index, doc.At, doc.Tags, wantIndex, wantTime, wantTags)
			}
		}
	}
	f(days, "plain", "x", record, "sluice-2026.11.21", "2026-11-21T08:00:00Z", "")
	f(days, "plain", "2026-11-14 08:00:00 x", record, "sluice-2026.11.14", "2026-11-14T08:00:00Z", "")
	f(days, "plain", "2026-11-14 07:59:59 x", record, "sluice-2026.11.21", "2026-11-14T07:59:59Z", `["_timeoutofrange"]`)
	f(days, "plain", "2022-01-01 00:00:00 x", record, "sluice-2026.11.21", "2022-01-01T00:00:00Z", `["_timeoutofrange"]`)
	f(days, "plain", "2026-11-21 09:00:00 x", record, "sluice-2026.11.21", "2026-11-21T09:00:00Z", "")
	f(days, "plain", "2026-11-22 07:00:00 x", record, "sluice-2026.11.21", "2026-11-22T07:00:00Z", `["_timeoutofrange"]`)
	f(days, "json", `{"time":"2024-02-03T04:05:06Z","msg":"x","tags":["a"]}`, record, "sluice-2026.11.21", "2024-02-03T04:05:06Z", `["_timeoutofrange"]`)
	f(days, "syslog", "<165>1 2025-11-21T08:57:47Z web1 app 123 ID47 - text", record, "sluice-2026.11.21", "2025-11-21T08:57:47Z", `["_timeoutofrange"]`)
	for _, tags := range [][2]string{{`["a","b"]`, `["a","b","_timeoutofrange"]`}, {`"a"`, `["a","_timeoutofrange"]`}, {`[ ]`, `["_timeoutofrange"]`}, {`null`, `["_timeoutofrange"]`}} {
		f(days, "ecs", `{"@timestamp":"2025-01-01T00:00:00Z","tags":`+tags[0]+`,"message":"x"}`, record, "sluice-2026.11.21", "2025-01-01T00:00:00Z", tags[1])
	}
	old := schemas.Line{ID: schemas.NewPlace("s", "", "").Line(1).ID(record), Time: record.AddDate(-1, 0, 0), Message: []byte("x"), Size: 1}
	ours := string(schemas.AppendEvent(nil, &old, schemas.NewTail(&schemas.Source{Host: "h"})))
	f(days, "ecs", ours, record, "sluice-2026.11.21", "2025-11-21T08:00:00Z", `["_timeoutofrange"]`)

	// Without bounds the index is of the day that the event says.
	f(Days{}, "plain", "2023-11-14 07:59:59 x", record, "sluice-2023.11.14", "2023-11-14T07:59:59Z", "")
	f(Days{MaxAge: time.Hour}, "plain", "2026-11-22 07:00:00 x", record, "sluice-2026.11.22", "2026-11-22T07:00:00Z", "")

	// A record without a time says no day, whatever the clock of the indexer does.
	for _, none := range []time.Time{{}, time.UnixMilli(-1), time.UnixMilli(0), time.UnixMilli(-62_200_000_000_000), time.UnixMilli(1 << 60)} {
		f(days, "plain", "x", none, "sluice-undated", "CLOCK", `["_undated"]`)
		f(days, "plain", "2026-11-14 08:00:00 x", none, "sluice-undated", "2026-11-14T08:00:00Z", `["_undated"]`)
		f(days, "json", `{"time":"2024-02-03T04:05:06Z","msg":"x"}`, none, "sluice-undated", "2024-02-03T04:05:06Z", `["_undated"]`)
		f(days, "json", "no JSON", none, "sluice-undated", "CLOCK", `["_jsonparsefailure","_undated"]`)
		f(days, "ecs", `{"@timestamp":"2026-11-14T08:00:00Z","message":"x"}`, none, "sluice-undated", "2026-11-14T08:00:00Z", `["_undated"]`)
		f(days, "ecs", ours, none, "sluice-2025.11.21", "2025-11-21T08:00:00Z", "") // of reading, as the shipper says
	}

	// Days begin where the configuration says.
	night := time.Date(2026, 11, 21, 16, 30, 0, 0, time.UTC)
	f(Days{Zone: shanghai}, "plain", "x", night, "sluice-2026.11.22", "2026-11-21T16:30:00Z", "")
	f(Days{Zone: kolkata}, "plain", "x", night, "sluice-2026.11.21", "2026-11-21T16:30:00Z", "")
	f(Days{Zone: kolkata}, "plain", "x", night.Add(2*time.Hour), "sluice-2026.11.22", "2026-11-21T18:30:00Z", "")
	f(Days{Zone: kolkata}, "plain", "x", night.Add(2*time.Hour-time.Second), "sluice-2026.11.21", "2026-11-21T18:29:59Z", "")
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

// An index is open for an hour after it was written to; no more than so many are at a time.
func TestOpenIndices(t *testing.T) {
	x := NewOpenIndices(2)
	at := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	f := func(name string, after time.Duration, want bool) {
		t.Helper()
		if got := x.use(name, at.Add(after)); got != want {
			t.Errorf("%s after %v: %v, want %v", name, after, got, want)
		}
	}
	f("a", 0, true)
	f("b", 0, true)
	f("c", time.Second, false)
	f("a", 30*time.Minute, true)
	f("c", 59*time.Minute, false)
	f("c", 61*time.Minute, true)
	f("b", 62*time.Minute, false)
	f("a", 63*time.Minute, true)
}
