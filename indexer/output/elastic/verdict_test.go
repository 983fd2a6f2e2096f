package elastic

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/indexer/bulk"
	"github.com/sluicelog/sluice/internal/kafka"
)

// What Elasticsearch and OpenSearch say of an item, and what becomes of the document.
// Of what is to be mended the cure has to say the words.
func TestItemVerdict(t *testing.T) {
	f := func(status int, kind, reason string, want bulk.Verdict, cure string) {
		t.Helper()
		why := &Refusal{Status: status, Kind: kind, Reason: reason}
		if got := itemVerdict(why); got != want || (cure == "") != (why.Cure == "") || !strings.Contains(why.Error(), cure) {
			t.Errorf("%d %s: got %d %q, want %d %q", status, kind, got, why.Cure, want, cure)
		}
		if want == bulk.Mend && cure == "" {
			t.Errorf("%d %s: the cure is not tested", status, kind)
		}
	}
	f(200, "", "", bulk.Stored, "")
	f(201, "", "", bulk.Stored, "")
	f(409, "version_conflict_engine_exception", "[x]: version conflict, document already exists (current version [1])", bulk.Duplicate, "")

	// It passes.
	for _, kind := range []string{"es_rejected_execution_exception", "rejected_execution_exception", "circuit_breaking_exception", "unavailable_shards_exception",
		"no_shard_available_action_exception", "index_primary_shard_not_allocated_exception", "master_not_discovered_exception", "cluster_manager_not_discovered_exception",
		"process_cluster_event_timeout_exception", "node_closed_exception", "node_disconnected_exception", "retry_on_primary_exception", "already_closed_exception",
		"shard_not_in_primary_mode_exception", "resource_already_exists_exception"} {
		for _, status := range []int{400, 409, 429, 500, 503} {
			f(status, kind, "whatever it says", bulk.Again, "")
		}
	}
	f(503, "cluster_block_exception", "blocked by: [SERVICE_UNAVAILABLE/2/no master];", bulk.Again, "")
	f(503, "cluster_block_exception", "blocked by: [SERVICE_UNAVAILABLE/1/state not recovered / initialized];", bulk.Again, "")
	f(429, "", "", bulk.Again, "")
	f(502, "", "", bulk.Again, "")
	f(503, "new_exception_of_tomorrow", "", bulk.Again, "")
	f(504, "", "", bulk.Again, "")

	// An operator can mend it.
	f(400, "validation_exception", "Validation Failed: 1: this action would add [2] shards, but this cluster currently has [1000]/[1000] maximum normal shards open;", bulk.Mend, "cluster.max_shards_per_node")
	f(400, "illegal_argument_exception", "Validation Failed: 1: this action would add [6] total shards, but this cluster currently has [9000]/[9000] maximum shards open;", bulk.Mend, "cluster.max_shards_per_node")
	f(404, "index_not_found_exception", "no such index [x] and [action.auto_create_index] is [false]", bulk.Mend, "action.auto_create_index")
	f(404, "index_not_found_exception", "no such index [x] and [action.auto_create_index] contains [-sluice-*] which forbids automatic creation of the index", bulk.Mend, "action.auto_create_index")
	f(400, "illegal_argument_exception", "no write index is defined for alias [x]. The write index may be explicitly disabled using is_write_index=false or the alias points to multiple indices without one being designated as a write index", bulk.Mend, "is_write_index")
	f(400, "illegal_argument_exception", "Alias [x] has more than one indices associated with it [[a, b]], can't execute a single index op", bulk.Mend, "is_write_index")
	f(400, "illegal_argument_exception", "pipeline with id [x] does not exist", bulk.Mend, "index.default_pipeline")
	f(400, "illegal_argument_exception", "cannot create index with name [sluice-1], because it matches with template [all] that creates data streams only, use create data stream api instead", bulk.Mend, "another index")
	f(400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded while adding new fields [1]", bulk.Mend, "index.mapping.total_fields.limit")
	f(400, "illegal_argument_exception", "unknown setting [index.x] please check that any required plugins are installed, or check the breaking changes documentation for removed settings", bulk.Mend, "template")
	f(400, "mapper_parsing_exception", "Failed to parse mapping [_doc]: No handler for type [flattened] declared on field [app]", bulk.Mend, "template")
	f(400, "mapper_parsing_exception", "No handler for type [flattened] declared on field [app]", bulk.Mend, "template")
	f(400, "invalid_index_template_exception", "index_template [x] invalid, cause [index template [x] specifies component templates [y] that do not exist]", bulk.Mend, "template")
	f(400, "invalid_index_name_exception", "Invalid index name [x], already exists as alias", bulk.Mend, "another index")
	f(403, "cluster_block_exception", "index [x] blocked by: [FORBIDDEN/5/index read-only (api)];", bulk.Mend, "index.blocks")
	f(403, "cluster_block_exception", "index [x] blocked by: [FORBIDDEN/8/index write (api)];", bulk.Mend, "index.blocks")
	f(403, "cluster_block_exception", "index [x] blocked by: [FORBIDDEN/12/index read-only / allow delete (api)];", bulk.Mend, "disk")
	f(429, "cluster_block_exception", "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block; for more information, see https://...];", bulk.Mend, "disk")
	f(403, "cluster_block_exception", "blocked by: [FORBIDDEN/10/cluster create-index blocked (api)];", bulk.Mend, "disk")
	f(403, "cluster_block_exception", "blocked by: [FORBIDDEN/6/cluster read-only (api)];", bulk.Mend, "block")
	f(400, "index_closed_exception", "closed", bulk.Mend, "_open")
	f(403, "cluster_block_exception", "index [x] blocked by: [FORBIDDEN/4/index closed];", bulk.Mend, "_open")
	f(401, "security_exception", "missing authentication credentials for REST request", bulk.Mend, "API key")
	f(403, "security_exception", "action [indices:data/write/bulk[s]] is unauthorized for user [u]", bulk.Mend, "create_doc")
	f(403, "", "a proxy", bulk.Mend, "API key")
	f(500, "i_o_exception", "No space left on device", bulk.Mend, "disk")

	// The document causes it. It may hold what looks like another error.
	f(400, "document_parsing_exception", "[1:20] failed to parse field [event.created] of type [date]: pipeline with id", bulk.Dead, "")
	f(400, "mapper_parsing_exception", "failed to parse field [x] of type [long] in document with id 'y'. Preview of field's value: 'Failed to parse mapping No handler for type'", bulk.Dead, "")
	f(400, "strict_dynamic_mapping_exception", "mapping set to strict, dynamic introduction of [x] within [_doc] is not allowed", bulk.Dead, "")
	f(400, "illegal_argument_exception", `Document contains at least one immense term in field="x" (whose UTF8 encoding is longer than the max length 32766): bytes can be at most 32766 in length; got 40000`, bulk.Dead, "")
	f(400, "illegal_argument_exception", "mapper [policy [x]] cannot be changed from type [long] to [text]", bulk.Dead, "")
	f(400, "illegal_argument_exception", "can't merge a non object mapping [a] with an object mapping", bulk.Dead, "")

	// It is not known.
	f(400, "illegal_argument_exception", "something new", bulk.Unknown, "")
	f(409, "something_exception", "", bulk.Unknown, "")
	f(500, "null_pointer_exception", "", bulk.Unknown, "")
	f(500, "script_exception", "runtime error", bulk.Unknown, "")
	f(400, "", "MapperParsingException[no]", bulk.Unknown, "")
	f(400, "validation_exception", "Validation Failed: 1: something new;", bulk.Unknown, "")
}

func TestRequestVerdict(t *testing.T) {
	f := func(status int, kind, reason string, want bulk.Verdict, cure string) {
		t.Helper()
		why := &Refusal{Status: status, Kind: kind, Reason: reason}
		if got := requestVerdict(why); got != want || (cure == "") != (why.Cure == "") || !strings.Contains(why.Error(), cure) {
			t.Errorf("%d %s: got %d %q, want %d %q", status, kind, got, why.Cure, want, cure)
		}
	}
	f(429, "", "", bulk.Again, "")
	f(408, "", "", bulk.Again, "")
	f(500, "", "", bulk.Again, "")
	f(502, "", "", bulk.Again, "")
	f(503, "cluster_block_exception", "blocked by: [SERVICE_UNAVAILABLE/1/state not recovered / initialized];", bulk.Again, "")
	f(504, "", "", bulk.Again, "")
	f(403, "cluster_block_exception", "blocked by: [FORBIDDEN/6/cluster read-only (api)];", bulk.Mend, "block")
	f(413, "", "", bulk.Split, "")
	f(400, "illegal_argument_exception", "Malformed action/metadata line [1]", bulk.Split, "")
	f(400, "action_request_validation_exception", "Validation Failed: 1: id [x] is too long, must be no longer than 512 bytes but was: 513;", bulk.Split, "")
	f(400, "document_parsing_exception", "", bulk.Split, "")
	f(400, "", "<html>", bulk.Mend, "hosts")
	f(401, "security_exception", "", bulk.Mend, "API key")
	f(403, "security_exception", "", bulk.Mend, "API key")
	f(200, "", "no items", bulk.Mend, "hosts")
	f(404, "", "", bulk.Mend, "hosts")
	f(405, "", "", bulk.Mend, "hosts")
	f(301, "", "", bulk.Mend, "hosts")
}

// A document that is refused with a request of its own: for its size it is to blame only
// if that is large.
func TestAloneVerdict(t *testing.T) {
	f := func(size int, why Refusal, want bulk.Verdict, wantAlone int) {
		t.Helper()
		p := pass{b: &bulk.Bulk{Buf: make([]byte, 10+size), Items: []bulk.Item{{End: 10}, {End: 10 + size}}}}
		if got := p.aloneVerdict(1, &why); got != want || p.alone != wantAlone || (got == bulk.Mend) != strings.Contains(why.Error(), "http.max_content_length") {
			t.Errorf("%d bytes, %v: %d with %d alone, want %d with %d", size, &why, got, p.alone, want, wantAlone)
		}
	}
	f(100, Refusal{Status: 413}, bulk.Mend, 0)
	f(tooSmall-1, Refusal{Status: 413, Kind: "content_too_long_exception"}, bulk.Mend, 0)
	f(tooSmall, Refusal{Status: 413}, bulk.Dead, 0)
	f(100, Refusal{Status: 400, Kind: "document_parsing_exception"}, bulk.Dead, 0)
	f(100, Refusal{Status: 400, Kind: "action_request_validation_exception", Reason: "Validation Failed: 1: id [x] is too long, must be no longer than 512 bytes but was: 513;"}, bulk.Dead, 0)
	f(100, Refusal{Status: 400, Kind: "new_exception"}, bulk.Unknown, 1)
}

// An error that is not known is the cluster's once it has hit three applications within
// ten minutes; that the texts differ in what is of one document does not matter.
func TestUnknownErrorsOfManyApplications(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var u unknowns
		f := func(kind, reason, app string, want bool) {
			t.Helper()
			if got := u.hit(&Refusal{Status: 400, Kind: kind, Reason: reason}, app); got != want {
				t.Errorf("%s %s of %s: %v, want %v", kind, reason, app, got, want)
			}
		}
		for i := range 1000 {
			f("x", fmt.Sprintf("id [%d] of 'k%d' is \"%d\" at %d", i, i, i, i), "a", false)
		}
		f("x", "id [ab] of 'c' is \"d\" at 8", "b", false)
		f("x", "id [ab] of 'c' was \"d\" at 8", "c", false) // another text
		f("y", "id [ab] of 'c' is \"d\" at 8", "c", false)
		time.Sleep(9 * time.Minute)
		f("x", "id [ab] of 'c' is \"d\" at 8", "b", false)
		time.Sleep(2 * time.Minute)
		f("x", "id [] of '' is \"\" at ", "c", false) // a was too long ago
		f("x", "id [] of '' is \"\" at ", "a", true)
		f("x", "id [] of '' is \"\" at ", "b", true)
		time.Sleep(11 * time.Minute)
		f("x", "id [] of '' is \"\" at ", "b", false)
		for i := range 1000 {
			f(strings.Repeat("x", i), "", "a", false)
		}
		if len(u.kinds) > mostKinds {
			t.Errorf("%d kinds are kept", len(u.kinds))
		}
	})
}

