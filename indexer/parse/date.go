package parse

import (
	"bytes"
	"time"

	"github.com/sluicelog/sluice/internal/rfc3339"
)

func two(b []byte, i int) int { return rfc3339.Two(b, i) }

// matchTime reads a time of any form at b[0] and returns how many bytes it takes, 0 for
// none. What follows it is no letter or digit. c is zero before.
func matchTime(b []byte, c *Civil) int {
	if len(b) < 6 {
		return 0
	}
	n := 0
	switch {
	case !isDigit(b[0]):
		n = matchNamed(b, c)
	case b[2] == ':' || b[1] == ':':
		n = matchClockAndZone(b, 0, c)
		c.noDate = true
	case !isDigit(b[1]) || !isDigit(b[2]) || !isDigit(b[3]):
		n = matchShort(b, c)
	case b[4] == '-' || b[4] == '/' || b[4] == '.':
		n = matchISO(b, c)
	case isDigit(b[4]):
		n = matchDigits(b, c)
	default:
		n = matchYear(b, c)
	}
	if n > 0 && n < len(b) && (isDigit(b[n]) || isAlpha(b[n])) {
		return 0
	}
	return n
}

// matchISO: 2026-11-21T08:57:47.123456789+08:00 with - / or . in the date, T or space
// between, . , or : before the fraction, and any zone or none; and its relatives, which
// matchISOAny reads.
func matchISO(b []byte, c *Civil) int {
	if len(b) < 19 || b[7] != b[4] || b[10] != 'T' && b[10] != ' ' || b[13] != ':' || b[16] != ':' {
		return matchISOAny(b, c)
	}
	hi, lo, month, day := two(b, 0), two(b, 2), two(b, 5), two(b, 8)
	hour, min, sec := two(b, 11), two(b, 14), two(b, 17)
	if hi|lo|month|day|hour|min|sec < 0 || hour > 23 || min > 59 || sec > 60 {
		return matchISOAny(b, c)
	}
	c.year, c.month, c.day, c.hour, c.min, c.sec = hi*100+lo, month, day, hour, min, sec
	if !c.date() {
		return 0
	}
	return matchZone(b, matchHalf(b, matchFraction(b, 19, c), c), c)
}

// matchISOAny: a year first, then 11-21, 1-2, Nov-21, 325 (of the year) or W47-6, then
// what after separates from a clock.
func matchISOAny(b []byte, c *Civil) int {
	hi, lo := two(b, 0), two(b, 2)
	if hi < 0 || lo < 0 {
		return 0
	}
	c.year = hi*100 + lo
	n := 0
	switch m, k := number(b, 5); {
	case k == 8 && b[4] == '-' && at(b, 8) != '-': // a day of the year
		if c.month, c.day = monthOf(c.year, m); c.month == 0 {
			return 0
		}
		n = k
	case k > 5 && k < 8 && at(b, k) == b[4]:
		c.month = m
		if c.day, n = number(b, k+1); n > k+3 {
			return 0
		}
	case at(b, 5) == 'W' && b[4] == '-':
		week, day := two(b, 6), int(at(b, 9))-'0'
		if week < 1 || week > 53 || at(b, 8) != '-' || day < 1 || day > 7 {
			return 0
		}
		c.ofWeek(week, day)
		n = 10
	case k == 5:
		if c.month, n = monthAt(b, 5); c.month == 0 || at(b, n) != b[4] {
			return 0
		}
		c.day, n = number(b, n+1)
	default:
		return 0
	}
	if !c.date() {
		return 0
	}
	return matchAfterDate(b, n, c)
}

// matchAfterDate reads what separates a date that ends before b[n] from a clock, the
// clock, and the zone.
func matchAfterDate(b []byte, n int, c *Civil) int {
	switch ch := at(b, n); {
	case ch == 'T' || ch == 't' || ch == '_':
		n++
	case ch == '-': // 20261121-085747
		n++
	case ch == ':': // access logs, RabbitMQ
		if n++; at(b, n) == ':' {
			n++
		}
	case ch == ' ' && at(b, n+1) == '-' && at(b, n+2) == ' ': // Gin
		n += 3
	case ch == '\\' && at(b, n+1) == 't': // a tab
		n += 2
	case ch == ' ' || ch == ',' && at(b, n+1) == ' ' || ch >= 0x80: // 上午, 星期六
		if ch == ',' {
			n++
		}
		n = skipWeekday(b, skipSpaces(b, n, len(b)))
	default:
		return 0
	}
	return matchClockAndZone(b, n, c)
}

