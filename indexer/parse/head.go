package parse

import (
	"bytes"
	"time"
)

// head reads what a line of text begins with: a time, a level, a thread, a process, a
// logger, in the order and the brackets that its program puts them in. It looks at a few
// words, and takes no word of plain text for a level: one counts in its place, which is
// after the time or before all else, in capitals, in brackets, before a colon or between
// separators. What is in brackets may be a thread or a user: a level beside it wins.
type head struct {
	p *Parser
	m []byte

	i, limit int  // what is read next, and where reading ends
	words    int  // read so far
	mark     byte // separator before the next word, 0 for none
	tab      bool // the next word is after a tab

	timed     bool
	weak      bool // the time is one only beside a level
	halved    bool // the time has AM or PM
	short     bool // its date is of two digits each
	bracketed bool // the time is in brackets
	since     int  // words since the time

	rank    rank
	sure    bool   // the logger is in its place
	plain   int    // words of text so far
	small   bool   // the last of them has small letters only
	last    []byte // the last of them
	class   []byte // a dotted name that no separator follows: of java.util.logging
	numbers int    // so far
	pairs   int    // where key=value begins; 0: nowhere
	spoken  bool   // a name with a colon or = was there: a time after it is its value
}

// rank is how sure it is that a level is one.
type rank uint8

const (
	rankNone     rank = iota
	rankBrackets      // [error]: or a thread of that name
	rankCapitals      // [ERROR]
	rankBare          // ERROR
)

// How much of a line is looked at.
const (
	headBytes = 400
	headWords = 16
)

// head reads the line from m[i] on into what is found, and reports whether there was a
// time or a level.
func (p *Parser) head(i int) bool {
	h := head{p: p, m: p.message, i: i, limit: min(len(p.message), i+headBytes)}
	return h.read()
}

// headAfterTime is head for a line of which the time is read, and ends before m[i].
func (p *Parser) headAfterTime(i int) {
	h := head{p: p, m: p.message, i: i, limit: min(len(p.message), i+headBytes), timed: true}
	h.read()
}

func (h *head) read() bool {
	if !h.timed {
		h.begin()
	}
	for ; h.words < headWords; h.words++ {
		if h.skip(); h.i >= h.limit {
			break
		}
		more := false
		switch c := h.m[h.i]; c {
		case '\\':
			if at(h.m, h.i+1) == 'n' {
				h.secondLine(h.i + 2)
			}
		case '[', '(', '<', '{':
			more = h.brackets()
		default:
			more = h.word()
		}
		if !more {
			break
		}
		if h.since++; h.sure && h.rank == rankBare && h.timed {
			break
		}
	}
	return h.finish()
}

// skip goes on to the next word, over blanks and separators.
func (h *head) skip() {
	h.mark, h.tab = 0, false
	for h.i < h.limit {
		if n := blank(h.m, h.i); n > 0 {
			h.tab = n == 2
			h.i += n
			continue
		}
		switch c := h.m[h.i]; c {
		case '-', '|':
			h.mark = c
		case ':', ',', ']', ')', '>', '}', ';':
		default:
			return
		}
		h.i++
	}
}

// begin reads what only the beginning of a line has.
func (h *head) begin() {
	m, i := h.m, h.i
	switch c := at(m, i); {
	case c == '*' || c == '.': // Cisco: *Nov 21 08:57:47
		if isUpper(at(m, i+1)) {
			h.i++
		}
	case c == '#': // WebLogic: ####<Nov 21, 2026
		for at(m, h.i) == '#' {
			h.i++
		}
	case isUpper(c) && at(m, i+1) == ',' && at(m, i+2) == ' ' && at(m, i+3) == '[': // Ruby: I, [2026-11-21T
		h.take(letterLevel(c), rankBare)
		h.i += 3
	case isUpper(c) && at(m, i+1) == '/':
		h.android(i)
	case isAlpha(c) || c == '_':
		h.service()
	}
}

// service goes over what is before the line itself: `web_1  | ` of docker compose, and
// the first word of Amazon's access logs.
func (h *head) service() {
	m, i, k := h.m, h.i, h.i
	for k < h.limit && k < i+64 && (isAlpha(m[k]) || isDigit(m[k]) || m[k] == '_' || m[k] == '-' || m[k] == '.') {
		k++
	}
	if at(m, k) != ' ' {
		return
	}
	n := skipSpaces(m, k, h.limit)
	if at(m, n) == '|' && at(m, n+1) == ' ' {
		if levelOf(m[i:k]) == "" {
			h.i = skipBlank(m, n+1)
		}
		return
	}
	switch string(m[i:k]) {
	case "http", "https", "h2", "grpcs", "ws", "wss":
		if isDigit(at(m, n)) {
			h.i = n
		}
	}
}

