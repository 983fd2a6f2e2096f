package schemas

// Names of the fields of an event: Elastic Common Schema 8.11 where it has one, and
// the standard terms of Mesos, Marathon and Chronos beside it.
const (
	FieldID            = "@metadata._id"
	FieldTimestamp     = "@timestamp"
	FieldMessage       = "message"
	FieldStream        = "stream"
	FieldLogOffset     = "log.offset"
	FieldLogSize       = "log.size"
	FieldLogSource     = "log.source"
	FieldLogGeneration = "log.generation"
	FieldLogLevel      = "log.level"
	FieldLogLogger     = "log.logger"
	FieldLogFlags      = "log.flags"
	FieldLogFileName   = "log.file.name"
	FieldLogFilePath   = "log.file.path"
	FieldContainerID   = "container.id"
	FieldContainerName = "container.name"
	FieldImageName     = "container.image.name"
	FieldTaskID        = "mesos.task_id"
	FieldFrameworkID   = "mesos.framework_id"
	FieldExecutorID    = "mesos.executor_id"
	FieldAgentID       = "mesos.agent_id"
	FieldAppID         = "marathon.app_id"
	FieldAppVersion    = "marathon.version"
	FieldChronosJob    = "chronos.job"
	FieldServiceName   = "service.name"
	FieldServiceVer    = "service.version"
	FieldHostName      = "host.name"
	FieldLabels        = "labels"
	FieldDC            = "labels.dc"
	FieldDataset       = "event.dataset"
	FieldCreated       = "event.created"
	FieldIngested      = "event.ingested"
	FieldOriginal      = "event.original"
	FieldTags          = "tags"
	FieldErrorMessage  = "error.message"
	FieldTraceID       = "trace.id"
	FieldApp           = "app"
)

// Names of the headers of a record: what routing needs without opening the value.
const (
	HeaderDC      = "dc"
	HeaderApp     = "app"
	HeaderDataset = "dataset"
)

// Values of log.flags.
const (
	FlagPartial = "partial"   // the line had no end when its file did, or was ended by a timeout
	FlagSplit   = "split"     // one piece of a line longer than the limit
	FlagCleaned = "cleaned"   // bytes that are not UTF-8 were replaced by U+FFFD
	FlagTorn    = "torn"      // not a line of its file's format; the message is what is there
	FlagSeveral = "multiline" // several lines that belong together
	FlagHole    = "hole"      // bytes of a hole before the line are in log.offset and log.size, not in the message
)
