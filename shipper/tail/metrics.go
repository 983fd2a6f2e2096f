package tail

import (
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/shipper/line"
	"github.com/sluicelog/sluice/shipper/send"
)

// Lines and bytes read are counted by kind of source: docker or file.
var (
	bytesRead     = metrics.NewCounter("shipper_read_bytes", "bytes", "Read from log files; bytes read again after a restart are counted again", "source")
	eventsMade    = metrics.NewCounter("shipper_made_events", "events", "Events made of what was read; made = dropped + acknowledged + in flight", "source")
	eventsFlagged = metrics.NewCounter("shipper_flagged_events", "events", "Events by log.flags: partial (a line without end), split (a piece of a line over the limit), cleaned (not UTF-8), torn (not a line of its format), hole (NULs before the line were skipped), multiline (several lines that belong together)", "flag")
	linesJoined   = metrics.NewCounter("shipper_joined_lines", "lines", "Lines put together from dockerd's 16 KiB pieces")
	holeBytes     = metrics.NewCounter("shipper_hole_bytes", "bytes", "Runs of NULs in log files that are in log.size of an event and in no message, as a crash of the host or a truncation under a writer leaves them")
	truncations   = metrics.NewCounter("shipper_truncations", "files", "Files that became shorter or other than what was read of them; read again from the start")
	copiesSkipped = metrics.NewCounter("shipper_copy_skipped_bytes", "bytes", "Bytes of copies of log files (copytruncate) that are not read, since they were read in the file that was copied")
	rotations     = metrics.NewCounter("shipper_rotations", "files", "Files that took the place of another under a path")
	compressed    = metrics.NewCounter("shipper_compressed_files", "files", "Compressed rotated files found, which are not read")
	filesOpened   = metrics.NewCounter("shipper_opened_files", "files", "Files opened")
	filesRested   = metrics.NewCounter("shipper_rested_files", "files", "Files closed at rest, or in turn, since descriptors ran short; opened again when they grow")
	openErrors    = metrics.NewCounter("shipper_open_errors", "errors", "Files that could not be opened now and are tried again")
	readErrors    = metrics.NewCounter("shipper_read_errors", "errors", "Reads that failed and are tried again")
	givenUpFiles  = metrics.NewCounter("shipper_given_up_files", "files", "Deleted files closed with bytes unread since they did not grow for hold_deleted")
	givenUpBytes  = metrics.NewCounter("shipper_given_up_bytes", "bytes", "Bytes unread in deleted files closed since they did not grow for hold_deleted")
	leftOpenFiles = metrics.NewCounter("shipper_left_open_files", "files", "Files without a name closed after a day without growth though a process had them open for writing")
	spooledBytes  = metrics.NewCounter("shipper_spooled_bytes", "bytes", "Unread bytes of deleted files copied into the spool")
	spoolUsed     = metrics.NewGauge("shipper_spool_bytes", "bytes", "Size of the copies in the spool")
	missed        = metrics.NewCounter("shipper_missed_containers", "containers", "Containers that started and were removed before their log could be opened")
	replacedBytes = metrics.NewCounter("shipper_replaced_bytes", "bytes", "Bytes that dockerd replaced by U+FFFD, since they are not UTF-8: encoding (the program writes another), cut (a character on the border of two 16 KiB pieces of a line)", "cause")
	cutTags       = metrics.NewCounter("shipper_cut_metadata_sources", "sources", "Sources whose labels or values are left out or cut in their events: over 1 KiB each or 8 KiB in all, or of one name")
	filesOpen     = metrics.NewGauge("shipper_open_files", "files", "Files open now")
	filesDeleted  = metrics.NewGauge("shipper_deleted_files", "files", "Deleted files kept open for their unread rest")
	mostFiles     = metrics.NewGauge("shipper_most_open_files", "files", "Files that may be open at a time; the rest of the descriptors is for sockets and the store")
	waitingNow    = metrics.NewGauge("shipper_waiting_sources", "sources", "Logs with files that wait for a descriptor")
	sourcesNow    = metrics.NewGauge("shipper_sources", "sources", "Logs followed", "source")
	lagBytes      = metrics.NewGauge("shipper_lag_bytes", "bytes", "Bytes in followed files that are not acknowledged")
	inFlight      = metrics.NewGauge("shipper_in_flight_events", "events", "Events made and not acknowledged")
	unfinished    = metrics.NewGauge("shipper_unfinished_bytes", "bytes", "Memory held by lines without end yet")
)

