package parse

import (
	"bytes"
	"sync"
	"time"
)

// matchZone reads a zone at b[i], with or without a space before it, and returns the
// index after it; i where there is none. A zone that is written and not understood is
// zoneUnknown.
func matchZone(b []byte, i int, c *Civil) int {
	k := i
	if at(b, k) == ' ' {
		k++
	}
	switch ch := at(b, k); {
	case ch == 'Z' && !isAlpha(at(b, k+1)) && !isDigit(at(b, k+1)):
		c.zone = zoneOffset
		return k + 1
	case ch == '+' || ch == '-' || ch == '\xe2':
		return matchOffset(b, i, k, c)
	case ch == '[' || ch == '(':
		return matchZoneInBrackets(b, i, k, c)
	case isUpper(ch):
		return matchNamedZone(b, i, k, c)
	}
	return i
}

// matchZoneInBrackets reads [Asia/Shanghai], (CET) or [UTC+8] at b[k], of which nothing
// else is in the brackets.
func matchZoneInBrackets(b []byte, i, k int, c *Civil) int {
	before := *c
	if ch := at(b, k+1); isUpper(ch) || ch == '+' || ch == '-' {
		n := k + 1
		if isUpper(ch) {
			n = matchNamedZone(b, k+1, k+1, c)
		} else if isDigit(at(b, k+3)) {
			n = matchOffset(b, k+1, k+1, c)
		}
		if n > k+1 && at(b, n) == closing(b[k]) {
			return n + 1
		}
	}
	*c = before
	return i
}

func closing(c byte) byte {
	switch c {
	case '(':
		return ')'
	case '<':
		return '>'
	case '{':
		return '}'
	}
	return ']'
}

// matchOffset reads +08:00, +0800, +08 or +8 at b[k], of a zone that starts at b[i]. Two
// digits after a space are one only where a word ends, one digit never: that is text.
func matchOffset(b []byte, i, k int, c *Civil) int {
	n, sign := k+1, 1
	switch {
	case b[k] == '-':
		sign = -1
	case bytes.HasPrefix(b[k:], []byte("\u2212")): // a minus, not a hyphen
		n, sign = k+3, -1
	case b[k] != '+':
		return i
	}
	digits := n
	for digits < len(b) && digits < n+5 && isDigit(b[digits]) {
		digits++
	}
	h, m, end := 0, 0, digits
	switch digits - n {
	case 4:
		h, m = two(b, n), two(b, n+2)
	case 2:
		h = two(b, n)
		if at(b, digits) == ':' && isDigit(at(b, digits+1)) {
			if m = two(b, digits+1); m < 0 {
				m = 60
			}
			end = digits + 3
		} else if k > i && !wordEnds(b, digits) {
			return i
		}
	case 1:
		if k > i {
			return i
		}
		h = int(b[n] - '0')
		if m = two(b, digits+1); m >= 0 && at(b, digits) == ':' {
			end = digits + 3
		} else {
			m = 0
		}
	case 0:
		return i
	default:
		if k == i {
			c.zone = zoneUnknown
			return end
		}
		return i
	}
	if isDigit(at(b, end)) {
		return i
	}
	if h > 18 || m > 59 {
		c.zone = zoneUnknown
		return end
	}
	c.zone, c.offset = zoneOffset, sign*(h*3600+m*60)
	return skipZoneAgain(b, end)
}

// skipZoneAgain is the index after what only says once more what an offset that ends
// before b[end] said: the abbreviation (of Go), the place (of Java), a name in brackets
// (of JavaScript).
func skipZoneAgain(b []byte, end int) int {
	switch at(b, end) {
	case ' ':
		if word := upperWord(b, end+1); len(word) > 2 && len(word) < 6 && wordEnds(b, end+1+len(word)) && abbreviations[string(word)] != nil {
			end += 1 + len(word)
		}
		if at(b, end) == ' ' && at(b, end+1) == '(' {
			name := b[end+2 : min(len(b), end+50)]
			n := bytes.IndexByte(name, ')')
			if n > 0 && (bytes.HasSuffix(name[:n], []byte(" Time")) || bytes.HasSuffix(name[:n], []byte("时间")) || n < 6 && abbreviations[string(name[:n])] != nil) {
				end += 3 + n
			}
		}
		if bytes.HasPrefix(b[end:], []byte(" m=+")) {
			for end += 4; end < len(b) && (isDigit(b[end]) || b[end] == '.'); end++ {
			}
		}
	case '[':
		if n := placeEnd(b, end+1); n > 0 && at(b, n) == ']' {
			end = n + 1
		}
	}
	return end
}

