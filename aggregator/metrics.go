package aggregator

import "github.com/sluicelog/sluice/internal/metrics"

// At rest in = out + dead + returned + in flight, by records.
var (
	recordsIn       = metrics.NewCounter("aggregator_records_in", "records", "Taken from a source partition to be relayed", "source", "topic")
	recordsOut      = metrics.NewCounter("aggregator_records_out", "records", "Acknowledged by all in-sync replicas of the target", "source", "topic")
	bytesOut        = metrics.NewCounter("aggregator_bytes_out", "bytes", "Keys and values of the records that the target acknowledged", "source", "topic")
	recordsDead     = metrics.NewCounter("aggregator_records_dead", "records", "Refused by the target for ever, and now in the dead-letter topic", "source", "topic")
	recordsReturned = metrics.NewCounter("aggregator_records_returned", "records", "Taken, then given back unsent because their partition moved or the role stopped: they come again", "source", "topic")
	inFlight        = metrics.NewGauge("aggregator_in_flight", "records", "Taken and not yet out, dead or returned")
	recordsHeld     = metrics.NewGauge("aggregator_records_held", "records", "Refused by the target and by the dead-letter topic too: each holds its partition", "source", "topic")
	relaySeconds    = metrics.NewHistogram("aggregator_seconds", "seconds", "From a record's timestamp to its acknowledgement by the target, once a run of records", "source")
)

var (
	_ = metrics.NewBalance(recordsIn, inFlight, recordsOut, recordsDead, recordsReturned)
	_ = metrics.NewLosses(recordsDead)
)