var (
	_ = metrics.NewBalance(eventsMade, inFlight, send.EventsAcknowledged, send.EventsDropped)
	_ = metrics.NewLosses(givenUpFiles, leftOpenFiles, missed)
)

// meters are the live figures of what happens to files. What is counted for each line is
// in kindTally and in the maker, and handed over once in a while.
type meters struct {
	reg                    *metrics.Registry
	truncated, rotated, gz metrics.Counter
	opened, rested         metrics.Counter
	openErrs, readErrs     metrics.Counter
	givenFiles, givenBytes metrics.Counter
	missed, skipped        metrics.Counter
	cutTags, leftOpen      metrics.Counter
	spooled                metrics.Counter
	lostEncoding, lostCut  metrics.Counter
}

func newMeters(r *metrics.Registry) *meters {
	return &meters{
		reg: r, truncated: r.Counter(truncations), rotated: r.Counter(rotations), gz: r.Counter(compressed),
		opened: r.Counter(filesOpened), rested: r.Counter(filesRested), openErrs: r.Counter(openErrors), readErrs: r.Counter(readErrors),
		givenFiles: r.Counter(givenUpFiles), givenBytes: r.Counter(givenUpBytes), missed: r.Counter(missed),
		skipped: r.Counter(copiesSkipped), cutTags: r.Counter(cutTags), leftOpen: r.Counter(leftOpenFiles), spooled: r.Counter(spooledBytes),
		lostEncoding: r.Counter(replacedBytes, "encoding"), lostCut: r.Counter(replacedBytes, "cut"),
	}
}

// kindTally is what was counted for the sources of one kind since it was last reported.
type kindTally struct {
	bytes, events int64
	readBytes     metrics.Counter
	madeEvents    metrics.Counter
	sources       metrics.Gauge
	now           int // sources of the kind; as it is reported
}

func newKindTally(r *metrics.Registry, kind string) *kindTally {
	return &kindTally{readBytes: r.Counter(bytesRead, kind), madeEvents: r.Counter(eventsMade, kind), sources: r.Gauge(sourcesNow, kind)}
}

// report hands over what was counted.
func (k *kindTally) report() {
	k.readBytes.Add(float64(k.bytes))
	k.madeEvents.Add(float64(k.events))
	k.sources.Set(float64(k.now))
	k.bytes, k.events = 0, 0
}

// levels are the figures of now.
type levels struct {
	open, most, waiting, deleted metrics.Gauge
	spool                        metrics.Gauge
	lag, flight, unfinished      metrics.Gauge
	joined, holes                metrics.Counter
	flagged                      [line.NumFlags]metrics.Counter
}

func newLevels(r *metrics.Registry) *levels {
	l := &levels{
		open: r.Gauge(filesOpen), most: r.Gauge(mostFiles), spool: r.Gauge(spoolUsed), waiting: r.Gauge(waitingNow), deleted: r.Gauge(filesDeleted), lag: r.Gauge(lagBytes), flight: r.Gauge(inFlight),
		unfinished: r.Gauge(unfinished), joined: r.Counter(linesJoined), holes: r.Counter(holeBytes),
	}
	for i := range l.flagged {
		l.flagged[i] = r.Counter(eventsFlagged, line.Flags(1 << i).Texts()[0])
	}
	return l
}
