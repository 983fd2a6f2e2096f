package elastic

import (
	"testing"

	"github.com/sluicelog/sluice/indexer/bulk"
)

func TestItemVerdict(t *testing.T) {
	f := func(status int, kind string, want bulk.Verdict) {
		t.Helper()
		if got := itemVerdict(status, kind); got != want {
			t.Errorf("%d %s: got %d, want %d", status, kind, got, want)
		}
	}
	f(200, "", bulk.Stored)
	f(201, "", bulk.Stored)
	f(409, "version_conflict_engine_exception", bulk.Duplicate)
	f(409, "resource_already_exists_exception", bulk.Few)
	f(429, "", bulk.Again)
	f(429, "es_rejected_execution_exception", bulk.Again)
	f(429, "cluster_block_exception", bulk.Again) // flood stage
	f(502, "", bulk.Again)
	f(503, "unavailable_shards_exception", bulk.Again)
	f(504, "", bulk.Again)
	f(403, "cluster_block_exception", bulk.Again)
	f(400, "index_closed_exception", bulk.Again)
	f(500, "es_rejected_execution_exception", bulk.Again)
	f(401, "security_exception", bulk.Denied)
	f(403, "security_exception", bulk.Denied)
	f(500, "null_pointer_exception", bulk.Few)
	f(0, "unreadable", bulk.Few)
	f(400, "document_parsing_exception", bulk.Dead)
	f(400, "mapper_parsing_exception", bulk.Dead)
	f(400, "illegal_argument_exception", bulk.Dead)
	f(404, "index_not_found_exception", bulk.Dead)
	f(413, "", bulk.Dead)
}

func TestRequestVerdict(t *testing.T) {
	f := func(status int, kind string, want bulk.Verdict) {
		t.Helper()
		if got := requestVerdict(status, kind); got != want {
			t.Errorf("%d %s: got %d, want %d", status, kind, got, want)
		}
	}
	f(429, "", bulk.Again)
	f(408, "", bulk.Again)
	f(500, "", bulk.Again)
	f(502, "", bulk.Again)
	f(503, "cluster_block_exception", bulk.Again)
	f(504, "", bulk.Again)
	f(403, "cluster_block_exception", bulk.Again)
	f(413, "", bulk.Split)
	f(400, "illegal_argument_exception", bulk.Split)
	f(400, "", bulk.Denied)
	f(401, "security_exception", bulk.Denied)
	f(403, "security_exception", bulk.Denied)
	f(404, "", bulk.Denied)
	f(405, "", bulk.Denied)
	f(301, "", bulk.Denied)
}
