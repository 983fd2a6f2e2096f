package parse

// Names of log.level, lower case. Other spellings are brought to these.
const (
	levelTrace     = "trace"
	levelDebug     = "debug"
	levelInfo      = "info"
	levelNotice    = "notice"
	levelWarn      = "warn"
	levelError     = "error"
	levelCritical  = "critical"
	levelAlert     = "alert"
	levelEmergency = "emergency"
	levelFatal     = "fatal"
)

// Severity is the level of a syslog priority.
func Severity(pri int) string { return severities[pri&7] }

// severities are the levels of syslog (RFC 5424, table 2).
var severities = [8]string{levelEmergency, levelAlert, levelCritical, levelError, levelWarn, levelNotice, levelInfo, levelDebug}

// levelOf is the level that a word of any case names, or empty.
func levelOf(word []byte) string {
	var low [16]byte
	if len(word) < 3 || len(word) > len(low) {
		return ""
	}
	for i, c := range word {
		if !isAlpha(c) {
			return ""
		}
		low[i] = c | 0x20
	}
	switch string(low[:len(word)]) {
	case "trace", "finest", "finer", "verbose":
		return levelTrace
	case "debug", "dbg", "fine", "config":
		return levelDebug
	case "info", "inf", "information", "informational":
		return levelInfo
	case "notice":
		return levelNotice
	case "warn", "warning", "wrn":
		return levelWarn
	case "error", "err", "severe", "eror":
		return levelError
	case "critical", "crit":
		return levelCritical
	case "alert":
		return levelAlert
	case "emergency", "emerg":
		return levelEmergency
	case "fatal", "panic", "dpanic":
		return levelFatal
	}
	return ""
}

// levelOfNumber reads the numbers of syslog (0 to 7: GELF) and of bunyan and pino (10
// to 60).
func levelOfNumber(digits []byte) string {
	switch len(digits) {
	case 1:
		if n := digits[0] - '0'; n < 8 {
			return severities[n]
		}
	case 2:
		switch string(digits) {
		case "10":
			return levelTrace
		case "20":
			return levelDebug
		case "30":
			return levelInfo
		case "40":
			return levelWarn
		case "50":
			return levelError
		case "60":
			return levelFatal
		}
	}
	return ""
}

func allUpper(word []byte) bool {
	for _, c := range word {
		if !isUpper(c) {
			return false
		}
	}
	return len(word) > 0
}
