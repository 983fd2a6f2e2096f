package config

import (
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	f := func(text string, want time.Duration, shown string) {
		t.Helper()
		got, err := ParseDuration(text)
		if err != nil || got.D() != want || got.String() != shown {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v shown as %s", text, got, err, want, shown)
		}
		if again, err := ParseDuration(got.String()); err != nil || again != got {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", got, again, err, got)
		}
	}
	f("5s", 5*time.Second, "5s")
	f("200ms", 200*time.Millisecond, "200ms")
	f("1h30m", 90*time.Minute, "1h30m")
	f("60m", time.Hour, "1h")
	f("3600s", time.Hour, "1h")
	f("90s", 90*time.Second, "1m30s")
	f("30d", 30*24*time.Hour, "30d")
	f("24h", 24*time.Hour, "1d")
	f("0", 0, "0s")
	f("-1s", -time.Second, "-1s")
	f("-24h", -24*time.Hour, "-24h")
	for _, text := range []string{"", "5", "s", "1.5d", "-1d", "5 s", "d", "1w", "99999d"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v; want an error", text, got)
		}
	}
}

func TestBytes(t *testing.T) {
	f := func(text string, want Bytes, shown string) {
		t.Helper()
		got, err := ParseBytes(text)
		if err != nil || got != want || got.String() != shown {
			t.Errorf("ParseBytes(%q) = %v, %v; want %d shown as %s", text, got, err, want, shown)
		}
		if again, err := ParseBytes(got.String()); err != nil || again != got {
			t.Errorf("ParseBytes(%q) = %v, %v; want %v", got, again, err, got)
		}
	}
	f("0", 0, "0")
	f("512", 512, "512")
	f("512B", 512, "512")
	f("64KiB", 64*KiB, "64KiB")
	f("8 MiB", 8*MiB, "8MiB")
	f("1024MiB", GiB, "1GiB")
	f("1MB", 1e6, "1000000")
	f("2GB", 2e9, "1953125KiB")
	for _, text := range []string{"", "KiB", "-1", "-1KiB", "1.5MiB", "1kb", "1K", "9999999999GiB", "0x10"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("ParseBytes(%q) = %v; want an error", text, got)
		}
	}
}
