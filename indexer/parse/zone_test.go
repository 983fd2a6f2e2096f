package parse

import (
	"testing"
	"time"

	"github.com/sluicelog/sluice/internal/jsontext"
)

// A zone that is written is obeyed or, where it is not understood, there is no time: never
// one that is hours off. The indexer's zone is none of those written.
func TestZones(t *testing.T) {
	p := newParser("Asia/Kolkata")
	f := func(stamp, want string) {
		t.Helper()
		for _, line := range []string{stamp, stamp + " ERROR x", "[" + stamp + "] [main] ERROR x", stamp + " [12] ERROR: x", `{"time":"` + stamp + `","level":"error","msg":"x"}`} {
			if got := inUTC(p.Parse(jsontext.Append(nil, line), judgedRead, Options{}).Time); got != want {
				t.Errorf("%s: time %q, want %q", line, got, want)
			}
		}
	}
	const at, ms = "08:57:47", "08:57:47.123"
	// offsets, with and without Z's relatives
	for _, z := range []string{"+08:00", " +08:00", "+0800", " +0800", "+08", "+8", " GMT+08:00", " GMT+8", " UTC+8", " UTC+08", " UTC+0800", "UTC+8", " GMT +0800", " UTC +8",
		" Asia/Shanghai", "[Asia/Shanghai]", " [Asia/Shanghai]", " (Asia/Shanghai)", "+08:00[Asia/Shanghai]", " +0800 CST", " GMT+0800 (China Standard Time)", " GMT+0800 (中国标准时间)",
		" HKT", " SGT", " AWST", " (SGT)", " [UTC+8]", " (GMT+08:00)", " [+08:00]"} {
		f("2026-11-21 16:57:47.123"+z, ms)
	}
	for _, z := range []string{"Z", " Z", " UTC", " GMT", "UTC", "GMT", " +0000", "+00:00", "-00:00", " WET", " [UTC]", " (GMT)", " Etc/UTC"} {
		f("2026-11-21 08:57:47"+z, at)
	}
	f("2026-11-21 14:27:47 GMT+5:30", at)
	f("2026-11-21 14:27:47 UTC+0530", at)
	f("2026-11-21 14:27:47+5:30", at)
	f("2026-11-21 03:27:47 UTC-5:30", at)
	f("2026-11-21 03:57:47-05", at)
	f("2026-11-21 00:57:47 −08:00", at)
	f("2026-11-21 09:57:47 CET", at)
	f("2026-11-21 10:57:47 CAT", at)
	f("2026-11-21 11:57:47 EAT", at)
	f("2026-11-21 11:57:47 MSK", at)
	f("2026-11-21 03:57:47 EST", at)
	f("2026-11-21 00:57:47 PST", at) // of two, the one that makes it now
	f("2026-11-21 05:57:47 America/Argentina/Buenos_Aires", at)
	f("2026-11-21 14:27:47 IST", at) // the indexer's own, of three
	f("2026-11-21 16:57:47 CST", at) // China's, of two that are no future
	// written, and not understood
	for _, z := range []string{" Europe/Olympus", "[Asia/Nowhere]", "+25:00", " +2500", "+080", "+08:99", " UTC+25", " GMT+123", " China Standard Time", " W. Europe Standard Time", " Pacific Daylight Time"} {
		f("2026-11-21 08:57:47"+z, "")
	}
	f("2026-11-21 05:00:00 CST", "") // Chicago's, or China's of yesterday: nobody knows
	// AM and PM
	for _, h := range []string{" PM", "PM", " pm", " p.m.", " P.M.", " p. m.", "\u202fPM", "\u00a0PM", " 下午"} {
		f("2026-11-20 08:57:47"+h+" UTC", "2026-11-20T20:57:47")
		f("2026-11-20 8:57:47.5"+h+" +00:00", "2026-11-20T20:57:47.5")
	}
	f("2026-11-21 12:57:47 AM UTC", "00:57:47")
	f("2026-11-20 12:57:47 PM UTC", "2026-11-20T12:57:47")
	f("2026-11-20 下午 8:57:47 +08:00", "2026-11-20T12:57:47")
	f("2026-11-20 15:57:47 PM UTC", "") // who knows
	f("2026-11-20 00:57:47 AM UTC", "")
	// none written
	f("2026-11-21 14:27:47", at)
	f("2026-11-21 02:27:47 PM", at)
}

// What follows a time and is no zone is none.
func TestNoZones(t *testing.T) {
	p := newParser("UTC")
	for _, after := range []string{" - x", " -1 left", " +5 more", " ERROR x", " [main] x", " (main) x", " POST /x", " Standard Time", " Main Street", " Aside/From", " [CONFIG] x", " (12) x", " [+] x", " [-1] x"} {
		line := "2026-11-21 08:57:47" + after
		if got := inUTC(p.Parse(jsontext.Append(nil, line), judgedRead, Options{}).Time); got != "08:57:47" {
			t.Errorf("%s: time %q", line, got)
		}
	}
}

// Of an hour that comes twice when clocks are set back, the nearer to the time of reading;
// one that does not come at all is counted on.
func TestHoursThatComeTwice(t *testing.T) {
	f := func(zone, line, read, want string) {
		t.Helper()
		at, err := time.Parse(time.RFC3339, read)
		if err != nil {
			t.Fatal(err)
		}
		if got := newParser(zone).Parse([]byte(line), at, Options{}).Time.Format(time.RFC3339); got != want {
			t.Errorf("%s in %s read at %s: got %s, want %s", line, zone, read, got, want)
		}
	}
	const fall = "2026-10-25 02:30:00 x"
	f("Europe/Berlin", fall, "2026-10-25T00:30:05Z", "2026-10-25T00:30:00Z")
	f("Europe/Berlin", fall, "2026-10-25T01:30:05Z", "2026-10-25T01:30:00Z")
	f("Europe/Berlin", "2026-10-25 02:59:59 x", "2026-10-25T01:00:01Z", "2026-10-25T00:59:59Z")
	f("Europe/Berlin", "2026-10-25 03:00:00 x", "2026-10-25T02:00:00Z", "2026-10-25T02:00:00Z")
	f("Europe/Berlin", "2026-10-25 01:59:59 x", "2026-10-25T01:00:00Z", "2026-10-24T23:59:59Z")
	f("Europe/Berlin", "Oct 25 02:30:00 h p: x", "2026-10-25T01:30:05Z", "2026-10-25T01:30:00Z")
	f("Europe/Berlin", "02:30:00.000 [main] INFO a.B - x", "2026-10-25T01:30:05Z", "2026-10-25T01:30:00Z")
	f("UTC", "2026-10-25 02:30:00 Europe/Berlin x", "2026-10-25T01:30:05Z", "2026-10-25T01:30:00Z")
	f("America/New_York", "2026-11-01 01:30:00 x", "2026-11-01T05:30:01Z", "2026-11-01T05:30:00Z")
	f("America/New_York", "2026-11-01 01:30:00 x", "2026-11-01T06:30:01Z", "2026-11-01T06:30:00Z")
	f("Australia/Lord_Howe", "2026-04-05 01:45:00 x", "2026-04-04T15:15:01Z", "2026-04-04T15:15:00Z")
	f("Australia/Lord_Howe", "2026-04-05 01:45:00 x", "2026-04-04T14:45:01Z", "2026-04-04T14:45:00Z")
	f("Europe/Berlin", "2026-03-29 02:30:00 x", "2026-03-29T01:30:05Z", "2026-03-29T01:30:00Z")
}
