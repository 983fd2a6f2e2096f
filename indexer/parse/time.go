package parse

import (
	"time"

	"github.com/sluicelog/sluice/internal/rfc3339"
)

// How far a time found in a line may be from the time the line was read. Beyond that it
// is a broken clock or no time at all, and is not believed.
const (
	maxAhead  = 24 * time.Hour
	maxBehind = 5 * 366 * 24 * time.Hour
)

// Civil is a time as written: what is missing is taken from the time of reading.
type Civil struct {
	year, month, day, hour, min, sec, nano int
	offset                                 int  // seconds east of UTC
	zoned, noYear, noDate                  bool // zoned: offset is set
}

// At makes a moment of what was written, for a message read at a time; a time without
// zone is in the one given. False: it is too far from the time of reading to be
// believed. It depends on nothing but its arguments: the same event read again gets the
// same time, and so the same index.
func (c *Civil) At(read time.Time, zone *time.Location) (time.Time, bool) {
	if c.zoned {
		zone = time.UTC
	}
	var t time.Time
	switch {
	case c.noDate: // the day that brings it nearest to the time of reading
		local := read.In(zone)
		c.year, c.month, c.day = local.Year(), int(local.Month()), local.Day()
		t = c.in(zone)
		if d := t.Sub(read); d > 12*time.Hour {
			t = t.AddDate(0, 0, -1)
		} else if d < -12*time.Hour {
			t = t.AddDate(0, 0, 1)
		}
	case c.noYear: // the year that brings it nearest, so that 31 December read on 1 January is of last year
		year := read.In(zone).Year()
		best := time.Duration(1<<63 - 1)
		for y := year - 1; y <= year+1; y++ {
			if c.year = y; c.day > rfc3339.DaysIn(y, c.month) {
				continue
			}
			at := c.in(zone)
			if d := at.Sub(read).Abs(); d < best {
				t, best = at, d
			}
		}
		if t.IsZero() {
			return t, false
		}
	default:
		t = c.in(zone)
	}
	return t, Believable(t, read)
}

// Believable reports whether a time may be that of an event read at another.
func Believable(t, read time.Time) bool {
	d := t.Sub(read)
	return d <= maxAhead && d >= -maxBehind
}

func (c *Civil) in(zone *time.Location) time.Time {
	if zone != time.UTC {
		return time.Date(c.year, time.Month(c.month), c.day, c.hour, c.min, c.sec, c.nano, zone)
	}
	sec := rfc3339.Unix(c.year, c.month, c.day, c.hour, c.min, c.sec) - int64(c.offset)
	return time.Unix(sec, int64(c.nano)).UTC()
}

func two(b []byte, i int) int { return rfc3339.Two(b, i) }

// matchTime reads a time of any form at b[0] and returns how many bytes it takes, 0 for
// none. What follows it is no letter or digit.
func matchTime(b []byte, c *Civil) int {
	if len(b) < 8 {
		return 0
	}
	n := 0
	switch {
	case !isDigit(b[0]):
		n = matchNamed(b, c)
	case b[2] == ':':
		if n = matchClock(b, 0, c); n > 0 {
			c.noDate = true
		}
	case isDigit(b[3]):
		if b[4] == '-' || b[4] == '/' || b[4] == '.' {
			n = matchISO(b, c)
		} else {
			n = matchEpoch(b, c)
		}
	case b[2] == '/' || b[2] == '-':
		n = matchDayMonth(b, c)
	}
	if n > 0 && n < len(b) && (isDigit(b[n]) || isAlpha(b[n])) {
		return 0
	}
	return n
}

// matchISO: 2026-11-21T08:57:47.123456789+08:00 with - / or . in the date, T or space
// between, . , or : before the fraction, and zone Z, UTC, GMT, +08:00, +0800, +08 or none.
func matchISO(b []byte, c *Civil) int {
	hi, lo := two(b, 0), two(b, 2)
	c.month, c.day = two(b, 5), two(b, 8)
	if hi < 0 || lo < 0 || at(b, 7) != b[4] || at(b, 10) != 'T' && at(b, 10) != ' ' {
		return 0
	}
	c.year = hi*100 + lo
	if !c.date() {
		return 0
	}
	n := matchClock(b, 11, c)
	if n == 0 {
		return 0
	}
	return matchZone(b, n, c)
}

// date reports whether month and day are legal; the year may be unknown (0, a leap year).
func (c *Civil) date() bool {
	return c.month >= 1 && c.month <= 12 && c.day >= 1 && c.day <= rfc3339.DaysIn(c.year, c.month)
}

// matchClock: 08:57:47 with a fraction of up to nine digits (more are cut), from b[i];
// it returns the index after it or 0.
func matchClock(b []byte, i int, c *Civil) int {
	c.hour, c.min, c.sec, c.nano = two(b, i), two(b, i+3), two(b, i+6), 0
	if uint(c.hour) > 23 || uint(c.min) > 59 || uint(c.sec) > 60 || b[i+2] != ':' || b[i+5] != ':' {
		return 0
	}
	i += 8
	if s := at(b, i); s == '.' || s == ',' || s == ':' {
		if nano, n := rfc3339.Fraction(b, i+1); n > i+1 && (s != ':' || n == i+4) {
			c.nano = nano
			return n
		}
	}
	return i
}

