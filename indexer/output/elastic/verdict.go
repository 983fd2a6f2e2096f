package elastic

import (
	"net/http"
	"strings"

	"github.com/sluicelog/sluice/indexer/bulk"
)

// triesOfUnknown is how often a document with an error that is in no ruling is sent.
const triesOfUnknown = 5

// itemVerdict judges one item of a bulk answer by the type of its error, whatever its
// status is, and by its status where the type says nothing. It adds the cure to what an
// operator can mend.
func itemVerdict(why *Refusal) bulk.Verdict {
	if why.Status == 200 || why.Status == 201 {
		return bulk.Stored
	}
	if r := rule(why); r != nil {
		why.Cure = r.cure
		if r.cure == cureRights && why.Status == http.StatusUnauthorized {
			why.Cure = cureCredentials
		}
		return r.verdict
	}
	switch why.Status {
	case http.StatusTooManyRequests, http.StatusRequestTimeout, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return bulk.Again
	case http.StatusUnauthorized:
		why.Cure = cureCredentials
		return bulk.Mend
	case http.StatusForbidden:
		why.Cure = cureRights
		return bulk.Mend
	}
	return bulk.Unknown
}

// ruling is what an error of Elasticsearch means.
type ruling struct {
	kind    string // type of the error
	says    string // its reason has to hold this, or, after ^, to start with it
	verdict bulk.Verdict
	cure    string // what mends it
}

// rule is the first ruling that an error falls under; nil: it is not known.
func rule(why *Refusal) *ruling {
	for i := range rulings {
		r := &rulings[i]
		if r.kind != why.Kind {
			continue
		}
		start, atStart := strings.CutPrefix(r.says, "^")
		if atStart && strings.HasPrefix(why.Reason, start) || !atStart && strings.Contains(why.Reason, r.says) {
			return r
		}
	}
	return nil
}

const (
	cureCredentials = "the server does not accept who we are: check the API key, or username and password, of the output's elasticsearch"
	cureRights      = "the user or API key of the output needs create_doc and auto_configure (or create_index) on its indices"
	cureShards      = "delete old indices, or raise cluster.max_shards_per_node, or make fewer shards: template.shards, and fewer parts in the output's index"
	cureBlock       = "remove the block from the index when its cause is gone: PUT <index>/_settings {\"index.blocks.*\": null}"
	cureDisk        = "free disk space on the data nodes, or add some; Elasticsearch 7.4 and later removes the block by itself then"
	cureIndex       = "make the index, or let Elasticsearch make it: action.auto_create_index"
	cureAlias       = "the index name is an alias: give it one index to write to (is_write_index)"
	curePipeline    = "make the ingest pipeline that the index or its template names (index.default_pipeline, index.final_pipeline), or take it out there"
	cureTemplate    = "mend the index template that the index is made from; sluice setup installs that of sluice"
	cureFields      = "raise index.mapping.total_fields.limit, or use the template that sluice setup installs, which adds no fields by itself"
	cureName        = "give the output another index, or free the name"
	cureUnknown     = "many applications have this error, and it is not one that we know to be a document's: mend what it says; if their documents are to blame, name its type in bulk.dead_letter_types, and they go to the dead-letter topic"
	cureSize        = "raise http.max_content_length of Elasticsearch, and the limit of the proxy before it, such as client_max_body_size"
)

