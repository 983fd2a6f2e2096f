package indexer

import (
	"strconv"

	"github.com/sluicelog/sluice/indexer/document"
	"github.com/sluicelog/sluice/indexer/output/elastic"
	"github.com/sluicelog/sluice/indexer/parse"
	"github.com/sluicelog/sluice/internal/metrics"
)

// Of every output: read = indexed + duplicate + dead + returned + in flight.
var (
	eventsRead      = metrics.NewCounter("indexer_events_read", "events", "Records taken from Kafka", "output")
	eventsIndexed   = metrics.NewCounter("indexer_events_indexed", "events", "Documents stored", "output")
	eventsDuplicate = metrics.NewCounter("indexer_events_duplicate", "events", "Documents that were stored before, by the same id", "output")
	eventsDead      = metrics.NewCounter("indexer_events_dead", "events", "Events stored in the dead-letter topic", "output", "reason")
	eventsReturned  = metrics.NewCounter("indexer_events_returned", "events", "Events given back unfinished, with their partition: they are read again", "output")
	eventsInFlight  = metrics.NewGauge("indexer_events_in_flight", "events", "Events taken and not finished", "output")
	eventsRetried   = metrics.NewCounter("indexer_events_retried", "events", "Documents sent once more", "output")
	eventsMalformed = metrics.NewCounter("indexer_events_malformed", "events", "Events that were not what the topic's codec says, indexed as text with a tag", "output")
	messagesParsed  = metrics.NewCounter("indexer_messages_parsed", "events", "Messages by the form they were found to have", "output", "form")
	timesDoubted    = metrics.NewCounter("indexer_times_doubted", "events", "Times in lines that are too far from the time of reading to be believed", "output")
	bulkRequests    = metrics.NewCounter("indexer_bulk_requests", "requests", "Bulk requests by status; 0: no answer", "output", "status")
	bulkSeconds     = metrics.NewHistogram("indexer_bulk_seconds", "seconds", "Time of a bulk request", "output")
	bulkBytes       = metrics.NewCounter("indexer_bulk_bytes", "bytes", "Bytes of bulk bodies before compression", "output")
	bulkSent        = metrics.NewCounter("indexer_bulk_sent_bytes", "bytes", "Bytes of bulk bodies as sent", "output")
	bulkConcurrency = metrics.NewGauge("indexer_bulk_concurrency", "requests", "Requests allowed under way", "output")
	bulkSplits      = metrics.NewCounter("indexer_bulk_splits", "requests", "Bulk requests sent again in halves", "output")
)

var (
	_ = metrics.NewBalance(eventsRead, eventsInFlight, eventsIndexed, eventsDuplicate, eventsDead, eventsReturned)
	_ = metrics.NewLosses(eventsDead)
)

// figures are the live metrics of an output.
type figures struct {
	reg  *metrics.Registry
	name string

	output             elastic.Figures
	malformed, doubted metrics.Counter
	parsed             [parse.Count]metrics.Counter // by format
}

func newFigures(reg *metrics.Registry, output string) *figures {
	f := &figures{
		reg: reg, name: output,
		output: elastic.Figures{
			Read: reg.Counter(eventsRead, output), Stored: reg.Counter(eventsIndexed, output), Duplicate: reg.Counter(eventsDuplicate, output),
			Returned: reg.Counter(eventsReturned, output), Retried: reg.Counter(eventsRetried, output), InFlight: reg.Gauge(eventsInFlight, output),
			Requests: func(status int) metrics.Counter { return reg.Counter(bulkRequests, output, strconv.Itoa(status)) },
			Seconds:  reg.Histogram(bulkSeconds, output), Bytes: reg.Counter(bulkBytes, output), Sent: reg.Counter(bulkSent, output),
			Splits: reg.Counter(bulkSplits, output), Allowed: reg.Gauge(bulkConcurrency, output),
		},
		malformed: reg.Counter(eventsMalformed, output), doubted: reg.Counter(timesDoubted, output),
	}
	for id, name := range parse.Names() {
		f.parsed[id] = reg.Counter(messagesParsed, output, name)
	}
	return f
}

// dead is the counter of events stored in the dead-letter topic for a reason.
func (f *figures) dead(reason string) metrics.Counter {
	return f.reg.Counter(eventsDead, f.name, reason)
}

// encoded adds what an encoder has met.
func (f *figures) encoded(t document.Tally) {
	for id, n := range t.Formats {
		if n > 0 {
			f.parsed[id].Add(float64(n))
		}
	}
	if t.Malformed > 0 {
		f.malformed.Add(float64(t.Malformed))
	}
	if t.Doubted > 0 {
		f.doubted.Add(float64(t.Doubted))
	}
}