// matchNamedZone reads UTC, GMT, UTC+8, GMT+08:00, CET, Asia/Shanghai at b[k].
func matchNamedZone(b []byte, i, k int, c *Civil) int {
	if !isUpper(at(b, k+1)) || at(b, k+2) == '/' { // Asia/Shanghai, US/Pacific
		if n := placeEnd(b, k); n > 0 {
			c.takePlace(b[k:n])
			return n
		}
	}
	word := upperWord(b, k)
	end := k + len(word)
	if len(word) < 2 || len(word) > 5 || isDigit(at(b, end)) || isAlpha(at(b, end)) || at(b, end) == '_' {
		if n := longZoneEnd(b, k); n > k {
			c.zone = zoneUnknown
			return n
		}
		return i
	}
	if s := string(word); s == "UTC" || s == "GMT" || s == "UT" {
		return matchFromUTC(b, end, c)
	}
	var z []int16
	if endsZone[word[len(word)-1]] {
		z = abbreviations[string(word)]
	}
	switch {
	case z == nil:
		// In PostgreSQL's place of a zone, before [pid].
		if k > i && len(word) > 2 && at(b, end) == ' ' && at(b, end+1) == '[' && isDigit(at(b, end+2)) && levelOf(word) == "" {
			c.zone = zoneUnknown
			return end
		}
		return i
	case !wordEnds(b, end):
		return i
	case len(z) == 1:
		c.zone, c.offset = zoneOffset, int(z[0])*60
	default:
		c.zone = zoneShared
		c.abbreviation = [5]byte{}
		copy(c.abbreviation[:], word)
	}
	return end
}

// matchFromUTC reads +8, +08:00, +0530 or nothing after UTC, which ends before b[end].
func matchFromUTC(b []byte, end int, c *Civil) int {
	c.zone, c.offset = zoneOffset, 0
	k := end
	if at(b, k) == ' ' {
		k++
	}
	if s := at(b, k); s != '+' && s != '-' || !isDigit(at(b, k+1)) {
		return end
	}
	if n := matchOffset(b, k, k, c); n > k {
		return n
	}
	c.zone = zoneUnknown
	return end
}

// longZoneEnd is the index after China Standard Time at b[k], k for none.
func longZoneEnd(b []byte, k int) int {
	const most = 40
	words := 0
	for n := k; n < len(b) && n < k+most; n++ {
		if c := b[n]; c == ' ' {
			words++
		} else if !isAlpha(c) && c != '.' {
			return k
		}
		if words > 1 && bytes.HasSuffix(b[k:n+1], []byte(" Time")) && wordEnds(b, n+1) {
			for _, w := range [][]byte{[]byte(" Standard Time"), []byte(" Daylight Time"), []byte(" Summer Time")} {
				if bytes.HasSuffix(b[k:n+1], w) {
					return n + 1
				}
			}
			return k
		}
	}
	return k
}

// wordEnds reports whether there is no letter, digit or what joins them at b[i].
func wordEnds(b []byte, i int) bool {
	switch c := at(b, i); c {
	case 0, ' ', ']', ')', '[', '(', ':', ',', ';', '|', '>', '\\', '"':
		return true
	}
	return false
}

func upperWord(b []byte, i int) []byte {
	end := i
	for end < len(b) && end < i+8 && isUpper(b[end]) {
		end++
	}
	return b[min(i, end):end]
}

// areas are those of names in the time zone database.
var areas = [][]byte{
	[]byte("Africa/"), []byte("America/"), []byte("Antarctica/"), []byte("Arctic/"), []byte("Asia/"), []byte("Atlantic/"),
	[]byte("Australia/"), []byte("Europe/"), []byte("Indian/"), []byte("Pacific/"), []byte("Etc/"), []byte("US/"), []byte("Canada/"),
}

// placeEnd is the index after a name such as Asia/Shanghai at b[i], or 0.
func placeEnd(b []byte, i int) int {
	if i >= len(b) || !isUpper(b[i]) {
		return 0
	}
	for _, a := range areas {
		if b[i] != a[0] || !bytes.HasPrefix(b[i:], a) {
			continue
		}
		n := i + len(a)
		for n < len(b) && n < i+40 && (isAlpha(b[n]) || isDigit(b[n]) || b[n] == '_' || b[n] == '/' || b[n] == '-' || b[n] == '+') {
			n++
		}
		if isUpper(at(b, i+len(a))) {
			return n
		}
	}
	return 0
}

func (c *Civil) takePlace(name []byte) {
	if c.place = place(name); c.place != nil {
		c.zone = zonePlace
	} else {
		c.zone = zoneUnknown
	}
}

// Zone is the zone of a name as events and configurations have it: Asia/Shanghai, +08:00,
// UTC, CET. False: it is not understood, or several zones share it.
func Zone(name []byte) (*time.Location, bool) {
	var c Civil
	if string(name) == "Local" { // of whom?
		return nil, false
	}
	if n := matchZone(name, 0, &c); n != len(name) {
		loc := place(name)
		return loc, loc != nil
	}
	switch {
	case c.zone == zonePlace:
		return c.place, true
	case c.zone == zoneOffset && c.offset == 0:
		return time.UTC, true
	case c.zone == zoneOffset:
		return fixed(c.offset), true
	}
	return nil, false
}