// android reads E/Tag( 12): at m[i].
func (h *head) android(i int) bool {
	m := h.m
	end := endOfName(m, i+2, min(h.limit, i+60))
	n := skipSpaces(m, end, h.limit)
	if level := letterLevel(m[i]); level == "" || end == i+2 || at(m, n) != '(' || !isDigit(at(m, skipSpaces(m, n+1, h.limit))) {
		return false
	} else {
		h.take(level, rankBare)
	}
	h.logger(m[i+2:end], true)
	h.i = end
	return true
}

// time reads the time of the line at m[k], which may be inside brackets, and returns the
// index after it, or 0.
func (h *head) time(k int, inside bool) int {
	if h.timed || h.plain > 0 || k >= h.limit || h.words > 0 && !inside && h.rank == rankNone && (!isDigit(h.m[k]) || h.spoken) {
		return 0
	}
	var t Civil
	n := matchTime(h.m[k:], &t)
	if n == 0 && h.rank != rankNone {
		n = matchDayOfYear(h.m[k:], h.p.read, h.p.zone, &t)
	}
	if n == 0 {
		return 0
	}
	epoch := t.year == 1970 && t.zone == zoneOffset
	next := at(h.m, k+n)
	switch {
	case t.noDate && (next == ':' || next == '-' || next == '/'):
		return 0 // an address
	case inside:
	case (t.noDate || epoch) && h.words > 0 && h.rank == rankNone:
		return 0
	case epoch:
		h.weak = at(h.m, k+10) != '.'
	case t.noDate:
		h.weak = t.nano == 0 && t.zone == zoneNone
	}
	h.timed, h.halved, h.short, h.bracketed, h.since = true, t.halved, t.order == orderShort, inside, -1
	h.p.takeTime(&t)
	return k + n
}

// brackets reads [2026-11-21 08:57:47 ERROR], [main], [error], (Thread-1), <Error>.
func (h *head) brackets() bool {
	m, open := h.m, h.i
	k := skipBlank(m[:h.limit], open+1)
	if m[open] == '{' && at(m, k) == '\\' && at(m, k+1) == '"' {
		h.p.embedded(m[open:])
		return false
	}
	if n := h.time(k, true); n > 0 {
		h.i = n
		return true
	}
	if level := letterLevel(at(m, k)); level != "" && at(m, k+1) == ' ' { // [I 08:57:47.123 NotebookApp]
		if n := h.time(k+2, true); n > 0 {
			h.take(level, rankBare)
			h.i = n
			return true
		}
	}
	end := h.close(open)
	if end < 0 {
		h.plain++
		h.i++
		return h.plain < 2
	}
	h.inside(m[open], trimBlank(m[open+1:end]), end+1)
	h.i = end + 1
	return true
}

// close is the index of the bracket that closes the one at m[open], -1 if none does
// before the line ends.
func (h *head) close(open int) int {
	a, b, depth := h.m[open], closing(h.m[open]), 0
	for k := open; k < h.limit; k++ {
		switch c := h.m[k]; {
		case c == a:
			depth++
		case c == b:
			if depth--; depth == 0 {
				return k
			}
		case c == '\\' && at(h.m, k+1) == 'n':
			return -1
		}
	}
	return -1
}

