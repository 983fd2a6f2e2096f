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
)

// Has reports whether a role is in the set.
func (r Roles) Has(role Roles) bool { return r&role != 0 }

// roleOf knows the names that logging libraries use: logback and log4j (ECS, logstash
// encoders), zap, zerolog, logrus, slog, bunyan, pino, serilog, structlog, GELF.
func roleOf(key []byte) Roles {
	switch string(key) {
	case "@timestamp", "timestamp", "time", "ts", "t", "datetime", "asctime", "@t":
		return RoleTime
	case "level", "lvl", "severity", "log.level", "loglevel", "logLevel", "levelname", "level_name", "@l":
		return RoleLevel
	case "message", "msg", "short_message", "@m":
		return RoleMessage
	case "logger", "logger_name", "loggerName", "log.logger":
		return RoleLogger
	case "trace_id", "traceId", "trace.id", "traceID", "traceid":
		return RoleTrace
	}
	return 0
}
