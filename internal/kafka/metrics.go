package kafka

import "github.com/sluicelog/sluice/internal/metrics"

var (
	producedRecords = metrics.NewCounter("kafka_produced_records", "records", "Records that Kafka acknowledged", "cluster", "topic")
	producedBytes   = metrics.NewCounter("kafka_produced_bytes", "bytes", "Bytes of acknowledged records before compression", "cluster", "topic")
	producedBatches = metrics.NewCounter("kafka_produced_batches", "batches", "Batches that Kafka acknowledged", "cluster", "topic")
	refusedRecords  = metrics.NewCounter("kafka_refused_records", "records", "Records that no try can store, handed back to the stage", "cluster", "topic", "error")
	produceRetries  = metrics.NewCounter("kafka_produce_retries", "batches", "Answers after which a batch was sent again or split", "cluster", "error")
	producerResets  = metrics.NewCounter("kafka_producer_resets", "resets", "Times a partition's sequence was begun anew, so that records of one batch may be stored twice", "cluster", "topic")
	produceHeld     = metrics.NewGauge("kafka_produce_held_bytes", "bytes", "Memory of records that are not acknowledged", "cluster")
	produceTrouble  = metrics.NewGauge("kafka_produce_stuck_partitions", "partitions", "Partitions whose batch is being sent again", "cluster")
	batchBytes      = metrics.NewHistogram("kafka_produce_batch_bytes", "bytes", "Size of acknowledged batches before compression", "cluster")
	produceLatency  = metrics.NewHistogram("kafka_produce_seconds", "seconds", "From the first sending of a batch to its acknowledgement, tries included", "cluster")

	laneCommits = metrics.NewCounter("kafka_lane_commits", "transactions", "Transactions of an aggregator's lanes that were committed", "cluster")
	laneResets  = metrics.NewCounter("kafka_lane_resets", "resets", "Times a lane gave up its transaction, so that what it held is read again", "cluster", "topic")

	fetchedRecords = metrics.NewCounter("kafka_fetched_records", "records", "Records fetched", "cluster", "group", "topic")
	fetchedBytes   = metrics.NewCounter("kafka_fetched_bytes", "bytes", "Bytes of keys, values and headers fetched", "cluster", "group", "topic")
	gapRecords     = metrics.NewCounter("kafka_gap_records", "records", "Records that Kafka deleted before this group read them", "cluster", "group", "topic")
	rewinds        = metrics.NewCounter("kafka_rewinds", "rewinds", "Times a log was shorter than what was committed, or another one, so that it is read from its start or from where it differs", "cluster", "group", "topic")
	assignments    = metrics.NewCounter("kafka_assignments", "partitions", "Partitions that were assigned to this member", "cluster", "group")
	revocations    = metrics.NewCounter("kafka_revocations", "partitions", "Partitions that were taken from this member", "cluster", "group")
	groupHeld      = metrics.NewGauge("kafka_fetch_held_bytes", "bytes", "Fetched records from the oldest unfinished one of each partition on", "cluster", "group")
	groupErrors    = metrics.NewCounter("kafka_group_errors", "errors", "Errors of the group, such as failed commits and fetches", "cluster", "group", "error")
	lag            = metrics.NewGauge("kafka_lag", "records", "Records of a partition that are not finished, those already deleted left out", "cluster", "group", "topic", "partition")

	wireRequests  = metrics.NewCounter("kafka_wire_requests", "requests", "Requests written on connections of our own", "cluster")
	wireSent      = metrics.NewCounter("kafka_wire_sent_bytes", "bytes", "Bytes written on connections of our own", "cluster")
	wireReceived  = metrics.NewCounter("kafka_wire_received_bytes", "bytes", "Bytes of answers read on connections of our own", "cluster")
	wireThrottled = metrics.NewCounter("kafka_wire_throttled_seconds", "seconds", "Time that requests waited because a broker's quota asked for it", "cluster")
	poisonBatches = metrics.NewCounter("kafka_poison_batches", "batches", "Batches that cannot be read: kept as dead letters and left out, or their partition stopped", "cluster", "group", "topic", "action")
)

var _ = metrics.NewLosses(gapRecords)
