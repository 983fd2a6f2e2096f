package indexer

import (
	"strings"
	"testing"
	"testing/iotest"
)

func TestItemVerdict(t *testing.T) {
	f := func(status int, kind string, want verdict) {
		t.Helper()
		if got := itemVerdict(status, kind); got != want {
			t.Errorf("%d %s: got %d, want %d", status, kind, got, want)
		}
	}
	f(200, "", indexed)
	f(201, "", indexed)
	f(409, "version_conflict_engine_exception", duplicate)
	f(409, "resource_already_exists_exception", few)
	f(429, "", again)
	f(429, "es_rejected_execution_exception", again)
	f(429, "cluster_block_exception", again) // flood stage
	f(502, "", again)
	f(503, "unavailable_shards_exception", again)
	f(504, "", again)
	f(403, "cluster_block_exception", again)
	f(400, "index_closed_exception", again)
	f(500, "es_rejected_execution_exception", again)
	f(401, "security_exception", denied)
	f(403, "security_exception", denied)
	f(500, "null_pointer_exception", few)
	f(0, "unreadable", few)
	f(400, "document_parsing_exception", dead)
	f(400, "mapper_parsing_exception", dead)
	f(400, "illegal_argument_exception", dead)
	f(404, "index_not_found_exception", dead)
	f(413, "", dead)
}

func TestRequestVerdict(t *testing.T) {
	f := func(status int, kind string, want verdict) {
		t.Helper()
		if got := requestVerdict(status, kind); got != want {
			t.Errorf("%d %s: got %d, want %d", status, kind, got, want)
		}
	}
	f(429, "", again)
	f(408, "", again)
	f(500, "", again)
	f(502, "", again)
	f(503, "cluster_block_exception", again)
	f(504, "", again)
	f(403, "cluster_block_exception", again)
	f(413, "", split)
	f(400, "illegal_argument_exception", split)
	f(400, "", denied)
	f(401, "security_exception", denied)
	f(403, "security_exception", denied)
	f(404, "", denied)
	f(405, "", denied)
	f(301, "", denied)
}

func TestReadItems(t *testing.T) {
	f := func(answer string, n int, want, wantErr string) {
		t.Helper()
		items := make([]item, n)
		var got strings.Builder
		err := readItems(iotest.OneByteReader(strings.NewReader(answer)), items, func(i int, v verdict, why *refusal) {
			items[i].verdict = v
			got.WriteString(why.Error() + "; ")
		})
		for _, it := range items {
			got.WriteByte("-idafDXS"[it.verdict])
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