func TestAppOf(t *testing.T) {
	f := func(header, document, want string) {
		t.Helper()
		it := &bulk.Item{Partition: bulk.NewPartition(marker("logs"))}
		if header != "" {
			it.Record.Headers = kafka.RenderHeaders([]kafka.Header{{Key: []byte("dc"), Value: []byte("dc1")}, {Key: []byte("app"), Value: []byte(header)}})
		}
		if got := appOf(it, []byte(`{"create":{}}`+"\n"+document+"\n")); got != want {
			t.Errorf("%s %s: %s, want %s", header, document, got, want)
		}
	}
	f("web", `{"service":{"name":"x"}}`, "web")
	f("", `{"service":{"name":"x"}}`, "x")
	f("", `{"service.name":"y"}`, "y")
	f("", `{"service":"z"}`, "logs")
	f("", `{`, "logs")
}

type marker string

func (m marker) Topic() string        { return string(m) }
func (m marker) Partition() int32     { return 0 }
func (m marker) DoneAll(int64, int64) {}

func TestSpate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s spate
		for i := range spateLetters - 1 {
			if n := s.more("a"); n != 0 {
				t.Fatalf("letter %d is a spate of %d", i, n)
			}
		}
		if n := s.more("b"); n != 0 {
			t.Errorf("another application's first letter is a spate of %d", n)
		}
		if n := s.more("a"); n != spateLetters {
			t.Errorf("%d letters, want %d", n, spateLetters)
		}
		time.Sleep(2 * time.Minute)
		if n := s.more("a"); n != 0 {
			t.Errorf("a minute later the first letter is a spate of %d", n)
		}
	})
}