// matchClockAndZone reads 08:57:47, 8:57:47 AM, 上午 8:57:47 or 085747 at b[n] and a zone.
func matchClockAndZone(b []byte, n int, c *Civil) int {
	half, k := halfAt(b, n)
	if half != 0 {
		n = skipSpaces(b, k, len(b))
	}
	from := n
	if n = matchClock(b, n, c); n == 0 {
		return 0
	}
	if half != 0 {
		c.takeHalf(half)
	} else {
		n = matchHalf(b, n, c)
	}
	if n = matchZone(b, n, c); n-from == 5 && c.zone == zoneNone && c.noYear {
		return 0 // no seconds, no year, no zone
	}
	return n
}

// matchClock: 08:57:47, 8:57:47, 08:57, 085747, 8时57分47秒, with a fraction of up to nine
// digits (more are cut), from b[i]; it returns the index after it or 0.
func matchClock(b []byte, i int, c *Civil) int {
	hour, n := number(b, i)
	switch n - i {
	case 1, 2:
	case 6:
		c.hour, c.min, c.sec = two(b, i), two(b, i+2), two(b, i+4)
		return c.clock(matchFraction(b, n, c))
	default:
		return 0
	}
	c.hour, c.min, c.sec, c.nano = hour, 0, 0, 0
	switch at(b, n) {
	case ':':
		if c.min = two(b, n+1); c.min < 0 {
			return 0
		}
		n += 3
		if at(b, n) != ':' || !isDigit(at(b, n+1)) {
			if c.month == 0 && halfOf(b, n) == 0 || at(b, n) == ':' && isAlpha(at(b, n+1)) {
				return 0 // 12:34 alone is anything
			}
			return c.clock(n)
		}
		if c.sec = two(b, n+1); c.sec < 0 {
			return 0
		}
		return c.clock(matchFraction(b, n+3, c))
	case 0xe6, 0xe7, 0xe9: // the first bytes of these
		k := after(b, n, "时", "時", "点", "點")
		min, m := number(b, k)
		if k == n || m == k || after(b, m, "分") == m {
			return 0
		}
		c.min, n = min, after(b, m, "分")
		if sec, s := number(b, n); s > n && after(b, s, "秒") > s {
			c.sec, n = sec, after(b, s, "秒")
		}
		return c.clock(n)
	}
	return 0
}

// clock is n if what was read is a time of day, else 0. 24:00:00 is the end of the day.
func (c *Civil) clock(n int) int {
	if c.hour > 23 && (c.hour != 24 || c.min|c.sec|c.nano != 0) || c.min > 59 || c.sec > 60 {
		return 0
	}
	return n
}

// matchFraction reads a fraction after . or , or, of three digits, after : at b[i].
func matchFraction(b []byte, i int, c *Civil) int {
	if s := at(b, i); s == '.' || s == ',' || s == ':' {
		if nano, n := rfc3339.Fraction(b, i+1); n > i+1 && (s != ':' || n == i+4) && (s != ',' || at(b, n) != ',') { // 47,12,13 are columns
			c.nano = nano
			return n
		}
	}
	return i
}

// half of a day: of a clock of twelve hours.
type half uint8

const (
	halfAM half = iota + 1
	halfPM
)

// halves are the words for them.
var halves = []struct {
	word string
	half half
}{
	{"AM", halfAM}, {"PM", halfPM}, {"am", halfAM}, {"pm", halfPM}, {"a.m.", halfAM}, {"p.m.", halfPM}, {"A.M.", halfAM}, {"P.M.", halfPM},
	{"a. m.", halfAM}, {"p. m.", halfPM}, {"a.\u00a0m.", halfAM}, {"p.\u00a0m.", halfPM},
	{"上午", halfAM}, {"下午", halfPM}, {"午前", halfAM}, {"午後", halfPM}, {"오전", halfAM}, {"오후", halfPM},
}