// inside takes what is in brackets, which end before m[end], for a level or a logger.
func (h *head) inside(open byte, in []byte, end int) {
	if len(in) == 0 || len(in) > 120 {
		return
	}
	word, dots := in, 0
	for k, c := range in {
		switch c {
		case ':': // Apache: [core:error]
			word, dots = in[k+1:], 0
		case '.':
			dots++
		}
	}
	if h.rank < rankBare && (len(word) == len(in) || h.bracketed) { // else it is a value: [traceId:fatal]
		capitals := allUpper(word)
		level := placeLevel(word)
		switch {
		case level == "" && string(in) == "DEPRECATION": // Elasticsearch
			level = levelWarn
		case level == "" && len(in) == 1 && h.timed && h.since == 0 && open == '[': // Beego: [E]
			level = letterLevel(in[0])
		case level == "" && len(word) == 6 && len(word) < len(in) && isDigit(word[5]): // Apache: [core:trace3]
			level = levelOf(word[:5])
		case level == "" && string(in) == "System" && bytes.HasPrefix(h.m[min(end, len(h.m)):], []byte(" [MY-")):
			level, capitals = levelInfo, true // MySQL
		case level != "" && (h.plain > 0 || open == '(') && !capitals:
			return
		}
		if level != "" {
			if capitals && len(word) == len(in) {
				h.take(level, rankCapitals)
			} else {
				h.take(level, rankBrackets)
			}
			return
		}
	}
	if dots == 0 || h.p.found.Logger != nil {
		return
	}
	if at := bytes.LastIndexByte(word, '@'); at > 0 { // ZooKeeper: [main:o.a.z.QuorumPeer@12]
		word = word[:at]
	}
	if !isLogger(word) {
		return
	}
	if h.rank != rankNone {
		h.logger(word, false)
	} else if h.class == nil && h.timed && !isDigit(word[len(word)-1]) { // Scrapy: [scrapy.core.engine] DEBUG: text
		h.class = word
	}
}

// take makes a level that of the line, unless one of a better place is.
func (h *head) take(level string, at rank) {
	if level != "" && at > h.rank {
		h.p.found.Level, h.rank = level, at
	}
}

// logger makes a name the logger of the line, unless one in its place is.
func (h *head) logger(name []byte, sure bool) {
	if !h.sure {
		h.p.found.Logger, h.sure = name, sure
	}
}

// word reads one word. False: the text of the line has begun.
func (h *head) word() bool {
	m, start := h.m, h.i
	if n := h.time(start, false); n > 0 {
		h.i = n
		return true
	}
	if c := m[start]; (c == '*' || c == '.') && isUpper(at(m, start+1)) && !h.timed && h.words == 1 { // Cisco: 000123: *Nov 21
		if n := h.time(start+1, true); n > 0 {
			h.i, h.bracketed = n, false
			return true
		}
	}
	end := start
	for end < h.limit && kinds[m[end]]&endsWord == 0 {
		end++
	}
	if end == start {
		return false
	}
	w := m[start:end]
	h.i = end
	colon := false
	switch w[len(w)-1] {
	case ':':
		colon, w = true, w[:len(w)-1]
	case ',', '!':
		w = w[:len(w)-1]
	}
	if len(w) == 0 {
		return true
	}
	c := w[0]
	switch {
	case isDigit(c):
		h.numbers++
		return true
	case c == '%':
		return h.cisco(w)
	case c == '*' && len(w) > 1: // Nexus: *SYSTEM
		return true
	case c >= 0x80:
		return h.foreign(w, colon)
	case !isAlpha(c) && c != '_' && c != '/' && c != '@':
		return true
	case len(w) == 1 || w[1] == '/' && isUpper(c):
		if h.letter(w, end) {
			return true
		}
	}
	if h.level(w, start, end, colon) {
		return true
	}
	if bytes.IndexByte(w, '=') > 0 {
		if h.spoken = true; h.pairs == 0 {
			h.pairs = start
		}
		return true
	}
	return h.text(w, start, end, colon)
}

