package shipper

import "github.com/sluicelog/sluice/internal/metrics"

// Lines and bytes read are counted by kind of source, such as docker or file.
var (
	bytesRead      = metrics.NewCounter("shipper_read", "bytes", "Read from log files; bytes read again after a restart are counted again", "source")
	eventsMade     = metrics.NewCounter("shipper_events_made", "events", "Events made of what was read; made = acknowledged + in flight", "source")
	eventsAppended = metrics.NewCounter("shipper_events_appended", "events", "Events handed to the Kafka producer, pieces of refused events included")
	bytesAppended  = metrics.NewCounter("shipper_appended", "bytes", "Size of the events handed to the Kafka producer")
	eventsAcked    = metrics.NewCounter("shipper_events_acknowledged", "events", "Events stored on all in-sync replicas; one sent in pieces counts once all are")
	bytesAcked     = metrics.NewCounter("shipper_acknowledged", "bytes", "Size of the events stored on all in-sync replicas")
	eventsFlagged  = metrics.NewCounter("shipper_events_flagged", "events", "Events by log.flags: partial (a line without end), split (a piece of a line over the limit), cleaned (not UTF-8), torn (not a line of its format)", "flag")
	linesJoined    = metrics.NewCounter("shipper_lines_joined", "lines", "Lines put together from dockerd's 16 KiB pieces")
	truncations    = metrics.NewCounter("shipper_truncations", "files", "Files that became shorter or other than what was read of them; read again from the start")
	rotations      = metrics.NewCounter("shipper_rotations", "files", "Files that took the place of another under a path")
	compressed     = metrics.NewCounter("shipper_files_compressed", "files", "Compressed rotated files found, which are not read")
	filesOpened    = metrics.NewCounter("shipper_files_opened", "files", "Files opened")
	openErrors     = metrics.NewCounter("shipper_open_errors", "errors", "Files that could not be opened now and are tried again")
	readErrors     = metrics.NewCounter("shipper_read_errors", "errors", "Reads that failed and are tried again")
	givenUpFiles   = metrics.NewCounter("shipper_given_up_files", "files", "Deleted files closed with bytes unread because hold_deleted had passed")
	givenUpBytes   = metrics.NewCounter("shipper_given_up", "bytes", "Bytes unread in deleted files closed because hold_deleted had passed")
	missedFiles    = metrics.NewCounter("shipper_containers_missed", "containers", "Containers that started and were removed before their log could be opened")
	refusedEvents  = metrics.NewCounter("shipper_events_refused", "events", "Events Kafka refused as too large or invalid: split, or held if they cannot be", "outcome")
	storeErrors    = metrics.NewCounter("shipper_store_errors", "errors", "Writes of positions that failed and are tried again")
	storeSeconds   = metrics.NewHistogram("shipper_store", "seconds", "Time to make positions durable")
	filesOpen      = metrics.NewGauge("shipper_files_open", "files", "Files open now")
	filesHeld      = metrics.NewGauge("shipper_files_held", "files", "Deleted files kept open for their unread rest")
	sourcesNow     = metrics.NewGauge("shipper_sources", "sources", "Logs followed", "source")
	lagBytes       = metrics.NewGauge("shipper_lag", "bytes", "Bytes in followed files that are not acknowledged")
	inFlight       = metrics.NewGauge("shipper_events_in_flight", "events", "Events made and not acknowledged")
	bufferedBytes  = metrics.NewGauge("shipper_unfinished", "bytes", "Memory held by lines without end yet")
)

var (
	_ = metrics.NewBalance(eventsMade, inFlight, eventsAcked)
	_ = metrics.NewLosses(givenUpFiles, missedFiles)
)

// meters are the live figures. What the tailer counts for each line it counts in tally
// and hands over once a batch.
type meters struct {
	reg                                  *metrics.Registry
	flagged                              [4]metrics.Counter
	joined, truncated, rotated, gz       metrics.Counter
	opened, openErrs, readErrs           metrics.Counter
	givenFiles, givenBytes, missed       metrics.Counter
	events, eventsBytes, acks, ackBytes  metrics.Counter
	splitRefused, heldRefused, storeErrs metrics.Counter
	storing                              metrics.Histogram
	open, held, lag, flight, unfinished  metrics.Gauge
}

func newMeters(r *metrics.Registry) *meters {
	m := &meters{
		reg:    r,
		joined: r.Counter(linesJoined), truncated: r.Counter(truncations), rotated: r.Counter(rotations), gz: r.Counter(compressed),
		opened: r.Counter(filesOpened), openErrs: r.Counter(openErrors), readErrs: r.Counter(readErrors),
		givenFiles: r.Counter(givenUpFiles), givenBytes: r.Counter(givenUpBytes), missed: r.Counter(missedFiles),
		events: r.Counter(eventsAppended), eventsBytes: r.Counter(bytesAppended), acks: r.Counter(eventsAcked), ackBytes: r.Counter(bytesAcked),
		splitRefused: r.Counter(refusedEvents, "split"), heldRefused: r.Counter(refusedEvents, "held"), storeErrs: r.Counter(storeErrors),
		storing: r.Histogram(storeSeconds),
		open:    r.Gauge(filesOpen), held: r.Gauge(filesHeld), lag: r.Gauge(lagBytes), flight: r.Gauge(inFlight), unfinished: r.Gauge(bufferedBytes),
	}
	for i := range m.flagged {
		m.flagged[i] = r.Counter(eventsFlagged, flagSets[1<<i][0])
	}
	return m
}

func (m *meters) appended(events, bytes int) {
	m.events.Add(float64(events))
	m.eventsBytes.Add(float64(bytes))
}

func (m *meters) acked(events, bytes int) {
	m.acks.Add(float64(events))
	m.ackBytes.Add(float64(bytes))
}

// tally is what the tailer counted since it last told.
type tally struct {
	joined  int
	flagged [4]int
}

// kindTally is what the tailer counted for the sources of one kind.
type kindTally struct {
	sources       int // now
	bytes, events int64
	read, made    metrics.Counter
	now           metrics.Gauge
}

// kind is the tally of a kind of source, whose figures are there from now on.
func (t *tailer) kind(name string) *kindTally {
	k := t.kinds[name]
	if k == nil {
		k = &kindTally{read: t.m.reg.Counter(bytesRead, name), made: t.m.reg.Counter(eventsMade, name), now: t.m.reg.Gauge(sourcesNow, name)}
		t.kinds[name] = k
	}
	return k
}

func (n *tally) flags(fl flags) {
	if fl != 0 {
		for i := range n.flagged {
			n.flagged[i] += int(fl >> i & 1)
		}
	}
}
