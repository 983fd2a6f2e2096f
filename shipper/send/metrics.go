package send

import "github.com/sluicelog/sluice/internal/metrics"

// EventsAcknowledged counts the events that are finished.
var EventsAcknowledged = metrics.NewCounter("shipper_acknowledged_events", "events", "Events stored on all in-sync replicas; one sent in pieces counts once all are")

var (
	eventsAppended = metrics.NewCounter("shipper_appended_events", "events", "Events handed to the Kafka producer, pieces of refused events included")
	bytesAppended  = metrics.NewCounter("shipper_appended_bytes", "bytes", "Size of the events handed to the Kafka producer")
	bytesAcked     = metrics.NewCounter("shipper_acknowledged_bytes", "bytes", "Size of the events stored on all in-sync replicas")
	eventsRefused  = metrics.NewCounter("shipper_refused_events", "events", "Events Kafka refused as too large or invalid: stripped of labels and tags, then split, or kept to be sent again if they cannot be", "outcome")
)

type meters struct{ events, eventBytes, acks, ackBytes metrics.Counter }

func newMeters(r *metrics.Registry) *meters {
	return &meters{r.Counter(eventsAppended), r.Counter(bytesAppended), r.Counter(EventsAcknowledged), r.Counter(bytesAcked)}
}

func (m *meters) appended(events, bytes int) {
	m.events.Add(float64(events))
	m.eventBytes.Add(float64(bytes))
}

func (m *meters) acked(events, bytes int) {
	m.acks.Add(float64(events))
	m.ackBytes.Add(float64(bytes))
}

type refusalMeters struct{ stripped, split, kept metrics.Counter }

func newRefusalMeters(r *metrics.Registry) *refusalMeters {
	return &refusalMeters{r.Counter(eventsRefused, "stripped"), r.Counter(eventsRefused, "split"), r.Counter(eventsRefused, "kept")}
}
