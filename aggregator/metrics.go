package aggregator

import "github.com/sluicelog/sluice/internal/metrics"

// At rest in = out + dead + returned + in flight. An event is a record, whatever it holds.
var (
	inEvents       = metrics.NewCounter("aggregator_in_events", "events", "Taken from a source partition to be relayed", "source", "topic")
	outEvents      = metrics.NewCounter("aggregator_out_events", "events", "Acknowledged by all in-sync replicas of the target", "source", "topic")
	outBytes       = metrics.NewCounter("aggregator_out_bytes", "bytes", "Keys and values of the events that the target acknowledged", "source", "topic")
	deadEvents     = metrics.NewCounter("aggregator_dead_events", "events", "Refused by the target for ever, and now in the dead-letter topic", "source", "topic")
	returnedEvents = metrics.NewCounter("aggregator_returned_events", "events", "Taken, then given back unsent because their partition moved or the role stopped: they come again", "source", "topic")
	inFlight       = metrics.NewGauge("aggregator_in_flight_events", "events", "Taken and not yet out, dead or returned")
	heldEvents     = metrics.NewGauge("aggregator_held_events", "events", "Refused by the target and by the dead-letter topic too: each holds its partition", "source", "topic")
	relaySeconds   = metrics.NewHistogram("aggregator_relay_seconds", "seconds", "From an event's timestamp to its acknowledgement by the target, once a run of events", "source")
)

var (
	_ = metrics.NewBalance(inEvents, inFlight, outEvents, deadEvents, returnedEvents)
	_ = metrics.NewLosses(deadEvents)
)