// level takes a word for a level, if it is one in its place. m[start:end] is the word as
// written.
func (h *head) level(w []byte, start, end int, colon bool) bool {
	if h.rank == rankBare {
		return false
	}
	base := w
	n := 0
	for n < len(w) && isAlpha(w[n]) {
		n++
	}
	if n < len(w) {
		switch {
		case (w[n] == ':' || w[n] == '/') && allUpper(w[:n]): // INFO:root, ERROR/MainProcess
			base = w[:n]
		case w[n] == '.' && colon && bytes.Count(w, []byte(".")) == 1 && allUpper(w[n+1:]): // Monolog: app.ERROR
			base = w[n+1:]
		default:
			return false
		}
	}
	level := levelOf(base)
	next := skipSpaces(h.m, end, h.limit)
	if level == "" {
		if string(w) != "fail" || !colon || h.words > 0 && h.since > 0 || h.nameEnd(next) == 0 { // .NET
			return false
		}
		level = levelError
	}
	follow := at(h.m, next)
	marked := follow == '|' || follow == '-' && at(h.m, next+1) <= ' '
	capitals := allUpper(base)
	switch {
	case capitals && h.plain == 0, capitals && h.timed && h.plain == 1 && !isProse(base), capitals && string(h.last) == "npm":
		if isProse(base) && !colon && !marked && !h.evidence(end, next) {
			return false
		}
		if h.rank == rankCapitals && !h.loggerAt(next) {
			return false // [ERROR] FATAL is a message, [ERROR] INFO a.B - x a thread
		}
	case string(w) == "fail":
	case placeLevel(base) == "" || capitals && isProse(base):
		return false
	case colon && h.plain == 0 && (h.timed || h.words == 0):
	case colon && h.plain == 1 && h.timed && !h.small && isUpper(base[0]):
	case h.timed && h.plain == 0 && marked && (h.mark != 0 || h.since == 0):
	case h.tab && follow == '\\' && at(h.m, next+1) == 't':
	case h.timed && h.since == 0 && h.halved && isUpper(base[0]): // Windows: 8:57:47 AM Error Service
	case h.timed && h.since == 0 && h.labelAt(next): // swift-log: error app : text
	default:
		return false
	}
	h.take(level, rankBare)
	if colon && (h.words == 0 || h.timed && h.since == 0) && next == end+1 { // .NET: info: My.App[0]
		if n := h.nameEnd(next); n > 0 {
			h.logger(h.m[next:n], true)
			h.plain = 2
		}
	}
	if len(base) < len(w) && w[len(base)] == ':' && len(base) == n { // Python: ERROR:root:text
		if name, _, ok := bytes.Cut(w[n+1:], []byte(":")); (ok || colon) && isIdentifier(name) {
			h.logger(name, true)
			h.plain = 2
		}
	}
	return true
}

// isProse says of a level in capitals that it is a word of other lines as well, such as
// FINE 20 EUR: it then is one only beside a separator, a bracket or a logger.
func isProse(word []byte) bool {
	switch word[0] {
	case 'F':
		return word[1] == 'I'
	case 'C':
		return string(word) == "CONFIG"
	case 'A':
		return string(word) == "ALERT"
	case 'N':
		return string(word) == "NOTE" || string(word) == "NOTICE"
	case 'S':
		return string(word) == "SUCCESS" || string(word) == "SPAM" || string(word) == "SILLY"
	case 'G', 'T', 'V', 'E', 'P', 'I':
		switch string(word) {
		case "GRAVE", "TRACE", "VERBOSE", "ERRORS", "EMERGENCY", "PANIC", "INFORMATION", "INFOS":
			return true
		}
	}
	return false
}

// evidence reports whether what is after a level that ends before m[end] is what comes
// after levels: brackets, a tab, a time, a logger, blanks to make it as wide as others,
// or text after a time.
func (h *head) evidence(end, next int) bool {
	switch c := at(h.m, next); {
	case c == '[' || c == '(' || c == '\\' || c == '>' || c == ']':
		return true
	case c == '/' || isDigit(c) && !h.timed && at(h.m, next+4) != '-':
		return false
	case next-end > 1:
		return true
	case h.timed && !h.weak:
		return h.m[h.i-1] != 'E' || h.m[h.i-2] != 'N' // but FINE
	}
	return h.loggerAt(next)
}

// loggerAt reports whether a dotted name and a separator are at m[k].
func (h *head) loggerAt(k int) bool {
	end := k
	for end < h.limit && (isName(h.m[end]) || h.m[end] == ':' && at(h.m, end+1) == ':' || h.m[end] == ':' && h.m[end-1] == ':') {
		end++
	}
	if end == k || !isLogger(h.m[k:end]) {
		return false
	}
	return h.separated(end)
}

// nameEnd is the index after the name in .NET's My.App[13] at m[k], 0 for none.
func (h *head) nameEnd(k int) int {
	if end := endOfName(h.m, k, h.limit); end > k && at(h.m, end) == '[' && isDigit(at(h.m, end+1)) {
		return end
	}
	return 0
}

// separated reports whether what is at m[end] separates a logger from the text.
func (h *head) separated(end int) bool {
	n := skipSpaces(h.m, end, h.limit)
	switch at(h.m, n) {
	case ':':
		return at(h.m, n+1) <= ' ' || at(h.m, n+1) == '\\'
	case '|', ']':
		return true
	case '-':
		return at(h.m, n+1) <= ' ' || at(h.m, n+1) == '-'
	case '[': // log4net: My.App [(null)] - text
		for k := n; k < h.limit && k < n+60; k++ {
			if h.m[k] == ']' {
				if k++; bytes.HasPrefix(h.m[k:], []byte(" <(null)>")) {
					k += len(" <(null)>")
				}
				return at(h.m, k) == ' ' && at(h.m, k+1) == '-' && at(h.m, k+2) == ' '
			}
		}
	}
	return false
}

