package elastic

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sluicelog/sluice/indexer/bulk"
)

// BenchmarkReadItems is an answer of 1,000 items, all stored or all stored before.
func BenchmarkReadItems(b *testing.B) {
	for _, c := range []struct{ name, item string }{
		{"stored", `{"create":{"status":201}}`},
		{"duplicate", `{"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"[AZqlPk4dnLo2cQm3wWvXyZ01]: version conflict, document already exists (current version [1])"}}}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			answer := []byte(`{"errors":true,"items":[` + strings.Repeat(c.item+",", 999) + c.item + `]}`)
			k := bulkOf(1000)
			r := bytes.NewReader(nil)
			b.ReportAllocs()
			for b.Loop() {
				r.Reset(answer)
				if err := readItems(r, k, 0, len(k.Items), func(i int, v bulk.Verdict, _ *Refusal) { k.Items[i].Verdict = v }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
