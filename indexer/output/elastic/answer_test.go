package elastic

import (
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sluicelog/sluice/indexer/bulk"
)

func TestReadItems(t *testing.T) {
	f := func(answer string, n int, want, wantErr string) {
		t.Helper()
		items := make([]bulk.Item, n)
		var got strings.Builder
		err := readItems(iotest.OneByteReader(strings.NewReader(answer)), items, func(i int, v bulk.Verdict, why *Refusal) {
			items[i].Verdict = v
			got.WriteString(why.Error() + "; ")
		})
		for _, it := range items {
			got.WriteByte("-idafDXS"[it.Verdict])
		}
		if e := ""; err != nil {
			if e = err.Error(); !strings.Contains(e, wantErr) || wantErr == "" {
				t.Errorf("%s: error %s, want %s", answer, e, wantErr)
			}
			return
		}
		if wantErr != "" || got.String() != want {
			t.Errorf("%s:\ngot  %s\nwant %s %s", answer, got.String(), want, wantErr)
		}
	}
	f(`{"errors":false,"took":30,"items":[{"create":{"status":201}},{"create":{"status":201}}]}`, 2, "ii", "")
	f(`{"took":30,"errors":true,"items":[{"create":{"status":201}},{"create":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"full \"}{\""}}}]}`, 2,
		`answered 429 es_rejected_execution_exception: full "}{"; ia`, "")
	f(`{"errors":true,"items":[{"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"r","caused_by":{"type":"t","reason":"c"}}}}, {"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"r"}}}]}`, 2,
		`answered 400 document_parsing_exception: r: c; answered 409 version_conflict_engine_exception: r; Xd`, "")
	f(`{"errors":true,"items":[{"create":{"status":400,"error":{"type":"t","reason":"`+strings.Repeat("x", 20_000)+`"}}}]}`, 1,
		"answered 400 t: "+strings.Repeat("x", maxReason)+"; X", "")
	f(`{"errors":true,"items":[{"create":{"status":201}}]}`, 2, "", "unexpected")
	f(`{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":201}}]}`, 1, "", "unexpected")
	f(`{"errors":true,"items":[{"create":{"stat`, 1, "", "unexpected EOF")
	f(`{"errors":true,"items":[`, 1, "", "unexpected EOF")
	f(`{"errors":true}`, 1, "", `no "items":[`)
	f(``, 1, "", `no "items":[`)
	f(`<html>`, 1, "", `no "items":[`)
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
		items := make([]bulk.Item, max(1, n%100))
		judged := map[int]bool{}
		err := readItems(strings.NewReader(answer), items, func(i int, v bulk.Verdict, why *Refusal) {
			if judged[i] || v == bulk.Stored || v == bulk.Pending || len(why.Error()) > 2*maxReason {
				t.Fatalf("%q: item %d has the verdict %d: %.100s", answer, i, v, why)
			}
			judged[i] = true
		})
		for i, it := range items {
			if err == nil && it.Verdict != bulk.Stored && !judged[i] {
				t.Fatalf("%q: item %d has no verdict", answer, i)
			}
		}
	})
}
