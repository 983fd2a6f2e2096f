package generate

import "time"

// form is how a line writes its time.
type form int

const (
	formNone    form = iota
	formLogback      // 2026-11-21 08:57:47.123
	formRFC3339      // 2026-11-21T08:57:47.123Z
	formNginx        // 21/Nov/2026:08:57:47 +0000
	formKlog         // 1121 08:57:47.123456
	formDocker       // 2026-11-21T08:57:47.123456789Z
	forms
)

var layouts = [forms]struct {
	second string // up to the whole second
	digits int    // of the second's fraction
	after  string
}{
	formNone:    {"", 0, ""},
	formLogback: {"2006-01-02 15:04:05.", 3, ""},
	formRFC3339: {"2006-01-02T15:04:05.", 3, "Z"},
	formNginx:   {"02/Jan/2006:15:04:05", 0, " +0000"},
	formKlog:    {"0102 15:04:05.", 6, ""},
	formDocker:  {"2006-01-02T15:04:05.", 9, "Z"},
}

func (f form) len() int { return len(layouts[f].second) + layouts[f].digits + len(layouts[f].after) }

// clock formats times, each second once.
type clock struct {
	second int64
	text   [forms]string
}

// append appends a time given in microseconds since 1970.
func (c *clock) append(dst []byte, f form, micros int64) []byte {
	if f == formNone {
		return dst
	}
	if s := micros / 1e6; s != c.second || c.text[formLogback] == "" {
		c.second = s
		for i, l := range layouts {
			c.text[i] = time.Unix(s, 0).UTC().Format(l.second)
		}
	}
	dst = append(dst, c.text[f]...)
	l := &layouts[f]
	fraction, unit := micros%1e6*1000, int64(100_000_000)
	for range l.digits {
		dst = append(dst, byte('0'+fraction/unit%10))
		unit /= 10
	}
	return append(dst, l.after...)
}