// halfAt is the half that is written at b[i], and the index after it.
func halfAt(b []byte, i int) (half, int) {
	switch at(b, i) {
	case 'A', 'P', 'a', 'p', '\xe4', '\xe5', '\xec':
	default:
		return 0, i
	}
	for _, h := range halves {
		if n := i + len(h.word); n <= len(b) && string(b[i:n]) == h.word && !isAlpha(at(b, n)) && !isDigit(at(b, n)) {
			return h.half, n
		}
		if n := i + len(h.word); h.word[0] >= 0x80 && n <= len(b) && string(b[i:n]) == h.word {
			return h.half, n
		}
	}
	return 0, i
}

// halfOf is the half that is written at b[i], with or without a space before it.
func halfOf(b []byte, i int) half {
	h, _ := halfAt(b, skipAnySpace(b, i))
	return h
}

// skipAnySpace is the index after one space at b[i], if there is one: Java writes one
// that does not break before AM and PM, and a narrow one since version 20.
func skipAnySpace(b []byte, i int) int {
	if at(b, i) == ' ' {
		return i + 1
	}
	return after(b, i, "\u00a0", "\u202f")
}

// matchHalf reads AM or PM after a clock that ends before b[n].
func matchHalf(b []byte, n int, c *Civil) int {
	h, end := halfAt(b, skipAnySpace(b, n))
	if h == 0 {
		return n
	}
	c.takeHalf(h)
	return end
}

func (c *Civil) takeHalf(h half) {
	c.halved = true
	switch {
	case c.hour < 1 || c.hour > 12:
		c.odd = true // 15:00 PM, 0:30 AM: who knows
	case h == halfAM:
		c.hour %= 12
	default:
		c.hour = c.hour%12 + 12
	}
}

// matchDigits: 20261121T085747Z, 20261121 08:57:47, 261121  8:57:47 (MySQL), and epochs:
// seconds (ten digits, with or without a fraction) or milli-, micro- or nanoseconds (13,
// 16, 19 digits) since 1970.
func matchDigits(b []byte, c *Civil) int {
	n, v := 0, 0
	for ; n < len(b) && n < 20 && isDigit(b[n]); n++ {
		v = v*10 + int(b[n]-'0')
	}
	switch n {
	case 6, 8:
		c.year, c.month, c.day = v/10000, v/100%100, v%100
		if n == 6 {
			if at(b, n) != ' ' {
				return 0
			}
			c.year += 2000
		}
		if c.year < 1970 || !c.date() {
			return 0
		}
		return matchAfterDate(b, n, c)
	case 10:
		c.sec = v
		if at(b, n) == '.' {
			nano, end := rfc3339.Fraction(b, n+1)
			c.nano, n = nano, end
		}
	case 13:
		c.sec, c.nano = v/1000, v%1000*1_000_000
		if at(b, n) == '.' { // klog in JSON
			nano, end := rfc3339.Fraction(b, n+1)
			c.nano, n = c.nano+nano/1000, end
		}
	case 16:
		c.sec, c.nano = v/1_000_000, v%1_000_000*1000
	case 19:
		c.sec, c.nano = v/1_000_000_000, v%1_000_000_000
	default:
		return 0
	}
	c.takeEpoch()
	return n
}

// takeEpoch makes what is in sec and nano the seconds since 1970.
func (c *Civil) takeEpoch() { c.year, c.month, c.day, c.zone, c.offset = 1970, 1, 1, zoneOffset, 0 }

