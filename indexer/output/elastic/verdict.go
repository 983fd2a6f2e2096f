package elastic

import (
	"slices"

	"github.com/sluicelog/sluice/indexer/bulk"
)

// fewTries is how often a document with an error that may pass is sent.
const fewTries = 5

// itemVerdict judges one item of a bulk answer, by its status and its error's type.
//
//	200 201                              stored
//	409 version_conflict_engine_exc.     stored before: create found our id
//	429 502 503 504                      again
//	403 cluster_block, 4xx/5xx of        again: read-only index, flood stage, shards away,
//	  rejected execution, unavailable      queue full
//	401 403 others (security)            denied
//	other 5xx, other 409                 a few times, then dead
//	400 404 others                       dead
func itemVerdict(status int, kind string) bulk.Verdict {
	switch {
	case status == 200 || status == 201:
		return bulk.Stored
	case status == 409 && kind == "version_conflict_engine_exception":
		return bulk.Duplicate
	case status == 429, status == 502, status == 503, status == 504, slices.Contains(passing, kind):
		return bulk.Again
	case status == 401, status == 403:
		return bulk.Denied
	case status == 409, status >= 500, status < 200:
		return bulk.Few
	}
	return bulk.Dead
}

// passing are errors of a state of the cluster, whatever their status is.
var passing = []string{
	"cluster_block_exception",
	"es_rejected_execution_exception",
	"rejected_execution_exception",
	"circuit_breaking_exception",
	"unavailable_shards_exception",
	"no_shard_available_action_exception",
	"index_primary_shard_not_allocated_exception",
	"master_not_discovered_exception",
	"process_cluster_event_timeout_exception",
	"node_closed_exception",
	"index_closed_exception",
}

// requestVerdict judges an answer to a whole bulk request that is not 200. Kind is the
// error's type in Elasticsearch's JSON, empty where the answer is not of its making.
//
//	429 and all 5xx, 408     again
//	413                      split; one document alone: dead
//	400 of Elasticsearch     split, so that the document that is to blame is found
//	others                   denied: 401 and 403; also 404, 405, redirects or 400 of a
//	                         proxy: a wrong address must not fill the dead-letter topic
func requestVerdict(status int, kind string) bulk.Verdict {
	switch {
	case status == 429, status == 408, status >= 500, slices.Contains(passing, kind):
		return bulk.Again
	case status == 413, status == 400 && kind != "":
		return bulk.Split
	}
	return bulk.Denied
}
