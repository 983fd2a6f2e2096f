package line

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/internal/jsontext"
	"github.com/sluicelog/sluice/schemas"
	"github.com/sluicelog/sluice/shipper/internal/shiptest"
)

func TestSplitEventAddsUp(t *testing.T) {
	tail := schemas.NewTail(&schemas.Source{Path: "/x", Host: "h"})
	f := func(message string, set Flags) {
		t.Helper()
		l := &schemas.Line{Time: time.Unix(1, 0), Message: jsontext.Append(nil, message), Stream: "stdout", Offset: 1000, Size: 77, Flags: set.Texts(), Generation: "7-8-0", FileName: []byte("a.log")}
		v := schemas.AppendEvent(nil, l, tail)
		a, b, ok := Split(v)
		if !ok {
			t.Fatalf("%q is not split", message)
		}
		again, _, _ := Split(v)
		var e [2]shiptest.Event
		for i, half := range [][]byte{a, b} {
			if err := json.Unmarshal(half, &e[i]); err != nil {
				t.Fatalf("%v: %s", err, half)
			}
			if _, ok := schemas.ParseHead(half); !ok {
				t.Errorf("no head: %s", half)
			}
			if n := len(e[i].Log.Flags); n == 0 || e[i].Log.Flags[0] != "split" && e[i].Log.Flags[n-1] != "split" {
				t.Errorf("flags %q", e[i].Log.Flags)
			}
		}
		if e[0].Message+e[1].Message != message || e[0].Log.Offset != 1000 || e[0].Log.Size+e[1].Log.Size != 77 || e[1].Log.Offset != 1000+e[0].Log.Size {
			t.Errorf("halves %+v %+v", e[0], e[1])
		}
		if e[0].Meta.ID == e[1].Meta.ID || !bytes.Equal(a, again) || e[0].Meta.ID[:8] != l.ID.String()[:8] {
			t.Errorf("ids %s %s", e[0].Meta.ID, e[1].Meta.ID)
		}
	}
	f("ab", 0)
	f("hello \"world\" 上海", Cleaned)
	f(strings.Repeat("\"", 99), Cut|Partial)
	if _, _, ok := Split(schemas.AppendEvent(nil, &schemas.Line{Message: []byte("a")}, tail)); ok {
		t.Error("one character was split")
	}
}
