package generate

import (
	"testing"
	"testing/quick"
)

func TestMark(t *testing.T) {
	m := Mark{Run: 0x01020304, Source: 42, Seq: 7, Time: 0x5f8a1b2c3d4e5}
	if got, want := string(m.Append(nil)), "~lt:01020304:00002a:0000000007:5f8a1b2c3d4e5~"; got != want || len(got) != markLen {
		t.Errorf("mark = %q, want %q", got, want)
	}
	text := append([]byte(`{"a":"~lt:~ ~lt:0102030x:00002a:0000000007:5f8a1b2c3d4e5~ `), m.Append(nil)...)
	if got, ok := FindMark(text); !ok || got != m {
		t.Errorf("FindMark = %+v, %v", got, ok)
	}
	for n := range len(text) {
		if got, ok := FindMark(text[:n]); ok {
			t.Errorf("found %+v in %q", got, text[:n])
		}
	}
}

func TestMarkRoundTrip(t *testing.T) {
	if err := quick.Check(func(run uint32, source uint32, seq, at uint64, before, after []byte) bool {
		m := Mark{run, int(source >> 8), int64(seq >> 24), int64(at >> 12)}
		got, ok := FindMark(append(m.Append(before), after...))
		return ok && got == m
	}, &quick.Config{MaxCount: 2_000}); err != nil {
		t.Error(err)
	}
}
