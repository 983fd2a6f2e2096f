package parse

// Numbers of levels mean what the library that writes them says, and the name of their
// member says which library that is.

// levelOfNumber reads the value of a member called level or severity, which many
// libraries have: numbers of syslog (0 to 7: GELF), of bunyan and pino (10 to 60), of
// Monolog (100 to 600), of java.util.logging (700 to 1000), of Logback (5000 to 40000).
func levelOfNumber(digits []byte) string {
	switch string(digits) {
	case "10":
		return levelTrace
	case "20", "100":
		return levelDebug
	case "30", "200":
		return levelInfo
	case "250":
		return levelNotice
	case "40", "300":
		return levelWarn
	case "50", "400":
		return levelError
	case "500":
		return levelCritical
	case "550":
		return levelAlert
	case "600":
		return levelEmergency
	case "60":
		return levelFatal
	case "700":
		return levelDebug
	case "800":
		return levelInfo
	case "900":
		return levelWarn
	case "1000":
		return levelError
	}
	if level := levelOfLogback(digits); level != "" {
		return level
	}
	return levelOfSyslog(digits)
}

// levelOfPython reads Python's levelno: 10 to 50, and what is between.
func levelOfPython(digits []byte) string {
	n, end := number(digits, 0)
	switch {
	case end != len(digits) || end == 0 || n == 0:
		return ""
	case n < 10:
		return levelTrace
	case n < 20:
		return levelDebug
	case n < 30:
		return levelInfo
	case n < 40:
		return levelWarn
	case n < 50:
		return levelError
	}
	return levelCritical
}

// levelOfLogback reads Logback's level_value: 5000 to 40000.
func levelOfLogback(digits []byte) string {
	switch string(digits) {
	case "5000":
		return levelTrace
	case "10000":
		return levelDebug
	case "20000":
		return levelInfo
	case "30000":
		return levelWarn
	case "40000":
		return levelError
	}
	return ""
}

// levelOfOTel reads the severity number of OpenTelemetry: four to a level.
func levelOfOTel(digits []byte) string {
	n, end := number(digits, 0)
	if end != len(digits) || n < 1 || n > 24 {
		return ""
	}
	return [6]string{levelTrace, levelDebug, levelInfo, levelWarn, levelError, levelFatal}[(n-1)/4]
}

// levelOfNET reads the numbers of Microsoft.Extensions.Logging: 0 to 5.
func levelOfNET(digits []byte) string {
	if len(digits) != 1 || digits[0]-'0' > 5 {
		return ""
	}
	return [6]string{levelTrace, levelDebug, levelInfo, levelWarn, levelError, levelCritical}[digits[0]-'0']
}

// levelOfSyslog reads PRIORITY of the journal, and severities of syslog: 0 to 7.
func levelOfSyslog(digits []byte) string {
	if len(digits) != 1 || digits[0]-'0' > 7 {
		return ""
	}
	return severities[digits[0]-'0']
}
