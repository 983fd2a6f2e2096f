package parse

import (
	"bytes"
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
	offset                                 int  // seconds east of UTC, when zone is zoneOffset
	zone                                   zone // what was written of a zone
	abbreviation                           [5]byte
	place                                  *time.Location
	order                                  order
	noYear, noDate                         bool
	halved                                 bool // it has AM or PM
	odd                                    bool // no clock shows it
}

// zone is what a time says of its zone.
type zone uint8

const (
	zoneNone    zone = iota
	zoneOffset       // offset
	zonePlace        // place
	zoneShared       // abbreviation, which several zones share
	zoneUnknown      // it is written, and nobody knows what it means
)

// order is how three numbers of a date were written, where more than one way is possible.
// year, month and day are then these numbers as they came.
type order uint8

const (
	orderKnown order = iota
	orderEither
	orderShort // two digits each
)

// At makes a moment of what was written, for a message read at a time; a time without
// zone is in the one given. False: it is too far from the time of reading to be
// believed, or there is more than one way to read it. It depends on nothing but its
// arguments: the same event read again gets the same time, and so the same index.
func (c *Civil) At(read time.Time, zone *time.Location) (time.Time, bool) {
	if c.odd {
		return time.Time{}, false
	}
	switch c.zone {
	case zoneUnknown:
		return time.Time{}, false
	case zonePlace:
		zone = c.place
	case zoneShared:
		return c.atShared(read, zone)
	case zoneOffset:
		zone = time.UTC
	}
	var t time.Time
	switch {
	case c.order != orderKnown:
		return c.atEither(read, zone)
	case c.noDate:
		t = c.nearestDay(read, zone)
	case c.noYear:
		t = c.nearestYear(read, zone)
	default:
		t = c.in(read, zone)
	}
	return t, !t.IsZero() && Believable(t, read)
}

// nearestDay is the time of day nearest to the time of reading.
func (c *Civil) nearestDay(read time.Time, zone *time.Location) (best time.Time) {
	local := read.In(zone).Add(time.Duration(c.offset) * time.Second)
	for _, day := range [...]int{0, -1, 1} {
		d := *c
		year, month, n := local.AddDate(0, 0, day).Date()
		d.year, d.month, d.day = year, int(month), n
		t := d.in(read, zone)
		away := t.Sub(read).Abs()
		if best.IsZero() || away < best.Sub(read).Abs() {
			best = t
		}
		if away < 11*time.Hour {
			break // no other day is nearer
		}
	}
	return best
}

// nearestYear is the day of the year nearest to the time of reading, so that 31 December
// read on 1 January is of last year; zero: there is no such day.
func (c *Civil) nearestYear(read time.Time, zone *time.Location) (best time.Time) {
	year := read.In(zone).Year()
	for _, y := range [...]int{year, year - 1, year + 1} {
		d := *c
		if d.year = y; d.day > rfc3339.DaysIn(y, d.month) {
			continue
		}
		t := d.in(read, zone)
		away := t.Sub(read).Abs()
		if best.IsZero() || away < best.Sub(read).Abs() {
			best = t
		}
		if away < 180*24*time.Hour {
			break // no other year is nearer
		}
	}
	return best
}

// Of two ways to read a date, the one nearer to the time of reading is right when it is
// within nearEnough of it, or the other is farther by farApart.
const (
	nearEnough = 2 * 24 * time.Hour
	farApart   = 200 * 24 * time.Hour
)

