package metrics

// renamed is the metrics that had another name before 1.0, as Prometheus has them, so that
// dashboards can be mended: old, new. No metric has two names.
var renamed = [][2]string{
	{"sluice_aggregator_records_in_total", "sluice_aggregator_in_events_total"},
	{"sluice_aggregator_records_out_total", "sluice_aggregator_out_events_total"},
	{"sluice_aggregator_records_dead_total", "sluice_aggregator_dead_events_total"},
	{"sluice_aggregator_records_returned_total", "sluice_aggregator_returned_events_total"},
	{"sluice_aggregator_records_held", "sluice_aggregator_held_events"},
	{"sluice_aggregator_bytes_out_total", "sluice_aggregator_out_bytes_total"},
	{"sluice_aggregator_in_flight", "sluice_aggregator_in_flight_events"},
	{"sluice_aggregator_seconds", "sluice_aggregator_relay_seconds"},
	{"sluice_indexer_events_read_total", "sluice_indexer_read_events_total"},
	{"sluice_indexer_events_indexed_total", "sluice_indexer_indexed_events_total"},
	{"sluice_indexer_events_duplicate_total", "sluice_indexer_duplicate_events_total"},
	{"sluice_indexer_events_dead_total", "sluice_indexer_dead_events_total"},
	{"sluice_indexer_events_returned_total", "sluice_indexer_returned_events_total"},
	{"sluice_indexer_events_in_flight", "sluice_indexer_in_flight_events"},
	{"sluice_indexer_events_retried_total", "sluice_indexer_retried_events_total"},
	{"sluice_indexer_events_malformed_total", "sluice_indexer_malformed_events_total"},
	{"sluice_indexer_messages_parsed_total", "sluice_indexer_parsed_events_total"},
	{"sluice_indexer_times_doubted_total", "sluice_indexer_doubted_times_total"},
	{"sluice_indexer_bulk_concurrency", "sluice_indexer_bulk_allowed_requests"},
	{"sluice_indexer_bulk_splits_total", "sluice_indexer_bulk_split_requests_total"},
}