// rulings are the errors that we know.
//
//	Duplicate  stored before, under the same id
//	Again      a state of the cluster that passes: queues, memory, shards and nodes that come and go
//	Mend       what passes when an operator acts: limits, blocks, disks, rights, what an index is made from
//	Dead       what the document itself causes
var rulings = []ruling{
	{"version_conflict_engine_exception", "", bulk.Duplicate, ""},

	{"cluster_block_exception", "state not recovered", bulk.Again, ""},
	{"cluster_block_exception", "no master", bulk.Again, ""},
	{"cluster_block_exception", "flood", bulk.Mend, cureDisk},
	{"cluster_block_exception", "read-only / allow delete", bulk.Mend, cureDisk},
	{"cluster_block_exception", "read-only-allow-delete", bulk.Mend, cureDisk},
	{"cluster_block_exception", "create-index blocked", bulk.Mend, cureDisk},
	{"cluster_block_exception", "index closed", bulk.Mend, cureClosed},
	{"cluster_block_exception", "", bulk.Mend, cureBlock},
	{"es_rejected_execution_exception", "", bulk.Again, ""},
	{"rejected_execution_exception", "", bulk.Again, ""},
	{"open_search_rejected_execution_exception", "", bulk.Again, ""},
	{"circuit_breaking_exception", "", bulk.Again, ""},
	{"unavailable_shards_exception", "", bulk.Again, ""},
	{"no_shard_available_action_exception", "", bulk.Again, ""},
	{"index_primary_shard_not_allocated_exception", "", bulk.Again, ""},
	{"shard_not_found_exception", "", bulk.Again, ""},
	{"shard_not_in_primary_mode_exception", "", bulk.Again, ""},
	{"index_shard_closed_exception", "", bulk.Again, ""},
	{"illegal_index_shard_state_exception", "", bulk.Again, ""},
	{"index_shard_not_started_exception", "", bulk.Again, ""},
	{"index_shard_recovering_exception", "", bulk.Again, ""},
	{"index_shard_relocated_exception", "", bulk.Again, ""},
	{"shard_lock_obtain_failed_exception", "", bulk.Again, ""},
	{"retry_on_primary_exception", "", bulk.Again, ""},
	{"retry_on_replica_exception", "", bulk.Again, ""},
	{"engine_closed_exception", "", bulk.Again, ""},
	{"already_closed_exception", "", bulk.Again, ""},
	{"master_not_discovered_exception", "", bulk.Again, ""},
	{"not_master_exception", "", bulk.Again, ""},
	{"not_cluster_manager_exception", "", bulk.Again, ""},
	{"cluster_manager_not_discovered_exception", "", bulk.Again, ""},
	{"failed_to_commit_cluster_state_exception", "", bulk.Again, ""},
	{"process_cluster_event_timeout_exception", "", bulk.Again, ""},
	{"elasticsearch_timeout_exception", "", bulk.Again, ""},
	{"timeout_exception", "", bulk.Again, ""},
	{"receive_timeout_transport_exception", "", bulk.Again, ""},
	{"connect_transport_exception", "", bulk.Again, ""},
	{"node_closed_exception", "", bulk.Again, ""},
	{"node_disconnected_exception", "", bulk.Again, ""},
	{"node_not_connected_exception", "", bulk.Again, ""},
	{"send_request_transport_exception", "", bulk.Again, ""},
	{"task_cancelled_exception", "", bulk.Again, ""},
	{"resource_already_exists_exception", "", bulk.Again, ""}, // two made the index at the same time

	// What the document causes comes first: the text holds some of it.
	{"illegal_argument_exception", "is too long, must be no longer than 512 bytes", bulk.Dead, ""},
	{"illegal_argument_exception", "^Document contains at least one immense term", bulk.Dead, ""},
	{"illegal_argument_exception", "cannot be changed from type", bulk.Dead, ""},
	{"illegal_argument_exception", "an't merge a non", bulk.Dead, ""},
	{"illegal_argument_exception", "of different type", bulk.Dead, ""},
	{"illegal_argument_exception", "ield name cannot", bulk.Dead, ""},
	{"illegal_argument_exception", "Limit of mapping depth", bulk.Dead, ""},
	{"illegal_argument_exception", "Limit of field name length", bulk.Dead, ""},
	{"illegal_argument_exception", "number of nested documents", bulk.Dead, ""},
	{"illegal_argument_exception", "data stream timestamp field", bulk.Dead, ""},
	{"illegal_argument_exception", "^failed to parse", bulk.Dead, ""},
	{"illegal_argument_exception", "^For input string", bulk.Dead, ""},

	{"i_o_exception", "No space left", bulk.Mend, cureDisk},
	{"index_closed_exception", "", bulk.Mend, cureClosed},
	{"index_not_found_exception", "", bulk.Mend, cureIndex},
	{"security_exception", "", bulk.Mend, cureRights},
	{"validation_exception", "shards open", bulk.Mend, cureShards},
	{"illegal_argument_exception", "shards open", bulk.Mend, cureShards}, // before 7.5
	{"illegal_argument_exception", "^no write index is defined", bulk.Mend, cureAlias},
	{"illegal_argument_exception", "can't execute a single index op", bulk.Mend, cureAlias},
	{"illegal_argument_exception", "^cannot create index with name", bulk.Mend, "give the output another index: a template of the cluster wants data streams of this name"},
	{"invalid_index_name_exception", "", bulk.Mend, cureName},
	{"illegal_argument_exception", "^pipeline with id", bulk.Mend, curePipeline},
	{"illegal_argument_exception", "^Pipeline processor configured for non-existent pipeline", bulk.Mend, curePipeline},
	{"illegal_state_exception", "^Pipeline processor configured for non-existent pipeline", bulk.Mend, curePipeline},
	{"illegal_argument_exception", "^no enrich", bulk.Mend, curePipeline},
	{"resource_not_found_exception", "", bulk.Mend, curePipeline},
	{"illegal_argument_exception", "^policy [", bulk.Mend, "make the lifecycle policy that the index template names, or take it out there; sluice setup installs that of sluice"},
	{"illegal_argument_exception", "^Limit of total fields", bulk.Mend, cureFields},
	{"illegal_argument_exception", "^unknown setting", bulk.Mend, cureTemplate},
	{"illegal_argument_exception", "^Failed to parse value", bulk.Mend, cureTemplate}, // of a setting
	{"illegal_argument_exception", "^component template", bulk.Mend, cureTemplate},
	{"illegal_argument_exception", "^composable template", bulk.Mend, cureTemplate},
	{"illegal_argument_exception", "^Custom Analyzer", bulk.Mend, cureTemplate},
	{"illegal_argument_exception", "^Unknown tokenizer", bulk.Mend, cureTemplate},
	{"illegal_argument_exception", "more than 1 type", bulk.Mend, cureTemplate},
	{"illegal_argument_exception", "^unknown value for [index.codec]", bulk.Mend, cureTemplate},
	{"mapper_parsing_exception", "^Failed to parse mapping", bulk.Mend, cureTemplate},
	{"mapper_parsing_exception", "^No handler for type", bulk.Mend, cureTemplate},
	{"mapper_parsing_exception", "^Root mapping definition", bulk.Mend, cureTemplate},
	{"invalid_index_template_exception", "", bulk.Mend, cureTemplate},
	{"index_template_missing_exception", "", bulk.Mend, cureTemplate},
	{"invalid_alias_name_exception", "", bulk.Mend, cureTemplate},
	{"settings_exception", "", bulk.Mend, cureTemplate},
	{"routing_missing_exception", "", bulk.Mend, cureTemplate},

	{"document_parsing_exception", "", bulk.Dead, ""},
	{"mapper_parsing_exception", "", bulk.Dead, ""},
	{"strict_dynamic_mapping_exception", "", bulk.Dead, ""},
	{"max_bytes_length_exceeded_exception", "", bulk.Dead, ""},
	{"parsing_exception", "", bulk.Dead, ""},
	{"parse_exception", "", bulk.Dead, ""},
	{"elasticsearch_parse_exception", "", bulk.Dead, ""},
	{"json_parse_exception", "", bulk.Dead, ""},
	{"json_e_o_f_exception", "", bulk.Dead, ""},
	{"x_content_parse_exception", "", bulk.Dead, ""},
	{"x_content_e_o_f_exception", "", bulk.Dead, ""},
	{"not_x_content_exception", "", bulk.Dead, ""},
	{"stream_constraints_exception", "", bulk.Dead, ""},
	{"input_coercion_exception", "", bulk.Dead, ""},
	{"character_coding_exception", "", bulk.Dead, ""},
	{"malformed_input_exception", "", bulk.Dead, ""},
	{"number_format_exception", "", bulk.Dead, ""},
	{"date_time_exception", "", bulk.Dead, ""},
	{"date_time_parse_exception", "", bulk.Dead, ""},
	{"array_index_out_of_bounds_exception", "", bulk.Dead, ""},
	{"action_request_validation_exception", "is too long, must be no longer than 512 bytes", bulk.Dead, ""}, // the id
}