// matchShort: a number of one or two digits, then - / . or a space and a month's name
// (access logs, Tomcat, Redis), 11月21日, or two or three numbers in some order.
func matchShort(b []byte, c *Civil) int {
	first, n := number(b, 0)
	if n == 3 { // no date starts so
		return 0
	}
	sep := at(b, n)
	if sep == '\xe6' || sep == '\xec' {
		return matchMonthDay(b, n, first, c)
	}
	if sep != '-' && sep != '/' && sep != '.' && sep != ' ' {
		return 0
	}
	second, k := number(b, n+1)
	if k == n+1 {
		return matchDayMonth(b, n, first, c)
	}
	if k > n+3 || sep == ' ' {
		return 0
	}
	if at(b, k) != sep { // 11-21 08:57:47 (Android): no year
		if at(b, k) != ' ' || sep == '.' {
			return 0
		}
		c.noYear = true
		c.inOrder(0, first, second, sep)
		return matchAfterDate(b, k, c)
	}
	third, end := number(b, k+1)
	switch end - k - 1 {
	case 4:
		c.inOrder(third, first, second, sep)
	case 2:
		if n != 2 || k-n-1 != 2 {
			return 0
		}
		c.year, c.month, c.day, c.order = first, second, third, orderShort
	default:
		return 0
	}
	if c.order == orderKnown && !c.date() {
		return 0
	}
	return matchAfterDate(b, end, c)
}

// inOrder takes two numbers that are month and day, or day and month.
func (c *Civil) inOrder(year, first, second int, sep byte) {
	c.year, c.month, c.day = year, first, second
	switch {
	case sep == '.' || first > 12:
		c.month, c.day = second, first
	case second <= 12 && first != second:
		c.order = orderEither
	}
}

// matchDayMonth: 21/Nov/2026:08:57:47 +0800 (access logs), 21-Nov-2026 08:57:47.123
// (Tomcat), 21 Nov 2026 08:57:47, 21 Nov 08:57:47; the day and what follows it, at b[n],
// are read.
func matchDayMonth(b []byte, n, day int, c *Civil) int {
	c.day = day
	sep, k := b[n], 0
	if c.month, k = monthAt(b, n+1); c.month == 0 {
		return 0
	}
	if at(b, k) != sep {
		return 0
	}
	if year, end := number(b, k+1); end-k-1 == 4 {
		c.year = year
		if !c.date() {
			return 0
		}
		return matchAfterDate(b, end, c)
	}
	c.noYear = true
	if sep != ' ' || !c.date() {
		return 0
	}
	return matchAfterDate(b, k, c)
}

// matchYear: 2026年11月21日 08:57:47, 2026 Nov 21 08:57:47.
func matchYear(b []byte, c *Civil) int {
	year, _ := number(b[:4], 0)
	k := after(b, 4, "年", "년 ", "년")
	if k == 4 {
		if c.month, k = monthAt(b, 5); b[4] != ' ' || c.month == 0 || at(b, k) != ' ' {
			return 0
		}
		c.year = year
		day, n := number(b, skipSpaces(b, k, len(b)))
		if c.day = day; !c.date() || at(b, n) != ' ' {
			return 0
		}
		return matchAfterDate(b, n, c)
	}
	month, n := number(b, k)
	c.year = year
	return matchMonthDay(b, n, month, c)
}

// matchMonthDay: 11月21日 08:57:47, 11月 21 08:57:47, 11月 21, 2026 8:57:47; the number of the
// month is read.
func matchMonthDay(b []byte, n, month int, c *Civil) int {
	k := after(b, n, "月", "월")
	if k == n {
		return 0
	}
	c.month = month
	return matchDay(b, k, c)
}

// matchDay reads the day after a month that ends before b[k], and all after it.
func matchDay(b []byte, k int, c *Civil) int {
	day, n := number(b, skipSpaces(b, k, len(b)))
	if c.day = day; !c.date() {
		return 0
	}
	if n = after(b, n, "日", "号", "號", "일"); at(b, n) == ',' && at(b, n+1) == ' ' {
		n++
	}
	if year, end := number(b, skipSpaces(b, n, len(b))); c.year == 0 && end-skipSpaces(b, n, len(b)) == 4 && year > 1900 {
		c.year, n = year, end
	}
	if c.year != 0 && !c.date() {
		return 0
	}
	if at(b, n) == ',' || at(b, n) == ' ' || at(b, n) >= 0x80 {
		if at(b, n) == ',' {
			n++
		}
		n = skipWeekday(b, skipSpaces(b, n, len(b)))
	} else if !isDigit(at(b, n)) {
		return 0
	}
	if at(b, n) == 'a' && at(b, n+1) == 't' && at(b, n+2) == ' ' {
		n += 3
	}
	c.noYear = c.year == 0
	return matchYearAfter(b, matchClockAndZone(b, n, c), c)
}

