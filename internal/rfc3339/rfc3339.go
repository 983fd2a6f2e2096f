// Package rfc3339 reads times as logs have them: the form of RFC 3339 fast and without
// allocation, and the pieces that readers of other forms are made of. All of it may be
// used by any number of goroutines.
package rfc3339

import "time"

// Parse reads a time such as 2026-11-21T08:57:47.123456789Z that is all of b. In UTC,
// with up to nine digits of a second, nothing is allocated; what else RFC 3339 allows
// goes through the time package. False: b is no such time.
func Parse(b []byte) (time.Time, bool) {
	const form = len("0000-00-00T00:00:00")
	if len(b) < form+1 || b[len(b)-1] != 'Z' || b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' || b[16] != ':' {
		return parseAny(b)
	}
	century, year, month, day := Two(b, 0), Two(b, 2), Two(b, 5), Two(b, 8)
	hour, min, sec := Two(b, 11), Two(b, 14), Two(b, 17)
	if century|year|month|day|hour|min|sec < 0 {
		return parseAny(b)
	}
	year += century * 100
	if month < 1 || month > 12 || day < 1 || day > 28 && day > DaysIn(year, month) || hour > 23 || min > 59 || sec > 59 {
		return time.Time{}, false
	}
	ns := 0
	if frac := b[form : len(b)-1]; len(frac) > 0 {
		if frac[0] != '.' || len(frac) < 2 || len(frac) > 10 {
			return parseAny(b)
		}
		var n int
		if ns, n = Fraction(frac, 1); n != len(frac) {
			return time.Time{}, false
		}
	}
	return time.Unix(Unix(year, month, day, hour, min, sec), int64(ns)).UTC(), true
}

func parseAny(b []byte) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, string(b))
	return t, err == nil
}

// Two is the number that the two digits at b[i] are, or -1 if there are none.
func Two(b []byte, i int) int {
	if i+2 > len(b) || !isDigit(b[i]) || !isDigit(b[i+1]) {
		return -1
	}
	return int(b[i]-'0')*10 + int(b[i+1]-'0')
}

// Fraction reads the digits from b[i] on as the part of a second that follows its point:
// nanoseconds, and the index after the last digit. Digits after the ninth count nothing.
func Fraction(b []byte, i int) (nano, end int) {
	from := i
	for ; i < len(b) && isDigit(b[i]); i++ {
		if i-from < 9 {
			nano = nano*10 + int(b[i]-'0')
		}
	}
	return nano * scale[min(i-from, 9)], i
}

var scale = [10]int{1e9, 1e8, 1e7, 1e6, 1e5, 1e4, 1e3, 100, 10, 1}

// DaysIn is how many days a month (1 to 12) has in the Gregorian calendar.
func DaysIn(year, month int) int {
	if month == 2 {
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 30 + (month+month>>3)&1
}

// Unix is the seconds from 1970 to a time in UTC, of a year from 0 on. It counts years
// that begin in March, so that the leap day is the last (H. Hinnant, chrono-compatible
// low-level date algorithms).
func Unix(year, month, day, hour, min, sec int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := year / 400
	if year < 0 { // January and February of the year 0
		era = -1
	}
	ofEra := year - era*400
	ofYear := (153*(month-3)+2)/5 + day - 1
	days := int64(era*146097+ofEra*365+ofEra/4-ofEra/100+ofYear) - 719468
	return days*86400 + int64(hour*3600+min*60+sec)
}

func isDigit(c byte) bool { return c-'0' < 10 }
