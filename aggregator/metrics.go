package aggregator

import "github.com/sluicelog/sluice/internal/metrics"

// At rest in = out + dead + returned + in flight. An event is a record, whatever it holds.
var (
	inEvents         = metrics.NewCounter("aggregator_in_events", "events", "Taken from a source partition to be relayed", "source", "topic")
	outEvents        = metrics.NewCounter("aggregator_out_events", "events", "Acknowledged by all in-sync replicas of the target and, with exactly-once delivery, committed there", "source", "topic")
	outBytes         = metrics.NewCounter("aggregator_out_bytes", "bytes", "Keys and values of the events that are out; batches that were relayed unopened as they travel, header and compression included", "source", "topic")
	deadEvents       = metrics.NewCounter("aggregator_dead_events", "events", "Refused by the target for ever, and now in the dead-letter topic", "source", "topic")
	returnedEvents   = metrics.NewCounter("aggregator_returned_events", "events", "Taken, then given back because their partition moved, the role stopped or a transaction was given up: they come again", "source", "topic")
	openedEvents     = metrics.NewCounter("aggregator_opened_events", "events", "Taken out of their batch, because of the dc header or the target topic or to join small batches; all others went unopened", "source", "topic")
	unlabelledEvents = metrics.NewCounter("aggregator_unlabelled_events", "events", "Found without a dc header in a batch of a producer that had set it before, when one batch in a thousand was looked into", "source", "topic")
	inFlight         = metrics.NewGauge("aggregator_in_flight_events", "events", "Taken and not yet out, dead or returned")
	heldEvents       = metrics.NewGauge("aggregator_held_events", "events", "Refused by the target and by the dead-letter topic too: each holds its partition", "source", "topic")
	relaySeconds     = metrics.NewHistogram("aggregator_relay_seconds", "seconds", "From an event's timestamp to its acknowledgement by the target, once a run of events; with exactly-once delivery to its commit, for the first event of a partition in a transaction", "source")
)

var (
	_ = metrics.NewBalance(inEvents, inFlight, outEvents, deadEvents, returnedEvents)
	_ = metrics.NewLosses(deadEvents)
)