// matchYearAfter reads the year of ctime, which is after the clock that ends before b[n].
func matchYearAfter(b []byte, n int, c *Civil) int {
	if n == 0 || !c.noYear || at(b, n) != ' ' {
		return n
	}
	if hi, lo := two(b, n+1), two(b, n+3); hi >= 19 && lo >= 0 && !isDigit(at(b, n+5)) && at(b, n+5) != '-' && at(b, n+5) != '.' {
		c.year, c.noYear = hi*100+lo, false
		if !c.date() {
			return 0
		}
		n += 5
		if c.zone == zoneNone {
			n = matchZone(b, n, c)
		}
	}
	return n
}

// matchNamed: Nov 21 08:57:47 (syslog), Sat Nov 21 08:57:47.123456 2026 (Apache, ctime),
// Sat, 21 Nov 2026 08:57:47 GMT, Nov 21, 2026 8:57:47 AM, 十一月 21, 2026 8:57:47 上午.
func matchNamed(b []byte, c *Civil) int {
	i := 0
	if n := weekday(b); n > 0 {
		i = skipSpaces(b, n, len(b))
		if i < len(b) && isDigit(b[i]) {
			if day, k := number(b, i); k-i <= 2 && (at(b, k) == ' ' || at(b, k) == '-') {
				if n := matchDayMonth(b[i:], k-i, day, c); n > 0 {
					return i + n
				}
			}
			return 0
		}
	}
	month, k := monthAt(b, i)
	if month == 0 {
		return 0
	}
	if at(b, k) != ' ' && (k < 1 || b[k-1] < 0x80) { // 十一月21
		return 0
	}
	c.month = month
	return matchDay(b, k, c)
}

// number is the digits at b[i], up to nine, and the index after them.
func number(b []byte, i int) (v, end int) {
	for end = i; end < len(b) && end < i+9 && isDigit(b[end]); end++ {
		v = v*10 + int(b[end]-'0')
	}
	return v, end
}

// after is the index after the first of some words that is at b[i], i if none is.
func after(b []byte, i int, words ...string) int {
	for _, w := range words {
		if n := i + len(w); n <= len(b) && string(b[i:n]) == w {
			return n
		}
	}
	return i
}

// matchDayOfYear: 325/085747 of HAProxy, of the year in which a line was read at a time.
func matchDayOfYear(b []byte, read time.Time, zone *time.Location, c *Civil) int {
	day, n := number(b, 0)
	if n != 3 || at(b, n) != '/' {
		return 0
	}
	now := read.In(zone)
	if c.year = now.Year(); day > now.YearDay()+1 {
		c.year--
	}
	if c.month, c.day = monthOf(c.year, day); c.month == 0 {
		return 0
	}
	return matchClock(b, n+1, c)
}

// monthOf is the month and day of a day of the year, 0 if it has none.
func monthOf(year, day int) (month, ofMonth int) {
	for month = 1; month <= 12; month++ {
		if n := rfc3339.DaysIn(year, month); day > n {
			day -= n
			continue
		}
		if day < 1 {
			return 0, 0
		}
		return month, day
	}
	return 0, 0
}

// ofWeek sets the date of a day of a week of ISO 8601; Monday is 1.
func (c *Civil) ofWeek(week, day int) {
	days := rfc3339.Unix(c.year, 1, 4, 0, 0, 0) / 86400 // always of week 1
	monday := days - (days+3)%7                         // 1970-01-01 was a Thursday
	n := int(monday-rfc3339.Unix(c.year, 1, 1, 0, 0, 0)/86400) + (week-1)*7 + day
	if n < 1 {
		c.year--
		n += 365 + rfc3339.DaysIn(c.year, 2) - 28
	} else if last := 365 + rfc3339.DaysIn(c.year, 2) - 28; n > last {
		c.year, n = c.year+1, n-last
	}
	c.month, c.day = monthOf(c.year, n)
}