// atEither reads a date of which day, month and year may be in more than one order.
func (c *Civil) atEither(read time.Time, zone *time.Location) (time.Time, bool) {
	a, b, d := c.year, c.month, c.day
	var ways [3][3]int // year, month, day
	if c.order == orderEither {
		ways = [3][3]int{{a, b, d}, {a, d, b}}
	} else {
		ways = [3][3]int{{2000 + a, b, d}, {2000 + d, a, b}, {2000 + d, b, a}}
	}
	var best time.Time
	nearest, next := time.Duration(1<<63-1), time.Duration(1<<63-1)
	for _, w := range ways {
		e := *c
		e.year, e.month, e.day, e.order = w[0], w[1], w[2], orderKnown
		if !e.date() {
			continue
		}
		var t time.Time
		if e.noYear {
			t = e.nearestYear(read, zone)
		} else {
			t = e.in(read, zone)
		}
		if !Believable(t, read) || t.Equal(best) {
			continue
		}
		if away := t.Sub(read).Abs(); away < nearest {
			best, nearest, next = t, away, nearest
		} else {
			next = min(next, away)
		}
	}
	return best, !best.IsZero() && (nearest <= nearEnough || next-nearest >= farApart)
}

// Believable reports whether a time may be that of an event read at another.
func Believable(t, read time.Time) bool {
	d := t.Sub(read)
	return d <= maxAhead && d >= -maxBehind
}

// in is the moment when clocks in a zone show c. An hour that comes twice, when clocks
// are set back, is the one nearer to the time of reading; one that is left out is counted
// on from before.
func (c *Civil) in(read time.Time, zone *time.Location) time.Time {
	shown := rfc3339.Unix(c.year, c.month, c.day, c.hour, c.min, c.sec)
	if zone == time.UTC {
		return time.Unix(shown-int64(c.offset), int64(c.nano)).UTC()
	}
	before, after := east(shown-86400, zone), east(shown+86400, zone)
	one, other := shown-before, shown-after
	if before != after {
		if east(other, zone) == after && (east(one, zone) != before || abs(other-read.Unix()) < abs(one-read.Unix())) {
			one = other
		}
	}
	return time.Unix(one, int64(c.nano)).UTC()
}

// east is how many seconds clocks in a zone are ahead of UTC at a moment.
func east(unix int64, zone *time.Location) int64 {
	_, offset := time.Unix(unix, 0).In(zone).Zone()
	return int64(offset)
}

func abs(n int64) int64 { return max(n, -n) }

// date reports whether month and day are legal; the year may be unknown (0, a leap year).
func (c *Civil) date() bool {
	return c.month >= 1 && c.month <= 12 && c.day >= 1 && c.day <= rfc3339.DaysIn(c.year, c.month)
}

// Stamp reads the value of an event's @timestamp: a time, quoted, or a number of seconds
// or fractions of it since 1970, for an event read at a time. A time without zone is in
// the one given.
func Stamp(value []byte, read time.Time, zone *time.Location) (time.Time, bool) {
	if len(value) > 1 && value[0] == '"' {
		value = value[1 : len(value)-1]
	}
	var c Civil
	if !wholeTime(value, &c) || c.noYear || c.noDate || c.odd || c.zone == zoneUnknown {
		return time.Time{}, false
	}
	if c.zone == zoneNone && c.order == orderKnown {
		return c.in(read, zone), true
	}
	if c.zone == zoneOffset && c.order == orderKnown {
		return c.in(read, time.UTC), true
	}
	return c.At(read, zone)
}

// wholeTime reads a time that is all of b.
func wholeTime(b []byte, c *Civil) bool {
	n := matchTime(b, c)
	return n > 0 && n == len(b)
}

// ISO reads a time of ISO 8601 in UTC or with an offset that is all of b.
func ISO(b []byte) (time.Time, bool) {
	var c Civil
	if len(b) < 19 || matchISO(b, &c) != len(b) || c.zone != zoneOffset {
		return time.Time{}, false
	}
	return c.in(time.Time{}, time.UTC), true
}

// IsISO reports whether b is a time of ISO 8601 with a T, with any zone or none.
func IsISO(b []byte) bool {
	var c Civil
	return len(b) >= 19 && b[10] == 'T' && matchISO(b, &c) == len(b) && (c.zone == zoneOffset || c.zone == zoneNone) && bytes.IndexByte(b, ' ') < 0
}
