//go:build e2e

package indexer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/indexer/internal/samples"
	"github.com/sluicelog/sluice/internal/jsontext"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/test/servers"
)

// TestRealElasticsearch installs the templates on a real Elasticsearch and indexes the
// golden records: its answers are what estest's are made after.
func TestRealElasticsearch(t *testing.T) {
	es, err := servers.StartElasticsearch(t.Context(), t.TempDir(), servers.ElasticsearchOptions{Brief: true})
	if err != nil {
		t.Fatal(err)
	}
	defer es.Kill()
	url := es.URL
	o := (&world{}).output("online", url)
	prefix := fmt.Sprintf("sluice-real%d-", time.Now().UnixNano())
	o.Index = prefix + "{yyyy.MM.dd}"
	o.Template.Replicas = 0
	o.Elasticsearch.Timeout = config.Duration(2 * time.Minute) // on a busy machine; what is sent again would count as doubled
	cfg := config.Default()
	cfg.DataDir = ""
	cfg.Indexer.Outputs = []config.Output{o}
	var out bytes.Buffer
	for range 2 {
		out.Reset()
		if err := Setup(context.Background(), cfg, &out); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		if !strings.Contains(l, "unchanged") && !strings.Contains(l, "left out") {
			t.Errorf("the second run: %s", l)
		}
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	real := newBareOutput(t, ctx, o)
	var records []kafka.View
	codecs := map[string][]kafka.View{}
	for i, g := range samples.Records {
		codecs[g.Codec] = append(codecs[g.Codec], kafka.View{Value: []byte(g.Value), Offset: int64(i), Time: time.Date(2026, 11, 21, 8, 58, 0, 0, time.UTC).UnixMilli()})
		records = append(records, kafka.View{})
	}
	deep := strings.Repeat(`{"a":`, jsontext.MaxDepth-1) + "1" + strings.Repeat("}", jsontext.MaxDepth-1)
	for i, app := range []string{
		`{"msg":"deep","o":` + deep + `}`,
		`{"msg":"long leaf","o":"` + strings.Repeat("海", 40000) + `"}`,
		`{"msg":"long key","` + strings.Repeat("k", 2000) + `":"` + strings.Repeat("海", 2048) + `"}`,
		`{"msg":"dots","a.b":1,"a":{"b":2},"":3,".":4,"..":5,"a..b":6}`,
		`{"msg":"types","a":[1,"x",null,true,{"b":1.0}],"n":1e400,"big":123456789012345678901234567890}`,
		`{"msg":"lone surrogate \ud83d","k":"\ud83d"}`,
		`{"level":"info","msg":""}`,
		`{"msg":"doubled by an escape","a":1,"\u0061":2}`,
		`{"msg":"NUL in a value","a":"\u0000","o":{"b":["\u0000x"]}}`,
		`{"msg":"longest path","` + strings.Repeat("k", jsontext.MaxPath-1) + `":"` + strings.Repeat("海", 2048) + `"}`,
		`{"msg":"path too long","` + strings.Repeat("k", 20_000) + `":{"` + strings.Repeat("k", 13_000) + `":1}}`,
		`{"msg":"number too long","n":1` + strings.Repeat("0", 2000) + `}`,
		`{"msg":"longest number","n":` + strings.Repeat("9", jsontext.MaxNumber) + `,"f":0.` + strings.Repeat("9", jsontext.MaxNumber-2) + `}`,
	} {
		codecs["ecs"] = append(codecs["ecs"], kafka.View{Value: samples.Event(app), Offset: int64(1000 + i), Time: time.Now().UnixMilli()})
		records = append(records, kafka.View{})
	}
	partitions := []*partition{}
	for codec, rs := range codecs {
		p := real.newPartition(&bareMarker{partition: int32(len(partitions))}, codec)
		partitions = append(partitions, p)
		for range 2 { // the second time all of them are there
			real.take(ctx, p, rs)
		}
	}
	for _, p := range partitions {
		for p.Open() > 0 {
			real.output.Flush()
			select {
			case <-p.Idle():
			case <-time.After(30 * time.Second):
				t.Fatalf("not finished: %s", real.output.Trouble())
			}
		}
	}
	stored, doubled := testFigure(t, real.figures.reg, "sluice_indexer_indexed_events_total"), testFigure(t, real.figures.reg, "sluice_indexer_duplicate_events_total")
	if int(stored) != len(records) || int(doubled) != len(records) {
		t.Errorf("%v stored, %v doubled of %d", stored, doubled, len(records))
	}

	get := func(path string) map[string]any {
		t.Helper()
		res, err := http.Post(url+path, "application/json", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var v map[string]any
		if err := json.NewDecoder(res.Body).Decode(&v); err != nil || res.StatusCode != 200 {
			t.Fatalf("%s: %d %v %v", path, res.StatusCode, v, err)
		}
		return v
	}
	get("/" + prefix + "*/_refresh")
	f := func(query string, want float64) {
		t.Helper()
		v := get("/" + prefix + "*/_search?size=0&track_total_hits=true&q=" + strings.ReplaceAll(query, " ", "%20"))
		if got := v["hits"].(map[string]any)["total"].(map[string]any)["value"]; got != want {
			t.Errorf("%s: %v hits, want %v", query, got, want)
		}
	}
	f(`*`, float64(len(records)))
	f(`app.n:1.0`, 1)
	f(`log.level:warn`, 2)
	f(`labels.dc:dc1`, 17)
	f(`message:"hi x"`, 1)
	f(`tags:_jsonparsefailure`, 4)
	f(`@timestamp:[2026-11-20T23:59:59.500Z TO 2026-11-20T23:59:59.501Z]`, 1)
	f(`log.size:180 AND container.labels.team:order AND trace.id:t1`, 1)
}