// monthAt is the month whose name is at b[i], 0 for none, and the index after it.
func monthAt(b []byte, i int) (month, end int) {
	if i+3 <= len(b) && !isAlpha(at(b, i+3)) && at(b, i+3) < 0x80 && at(b, i+3) != '.' {
		if m := english(b[i : i+3]); m > 0 {
			return m, i + 3
		}
	}
	var low [24]byte
	end = i
	for end < len(b) && end-i < len(low) && (isAlpha(b[end]) || b[end] >= 0x80) {
		low[end-i] = b[end]
		if isAlpha(b[end]) {
			low[end-i] |= 0x20
		}
		end++
	}
	k := end // a day must follow, or it is no month
	for k < len(b) && k < end+3 && (b[k] == '.' || b[k] == ' ' || b[k] == '-' || b[k] == '/') {
		k++
	}
	if end-i < 3 || !isDigit(at(b, k)) && at(b, k-1) != '-' && at(b, k-1) != '/' {
		return 0, i
	}
	if month = months[string(low[:end-i])]; month == 0 {
		return 0, i
	}
	if at(b, end) == '.' {
		end++
	}
	return month, end
}

func english(b []byte) int {
	switch string(b) {
	case "Jan":
		return 1
	case "Feb":
		return 2
	case "Mar":
		return 3
	case "Apr":
		return 4
	case "May":
		return 5
	case "Jun":
		return 6
	case "Jul":
		return 7
	case "Aug":
		return 8
	case "Sep":
		return 9
	case "Oct":
		return 10
	case "Nov":
		return 11
	case "Dec":
		return 12
	}
	return 0
}

// months are their names, ASCII letters in lower case: in English, French, German,
// Spanish, Portuguese, Italian, Dutch, Russian, Chinese.
var months = func() map[string]int {
	names := map[string]int{}
	for m, list := range []string{
		"jan january janv janvier januar jänner jän ene enero janeiro gen gennaio januari янв января 一月",
		"feb february févr février februar fév febrero fev fevereiro febbraio februari фев февр февраля 二月",
		"mar march mars märz mär mrz marzo março maart mrt мар марта 三月",
		"apr april avr avril abr abril aprile апр апреля 四月",
		"may mai mayo maio mag maggio mei мая май 五月",
		"jun june juin juni junio junho giu giugno июн июня 六月",
		"jul july juil juillet juli julio julho lug luglio июл июля 七月",
		"aug august août aoû ago agosto augustus авг августа 八月",
		"sep sept september septembre septiembre set setembro settembre сен сент сентября 九月",
		"oct october octobre oktober okt octubre outubro out ottobre ott окт октября 十月",
		"nov november novembre noviembre novembro ноя нояб ноября 十一月",
		"dec december déc décembre dezember dez dic diciembre dezembro dicembre дек декабря 十二月",
	} {
		for _, n := range bytes.Fields([]byte(list)) {
			names[string(n)] = m + 1
		}
	}
	return names
}()

// weekday is the index after a day of the week in English at b[0], and a comma, 0 for
// none.
func weekday(b []byte) int {
	if len(b) < 5 || !isUpper(b[0]) {
		return 0
	}
	switch string(b[:3]) {
	case "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun":
	default:
		return 0
	}
	n := 3
	for n < len(b) && n < 9 && isAlpha(b[n]) {
		n++
	}
	if n > 3 && string(b[n-3:n]) != "day" {
		return 0
	}
	if b[n] == ',' {
		n++
	}
	if at(b, n) != ' ' {
		return 0
	}
	return n
}

// skipWeekday is the index after 星期六 or Sat at b[i], and spaces.
func skipWeekday(b []byte, i int) int {
	if n := after(b, i, "星期", "周", "週"); n > i {
		if day := after(b, n, "一", "二", "三", "四", "五", "六", "日", "天"); day > n {
			return skipSpaces(b, day, len(b))
		}
	}
	if i < len(b) && isUpper(b[i]) {
		if n := weekday(b[i:]); n > 0 {
			return skipSpaces(b, i+n, len(b))
		}
	}
	return i
}