// ofIndex reports whether what an operator is to mend is one index, and not the cluster.
func (r *Refusal) ofIndex() bool {
	switch r.Cure {
	case cureBlock, cureClosed, cureAlias, curePipeline, cureFields, cureName:
		return true
	}
	return false
}

// away reports whether the index has no shard to write to, which passes by itself unless
// its nodes are gone for good.
func (r *Refusal) away() bool {
	switch r.Kind {
	case "unavailable_shards_exception", "no_shard_available_action_exception", "index_primary_shard_not_allocated_exception", "shard_not_found_exception":
		return true
	}
	return false
}

const cureClosed = "open the index (POST <index>/_open), or delete it"

// tooSmall is what every server has to take: one that refuses a body of less is
// configured wrong, and the document is not to blame.
const tooSmall = 1 << 20

// requestVerdict judges an answer to a whole bulk request that is not 200, and adds the
// cure to what an operator can mend.
//
//	no answer                             again; where a setting is to blame (TLS), to be mended
//	429 and all 5xx, 408, what passes     again
//	413                                   split; one document alone: dead if it is large
//	400 of Elasticsearch                  split, so that the document that is to blame is found
//	others                                to be mended: 401 and 403; also 404, 405, redirects or 400
//	                                      of a proxy: a wrong address must not fill the dead-letter topic
func requestVerdict(why *Refusal) bulk.Verdict {
	r := rule(why)
	switch {
	case why.Status == 0 && why.Cure != "":
		return bulk.Mend
	case why.Status == 0:
		return bulk.Again
	case r != nil && (r.verdict == bulk.Again || r.verdict == bulk.Mend):
		why.Cure = r.cure
		if r.cure == cureRights && why.Status == http.StatusUnauthorized {
			why.Cure = cureCredentials
		}
		return r.verdict
	case why.Status == 429, why.Status == 408, why.Status >= 500:
		return bulk.Again
	case why.Status == 413, why.Status == 400 && why.Kind != "":
		return bulk.Split
	}
	switch why.Status {
	case http.StatusUnauthorized:
		why.Cure = cureCredentials
	case http.StatusForbidden:
		why.Cure = cureRights
	default:
		why.Cure = cureAddress
	}
	return bulk.Mend
}

// ofHost reports whether the host that has refused a request, or a proxy before it, may be
// to blame, so that another is to be tried. Elasticsearch's own word on rights or on what
// was sent would be the same elsewhere.
func (r *Refusal) ofHost(v bulk.Verdict) bool {
	return v != bulk.Split && (r.Kind == "" || r.Status == 429 || r.Status == 408 || r.Status >= 500)
}

const cureAddress = "the server does not answer as Elasticsearch does: check hosts of the output, and the proxy before it"
