package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration written as 5s, 200ms, 1h30m or 30d.
type Duration time.Duration

// D is the value as a time.Duration.
func (d Duration) D() time.Duration { return time.Duration(d) }

// Bytes is a size in bytes written as 512, 64KiB, 8MiB or 1GiB (KB, MB, GB are powers of ten).
type Bytes int64

// Sizes.
const (
	KiB Bytes = 1 << 10
	MiB Bytes = 1 << 20
	GiB Bytes = 1 << 30
)

// ParseDuration reads time.ParseDuration's form and whole days (30d).
func ParseDuration(s string) (Duration, error) {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		if days, err := strconv.ParseUint(n, 10, 16); err == nil {
			return Duration(time.Duration(days) * 24 * time.Hour), nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration such as 5s, 200ms or 30d", s)
	}
	return Duration(d), nil
}

// String is the shortest form that ParseDuration reads back.
func (d Duration) String() string {
	if t := time.Duration(d); t > 0 && t%(24*time.Hour) == 0 {
		return strconv.FormatInt(int64(t/(24*time.Hour)), 10) + "d"
	}
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

var units = []struct {
	name string
	size Bytes
}{
	{"KiB", KiB}, {"MiB", MiB}, {"GiB", GiB}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1},
}

// ParseBytes reads a whole number with an optional unit.
func ParseBytes(s string) (Bytes, error) {
	num, size := s, Bytes(1)
	for _, u := range units {
		if n, ok := strings.CutSuffix(s, u.name); ok {
			num, size = strings.TrimSpace(n), u.size
			break
		}
	}
	n, err := strconv.ParseInt(num, 10, 64)
	if err != nil || n < 0 || n > int64(1<<62/size) {
		return 0, fmt.Errorf("%q is no size such as 512, 64KiB or 8MiB", s)
	}
	return Bytes(n) * size, nil
}

// String uses the largest binary unit that divides the size.
func (b Bytes) String() string {
	for _, u := range []struct {
		name string
		size Bytes
	}{{"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}} {
		if b != 0 && b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}