// places are those that were asked for, and offsets: nil is a name that there is not.
// What lines may say is bounded by maxPlaces.
var places = struct {
	sync.RWMutex
	known   map[string]*time.Location
	offsets map[int]*time.Location
}{known: map[string]*time.Location{}, offsets: map[int]*time.Location{}}

const maxPlaces = 2048

func place(name []byte) *time.Location {
	places.RLock()
	loc, ok := places.known[string(name)]
	full := len(places.known) >= maxPlaces
	places.RUnlock()
	if ok || full || len(name) == 0 || len(name) > 40 {
		return loc
	}
	s := string(name)
	loc, err := time.LoadLocation(s)
	if err != nil || s == "Local" {
		loc = nil
	}
	places.Lock()
	defer places.Unlock()
	places.known[s] = loc
	return loc
}

func fixed(offset int) *time.Location {
	places.RLock()
	loc := places.offsets[offset]
	places.RUnlock()
	if loc != nil {
		return loc
	}
	places.Lock()
	defer places.Unlock()
	if loc = places.offsets[offset]; loc == nil {
		loc = time.FixedZone("", offset)
		if len(places.offsets) < maxPlaces {
			places.offsets[offset] = loc
		}
	}
	return loc
}

// atShared is the moment where several zones have an abbreviation: that of the zone of
// times that name none, if it has it, else the one that brings the time to shortly before
// it was read.
func (c *Civil) atShared(read time.Time, zone *time.Location) (time.Time, bool) {
	d := *c
	d.zone = zoneOffset
	word := string(bytes.TrimRight(c.abbreviation[:], "\x00"))
	for _, half := range []time.Duration{0, 182 * 24 * time.Hour} {
		if name, offset := read.Add(half).In(zone).Zone(); name == word {
			d.offset = offset
			return d.At(read, time.UTC)
		}
	}
	var best time.Time
	for _, minutes := range abbreviations[word] {
		d.offset = int(minutes) * 60
		if t, ok := d.At(read, time.UTC); ok && t.Sub(read) <= time.Minute && t.Sub(read) >= -15*time.Minute {
			if !best.IsZero() {
				return time.Time{}, false
			}
			best = t
		}
	}
	return best, !best.IsZero()
}

// endsZone says of each byte whether an abbreviation ends with it: levels do not.
var endsZone = func() (t [256]bool) {
	for name := range abbreviations {
		t[name[len(name)-1]] = true
	}
	return t
}()

// abbreviations are those of zones that logs have, in minutes east of UTC; more than one
// number is of more than one zone.
var abbreviations = map[string][]int16{
	"UTC": {0}, "GMT": {0}, "UT": {0},
	"WET": {0}, "WEST": {60}, "CET": {60}, "CEST": {120}, "MEZ": {60}, "MESZ": {120}, "MET": {60}, "EET": {120}, "EEST": {180}, "MSK": {180}, "MSD": {240},
	"TRT": {180}, "SAMT": {240}, "YEKT": {300}, "OMST": {360}, "KRAT": {420}, "IRKT": {480}, "YAKT": {540}, "VLAT": {600}, "MAGT": {660}, "PETT": {720},
	"CAT": {120}, "EAT": {180}, "WAT": {60}, "WIT": {540}, "SAST": {120}, "IDT": {180}, "IRST": {210}, "PKT": {300}, "UZT": {300}, "NPT": {345}, "ICT": {420}, "WIB": {420},
	"HKT": {480}, "SGT": {480}, "MYT": {480}, "PHT": {480}, "WITA": {480}, "AWST": {480}, "JST": {540}, "KST": {540},
	"ACST": {570}, "ACDT": {630}, "AEST": {600}, "AEDT": {660}, "NZST": {720}, "NZDT": {780},
	"EST": {-300}, "EDT": {-240}, "CDT": {-300}, "MST": {-420}, "MDT": {-360}, "PDT": {-420}, "AKST": {-540}, "AKDT": {-480}, "HST": {-600},
	"BRT": {-180}, "BRST": {-120}, "ART": {-180}, "CLT": {-240}, "CLST": {-180}, "PYT": {-240}, "UYT": {-180}, "VET": {-240}, "NST": {-210}, "NDT": {-150},
	"CST": {480, -360, -300}, "IST": {330, 120, 60}, "BST": {60, 360, 660}, "PST": {-480, 480}, "AST": {-240, 180}, "ADT": {-180, 240}, "SST": {480, -660},
	"GST": {240, -120}, "WST": {480, 780}, "AMT": {-240, 240}, "ECT": {-300, -240}, "FKT": {-240, -180},
}