// labelAt reports whether a name, a space and a colon are at m[k].
func (h *head) labelAt(k int) bool {
	end := endOfName(h.m, k, h.limit)
	return end > k && at(h.m, end) == ' ' && at(h.m, end+1) == ':' && at(h.m, end+2) == ' '
}

// letter takes a letter for a level where programs write it so.
func (h *head) letter(w []byte, end int) bool {
	level := letterLevel(w[0])
	if level == "" || h.rank == rankBare || !h.timed {
		return false
	}
	if len(w) > 1 { // W/Tag ( 12):
		return h.android(end - len(w))
	}
	m, next := h.m, skipSpaces(h.m, end, h.limit)
	word := endOfName(m, next, h.limit)
	switch {
	case at(m, end-1) == '!' && h.since == 0: // Telegraf: E! text
	case at(m, next) == '|' && at(m, next+1) == ' ': // etcd: I | raft: text
	case at(m, end) == ']' && h.bracketed: // [08:57:47.123 E]
	case h.numbers >= 2 && word > next && at(m, skipSpaces(m, word, h.limit)) == ':': // Android: 1234 5678 E Tag: text
		h.logger(m[next:word], true)
	case h.plain == 0 && word-next > 2 && allUpper(m[next:word]) && at(m, word) == ' ' || at(m, next) == '-' && at(m, next+1) == ' ': // MongoDB: E STORAGE  [thread1] text
		if n := skipSpaces(m, max(word, next+1), h.limit); at(m, n) != '[' {
			return false
		}
		h.plain = 2
	case h.plain == 1 && h.numbers > 0 && next-end > 2: // WebSphere: 00000001 Class  E   text
		h.logger(h.last, true)
		h.plain = 2
	default:
		return false
	}
	h.take(level, rankBare)
	return true
}

// cisco reads %LINK-3-UPDOWN, %ASA-4-106023.
func (h *head) cisco(w []byte) bool {
	n := bytes.IndexByte(w, '-')
	for k := n; k > 0 && k+2 < len(w) && k < n+12; k++ {
		if w[k] == '-' && isDigit(w[k+1]) && w[k+1] < '8' && w[k+2] == '-' {
			h.take(severities[w[k+1]-'0'], rankBare)
			return false
		}
	}
	return false
}

// foreign takes a word with more than the letters of ASCII for a level.
func (h *head) foreign(w []byte, colon bool) bool {
	if n := bytes.Index(w, []byte("：")); n > 0 {
		w, colon = w[:n], true
	} else if rest, ok := bytes.CutPrefix(w, []byte("【")); ok {
		w, _, colon = bytes.Cut(rest, []byte("】"))
	}
	if level := foreignLevels[string(w[:min(len(w), 64)])]; level != "" && h.plain == 0 && (colon || h.timed) {
		h.take(level, rankBare)
		return true
	}
	h.plain = 2
	return false
}

// text takes a word for a logger or, else, for one of the text, of which two are its
// beginning.
func (h *head) text(w []byte, start, end int, colon bool) bool {
	name := w
	if n := bytes.IndexByte(w, '#'); n > 0 { // Jenkins: hudson.model.Run#execute
		name = w[:n]
	} else if n := bytes.LastIndexByte(w, ':'); n > 0 && digits(w[n+1:]) > 0 { // a line: c.q.Order:45, but main.go:12 is a file
		if name = w[:n]; bytes.Count(name, []byte(".")) == 1 && isSmall(name[bytes.IndexByte(name, '.')+1:]) {
			name = w
		}
	}
	if isLogger(name) {
		if colon && !h.timed && h.rank == rankNone && isThrown(name) {
			h.p.named = thrown{kind: name, message: restOfLine(h.m, skipSpaces(h.m, end, len(h.m)))}
			return false // java.lang.IllegalStateException: ERROR: x
		}
		switch {
		case colon && (h.rank != rankNone || h.timed), h.separated(end):
			h.logger(name, true)
			return true
		case h.class == nil && h.timed && h.since == 0:
			h.class = name
		}
	} else if h.rank == rankBare && h.p.found.Logger == nil {
		switch {
		case colon && !isThrown(w) && (isCamel(w) || h.short && isUpper(w[0]) && isIdentifier(w)): // Spark: WARN TaskSetManager: text
			h.logger(w, true)
			return true
		case colon && start > 3 && string(h.m[start-3:start]) == "-- " && isIdentifier(w): // Ruby: INFO -- app: text
			h.logger(w, true)
			return true
		case at(h.m, end) == ']' && h.bracketed && h.since > 0 && isIdentifier(w): // env_logger: [2026-... ERROR my_crate]
			h.logger(w, true)
			return true
		}
	}
	switch {
	case string(w) == "PHP" && h.rank == rankNone:
		return h.php(end)
	case colon && h.plain == 0 && isIdentifier(w) && (h.timed || h.words == 0) && !isThrown(w):
		h.spoken = true
		return true // a program, or a part of one
	case h.mark == '-' && h.separated(end): // Python: - module - ERROR -
		if h.class == nil && h.timed && h.since == 0 && isIdentifier(w) {
			h.class = w
		}
		return true
	}
	h.plain++
	h.last, h.small = w, isSmall(w)
	return h.plain < 2 || h.class != nil && h.plain < 4
}

