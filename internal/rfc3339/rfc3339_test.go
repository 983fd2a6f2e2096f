package rfc3339

import (
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		got, ok := Parse([]byte(in))
		if ok != (want != "") || ok && got.Format(time.RFC3339Nano) != want {
			t.Errorf("%s: %v %v, want %s", in, got, ok, want)
		}
	}
	f("2026-11-21T08:57:47.123456789Z", "2026-11-21T08:57:47.123456789Z")
	f("2026-11-21T08:57:47.1Z", "2026-11-21T08:57:47.1Z")
	f("2026-11-21T08:57:47Z", "2026-11-21T08:57:47Z")
	f("2026-11-21T08:57:47+01:00", "2026-11-21T08:57:47+01:00")
	f("2026-11-21T08:57:47,5Z", "2026-11-21T08:57:47.5Z")
	f("2026-11-21T08:57:47.1234567891Z", "2026-11-21T08:57:47.123456789Z")
	f("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z")
	f("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z")
	f("2026-02-29T00:00:00Z", "")
	f("2026-13-01T00:00:00Z", "")
	f("2026-11-31T00:00:00Z", "")
	f("2026-11-21T24:00:00Z", "")
	f("2026-11-21T08:57:60Z", "")
	f("2026-11-21T08:57:47.Z", "")
	f("2026-11-21T08:57:47.12x4Z", "")
	f("2026-11-21 08:57:47Z", "")
	f("2026-11-21T08:57:47", "")
	f("Z", "")
	f("", "")
}

// FuzzParse holds the fast way against the time package.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"2026-11-21T08:57:47.123456789Z", "0000-02-29T00:00:00Z", "9999-12-31T23:59:59.9Z", "2026-11-21T08:57:47-08:00", "1969-12-31T23:59:59Z"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := Parse(b)
		want, err := time.Parse(time.RFC3339Nano, string(b))
		if ok != (err == nil) || ok && !got.Equal(want) {
			t.Fatalf("%q: %v %v, want %v %v", b, got, ok, want, err)
		}
	})
}

func TestUnix(t *testing.T) {
	for day := time.Date(0, 1, 1, 13, 14, 15, 0, time.UTC); day.Year() < 2500; day = day.AddDate(0, 0, 1) {
		y, m, d := day.Date()
		if got := Unix(y, int(m), d, 13, 14, 15); got != day.Unix() {
			t.Fatalf("%v: %d, want %d", day, got, day.Unix())
		}
		if last := day.AddDate(0, 0, 1).Day() == 1; last != (d == DaysIn(y, int(m))) {
			t.Fatalf("%v: its month has %d days", day, DaysIn(y, int(m)))
		}
	}
}

func TestPieces(t *testing.T) {
	b := []byte("a7x1234567890z")
	if Two(b, 0) != -1 || Two(b, 1) != -1 || Two(b, 3) != 12 || Two(b, 13) != -1 || Two(b, 99) != -1 {
		t.Error("two digits are misread")
	}
	if ns, end := Fraction(b, 3); ns != 123456789 || end != 13 {
		t.Errorf("fraction: %d to %d", ns, end)
	}
	if ns, end := Fraction(b, 1); ns != 700_000_000 || end != 2 {
		t.Errorf("fraction: %d to %d", ns, end)
	}
}

func BenchmarkParse(b *testing.B) {
	for _, in := range []string{"2026-11-21T08:57:47.123456789Z", "2026-11-21T08:57:47.123456789+08:00"} {
		b.Run(in[29:], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := Parse([]byte(in)); !ok {
					b.Fatal("no time")
				}
			}
		})
	}
}