func matchZone(b []byte, i int, c *Civil) int {
	k := i
	if at(b, k) == ' ' {
		k++
	}
	switch at(b, k) {
	case 'Z':
		c.zoned = true
		return k + 1
	case 'U', 'G':
		if len(b) >= k+3 && (string(b[k:k+3]) == "UTC" || string(b[k:k+3]) == "GMT") {
			c.zoned = true
			return k + 3
		}
	case '+', '-':
		h, m, n := two(b, k+1), two(b, k+3), k+5
		if at(b, k+3) == ':' {
			m, n = two(b, k+4), k+6
		} else if m < 0 && k == i {
			m, n = 0, k+3
		}
		if uint(h) > 18 || uint(m) > 59 || isDigit(at(b, n)) {
			return i
		}
		c.zoned, c.offset = true, h*3600+m*60
		if b[k] == '-' {
			c.offset = -c.offset
		}
		return n
	}
	return i
}

// matchEpoch: seconds (ten digits, with or without a fraction) or milli-, micro- or
// nanoseconds (13, 16, 19 digits) since 1970.
func matchEpoch(b []byte, c *Civil) int {
	n, v := 0, 0
	for ; n < len(b) && n < 20 && isDigit(b[n]); n++ {
		v = v*10 + int(b[n]-'0')
	}
	switch n {
	case 10:
		c.sec = v
		if at(b, n) == '.' {
			c.nano, n = rfc3339.Fraction(b, n+1)
		}
	case 13:
		c.sec, c.nano = v/1000, v%1000*1_000_000
	case 16:
		c.sec, c.nano = v/1_000_000, v%1_000_000*1000
	case 19:
		c.sec, c.nano = v/1_000_000_000, v%1_000_000_000
	default:
		return 0
	}
	c.year, c.month, c.day, c.zoned = 1970, 1, 1, true
	return n
}

// matchDayMonth: 21/Nov/2026:08:57:47 +0800 (access logs), 21-Nov-2026 08:57:47.123
// (Tomcat).
func matchDayMonth(b []byte, c *Civil) int {
	if len(b) < 20 {
		return 0
	}
	c.day, c.month = two(b, 0), month(b[3:])
	hi, lo := two(b, 7), two(b, 9)
	if b[6] != b[2] || hi < 0 || lo < 0 || b[11] != ':' && b[11] != ' ' {
		return 0
	}
	c.year = hi*100 + lo
	if !c.date() {
		return 0
	}
	n := matchClock(b, 12, c)
	if n == 0 {
		return 0
	}
	return matchZone(b, n, c)
}

// matchNamed: Nov 21 08:57:47 (syslog), Sat Nov 21 08:57:47.123456 2026 (Apache, ctime).
func matchNamed(b []byte, c *Civil) int {
	i := 0
	if weekday(b) {
		if i = 4; at(b, 3) == ',' {
			i = 5
		}
	}
	if c.month = month(b[i:]); c.month == 0 || at(b, i+3) != ' ' {
		return 0
	}
	i += 4
	if at(b, i) == ' ' { // the day is padded by a space
		if !isDigit(at(b, i+1)) {
			return 0
		}
		c.day = int(b[i+1] - '0')
		i += 2
	} else if c.day = two(b, i); c.day >= 0 {
		i += 2
	} else if isDigit(at(b, i)) {
		c.day = int(b[i] - '0')
		i++
	}
	if at(b, i) != ' ' || !c.date() {
		return 0
	}
	i++
	if y := two(b, i); y >= 19 && two(b, i+2) >= 0 && at(b, i+4) == ' ' { // Cisco: Nov 21 2026 08:57:47
		c.year = y*100 + two(b, i+2)
		return matchClock(b, i+5, c)
	}
	n := matchClock(b, i, c)
	if n == 0 {
		return 0
	}
	if hi, lo := two(b, n+1), two(b, n+3); at(b, n) == ' ' && hi >= 19 && lo >= 0 && !isDigit(at(b, n+5)) && at(b, n+5) != '-' {
		c.year = hi*100 + lo
		return n + 5
	}
	c.noYear = true
	return n
}

func month(b []byte) int {
	if len(b) < 3 {
		return 0
	}
	switch string(b[:3]) {
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

func weekday(b []byte) bool {
	if len(b) < 5 || b[3] != ' ' && b[3] != ',' {
		return false
	}
	switch string(b[:3]) {
	case "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun":
		return true
	}
	return false
}

// Stamp reads the value of an event's @timestamp: RFC 3339, quoted, or a number of
// seconds or fractions of it since 1970.
func Stamp(value []byte) (time.Time, bool) {
	if len(value) > 1 && value[0] == '"' {
		value = value[1 : len(value)-1]
	}
	var c Civil
	if n := matchTime(value, &c); n == 0 || n != len(value) || c.noYear || c.noDate {
		return time.Time{}, false
	}
	return c.in(time.UTC), true
}

// ISO reads a time of ISO 8601 with a zone that is all of b.
func ISO(b []byte) (time.Time, bool) {
	var c Civil
	if len(b) < 19 || matchISO(b, &c) != len(b) || !c.zoned {
		return time.Time{}, false
	}
	return c.in(time.UTC), true
}
