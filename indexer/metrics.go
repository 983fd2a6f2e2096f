package indexer

import (
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

	read, indexed, duplicate, returned, retried, malformed, doubted, bytes, sent, splits metrics.Counter
	inFlight, concurrency                                                                metrics.Gauge
	seconds                                                                              metrics.Histogram
	parsed                                                                               [formatCount]metrics.Counter
}

func newFigures(reg *metrics.Registry, output string) *figures {
	f := &figures{
		reg: reg, name: output,
		read: reg.Counter(eventsRead, output), indexed: reg.Counter(eventsIndexed, output), duplicate: reg.Counter(eventsDuplicate, output),
		returned: reg.Counter(eventsReturned, output), retried: reg.Counter(eventsRetried, output), malformed: reg.Counter(eventsMalformed, output),
		doubted: reg.Counter(timesDoubted, output), bytes: reg.Counter(bulkBytes, output), sent: reg.Counter(bulkSent, output), splits: reg.Counter(bulkSplits, output),
		inFlight: reg.Gauge(eventsInFlight, output), concurrency: reg.Gauge(bulkConcurrency, output), seconds: reg.Histogram(bulkSeconds, output),
	}
	for i := range f.parsed {
		f.parsed[i] = reg.Counter(messagesParsed, output, format(i).String())
	}
	return f
}

// encoded takes over what an encoder has counted.
func (f *figures) encoded(e *encoder) {
	for i, n := range e.counts {
		if n > 0 {
			f.parsed[i].Add(float64(n))
		}
	}
	if e.bad > 0 {
		f.malformed.Add(float64(e.bad))
	}
	if e.doubt > 0 {
		f.doubted.Add(float64(e.doubt))
	}
	e.counts, e.bad, e.doubt = [formatCount]int{}, 0, 0
}
