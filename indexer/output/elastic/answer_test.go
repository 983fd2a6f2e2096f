package elastic

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sluicelog/sluice/indexer/bulk"
)

// bulkOf is a bulk of n documents with the ids id0, id1 and so on.
func bulkOf(n int) *bulk.Bulk {
	b := &bulk.Bulk{}
	for i := range n {
		b.Buf = fmt.Appendf(b.Buf, `{"create":{"_index":"i","_id":"id%d"}}`+"\n{}\n", i)
		b.Items = append(b.Items, bulk.Item{End: len(b.Buf)})
	}
	return b
}

func TestReadItems(t *testing.T) {
	f := func(answer string, n int, want, wantErr string) {
		t.Helper()
		for _, r := range []io.Reader{strings.NewReader(answer), iotest.OneByteReader(strings.NewReader(answer)), iotest.DataErrReader(iotest.HalfReader(strings.NewReader(answer)))} {
			b := bulkOf(n + 1)
			var got strings.Builder
			err := readItems(r, b, 1, n+1, func(i int, v bulk.Verdict, why *Refusal) {
				b.Items[i].Verdict = v
				got.WriteString(why.Error() + "; ")
			})
			for _, it := range b.Items[1:] {
				got.WriteByte("-idamuXS"[it.Verdict])
			}
			if e := ""; err != nil {
				if e = err.Error(); !strings.Contains(e, wantErr) || wantErr == "" {
					t.Errorf("%.200s: error %s, want %s", answer, e, wantErr)
				}
				return
			}
			if wantErr != "" || got.String() != want {
				t.Errorf("%.200s:\ngot  %s\nwant %s %s", answer, got.String(), want, wantErr)
			}
		}
	}
	const ok = `{"create":{"status":201}}`
	f(`{"errors":false,"took":30,"items":[{"create":{"status":201}},{"create":{"status":201}}]}`, 2, "ii", "")
	f(`{"took":30,"errors":true,"items":[{"create":{"status":201}},{"create":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"full \"}{\""}}}]}`, 2,
		`answered 429 es_rejected_execution_exception: full "}{"; ia`, "")
	f(`{"errors":true,"items":[{"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"r","caused_by":{"type":"t","reason":"c"}}}}, {"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"r"}}}]}`, 2,
		`answered 400 document_parsing_exception: r: c; answered 409 version_conflict_engine_exception: r; Xd`, "")
	f(`{"errors":true,"items":[{"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"`+strings.Repeat("x", 200_000)+`"}}}]}`, 1,
		"answered 400 document_parsing_exception: "+strings.Repeat("x", maxReason)+"; X", "")
	// Any order of members, white space, and all that was not asked for.
	f("\n{ \"items\" : [ {\t\"create\" : { \"_index\":\"i\", \"_id\":\"id1\",\"_shards\":{\"total\":2,\"items\":[1,{}]},\"status\": 201 } }\r\n,"+ok+" ] , \"errors\" : false, \"x\":[[\"]\"],-1.5e3,null] }\n", 2, "ii", "")
	f(`{"items":[{"create":{"error":{"root_cause":[{"type":"no","reason":"`+strings.Repeat(`\\\"`, 50_000)+`"}],"caused_by":{"caused_by":{"reason":"far"},"reason":"near"},"reason":"\u0041\ud83d\ude00","type":"mapper_parsing_exception"},"status":400}}]}`, 1,
		"answered 400 mapper_parsing_exception: A\U0001F600: near; X", "")
	f(`{"items":[{"create":{"status":400,"error":"MapperParsingException[no]"}}]}`, 1, "answered 400 MapperParsingException[no]; u", "")
	f(`{"errors":false,"items":[{"create":{"status":429}}]}`, 1, "answered 429 ; a", "") // errors is not believed
	f(`{"errors":false,"items":[{"create":{"status":201}}]}`, 2, "", "there are 1 items for the 2 documents")
	f(`{"errors":false,"items":[]}`, 2, "", "there are 0 items for the 2 documents")
	f(`{"errors":true,"items":[`+ok+`]}`, 2, "", "there are 1 items for the 2 documents")
	f(`{"errors":true,"items":[`+ok+`,`+ok+`]}`, 1, "", "there are more items than the 1 documents")
	f(`{"errors":false,"items":[`+ok+`],"items":[`+ok+`]}`, 1, "", "twice")
	f(`{"items":[{"create":{"_id":"id2","status":201}},{"create":{"_id":"id1","status":201}}]}`, 2, "", `item 0 of 2 is of the document "id2"`)
	f(`{"items":[`+ok+`]}{"x":1}`, 1, "", "after its end")
	f(`{"items":[`+ok+`]`, 1, "", "unexpected EOF")
	f(`{"errors":false`, 1, "", "unexpected EOF")
	f(`{"errors":false,"items":[{"create":{"status":20`, 1, "", "unexpected EOF")
	f(`{"errors":true,"items":[{"create":{"stat`, 1, "", "unexpected EOF")
	f(`{"errors":true,"items":[`, 1, "", "unexpected EOF")
	for _, s := range []string{`{"errors":true}`, ``, `<html>`, `[]`, `"items"`, `{"errors":false}`, `{"error":{"items":[` + ok + `]}}`, // none of them is an answer to _bulk
		`{"items":[{"create":{}}]}`, `{"items":[{"create":{"status":"201"}}]}`, `{"items":[{"create":{"status":2.01e2}}]}`, `{"items":[{"create":{"status":302}}]}`, `{"items":[{"create":{"status":99999999999999999999}}]}`} {
		f(s, 1, "", "the server is not Elasticsearch")
	}
	f(`{"items":[{"create":{"status":201},"index":{"status":201}}]}`, 1, "", "2 actions")
	f(`{"items":[{"create":{"status":201,"error":{"type":"t"}}}]}`, 1, "", "it has an error")
	f(`{"items":[{}]}`, 1, "", "0 actions")
	f(`{"items":[null]}`, 1, "", "unexpected 'n'")
	f(`{"items":{"create":{"status":201}}}`, 1, "", "unexpected '{'")
}

// Whatever a server answers, reading ends; without an error each item has a verdict, and
// those that are not stored were judged once.
func FuzzReadItems(f *testing.F) {
	for _, s := range []string{
		`{"errors":false,"items":[{"create":{"status":201}}]}`,
		`{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":400,"error":{"type":"t","reason":"r","caused_by":{"reason":"c"}}}}]}`,
		`{"errors":true,"items":[{"create":{"status":429}}, {}]}`,
		`{"errors":true,"items":[{"create":{"status":"x","error":"}{\"]"}}]}`,
		`<html>`,
		`{"items":[[1]]}`,
	} {
		f.Add(s, 2)
	}
	f.Fuzz(func(t *testing.T, answer string, n int) {
		b := bulkOf(max(1, n%100))
		judged := map[int]bool{}
		err := readItems(strings.NewReader(answer), b, 0, len(b.Items), func(i int, v bulk.Verdict, why *Refusal) {
			if judged[i] || v == bulk.Stored || v == bulk.Pending || len(why.Error()) > 2*maxReason {
				t.Fatalf("%q: item %d has the verdict %d: %.100s", answer, i, v, why)
			}
			judged[i] = true
		})
		for i, it := range b.Items {
			if err == nil && it.Verdict != bulk.Stored && !judged[i] {
				t.Fatalf("%q: item %d has no verdict", answer, i)
			}
		}
	})
}
