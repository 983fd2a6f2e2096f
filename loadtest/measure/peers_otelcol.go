//go:build linux

package measure

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluicelog/sluice/loadtest/proc"
	"github.com/sluicelog/sluice/loadtest/report"
	"github.com/sluicelog/sluice/test/servers"
)

// otelcolQueue says whether a queue is between a receiver of the collector and its exporter. Its Kafka receiver hands
// on one record of a partition at a time, so without a queue that is what is sent and waited for; with one, a record counts
// as read when it is in memory. A queue on disk promises as much as none and costs more: each record is written and deleted.
type otelcolQueue bool

const (
	noQueue  otelcolQueue = false
	inMemory otelcolQueue = true
)

func installOtelcol(ctx context.Context, part string) (string, error) {
	name := servers.NameOtelcol
	if part == report.PartIndexer || part == report.PartElastic {
		name = servers.NameOtelcolElasticsearch
	}
	if err := servers.Install(ctx, name); err != nil {
		return "", err
	}
	return servers.Otelcol(name)
}

func otelcolNotes(q otelcolQueue) map[string]string {
	shipped, relayed := "no queue: a file waits for the acknowledgement of 100 lines at a time", "no queue: a partition waits for the acknowledgement of one record at a time"
	if q == inMemory {
		shipped, relayed = "queue in memory: a crash loses what is in it, since its position is stored", "queue in memory: a crash loses what is in it, since it counts as read"
	}
	return map[string]string{
		report.PartShipper: shipped + "; positions stored after each pass over all files; Docker's JSON is opened and pieces are joined; stream and path, but no ids, time, other metadata; order of a file not kept; file_log receiver " +
			servers.OtelcolFilelogVersion,
		report.PartAggregator: relayed + "; key, headers, time and order of records are not kept",
		report.PartIndexer:    relayed + "; events are parsed and written anew; no ids, so what is sent again is doubled",
		report.PartElastic:    relayed + "; likewise",
	}
}

// prepare writes the configuration of the collector.
func (q otelcolQueue) prepare(t task) (*proc.Proc, error) {
	queue, linger := "{enabled: false}", "0s"
	if q == inMemory {
		linger = "10ms"
		queue = fmt.Sprintf(`
      block_on_overflow: true
      num_consumers: 4
      sizer: items
      queue_size: 50000
      batch: {min_size: %s, max_size: 8192, flush_timeout: 200ms}`, t.bulking)
	}
	receiver := fmt.Sprintf(`kafka:
    brokers: [%q]
    group_id: %s
    initial_offset: earliest
    max_fetch_size: 16777216
    max_fetch_wait: 100ms
    logs: {topics: [%s], encoding: %s}
    message_marking: {after: true, on_error: false}
    error_backoff: {enabled: true, initial_interval: 100ms, max_interval: 5s, max_elapsed_time: 0s}`,
		t.inBroker, t.name, t.inTopic, map[bool]string{true: "json", false: "raw"}[t.outURL != ""])
	if t.files != "" {
		receiver = fmt.Sprintf(`file_log:
    include: [%q]
    start_at: beginning
    include_file_path: true
    storage: file_storage
    retry_on_failure: {enabled: true, max_elapsed_time: 0s}
    operators:
      - {type: container, format: docker, add_metadata_from_filepath: false}
      - {type: recombine, combine_field: body, combine_with: "", is_last_entry: 'body endsWith "\n"', source_identifier: 'attributes["log.file.path"]', max_log_size: 1MiB}
      - {type: move, from: body, to: body.message}
      - {type: move, from: 'attributes["log.file.path"]', to: body.path}
      - {type: move, from: 'attributes["log.iostream"]', to: body.stream}`, t.files)
	}
	exporter := fmt.Sprintf(`kafka:
    brokers: [%q]
    timeout: 30s
    logs: {topic: %s, encoding: raw}
    producer: {required_acks: all, compression: %s, linger: %s, allow_auto_topic_creation: false}
    retry_on_failure: {max_elapsed_time: 0s}
    sending_queue: %s`, t.outBroker, t.outTopic, t.compression, linger, queue)
	if t.outURL != "" {
		exporter = fmt.Sprintf(`elasticsearch:
    endpoints: [%q]
    logs_index: %s
    mapping: {mode: bodymap}
    retry: {enabled: true, max_retries: 1000}
    sending_queue: %s`, t.outURL, t.outIndex, queue)
	}
	name := func(component string) string { return component[:strings.IndexByte(component, ':')] }
	text := fmt.Sprintf(`extensions:
  file_storage: {directory: %q, create_directory: true}
receivers:
  %s
exporters:
  %s
service:
  telemetry: {metrics: {level: none}, logs: {encoding: console}}
  extensions: [file_storage]
  pipelines:
    logs: {receivers: [%s], exporters: [%s]}
`, filepath.Join(t.dir, "storage"), receiver, exporter, name(receiver), name(exporter))
	conf := filepath.Join(t.dir, "otelcol.yaml")
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	argv := []string{t.bin, "--config", conf}
	if q == noQueue { // else 100 lines wait in memory all the same
		argv = append(argv, "--feature-gates", "stanza.synchronousLogEmitter")
	}
	return &proc.Proc{Name: "otelcol", Log: filepath.Join(t.dir, "log"), Argv: argv}, nil
}
