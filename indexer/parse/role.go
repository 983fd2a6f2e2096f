package parse

// Roles is a set of what members of an application's line become.
type Roles uint8

// The roles, each a set of one.
const (
	RoleTime Roles = 1 << iota
	RoleLevel
	RoleMessage
	RoleLogger
	RoleTrace
	RoleError
)

// Has reports whether a role is in the set.
func (r Roles) Has(role Roles) bool { return r&role != 0 }

// meaning is what the name of a member says of its value.
type meaning uint8

const (
	meansNothing meaning = iota
	meansTime
	meansTimePerhaps // where no other member is the time
	meansRecord      // loguru: {"level":{},"time":{},"message":"x"}
	meansCreated     // Python's number of seconds
	meansInstant     // log4j2: {"epochSecond":1,"nanoOfSecond":2}
	meansLevel
	meansLevelPython // numbers
	meansLevelLogback
	meansLevelOTel
	meansLevelNET
	meansLevelSyslog
	meansLevelMongo
	meansTags // Kibana: ["error","plugins"]
	meansMessage
	meansMessagePerhaps // where no other member is the message
	meansLog            // Docker: the line; Elastic: {"level":"x","logger":"y"}
	meansLogger
	meansLoggerPerhaps
	meansName // of a logger for some, of anything for most
	meansTrace
	meansTraceParent  // of W3C: 00-trace-span-01
	meansTraceObject  // {"id":"x"}
	meansTraceOfError // a stack trace
	meansError        // {"type":"x","message":"y","stack":"z"}
	meansFields       // of Rust's tracing: {"message":"x"}; of OpenTelemetry: "x" or {"stringValue":"x"}
)

// meanings is by the numbers above.
var meanings = [...]Roles{
	meansTime: RoleTime, meansTimePerhaps: RoleTime, meansCreated: RoleTime, meansInstant: RoleTime, meansRecord: RoleTime,
	meansLevel: RoleLevel, meansLevelPython: RoleLevel, meansLevelLogback: RoleLevel, meansLevelOTel: RoleLevel, meansLevelNET: RoleLevel, meansLevelSyslog: RoleLevel, meansLevelMongo: RoleLevel, meansTags: RoleLevel,
	meansMessage: RoleMessage, meansMessagePerhaps: RoleMessage, meansLog: RoleMessage, meansFields: RoleMessage,
	meansLogger: RoleLogger, meansLoggerPerhaps: RoleLogger, meansName: RoleLogger,
	meansTraceOfError: RoleError, meansError: RoleError,
	meansTrace: RoleTrace, meansTraceParent: RoleTrace, meansTraceObject: RoleTrace,
}

func (m meaning) role() Roles { return meanings[m] }

// meaningOf knows the names that logging libraries use: logback, log4j and log4j2 (ECS,
// logstash and template layouts), zap, zerolog, logrus, slog, hclog, klog, bunyan, pino,
// winston, serilog, NLog, Microsoft.Extensions.Logging, Python, structlog, loguru,
// Monolog, tracing of Rust, OpenTelemetry, GELF; journald, MongoDB, PostgreSQL, MySQL,
// Elasticsearch, Kibana, Kubernetes, CloudTrail, nginx; and what Chinese teams write.
func meaningOf(key []byte) meaning {
	if len(key) > len("__REALTIME_TIMESTAMP")+10 {
		return meansNothing
	}
	switch string(key) {
	case "@timestamp", "timestamp", "time", "ts", "t", "datetime", "asctime", "@t", "Timestamp", "timeMillis", "time_unix_nano", "timeUnixNano", "Time",
		"__REALTIME_TIMESTAMP", "time_iso8601", "time_local", "stageTimestamp", "timeStamp", "time_stamp", "log_time", "logTime", "logtime", "dateTime", "DateTime", "timestamp_ms", "ts_ms",
		"log.timestamp", "log_timestamp", "时间", "日志时间":
		return meansTime
	case "date", "eventTime", "event_time", "@time", "datetime_iso", "observed_timestamp", "observedTimeUnixNano", "start_time", "startTime", "msec", "T":
		return meansTimePerhaps
	case "created":
		return meansCreated
	case "record":
		return meansRecord
	case "instant":
		return meansInstant
	case "level", "lvl", "severity", "log.level", "loglevel", "logLevel", "levelname", "level_name", "@l", "Level", "log_level", "severity_text", "severityText", "SeverityText", "@level", "LEVEL", "Severity",
		"error_severity", "levelName", "L", "LogLevelName", "级别", "等级", "日志级别":
		return meansLevel
	case "levelno":
		return meansLevelPython
	case "level_value":
		return meansLevelLogback
	case "severity_number", "severityNumber", "SeverityNumber":
		return meansLevelOTel
	case "LogLevel":
		return meansLevelNET
	case "PRIORITY", "log.syslog.severity.code":
		return meansLevelSyslog
	case "s":
		return meansLevelMongo
	case "label":
		return meansLevelMongo
	case "tags":
		return meansTags
	case "message", "msg", "short_message", "@m", "Message", "MESSAGE", "@message", "RenderedMessage", "renderedMessage", "formattedMessage", "M", "消息", "内容", "日志内容":
		return meansMessage
	case "event", "@mt", "MessageTemplate", "messageTemplate", "text":
		return meansMessagePerhaps
	case "log":
		return meansLog
	case "fields", "body", "Body":
		return meansFields
	case "logger", "logger_name", "loggerName", "log.logger", "SourceContext", "Category", "CategoryName", "categoryName", "@module", "@logger":
		return meansLogger
	case "component", "target", "channel", "c", "N", "SYSLOG_IDENTIFIER":
		return meansLoggerPerhaps
	case "name":
		return meansName
	case "trace_id", "traceId", "trace.id", "traceID", "traceid", "TraceId", "TraceID", "@tr", "dd.trace_id", "otelTraceID", "X-B3-TraceId":
		return meansTrace
	case "stack_trace", "error.stack_trace", "stackTrace", "stacktrace", "StackTrace", "exc_info", "exc_text", "exception", "Exception", "@x", "stack", "throwable", "errorVerbose":
		return meansTraceOfError
	case "err", "error", "thrown":
		return meansError
	case "traceparent":
		return meansTraceParent
	case "trace":
		return meansTraceObject
	}
	return meansNothing
}