// php reads `Warning:  text` after PHP.
func (h *head) php(end int) bool {
	rest := h.m[end:min(len(h.m), end+40)]
	n := bytes.IndexByte(rest, ':')
	if n < 0 {
		return false
	}
	switch kind := bytes.TrimSpace(rest[:n]); string(kind) {
	case "Fatal error", "Recoverable fatal error":
		h.take(levelFatal, rankBare)
	case "Parse error", "Catchable fatal error", "Core error", "Compile error":
		h.take(levelError, rankBare)
	case "Deprecated", "Strict Standards":
		h.take(levelWarn, rankBare)
	default:
		h.take(levelOf(kind), rankBare)
	}
	return false
}

// secondLine reads what java.util.logging and ThinkPHP write at the beginning of the
// second line, at m[k]: `SEVERE: text`, `[ error ] text`.
func (h *head) secondLine(k int) {
	if h.rank != rankNone || !h.timed {
		return
	}
	k = skipSpaces(h.m, k, len(h.m))
	m := h.m[k:min(len(h.m), k+60)]
	if at(m, 0) == '[' {
		if n := bytes.IndexByte(m, ']'); n > 0 {
			h.take(placeLevel(bytes.TrimSpace(m[1:n])), rankBrackets)
		}
		return
	}
	n := 0
	for n < len(m) && m[n] != ':' && m[n] != '\\' && m[n] != ' ' && !bytes.HasPrefix(m[n:], []byte("：")) {
		n++
	}
	if at(m, n) != ':' && at(m, n) != 0xef {
		return
	}
	if level := levelOf(m[:n]); level != "" && (allUpper(m[:n]) || m[0] >= 0x80 || h.class != nil) {
		h.take(level, rankBare)
		if h.class != nil {
			h.logger(h.class, true)
		}
	}
}

// finish looks at the rest of the line for what is missing, and reports whether there
// was a time or a level.
func (h *head) finish() bool {
	f := &h.p.found
	if h.rank == rankNone && h.pairs > 0 {
		h.p.pairsOf(h.m[h.pairs:])
	}
	if h.rank > rankBrackets && f.Logger == nil && h.class != nil {
		f.Logger = h.class
	}
	if h.bracketed && h.rank == rankBare && f.Logger == nil { // Kafka: text (kafka.server.ReplicaManager)
		f.Logger = h.trailing()
	}
	if h.rank == rankNone && h.timed && h.plain > 0 {
		if n := bytes.Index(h.m[h.i:h.limit], []byte(`\n`)); n >= 0 {
			h.secondLine(h.i + n + 2)
		}
	}
	if h.weak && f.Level == "" {
		f.Time, f.Doubted, h.timed = time.Time{}, false, false
	}
	if !h.timed && f.Level == "" {
		f.Logger = nil
		return false
	}
	return true
}

// trailing is the logger in parentheses that the first line ends with.
func (h *head) trailing() []byte {
	line := h.m[h.i:]
	if n := bytes.Index(line, []byte(`\n`)); n >= 0 {
		line = line[:n]
	}
	if len(line) < 5 || line[len(line)-1] != ')' {
		return nil
	}
	n := bytes.LastIndexByte(line[max(0, len(line)-120):], '(')
	if n < 0 {
		return nil
	}
	name := line[max(0, len(line)-120)+n+1 : len(line)-1]
	if k := bytes.IndexByte(name, ':'); k > 0 { // its thread
		name = name[:k]
	}
	if !isLogger(name) {
		return nil
	}
	return name
}
