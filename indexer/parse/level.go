package parse

import "bytes"

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

// levelOf is the level that a word of any case names, or empty. It is for places where a
// level is expected: many of these are English words.
func levelOf(word []byte) string {
	var low [16]byte
	if len(word) < 3 || len(word) > 40 {
		return ""
	}
	for i, c := range word {
		if !isAlpha(c) || i == len(low) {
			if c < 0x80 && i < len(low) {
				return ""
			}
			return foreignLevels[string(word)]
		}
		low[i] = c | 0x20
	}
	switch string(low[:len(word)]) {
	case "trace", "finest", "finer", "verbose", "trc", "vrb", "trac", "trce", "silly", "spam":
		return levelTrace
	case "debug", "dbg", "fine", "config", "debu", "dbug":
		return levelDebug
	case "info", "inf", "information", "informational", "infos", "success", "note":
		return levelInfo
	case "notice", "noti":
		return levelNotice
	case "warn", "warning", "wrn", "warnung", "avertissement", "advertencia", "avvertenza":
		return levelWarn
	case "error", "err", "severe", "eror", "erro", "errors", "schwerwiegend", "fehler", "grave", "erreur", "errore":
		return levelError
	case "critical", "crit":
		return levelCritical
	case "alert":
		return levelAlert
	case "emergency", "emerg":
		return levelEmergency
	case "fatal", "panic", "dpanic", "ftl", "fata", "pani", "pnc":
		return levelFatal
	}
	return ""
}

// foreignLevels are words for levels that have more than the letters of ASCII, as
// java.util.logging, PostgreSQL and people write them.
var foreignLevels = map[string]string{
	"信息": levelInfo, "信息性": levelInfo, "資訊": levelInfo, "资讯": levelInfo, "日志": levelInfo, "通知": levelNotice, "注意": levelNotice, "提示": levelInfo,
	"警告": levelWarn, "告警": levelWarn, "错误": levelError, "錯誤": levelError, "严重": levelError, "嚴重": levelError, "异常": levelError, "異常": levelError,
	"致命": levelFatal, "致命错误": levelFatal, "致命錯誤": levelFatal, "比致命错误还过分的错误": levelFatal, "紧急": levelEmergency, "緊急": levelEmergency,
	"调试": levelDebug, "調試": levelDebug, "除錯": levelDebug, "详细": levelDebug, "较详细": levelTrace, "非常详细": levelTrace, "跟踪": levelTrace, "追踪": levelTrace, "配置": levelDebug,
	"情報": levelInfo, "重大": levelError, "エラー": levelError, "致命的": levelFatal, "致命的エラー": levelFatal, "デバッグ": levelDebug, "ログ": levelInfo,
	"정보": levelInfo, "경고": levelWarn, "심각": levelError, "오류": levelError, "에러": levelError, "디버그": levelDebug, "치명적": levelFatal, "치명적오류": levelFatal,
	"ИНФО": levelInfo, "ИНФОРМАЦИЯ": levelInfo, "Информация": levelInfo, "ПРЕДУПРЕЖДЕНИЕ": levelWarn, "Предупреждение": levelWarn, "ВНИМАНИЕ": levelWarn,
	"ОШИБКА": levelError, "Ошибка": levelError, "СЕРЬЕЗНО": levelError, "ВАЖНО": levelError, "ОТЛАДКА": levelDebug, "СООБЩЕНИЕ": levelInfo, "ПАНИКА": levelFatal, "ЗАМЕЧАНИЕ": levelNotice,
	"INFORMACIÓN": levelInfo, "INFORMAÇÕES": levelInfo, "INFORMAÇÃO": levelInfo, "ADVERTÊNCIA": levelWarn,
}

// placeLevel is the level that a word names in brackets or before a colon: there, what is
// an English word as well is a level only in capitals.
func placeLevel(word []byte) string {
	level := levelOf(word)
	if level == "" || allUpper(word) {
		return level
	}
	switch word[0] | 0x20 {
	case 'c':
		if len(word) == len("config") {
			return ""
		}
	case 'f':
		if level != levelFatal && len(word) < 7 && word[1]|0x20 == 'i' { // fine, finer, finest
			return ""
		}
	case 'g', 's', 'i': // grave, success, silly, spam, infos
		switch string(word[1:]) {
		case "rave", "uccess", "illy", "pam", "nfos":
			return ""
		}
	case 'n':
		if string(word) == "note" {
			return ""
		}
	case 'e':
		if len(word) == len("errors") && level == levelError {
			return ""
		}
	}
	return level
}

// letterLevel is the level that a letter is: of klog, Android, MongoDB, WebSphere, Ruby.
func letterLevel(c byte) string {
	switch c {
	case 'T', 'V':
		return levelTrace
	case 'D':
		return levelDebug
	case 'I':
		return levelInfo
	case 'N':
		return levelNotice
	case 'W':
		return levelWarn
	case 'E':
		return levelError
	case 'C':
		return levelCritical
	case 'F':
		return levelFatal
	}
	return ""
}

// levelText is the level that a member's value names, the inside of a string: a word, a
// letter, one of slog such as DEBUG-4, in brackets or colours.
func levelText(inside []byte) string {
	inside = bytes.TrimSpace(inside)
	if level := levelOf(inside); level != "" {
		return level
	}
	if i := skipBlank(inside, 0); i > 0 {
		inside = inside[i:]
	}
	inside = bytes.Trim(inside, "[]<>: ")
	n := 0
	for n < len(inside) && isAlpha(inside[n]) {
		n++
	}
	level := levelOf(inside[:n])
	switch rest := inside[n:]; {
	case n == 0:
		return ""
	case n == len(inside) && n == 1:
		return letterLevel(inside[0] &^ 0x20)
	case n == len(inside):
		switch string(inside) {
		case "LOG", "log", "Log", "System", "STATEMENT", "DETAIL", "HINT":
			return levelInfo
		case "http", "HTTP":
			return levelDebug
		case "fail", "Fail":
			return levelError
		}
		return level
	case rest[0] == '\\': // a colour ends
		return level
	case len(rest) > 1 && (rest[0] == '+' || rest[0] == '-') && isDigit(rest[1]):
		if rest[0] == '-' && level == levelDebug && rest[1] >= '4' {
			return levelTrace
		}
		return level
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
