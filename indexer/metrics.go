package indexer

import (
	"strconv"

	"github.com/sluicelog/sluice/indexer/document"
	"github.com/sluicelog/sluice/indexer/output/elastic"
	"github.com/sluicelog/sluice/indexer/parse"
	"github.com/sluicelog/sluice/internal/metrics"
)

// Of every output: read = indexed + duplicate + dead + held + returned + in flight. What
// is held is read once more, from the held topic.
var (
	readEvents      = metrics.NewCounter("indexer_read_events", "events", "Events taken from Kafka", "output")
	indexedEvents   = metrics.NewCounter("indexer_indexed_events", "events", "Events stored", "output")
	duplicateEvents = metrics.NewCounter("indexer_duplicate_events", "events", "Events that were stored before, by the same id", "output")
	deadEvents      = metrics.NewCounter("indexer_dead_events", "events", "Events stored in the dead-letter topic", "output", "reason")
	heldEvents      = metrics.NewCounter("indexer_held_events", "events", "Events stored in the held topic, since only their own index refuses them", "output", "reason")
	returnedEvents  = metrics.NewCounter("indexer_returned_events", "events", "Events given back unfinished, with their partition: they are read again", "output")
	inFlightEvents  = metrics.NewGauge("indexer_in_flight_events", "events", "Events taken and not finished", "output")
	retriedEvents   = metrics.NewCounter("indexer_retried_events", "events", "Events sent once more", "output")
	refusedEvents   = metrics.NewCounter("indexer_refused_events", "events", "Refusals of single events that are sent again, by the type of the error", "output", "reason")
	malformedEvents = metrics.NewCounter("indexer_malformed_events", "events", "Events that were not what the topic's codec says, indexed as text with a tag", "output")
	mistypedEvents  = metrics.NewCounter("indexer_mistyped_events", "events", "Events with members that their fields do not take: these are under app", "output")
	tombstones      = metrics.NewCounter("indexer_tombstones", "records", "Records without a value, skipped: they mark a key as deleted", "output")
	parsedEvents    = metrics.NewCounter("indexer_parsed_events", "events", "Events by the format of their message", "output", "format")
	doubtedTimes    = metrics.NewCounter("indexer_doubted_times", "times", "Times in lines that are too far from the time of reading to be believed", "output")
	otherDayEvents  = metrics.NewCounter("indexer_other_day_events", "events", "Events whose time is outside of max_age and max_ahead: their index is of the day of their record", "output")
	undatedEvents   = metrics.NewCounter("indexer_undated_events", "events", "Events of records without a time: their index is undated", "output")
	refusingIndices = metrics.NewGauge("indexer_refusing_indices", "indices", "Indices that refuse documents until that is mended", "output")
	unwellHosts     = metrics.NewGauge("indexer_unwell_hosts", "hosts", "Hosts of the output that do not answer as they should; while another does they get no requests", "output")
	bulkElsewhere   = metrics.NewCounter("indexer_bulk_elsewhere_requests", "requests", "Bulk requests that one host refused and that were sent to another at once", "output")
	openIndices     = metrics.NewGauge("indexer_open_indices", "indices", "Indices that were written to within the last hour", "output")
	bulkRequests    = metrics.NewCounter("indexer_bulk_requests", "requests", "Bulk requests by status; 0: no answer", "output", "status")
	bulkSeconds     = metrics.NewHistogram("indexer_bulk_seconds", "seconds", "Time of a bulk request", "output")
	bulkBytes       = metrics.NewCounter("indexer_bulk_bytes", "bytes", "Bytes of bulk bodies before compression", "output")
	bulkSent        = metrics.NewCounter("indexer_bulk_sent_bytes", "bytes", "Bytes of bulk bodies as sent", "output")
	bulkAllowed     = metrics.NewGauge("indexer_bulk_allowed_requests", "requests", "Requests allowed under way", "output")
	bulkSplits      = metrics.NewCounter("indexer_bulk_split_requests", "requests", "Bulk requests sent again in halves", "output")
)

var (
	_ = metrics.NewBalance(readEvents, inFlightEvents, indexedEvents, duplicateEvents, deadEvents, heldEvents, returnedEvents)
	_ = metrics.NewLosses(deadEvents)
)

// figures are the live metrics of an output.
type figures struct {
	reg  *metrics.Registry
	name string

	output             elastic.Figures
	malformed, doubted metrics.Counter
	mistyped           metrics.Counter
	tombstones         metrics.Counter
	otherDay, undated  metrics.Counter
	open               metrics.Gauge
	parsed             [parse.Count]metrics.Counter // by format
}

func newFigures(reg *metrics.Registry, output string) *figures {
	f := &figures{
		reg: reg, name: output,
		output: elastic.Figures{
			Read: reg.Counter(readEvents, output), Stored: reg.Counter(indexedEvents, output), Duplicate: reg.Counter(duplicateEvents, output),
			Returned: reg.Counter(returnedEvents, output), Retried: reg.Counter(retriedEvents, output), InFlight: reg.Gauge(inFlightEvents, output),
			Refused:  func(reason string) metrics.Counter { return reg.Counter(refusedEvents, output, reason) },
			Requests: func(status int) metrics.Counter { return reg.Counter(bulkRequests, output, strconv.Itoa(status)) },
			Seconds:  reg.Histogram(bulkSeconds, output), Bytes: reg.Counter(bulkBytes, output), Sent: reg.Counter(bulkSent, output),
			Splits: reg.Counter(bulkSplits, output), Allowed: reg.Gauge(bulkAllowed, output),
			Unwell: reg.Gauge(unwellHosts, output), Elsewhere: reg.Counter(bulkElsewhere, output),
			Refusing: reg.Gauge(refusingIndices, output),
		},
		malformed: reg.Counter(malformedEvents, output), doubted: reg.Counter(doubtedTimes, output),
		mistyped: reg.Counter(mistypedEvents, output), tombstones: reg.Counter(tombstones, output),
		open:     reg.Gauge(openIndices, output),
		otherDay: reg.Counter(otherDayEvents, output), undated: reg.Counter(undatedEvents, output),
	}
	for id, name := range parse.Names() {
		f.parsed[id] = reg.Counter(parsedEvents, output, name)
	}
	return f
}

// dead is the counter of events stored in the dead-letter topic for a reason.
func (f *figures) dead(reason string) metrics.Counter {
	return f.reg.Counter(deadEvents, f.name, reason)
}

// held is the counter of events stored in the held topic for a reason.
func (f *figures) held(reason string) metrics.Counter {
	return f.reg.Counter(heldEvents, f.name, reason)
}

// encoded adds what an encoder has met.
func (f *figures) encoded(t document.Tally) {
	for id, n := range t.Formats {
		if n > 0 {
			f.parsed[id].Add(float64(n))
		}
	}
	for _, met := range []struct {
		counter metrics.Counter
		n       int
	}{{f.malformed, t.Malformed}, {f.mistyped, t.Mistyped}, {f.doubted, t.Doubted}, {f.otherDay, t.OtherDay}, {f.undated, t.Undated}} {
		if met.n > 0 {
			met.counter.Add(float64(met.n))
		}
	}
}
