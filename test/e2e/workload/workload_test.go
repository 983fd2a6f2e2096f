package workload

import (
	"bytes"
	"testing"
	"unicode/utf8"
)

func TestSameSeedSameLines(t *testing.T) {
	l := Lines{Seed: 7, Count: 3000, Huge: true}
	kinds := map[string]bool{}
	for i := range l.Count {
		line := l.At(i)
		if !bytes.Equal(line, l.At(i)) {
			t.Fatalf("line %d differs from itself", i)
		}
		if bytes.IndexByte(line, '\n') >= 0 {
			t.Fatalf("line %d holds a newline", i)
		}
		switch n := len(line); {
		case n == 0:
			kinds["empty"] = true
		case n == 1<<20:
			kinds["1 MiB"] = true
		case n >= 16383 && n <= 16385:
			kinds["16 KiB"] = true
		case !utf8.Valid(line):
			kinds["invalid"] = true
		}
	}
	if len(kinds) != 4 {
		t.Errorf("kinds met: %v, want empty, 1 MiB, 16 KiB and invalid", kinds)
	}
}
